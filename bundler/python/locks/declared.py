"""Which files declare a function's dependencies, and which of them decides.

Files of requirements share a stem, "requirements" unless the configuration names another file. Its
pylock.toml, and its .txt where that has hashes, are locks; then comes a project that its own tool
has locked (projects.py); then its .txt, else its .in, is to be resolved; else the project.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Function, ProjectError, RelPath, error
from lambdad.bundler.python.indexes import Indexes, merged
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import projects, pylock, requirements
from lambdad.bundler.python.locks.lock import LAMBDAD_LOCK, Lock
from lambdad.bundler.python.locks.requirements import RequirementsFile, WantedPackage
from lambdad.bundler.python.target import Target
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the files of one stem lie, or would lie."""

    pylock: RelPath
    txt: RelPath
    source: RelPath
    """The .in."""
    named: RelPath | None
    """What the configuration names."""

    @property
    def folder(self) -> RelPath:
        return os.path.dirname(self.source) or "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is to be installed: by the lock if there is one, else by resolving `open`."""

    files: Files
    lock: Lock | None = None
    lock_path: RelPath | None = None
    open: RequirementsFile | None = None
    open_path: RelPath | None = None
    source: tuple[WantedPackage, ...] | None = None
    """What the lock was made from, if that is there: its direct requirements."""
    indexes: Indexes = field(default_factory=Indexes)
    """Where to look, as the files have it."""
    pip_tools: bool = False
    """The project works with pip-tools."""
    mend: str = LAMBDAD_LOCK
    """The command that locks anew."""

    @property
    def folders(self) -> tuple[WantedPackage, ...]:
        """The local packages."""
        if self.lock is not None:
            return self.lock.folders
        return tuple(wanted for wanted in self.direct if wanted.is_folder)

    @property
    def direct(self) -> tuple[WantedPackage, ...]:
        """What the project requires itself, as far as any file says."""
        if self.lock is not None:
            return self.source or ()
        return self.open.wanted if self.open is not None else ()


def locate(function: Function, workshop: Workshop) -> Files | None:
    """The files that could declare dependencies; None for a single file that names none.

    A function that is one source file is packaged as that file only, unless the configuration
    names its requirements.
    """
    named = function.requirements
    if named is None:
        if workshop.seen.is_file(function.code):
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

    Raises ProjectError as the readers of the files do, and `missing-requirements`.
    """
    files = locate(function, workshop)
    if files is None:
        return None
    workshop.seen.file(files.pylock, files.txt, files.source)
    if files.named is not None and not workshop.seen.exists(files.named):
        message = f"there is no {files.named}, which is to declare the dependencies"
        raise ProjectError(error("missing-requirements", message, function.where, _NAME_ANOTHER))
    return _decide(files, function, target, workshop)


_NAME_ANOTHER: Final = "create it, or name another file as `requirements` in lambdad.toml"


def _decide(files: Files, function: Function, target: Target, workshop: Workshop) -> Declared:
    seen = workshop.seen
    if files.named is not None and os.path.basename(files.named) in projects.NAMES:
        return _of_project(files, function, target, workshop)
    has_source = seen.exists(files.source)
    pip_tools = function.resolver == "pip-tools" or (function.resolver is None and has_source)
    txt = requirements.read(files.txt, workshop) if seen.exists(files.txt) else None
    source = requirements.read(files.source, workshop) if has_source else None
    hashed = txt is not None and locks.is_hashed(txt)
    indexes = merged(
        source.indexes if source is not None else Indexes(),
        txt.indexes if txt is not None else Indexes(),
    )
    if seen.exists(files.pylock) and not (hashed and files.named == files.txt):
        lock = pylock.read(files.pylock, seen, target, function)
        _look_at_archives(lock, seen)
        return Declared(
            files=files,
            lock=lock,
            lock_path=files.pylock,
            source=_check_fit(lock, files.pylock, source or txt, target),
            indexes=indexes,
            pip_tools=pip_tools,
        )
    if txt is not None and hashed:
        _check_selection(function, files.txt)
        lock = locks.from_requirements(txt, target)
        return Declared(
            files=files,
            lock=lock,
            lock_path=files.txt,
            source=_check_fit(lock, files.txt, source, target),
            indexes=indexes,
            pip_tools=pip_tools,
        )
    if files.named is None:
        found = _of_project(files, function, target, workshop)
        if found.lock is not None or (txt is None and source is None):
            return found
    _check_selection(function, files.txt)
    if txt is not None and source is not None and (pins := _loose_pins(txt)) is not None:
        _check_fit(pins, files.txt, source, target)
    return Declared(
        files=files,
        open=txt or source,
        open_path=files.txt if txt is not None else files.source,
        indexes=indexes,
        pip_tools=pip_tools,
    )


def _of_project(files: Files, function: Function, target: Target, workshop: Workshop) -> Declared:
    """What the project of a tool such as uv or Poetry declares; nothing, if there is none."""
    named = os.path.basename(files.named) if files.named is not None else None
    has_txt = workshop.seen.exists(files.txt) or workshop.seen.exists(files.source)
    project = projects.find(files.folder, named, function, workshop)
    if project is None or (project.lock_path is None and named is None and has_txt):
        return Declared(files=files)
    lock, asked = None, None
    if project.lock_path is not None:
        lock = projects.lock(project, function, target, workshop)
        _look_at_archives(lock, workshop.seen)
    elif not project.manifest.dynamic:
        asked = projects.open_requirements(project, target, workshop)
    return Declared(
        files=files,
        lock=lock,
        lock_path=project.lock_path,
        open=asked,
        open_path=project.path if asked is not None else None,
        source=projects.requirements(project, workshop) if lock is not None else None,
        indexes=projects.sources(project, lock, workshop),
        pip_tools=function.resolver == "pip-tools",
        mend=project.manifest.mend,
    )


def _look_at_archives(lock: Lock, seen: Seen) -> None:
    """The files that it pins by their path are inputs."""
    seen.file(*(pin.path for pin in lock.pins if pin.path is not None))


def _check_selection(function: Function, path: RelPath) -> None:
    """Raises ProjectError (`unknown-extra`): files of requirements have neither to choose from."""
    faults = [
        *locks.unknown("extras", function.extras, (), path),
        *locks.unknown("groups", function.groups, (), path),
    ]
    if faults:
        raise ProjectError(*faults)


def _check_fit(
    lock: Lock, path: RelPath, source: RequirementsFile | None, target: Target
) -> tuple[WantedPackage, ...] | None:
    """The source. Raises ProjectError (`lock-outdated`) if the lock does not give what it asks."""
    if source is None:
        return None
    problems = locks.outdated(lock, source.wanted, source.constraints, target)
    if problems:
        raise ProjectError(
            *(locks.no_longer_fits(path, why, where, LAMBDAD_LOCK) for why, where in problems)
        )
    return source.wanted


def _loose_pins(txt: RequirementsFile) -> Lock | None:
    """The pins of a .txt without hashes, as pip-compile writes it too; None if it has ranges."""
    pins = []
    for wanted in txt.wanted:
        if not wanted.is_folder:
            if (pin := locks.pin_of(wanted)) is None:
                return None
            pins.append(pin)
    folders = tuple(wanted for wanted in txt.wanted if wanted.is_folder)
    return Lock(pins=tuple(pins), folders=folders)
