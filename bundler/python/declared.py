"""Which files declare a function's dependencies, and which of them decides.

They share a stem, "requirements" unless the configuration names another file. Its pylock.toml, and
its .txt where that has hashes, are locks; without one its .txt, else its .in, is to be resolved.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

from bundler.model import (
    Diagnostic,
    Function,
    InputSet,
    Location,
    ProjectError,
    RelPath,
    error,
    warning,
)
from bundler.python import lock as locks
from bundler.python import requirements
from bundler.python.indexes import Indexes, merged
from bundler.python.lock import LOCK_HINT, Lock
from bundler.python.requirements import Requirements, Wanted
from bundler.python.target import Target
from bundler.snapshot import union
from bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the files of one stem lie, or would lie."""

    pylock: RelPath
    txt: RelPath
    source: RelPath
    """The .in."""
    named: RelPath | None
    """What the configuration names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is to be installed: by the lock if there is one, else by resolving `open`."""

    files: Files
    lock: Lock | None = None
    lock_path: RelPath | None = None
    open: Requirements | None = None
    open_path: RelPath | None = None
    source: Requirements | None = None
    """What the lock was made from, if that is there: its direct requirements."""
    indexes: Indexes = field(default_factory=Indexes)
    """Where to look, as the files have it."""
    pip_tools: bool = False
    """The project works with pip-tools."""
    inputs: InputSet

    @property
    def folders(self) -> tuple[Wanted, ...]:
        """The local packages."""
        if self.lock is not None:
            return self.lock.folders
        return tuple(wanted for wanted in self.direct if wanted.is_folder)

    @property
    def direct(self) -> tuple[Wanted, ...]:
        """What people asked for, as far as any file tells."""
        asked = self.source if self.lock is not None else self.open
        return asked.wanted if asked is not None else ()


def locate(function: Function, workshop: Workshop) -> Files | None:
    """The files that could declare dependencies; None for a single file that names none.

    A function that is one source file is packaged as that file only, unless the configuration
    names its requirements.
    """
    named = function.requirements
    if named is None:
        if os.path.isfile(workshop.absolute(function.code)):
            return None
        folder, stem = function.code, "requirements"
    else:
        folder, name = os.path.split(named)
        stem = _stem(name)
    beside = "" if folder in ("", ".") else f"{folder}/"
    pylock = "pylock.toml" if stem == "requirements" else f"pylock.{stem.replace('.', '-')}.toml"
    is_txt = named is not None and not named.endswith((".in", ".toml"))
    return Files(
        pylock=f"{beside}{pylock}",
        txt=named if named is not None and is_txt else f"{beside}{stem}.txt",
        source=f"{beside}{stem}.in",
        named=named,
    )


def _stem(name: str) -> str:
    if name.startswith("pylock.") and name.endswith(".toml"):
        return name[len("pylock.") : -len(".toml")] or "requirements"
    return name.rpartition(".")[0] or name


def read(function: Function, target: Target, workshop: Workshop) -> Declared | None:
    """What declares the function's dependencies; None where nothing can.

    Raises ProjectError, its inputs being all that was read or looked for.
    """
    files = locate(function, workshop)
    if files is None:
        return None
    looked_for = InputSet(files=frozenset((files.pylock, files.txt, files.source)))
    if files.named is not None and not _exists(files.named, workshop):
        message = f"there is no {files.named}, which is to declare the dependencies"
        raise ProjectError(
            error("missing-requirements", message, function.where, _NAME_ANOTHER),
            inputs=looked_for,
        )
    try:
        return _decide(files, function, target, workshop, looked_for)
    except ProjectError as fault:
        raise ProjectError(*fault.diagnostics, inputs=union(fault.inputs, looked_for)) from fault


_NAME_ANOTHER: Final = "create it, or name another file as `requirements` in lambdad.toml"


def _decide(
    files: Files, function: Function, target: Target, workshop: Workshop, inputs: InputSet
) -> Declared:
    has_source = _exists(files.source, workshop)
    pip_tools = function.resolver == "pip-tools" or (function.resolver is None and has_source)
    txt = requirements.read(files.txt, workshop) if _exists(files.txt, workshop) else None
    source = requirements.read(files.source, workshop) if has_source else None
    for read_one in (txt, source):
        if read_one is not None:
            inputs = union(inputs, read_one.inputs)
    hashed = txt is not None and locks.is_hashed(txt)
    indexes = merged(
        source.indexes if source is not None else Indexes(),
        txt.indexes if txt is not None else Indexes(),
    )
    try:
        if _exists(files.pylock, workshop) and not (hashed and files.named == files.txt):
            lock = locks.read_pylock(files.pylock, workshop.root, target)
            return Declared(
                files=files,
                lock=lock,
                lock_path=files.pylock,
                source=_check_fit(lock, files.pylock, source or txt, target),
                indexes=indexes,
                pip_tools=pip_tools,
                inputs=inputs,
            )
        if txt is not None and hashed:
            lock = locks.from_requirements(txt, target)
            return Declared(
                files=files,
                lock=lock,
                lock_path=files.txt,
                source=_check_fit(lock, files.txt, source, target),
                indexes=indexes,
                pip_tools=pip_tools,
                inputs=inputs,
            )
        if txt is not None and source is not None and (pins := _loose_pins(txt)) is not None:
            _check_fit(pins, files.txt, source, target)
    except ProjectError as fault:
        raise ProjectError(*fault.diagnostics, inputs=union(fault.inputs, inputs)) from fault
    return Declared(
        files=files,
        open=txt or source,
        open_path=files.txt if txt is not None else files.source,
        indexes=indexes,
        pip_tools=pip_tools,
        inputs=inputs,
    )


def _exists(path: RelPath, workshop: Workshop) -> bool:
    return os.path.exists(workshop.absolute(path))


def _check_fit(
    lock: Lock, path: RelPath, source: Requirements | None, target: Target
) -> Requirements | None:
    """The source. Raises ProjectError (`lock-outdated`) if the lock does not give what it asks."""
    if source is None:
        return None
    problems = locks.outdated(lock, source.wanted, source.constraints, target)
    if problems:
        raise ProjectError(*(outdated(path, reason, where) for reason, where in problems))
    return source


def outdated(path: RelPath, reason: str, where: Location) -> Diagnostic:
    message = f"{path} no longer fits {where.file}: {reason}"
    return error("lock-outdated", message, where, LOCK_HINT)


def elsewhere(function: Function, workshop: Workshop) -> tuple[Diagnostic | None, InputSet]:
    """That a code folder without requirements declares its dependencies to another tool."""
    looked_for = []
    for name, asks, hint in _OTHERS:
        path = os.path.normpath(f"{function.code}/{name}")
        looked_for.append(path)
        try:
            with open(workshop.absolute(path), "rb") as file:
                said = tomllib.load(file)
        except (OSError, ValueError):  # absent, or the tool's to complain of
            continue
        if asks(said):
            message = f"the dependencies in {path} are not installed: lambdad does not read them"
            note = warning("unread-dependencies", message, Location(path), f"in its folder, {hint}")
            return note, InputSet(files=frozenset(looked_for))
    return None, InputSet(files=frozenset(looked_for))


def _asks_as_project(said: dict[str, Any]) -> bool:
    project = said.get("project")
    return isinstance(project, dict) and bool(project.get("dependencies"))


def _asks_poetry(said: dict[str, Any]) -> bool:
    tool = said.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    asked = poetry.get("dependencies") if isinstance(poetry, dict) else None
    return isinstance(asked, dict) and bool(asked.keys() - {"python"})


def _asks_pipenv(said: dict[str, Any]) -> bool:
    return bool(said.get("packages"))


_OTHERS: Final = (
    (
        "pyproject.toml",
        _asks_as_project,
        "`uv export --no-dev --no-emit-project --format pylock.toml -o pylock.toml` writes a lock "
        "that it reads",
    ),
    (
        "pyproject.toml",
        _asks_poetry,
        "`poetry export -o requirements.txt` writes what it reads",
    ),
    ("Pipfile", _asks_pipenv, "`pipenv requirements > requirements.txt` writes what it reads"),
)


def _loose_pins(txt: Requirements) -> Lock | None:
    """The pins of a .txt without hashes, as pip-compile writes it too; None if it has ranges."""
    pins = []
    for wanted in txt.wanted:
        if not wanted.is_folder:
            if (pin := locks.pin_of(wanted)) is None:
                return None
            pins.append(pin)
    folders = tuple(wanted for wanted in txt.wanted if wanted.is_folder)
    return Lock(pins=tuple(pins), folders=folders)
