"""The readers' only door to the file system: what they ask is remembered, found or not."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from typing import Final, Literal

from lambdad.bundler.located.located import SIZE
from lambdad.bundler.model import InputSet, Location, ProjectError, RelPath, error

Kind = Literal["file", "folder"]


class Look:
    """Sees files by paths relative to the project. Within one reading, answers don't change."""

    def __init__(self, root: str, repository: str) -> None:
        self.root: Final = root
        self.repository: Final = repository
        self._kinds: Final[dict[RelPath, Kind | None]] = {}
        self._read: Final[set[RelPath]] = set()

    def kind(self, path: RelPath) -> Kind | None:
        """What is there, through symlinks; None: nothing, or nothing that can be reached."""
        if path not in self._kinds:
            self._kinds[path] = _kind(self.absolute(path))
        return self._kinds[path]

    def first_file(self, paths: Iterable[RelPath]) -> RelPath | None:
        return next((path for path in paths if self.kind(path) == "file"), None)

    def read(self, path: RelPath, most: int = SIZE) -> bytes | None:
        """The file's bytes, one more than `most` of a longer one; None: there is none.

        Raises ProjectError if it can't be read.
        """
        self._read.add(path)
        try:
            with open(self.absolute(path), "rb", opener=_open_file) as file:
                return file.read(most + 1)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as fault:
            message = f"can't be read: {(fault.strerror or str(fault)).lower()}"
            raise ProjectError(error("unreadable-config", message, Location(path))) from fault

    def inside(self, path: RelPath, allow: Iterable[RelPath]) -> bool:
        """Whether it lies, symlinks resolved, in the repository or in a folder of `allow`."""
        try:
            real = os.path.realpath(self.absolute(path))
            tops = [self.repository, *(os.path.realpath(self.absolute(top)) for top in allow)]
        except (OSError, ValueError):
            return False
        return any(real == top or real.startswith(top.rstrip("/") + "/") for top in tops)

    def absolute(self, path: RelPath) -> str:
        return f"{self.root}/{path}"

    def inputs(self) -> InputSet:
        # The project's own folder is there, or nobody would ask.
        return InputSet(files=frozenset((self._read | self._kinds.keys()) - {"."}))


def joined(folder: RelPath, path: str, root: str) -> RelPath:
    """`path` as written in a file of `folder`, relative to the project; absolute ones too."""
    if path.startswith("/"):
        return posixpath.relpath(path, root)
    return posixpath.normpath(posixpath.join(folder, path))


def folder_of(path: RelPath) -> RelPath:
    return posixpath.dirname(path) or "."


def _open_file(path: str, flags: int) -> int:
    # A FIFO would wait for its writer, for ever; non-blocking has no effect on a file.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file", path)
    return descriptor


def _kind(path: str) -> Kind | None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else None
