"""Which names in a folder count: those that a walk takes in.

Its patterns decide, and the excludes that are built in. The walk itself is tree.py; a snapshot asks
the same of folders that were walked.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lambdad.bundler.model import Names, Stems, Walk

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

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

EVERYTHING: Final = ("!*",)
"""A pattern that takes back every exclude: where two ways of counting meet, all names count."""


def counted_names(folder: str, below_top: str, walk: Walk) -> tuple[str, ...]:
    """The names in a folder that a walk takes in, sorted, each with its kind after a "/".

    Kinds: d, f, l (symlink), ? (anything else). Raises OSError.
    """
    with os.scandir(folder) as entries:
        return tuple(
            sorted(
                f"{entry.name}/{kind_of(entry)}"
                for entry in entries
                if is_counted(entry.name, below_top, leads_to_folder(entry), walk)
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


def is_broken(pattern: str) -> bool:
    """Whether the text is no pattern as in a .gitignore."""
    import re

    try:
        _spec((pattern,))
    except (ValueError, re.error):
        return True
    return False


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a symlink to one that can be reached."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def more(one: Names, other: Names) -> Names:
    """What counts in a folder of which one and the other count."""
    if isinstance(one, Stems) and isinstance(other, Stems):
        return Stems(one.names | other.names)
    if one == other:
        return one
    top = one.top if isinstance(one, Walk) else other.top if isinstance(other, Walk) else ""
    return Walk(top, EVERYTHING)
