"""The walk of a code folder: which files go into the zip, and what that decision depended on."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
    from pathspec import GitIgnoreSpec

    from lambdad.bundler.workshop import Workshop

LEFT_OUT: Final = frozenset(
    {
        ".git", ".hg", ".svn", ".bzr", ".gitignore", ".gitattributes", ".gitmodules",
        ".DS_Store", "Thumbs.db",
        ".lambdad", "lambdad.toml", ".aws-sam", ".serverless", ".sst", ".build", "cdk.out",
        ".venv", ".virtualenv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache",
        ".hypothesis", ".tox", ".nox", ".coverage", ".ipynb_checkpoints", ".eggs",
        ".idea", ".vscode",
        "node_modules", ".npm", ".yarn", ".pnp.cjs", ".pnp.loader.mjs",
    }
)  # fmt: skip
"""Names that are no part of a function: version control, tools' state, what is vendored anew."""

LEFT_OUT_ENDINGS: Final = (".pyc", ".pyo", ".swp", ".swo", "~", ".egg-info")
LEFT_OUT_BEGINNINGS: Final = (".#", ".tmp-", ".nfs", ".fuse_hidden")


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
    if faults := [*map(_pattern_fault, filter(_is_broken, (*exclude, *include, *only)))]:
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


def counted_names(folder: str, below_top: str, walk: Walk) -> tuple[str, ...]:
    """The names in a folder that a walk takes in, sorted, each with its kind after a "/".

    Kinds: d, f, l (symlink), ? (anything else). Raises OSError.
    """
    with os.scandir(folder) as entries:
        return tuple(
            sorted(
                f"{entry.name}/{kind_of(entry)}"
                for entry in entries
                if is_counted(entry.name, below_top, _is_folder(entry), walk)
            )
        )


def kind_of(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "l"
    if entry.is_dir(follow_symlinks=False):
        return "d"
    return "f" if entry.is_file(follow_symlinks=False) else "?"


def is_counted(name: str, below_top: str, is_folder: bool, walk: Walk) -> bool:
    """Whether a walk takes the name in; of a folder, whether it enters it."""
    if not walk.include and not walk.only:
        return not _is_left_out(name, below_top, is_folder, walk)
    path = f"{below_top}/{name}" if below_top else name
    if walk.include:
        if _verdict(path, is_folder, walk.include) or (
            is_folder and _leads(walk.include, path, anywhere=False)
        ):
            return True
        if below_top and _is_shut(below_top, walk):
            return False
    if walk.only and not (
        _verdict(path, is_folder, walk.only)
        or (is_folder and _leads(walk.only, path, anywhere=True))
    ):
        return False
    return not _is_left_out(name, below_top, is_folder, walk)


def _is_left_out(name: str, below_top: str, is_folder: bool, walk: Walk) -> bool:
    """The patterns decide, else the globs, else the built-in excludes."""
    path = f"{below_top}/{name}" if below_top else name
    if walk.patterns:
        verdict = _verdict(path, is_folder, walk.patterns)
        if verdict is not None:
            return verdict
    if walk.globs:
        from lambdad.bundler.inputs import globs

        said = (globs.enters if is_folder else globs.verdict)(walk.globs, path)
        if said is False:
            return True
        # "src/**" means what people wrote there, not the __pycache__ among it.
        if said and globs.spells_out(walk.globs, name):
            return False
    return (
        name in LEFT_OUT or name.endswith(LEFT_OUT_ENDINGS) or name.startswith(LEFT_OUT_BEGINNINGS)
    )


@functools.lru_cache(maxsize=4096)
def _is_shut(folder: str, walk: Walk) -> bool:
    """Whether the walk came into the folder for what it includes alone."""
    above, _, name = folder.rpartition("/")
    if _verdict(folder, True, walk.include):
        return False
    if above and _is_shut(above, walk):
        return True
    return _is_left_out(name, above, True, walk)


def _leads(patterns: tuple[str, ...], folder: str, *, anywhere: bool) -> bool:
    """Whether a pattern can match something below the folder; `anywhere` is said of patterns that
    name no place."""
    inside = folder.split("/")
    for pattern in patterns:
        place = pattern.strip().rstrip("/")
        if place.startswith("!"):
            continue
        parts = place.strip("/").split("/")
        if "/" not in place or parts[0] == "**":
            if anywhere:
                return True
        elif _leads_there(parts, inside):
            return True
    return False


def _leads_there(parts: Sequence[str], inside: Sequence[str]) -> bool:
    for part, name in zip(parts, inside, strict=False):
        if part == "**":
            return True
        # A part with a wildcard may be any: to enter one folder too many costs time alone.
        if part != name and not any(mark in part for mark in "*?[\\"):
            return False
    return len(inside) < len(parts)


def covers(patterns: tuple[str, ...], path: str) -> bool:
    """Whether the patterns are of that file, or of a folder it lies in."""
    return bool(patterns and _verdict(path, False, patterns))


def _verdict(path: str, is_folder: bool, patterns: tuple[str, ...]) -> bool | None:
    """Whether the patterns cover the path; None: they say nothing of it."""
    return _spec(patterns).check_file(f"{path}/" if is_folder else path).include


@functools.lru_cache(maxsize=256)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)


def _is_broken(pattern: str) -> bool:
    import re

    try:
        _spec((pattern,))
    except (ValueError, re.error):
        return True
    return False


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
        if is_counted(entry.name, below_top, _is_folder(entry), errand.counted):
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


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


_SPECIAL: Final[Mapping[int, str]] = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def _special(mode: int) -> str:
    return _SPECIAL.get(stat.S_IFMT(mode), "a special file")
