"""The walk of a code folder: which files go into the zip, and what that decision depended on."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lambdad.bundler.inputs import counted
from lambdad.bundler.model import (
    Diagnostic,
    InputSet,
    Location,
    Names,
    ProjectError,
    RelPath,
    Walk,
    error,
    warning,
)

if TYPE_CHECKING:
    from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    name: str
    """Relative to the walk's top, "/" between parts."""
    path: RelPath
    """Relative to the project, as walked (symlinks not resolved)."""
    executable: bool
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    files: tuple[TreeFile, ...]
    """Sorted by name."""
    inputs: InputSet
    diagnostics: tuple[Diagnostic, ...]
    """Warnings: symlinks that lead nowhere were left out."""


def walk(
    workshop: Workshop,
    top: RelPath,
    *,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    only: Sequence[str] = (),
    globs: Sequence[str] = (),
    allow: Sequence[RelPath] = (),
) -> Tree:
    """Every file below `top` that the excludes leave in, symlinks followed.

    All patterns are .gitignore's, relative to `top`. "!name" in `exclude` takes a built-in exclude
    back; `include` goes before any exclude, and where a pattern of it holds a "/" it also finds
    what lies in folders that are left out. With `only`, files that match none of it stay out.

    Raises ProjectError, all faults together: a symlink that leads out of the repository and of
    `allow`, a loop, a FIFO, socket or device, a name that is not UTF-8, an unreadable folder, a
    pattern that is none.
    """
    if faults := [*map(_pattern_fault, filter(counted.is_broken, (*exclude, *include, *only)))]:
        raise ProjectError(*faults)
    errand = _Errand(
        workshop=workshop,
        counted=Walk(top, tuple(exclude), tuple(include), tuple(only), tuple(globs)),
        homes=homes(workshop, allow),
        files=[],
        absent=set(),
        links=set(),
        listings={},
        faults=[],
        warnings=[],
    )
    absolute = os.path.realpath(workshop.absolute(top))
    _walk_folder(errand, top, "", (absolute,))
    inputs = InputSet(
        files=frozenset((*(file.path for file in errand.files), *errand.absent)),
        links=frozenset(errand.links),
        listings=errand.listings,
    )
    if errand.faults:
        raise ProjectError(*errand.faults, *errand.warnings, inputs=inputs)
    errand.files.sort(key=lambda file: file.name)
    return Tree(files=tuple(errand.files), inputs=inputs, diagnostics=tuple(errand.warnings))


def read(workshop: Workshop, file: TreeFile) -> bytes:
    """The file's bytes. Raises ProjectError if it vanished or can't be read."""
    try:
        with open(workshop.absolute(file.path), "rb") as source:
            return source.read()
    except OSError as fault:
        raise ProjectError(
            error(
                "unreadable-file", f"can't read {file.path}: {fault.strerror}", Location(file.path)
            ),
            inputs=InputSet(files=frozenset((file.path,))),
        ) from fault


def _pattern_fault(pattern: str) -> Diagnostic:
    message = f"{pattern!r} is no pattern as in a .gitignore"
    return error(
        "bad-value", message, hint="correct it where `exclude`, `include` or `copy` has it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What one walk carries along and gathers."""

    workshop: Workshop
    counted: Walk
    homes: tuple[str, ...]
    files: list[TreeFile]
    absent: set[RelPath]
    """Where dangling symlinks lie: what they lead to may appear."""
    links: set[RelPath]
    listings: dict[RelPath, Names]
    faults: list[Diagnostic]
    warnings: list[Diagnostic]


def homes(workshop: Workshop, allow: Sequence[RelPath]) -> tuple[str, ...]:
    """The real folders that paths of the project may lead into."""
    allowed = (os.path.realpath(workshop.absolute(path)) for path in allow)
    return (os.path.realpath(workshop.repository), *allowed)


def is_inside(real: str, homes: Sequence[str]) -> bool:
    return any(real == home or real.startswith(f"{home.rstrip('/')}/") for home in homes)


def _walk_folder(errand: _Errand, folder: RelPath, below_top: str, chain: tuple[str, ...]) -> None:
    """`chain` holds the real folders from the top down to this one: meeting one again is a loop."""
    errand.listings[folder] = errand.counted
    try:
        with os.scandir(errand.workshop.absolute(folder)) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as fault:
        errand.faults.append(
            error("unreadable-file", f"can't list {folder}: {fault.strerror}", Location(folder))
        )
        return
    if below_top and any(entry.name == "pyvenv.cfg" for entry in entries):
        return  # a virtual environment under any name
    for entry in entries:
        if counted.is_counted(
            entry.name, below_top, counted.leads_to_folder(entry), errand.counted
        ):
            _take(errand, folder, below_top, chain, entry)


def _take(
    errand: _Errand,
    folder: RelPath,
    below_top: str,
    chain: tuple[str, ...],
    entry: os.DirEntry[str],
) -> None:
    path = entry.name if folder == "." else f"{folder}/{entry.name}"
    name = f"{below_top}/{entry.name}" if below_top else entry.name
    if fault := _name_fault(path):
        errand.faults.append(fault)
        return
    real = f"{chain[-1]}/{entry.name}"
    if entry.is_symlink():
        errand.links.add(path)
        real = os.path.realpath(real)
        if fault := _link_fault(errand, path, real):
            if fault.code == "symlink-escape":
                errand.faults.append(fault)
            else:
                errand.absent.add(path)
                errand.warnings.append(fault)
            return
    try:
        status = entry.stat()
    except OSError as gone:
        # Between the listing and now it went: the listing's key moved, so the build is superseded.
        message = f"can't read {path}: {gone.strerror}"
        errand.faults.append(error("unreadable-file", message, Location(path)))
        return
    if stat.S_ISDIR(status.st_mode):
        if real in chain:
            message = f"{path} leads back to a folder it lies in"
            errand.faults.append(error("symlink-loop", message, Location(path), _EXCLUDE_IT))
            return
        _walk_folder(errand, path, name, (*chain, real))
    elif stat.S_ISREG(status.st_mode):
        executable = bool(status.st_mode & 0o111)
        errand.files.append(
            TreeFile(name=name, path=path, executable=executable, size=status.st_size)
        )
    else:
        message = f"{path} is {_special(status.st_mode)}, which no zip can hold"
        errand.faults.append(error("special-file", message, Location(path), _EXCLUDE_IT))


_EXCLUDE_IT: Final = "remove it, or leave it out with `exclude` in lambdad.toml"


def _link_fault(errand: _Errand, path: RelPath, real: str) -> Diagnostic | None:
    if not os.path.lexists(real) or os.path.islink(real):  # still a link: a loop of links
        message = f"{path} is a symlink that leads nowhere; it is left out"
        return warning("dangling-symlink", message, Location(path), _EXCLUDE_IT)
    if is_inside(real, errand.homes):
        return None
    hint = 'if that is meant, name the folder in lambdad.toml: allow = ["..."]'
    message = f"{path} is a symlink that leads out of the repository"
    return error("symlink-escape", message, Location(path), hint)


def _name_fault(path: str) -> Diagnostic | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="surrogateescape").decode(errors="replace")
        return error("zip-name", f"the name of {shown} is not UTF-8", Location(shown), _EXCLUDE_IT)
    if "\\" in path or "\n" in path:
        return error("zip-name", f"{path!r} can't be a name in a zip", Location(path), _EXCLUDE_IT)
    return None


_SPECIAL: Final[Mapping[int, str]] = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def _special(mode: int) -> str:
    return _SPECIAL.get(stat.S_IFMT(mode), "a special file")
