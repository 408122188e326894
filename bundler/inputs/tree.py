"""The walk of a code folder: which files go into the zip, and what that decision depended on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.inputs import counted
from lambdad.bundler.inputs.reading import SOURCE, reason, special_kind
from lambdad.bundler.inputs.seen import Seen, is_inside
from lambdad.bundler.inputs.walking import Bounds
from lambdad.bundler.model import Diagnostic, Location, ProjectError, RelPath, Walk, error, warning


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
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings: symlinks that lead nowhere were left out."""


def walk(
    seen: Seen,
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
    pattern that is none; `endless-tree` where there is more than a walk takes in.
    """
    if faults := [*map(_pattern_fault, filter(counted.is_broken, (*exclude, *include, *only)))]:
        raise ProjectError(*faults)
    errand = _Errand(
        seen=seen,
        counted=Walk(top, tuple(exclude), tuple(include), tuple(only), tuple(globs)),
        homes=seen.homes(allow),
        files=[],
        faults=[],
        warnings=[],
    )
    try:
        _walk(errand, _Place(top, "", (seen.real(top),), by_link=False))
    except ProjectError as fault:
        errand.faults.extend(fault.diagnostics)
    if errand.faults:
        raise ProjectError(*errand.faults, *errand.warnings)
    errand.files.sort(key=lambda file: file.name)
    return Tree(files=tuple(errand.files), diagnostics=tuple(errand.warnings))


def single(seen: Seen, path: RelPath, name: str) -> TreeFile:
    """The one file at a path, for its place in the zip. Raises ProjectError if it vanished."""
    try:
        status = seen.status(path)
    except OSError as fault:
        raise _unreadable(path, fault) from fault
    executable = bool(status.st_mode & 0o111)
    return TreeFile(name=name, path=path, executable=executable, size=status.st_size)


def read(seen: Seen, file: TreeFile) -> bytes:
    """The file's bytes. Raises ProjectError if it vanished or can't be read."""
    try:
        return seen.content(file.path, SOURCE)
    except OSError as fault:
        raise _unreadable(file.path, fault) from fault


def _unreadable(path: RelPath, fault: OSError) -> ProjectError:
    message = f"can't read {path}: {reason(fault)}"
    return ProjectError(error("unreadable-file", message, Location(path)))


def _pattern_fault(pattern: str) -> Diagnostic:
    message = f"{pattern!r} is no pattern as in a .gitignore"
    return error(
        "bad-value", message, hint="correct it where `exclude`, `include` or `copy` has it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What one walk carries along and gathers."""

    seen: Seen
    counted: Walk
    homes: tuple[str, ...]
    files: list[TreeFile]
    faults: list[Diagnostic]
    warnings: list[Diagnostic]


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder on the way down."""

    path: RelPath
    """As walked, relative to the project."""
    below_top: str
    chain: tuple[str, ...]
    """The real folders from the top down to this one: meeting one again is a loop."""
    by_link: bool
    """Whether a symlink led here."""


def _walk(errand: _Errand, top: _Place) -> None:
    """Depth costs no stack, and what there is too much of ends the walk with a fault."""
    bounds = Bounds(top.path)
    open_ones = [_entries(errand, top, bounds)]
    while open_ones:
        met = next(open_ones[-1], None)
        if met is None:
            open_ones.pop()
            continue
        place, entry = met
        inner = _take(errand, place, entry)
        if inner is not None:
            open_ones.append(_entries(errand, inner, bounds))


def _entries(
    errand: _Errand, place: _Place, bounds: Bounds
) -> Iterator[tuple[_Place, os.DirEntry[str]]]:
    """What of the folder is taken in, sorted by name."""
    folder, below_top = place.path, place.below_top
    bounds.enter(folder, len(place.chain), by_link=place.by_link)
    errand.seen.listing(folder, errand.counted)
    try:
        with os.scandir(errand.seen.absolute(folder)) as scan:
            entries = sorted(bounds.counted(scan, folder), key=lambda entry: entry.name)
    except OSError as fault:
        errand.faults.append(
            error("unreadable-file", f"can't list {folder}: {reason(fault)}", Location(folder))
        )
        return
    if below_top and _is_environment(errand, folder, below_top, entries):
        return
    for entry in entries:
        is_folder = counted.leads_to_folder(entry)
        if counted.is_counted(entry.name, below_top, is_folder, errand.counted):
            yield place, entry
        elif entry.is_symlink() and counted.is_counted(
            entry.name, below_top, not is_folder, errand.counted
        ):
            errand.seen.file(_joined(folder, entry.name))  # it may come to lead to the other kind


_ENVIRONMENT: Final = "pyvenv.cfg"


def _is_environment(
    errand: _Errand, folder: RelPath, below_top: str, entries: Sequence[os.DirEntry[str]]
) -> bool:
    """Whether the folder is a virtual environment, under any name."""
    if not counted.is_counted(_ENVIRONMENT, below_top, False, errand.counted):
        errand.seen.file(_joined(folder, _ENVIRONMENT))  # which the listing does not cover
    return any(entry.name == _ENVIRONMENT for entry in entries)


def _joined(folder: RelPath, name: str) -> RelPath:
    return name if folder == "." else f"{folder}/{name}"


def _take(errand: _Errand, place: _Place, entry: os.DirEntry[str]) -> _Place | None:
    """Adds the file; a folder is returned, to be walked."""
    below_top, chain = place.below_top, place.chain
    path = _joined(place.path, entry.name)
    name = f"{below_top}/{entry.name}" if below_top else entry.name
    if fault := _name_fault(path):
        errand.faults.append(fault)
        return None
    real = f"{chain[-1]}/{entry.name}"
    is_link = entry.is_symlink()
    if is_link:
        errand.seen.link(path)
        real = errand.seen.real(real)
        if fault := _link_fault(errand, path, real):
            if fault.code == "symlink-escape":
                errand.faults.append(fault)
            else:
                errand.seen.file(path)  # what it leads to may appear
                errand.warnings.append(fault)
            return None
    try:
        status = entry.stat()
    except OSError as gone:
        # Between the listing and now it went: the listing's key moved, so the build is superseded.
        errand.faults.extend(_unreadable(path, gone).diagnostics)
        return None
    if stat.S_ISDIR(status.st_mode):
        if real in chain:
            message = f"{path} leads back to a folder that it is in"
            errand.faults.append(error("symlink-loop", message, Location(path), _EXCLUDE_IT))
            return None
        return _Place(path, name, (*chain, real), by_link=place.by_link or is_link)
    errand.seen.file(path)
    if special := special_kind(status.st_mode):
        message = f"{path} is {special}, which no zip can hold"
        errand.faults.append(error("special-file", message, Location(path), _EXCLUDE_IT))
        return None
    executable = bool(status.st_mode & 0o111)
    errand.files.append(TreeFile(name=name, path=path, executable=executable, size=status.st_size))
    return None


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
