"""The one walker of folders that are not ours, and its limits.

A project can hold folders without end: nested deeper than any stack, or symlinks to folders of
symlinks, of which twenty make more paths than can be counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from lambdad.bundler.model import Location, ProjectError, RelPath, error

DEPTH: Final = 200
"""Folders in folders."""
ENTRIES: Final = 500_000
"""Names in all folders of one walk; a folder that two symlinks lead to counts twice."""
BY_LINK: Final = 5_000
"""Folders that are reached by a symlink."""

_HINT: Final = "leave it out with `exclude` in lambdad.toml, or name a smaller folder as the code"

T = TypeVar("T")


@dataclass(slots=True)
class Bounds:
    """Counts what one walk has met; each method raises ProjectError `endless-tree` at a limit."""

    top: RelPath
    """The folder that is walked, for messages."""
    entries: int = 0
    folders_by_link: int = 0

    def enter(self, folder: RelPath, depth: int, *, by_link: bool) -> None:
        """A folder so many levels down; `by_link`, a symlink is on the way from the top."""
        if depth > DEPTH:
            raise _endless(folder, f"{shown(folder)} is nested more than {DEPTH} folders deep")
        self.folders_by_link += by_link
        if self.folders_by_link > BY_LINK:
            what = f"symlinks in {self.top} lead to more than {BY_LINK:,} folders"
            raise _endless(folder, f"{what}; one of them is {shown(folder)}")

    def counted(self, names: Iterable[T], folder: RelPath) -> Iterator[T]:
        """The names, each counted."""
        for name in names:
            self.entries += 1
            if self.entries > ENTRIES:
                what = f"{self.top} holds more than {ENTRIES:,} files and folders"
                raise _endless(folder, f"{what}; the walk ended in {shown(folder)}")
            yield name


def folders(
    top: str, enters: Callable[[str], bool] = lambda _name: True, *, named: RelPath | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk: each folder's path, the folders in it that are entered and the other names, both
    sorted; symlinks to folders are among the folders and are not entered. What can't be listed is
    passed over.

    Raises ProjectError `endless-tree`; `named` is what its message calls the top.
    """
    shown_top = top if named is None else named
    bounds = Bounds(shown_top)
    left = [(top, 1)]
    while left:
        path, depth = left.pop()
        bounds.enter(path, depth, by_link=False)
        below, names, inner = [], [], []
        try:
            with os.scandir(path) as scan:
                for entry in bounds.counted(scan, path):
                    if not _is_folder(entry):
                        names.append(entry.name)
                    elif enters(entry.name):
                        below.append(entry.name)
                        if not entry.is_symlink():
                            inner.append(entry.name)
        except OSError:
            continue
        yield path, sorted(below), sorted(names)
        left += [(os.path.join(path, name), depth + 1) for name in sorted(inner, reverse=True)]


def shown(path: str) -> str:
    """A path for a message: of a very long one its beginning."""
    return path if len(path) <= 120 else f"{path[:119]}\N{HORIZONTAL ELLIPSIS}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _endless(folder: RelPath, message: str) -> ProjectError:
    return ProjectError(error("endless-tree", message, Location(shown(folder)), _HINT))
