"""`lambdad lock`: writes the lock that a build then takes as it is, and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from lambdad.bundler.inputs.reading import LOCK, read_regular
from lambdad.bundler.model import (
    Diagnostic,
    Function,
    Location,
    Method,
    ProjectError,
    RelPath,
    Toolchain,
    error,
)
from lambdad.bundler.python import local, resolve, resolvers
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.local import LocalPackage
from lambdad.bundler.python.locks import declared, projects, pylock, requirements
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks.declared import Files
from lambdad.bundler.python.locks.projects import ManagedProject
from lambdad.bundler.python.locks.requirements import RequirementsFile
from lambdad.bundler.python.target import Target
from lambdad.bundler.store.store import write_atomic
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    path: RelPath
    changed: bool
    """False: it said the same before."""
    by: str | None = None
    """The command of the project's own tool, which alone writes this lock; None: we do."""


HEADER: Final = "# Written by `lambdad lock`; run that to write it anew.\n"


def groups(functions: Sequence[Function], workshop: Workshop) -> list[list[Function]]:
    """The Python functions that have dependencies to lock; those in one list share their lock."""
    found: dict[Files, list[Function]] = {}
    for function in functions:
        if function.method is not Method.PYTHON:
            continue
        files = declared.locate(function, workshop)
        if files is None:
            continue
        ours = (files.pylock, files.txt, files.source)
        if any(_exists(path, workshop) for path in ours) or _project(function, files, workshop):
            found.setdefault(files, []).append(function)
    return list(found.values())


def write_lock(functions: Sequence[Function], toolchain: Toolchain, workshop: Workshop) -> Written:
    """Locks what the functions share: requirements.in to requirements.txt with hashes where the

    project works with pip-tools, else to pylock.toml. Versions that are locked and still fit stay.
    Raises ProjectError as resolve.resolve, and `no-lock-source`, `lock-targets`. Raises
    BundlerError as resolve.resolve.
    """
    function = functions[0]
    files = declared.locate(function, workshop)
    if files is None:
        raise ProjectError(_no_source(function.code))
    if written := _by_its_tool(functions, files, workshop):
        return written
    source, output, pip_tools = _plan(files, function, workshop)
    asked = requirements.read(source, workshop)
    if locks.is_hashed(asked):
        raise ProjectError(_no_source(source))
    wanted_by = sorted({targets.of(one) for one in functions}, key=lambda one: one.version)
    _check_targets(asked, source, wanted_by, pip_tools=pip_tools)
    target = min(wanted_by, key=lambda one: (one.version, one.glibc, one.machine))
    locals_ = [
        local.build(one, target, workshop, function.allow)
        for one in dict.fromkeys(asked.wanted)
        if one.is_folder and targets.holds(target, one.marker)
    ]
    question = resolve.ask(asked, source, locals_, target, workshop, pip_tools=pip_tools)
    path = Path(workshop.absolute(output))
    before = _known_text(str(path))
    workshop.say(f"locking {source}")
    text = resolvers.run(
        question,
        toolchain,
        workshop,
        known=_known(before, output, target, workshop, pip_tools=pip_tools),
        for_lock=True,
    )
    text = HEADER + _portable(text, path.parent, locals_, pip_tools=pip_tools)
    if not pip_tools:
        for one in wanted_by:
            pylock.parse(text, output, workshop.root, one)
    if text == before:
        return Written(path=output, changed=False)
    write_atomic(path, text.encode())
    return Written(path=output, changed=True)


def _known_text(path: str) -> str | None:
    """What the lock says so far; None if there is none that can be read."""
    try:
        return read_regular(path, LOCK).decode()
    except (OSError, ValueError):
        return None


def _project(function: Function, files: Files, workshop: Workshop) -> ManagedProject | None:
    named = os.path.basename(files.named) if files.named is not None else None
    if named is not None and named not in projects.NAMES:
        return None
    return projects.find(files.folder, named, function, workshop)


def _by_its_tool(functions: Sequence[Function], files: Files, workshop: Workshop) -> Written | None:
    """The lock that the project's own tool has written, if that decides: a second one beside it
    would only contradict it. Raises ProjectError if it does not fit, or there is none yet."""
    project = _project(functions[0], files, workshop)
    if project is None or (files.named is None and _goes_before(project, files, workshop)):
        return None
    if project.lock_path is None:
        mend = project.manifest.mend
        hint = f"run `{mend}` in {project.manifest.folder} and commit what it writes"
        message = f"{project.path} is locked by {project.manifest.tool}, not by lambdad"
        raise ProjectError(error("no-lock-source", message, Location(project.path), hint))
    for function in functions:
        declared.read(function, targets.of(function), workshop)
    return Written(path=project.lock_path, changed=False, by=project.manifest.mend)


def _goes_before(project: ManagedProject, files: Files, workshop: Workshop) -> bool:
    """Whether files of requirements decide although there is a project."""
    if _exists(files.pylock, workshop):
        return True
    if _exists(files.txt, workshop) and locks.is_hashed(requirements.read(files.txt, workshop)):
        return True
    ours = _exists(files.txt, workshop) or _exists(files.source, workshop)
    return ours and project.lock_path is None


def _exists(path: RelPath, workshop: Workshop) -> bool:
    return workshop.seen.exists(path)


def _plan(files: Files, function: Function, workshop: Workshop) -> tuple[RelPath, RelPath, bool]:
    """What is read, what is written, and whether pip-tools does it."""
    if _exists(files.source, workshop):
        if function.resolver == "uv":
            return files.source, files.pylock, False
        return files.source, files.txt, True
    if not _exists(files.txt, workshop):
        raise ProjectError(_no_source(files.pylock))
    if function.resolver == "pip-tools":
        hint = f"rename it to {files.source}: pip-tools writes {files.txt} itself"
        message = f"{files.txt} can't be both the source and the lock"
        raise ProjectError(error("no-lock-source", message, Location(files.txt), hint))
    return files.txt, files.pylock, False


def _no_source(path: RelPath) -> Diagnostic:
    return error(
        "no-lock-source",
        f"there is no file to make the lock {path} from",
        Location(path),
        "write the requirements, without hashes, to a requirements.in beside it",
    )


def _check_targets(
    asked: RequirementsFile, source: RelPath, wanted_by: Sequence[Target], *, pip_tools: bool
) -> None:
    """What pip-tools writes holds for one Python, so functions that share it must agree."""
    if not pip_tools:
        return
    differs = len({one.version for one in wanted_by}) > 1 or any(
        len({targets.holds(one, wanted.marker) for one in wanted_by}) > 1 for wanted in asked.wanted
    )
    if differs:
        runtimes = ", ".join(map(str, wanted_by))
        raise ProjectError(
            error(
                "lock-targets",
                f"{source} is shared by functions for {runtimes}, and a lock by pip-tools holds "
                "for one of them",
                Location(source),
                'give each its own requirements, or set resolver = "uv", whose lock holds for all',
            )
        )


def _known(
    before: str | None, output: RelPath, target: Target, workshop: Workshop, *, pip_tools: bool
) -> str | None:
    """The lock there is, as far as a resolver can use it; one that can't be read counts as none."""
    if before is None or not pip_tools:
        return before
    try:
        there = requirements.read(output, workshop)
    except ProjectError:
        return None
    lines = []
    for wanted in there.wanted:
        if wanted.url is None and wanted.path is None and (pin := locks.pin_of(wanted)):
            hashes = "".join(f" --hash={text}" for text in pin.hashes)
            lines.append(f"{pin.name}=={pin.version}{hashes}\n")
    return "".join(lines)


# --- what must not depend on this machine ----------------------------------------------------


def _portable(text: str, folder: Path, locals_: Sequence[LocalPackage], *, pip_tools: bool) -> str:
    """The answer with local packages as the user named them, and files relative to the lock."""
    wheels = {Path(one.wheel.path).as_uri(): one for one in locals_}
    return (
        _portable_requirements(text, wheels)
        if pip_tools
        else _portable_pylock(text, folder, wheels)
    )


def _portable_requirements(text: str, wheels: Mapping[str, LocalPackage]) -> str:
    """Hashes of a local wheel are left out: the package is taken as it is when it is built."""
    for uri, one in wheels.items():
        prefix = "-e " if one.wanted.editable else ""
        entry = re.compile(rf"^\S+ @ {re.escape(uri)}(?:[ \t]*\\\n[ \t]+--hash=\S+)*", re.MULTILINE)
        text = entry.sub(lambda _, line=f"{prefix}{one.wanted.text}": line, text)  # type: ignore[misc]
    return text


_ARCHIVE: Final = re.compile(
    r"""^archive = \{ (?:url|path) = (?P<quote>["'])(?P<place>.*?)(?P=quote).*\}$""", re.MULTILINE
)
_FILE_URL: Final = re.compile(r"""url = (["'])(file:.*?)\1""")


def _portable_pylock(text: str, folder: Path, wheels: Mapping[str, LocalPackage]) -> str:
    by_path = {one.wheel.path: one for one in wheels.values()}

    def as_directory(found: re.Match[str]) -> str:
        place = found["place"]
        one = wheels.get(place) or by_path.get(_path_of(place))
        if one is None or one.wanted.path is None:
            return found[0]
        relative = os.path.relpath(one.wanted.path, folder)
        editable = ", editable = true" if one.wanted.editable else ""
        return f'directory = {{ path = "{relative}"{editable} }}'

    def as_relative(found: re.Match[str]) -> str:
        return f'path = "{os.path.relpath(_path_of(found[2]), folder)}"'

    return _FILE_URL.sub(as_relative, _ARCHIVE.sub(as_directory, text))


def _path_of(place: str) -> str:
    return os.path.normpath(unquote(urlsplit(place).path)) if place.startswith("file:") else place
