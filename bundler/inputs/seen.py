"""The recorder: what a build, or the reading of the configuration, looks at in the project.

Everything goes through it, so that no input can be forgotten: what is looked at is recorded before
it is looked at, there or absent, and a step that fails has recorded its inputs all the same. The
end of a build asks for the InputSet.

Files are read by reading.py: regular files only, and no more of them than the caller takes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final, Literal

from lambdad.bundler.inputs.counted import more
from lambdad.bundler.inputs.reading import SETTINGS, read_regular, reason
from lambdad.bundler.located.located import broken
from lambdad.bundler.model import InputSet, Location, Names, ProjectError, RelPath, Stems, error

PathKind = Literal["file", "folder"]

_MOST_LINKS: Final = 40
"""Symlinks on the way to one file; Linux gives up after as many."""


class Seen:
    """What was looked at. Paths are given relative to the project, or absolute.

    One thread at a time uses it.
    """

    __slots__ = (
        "_added",
        "_files",
        "_inside",
        "_kinds",
        "_links",
        "_listings",
        "_names",
        "repository",
        "root",
    )

    def __init__(self, root: str, repository: str, *, once: bool = False) -> None:
        """With `once`, `kind` gives the same answer for a path at each call."""
        self.root: Final = root
        self.repository: Final = repository
        self._inside: Final = f"{root.rstrip('/')}/"
        self._files: Final[set[str]] = set()
        self._links: Final[set[str]] = set()
        self._listings: Final[dict[str, Names]] = {}
        self._names: Final[dict[str, set[str]]] = {}
        self._added: Final[list[InputSet]] = []
        self._kinds: Final[dict[str, PathKind | None] | None] = {} if once else None

    # --- paths -----------------------------------------------------------------------------------

    def absolute(self, path: str) -> str:
        """Not normalised through symlinks."""
        if path.startswith("/"):
            return path
        return f"{self._inside}{path}" if path != "." else self.root

    def relative(self, path: str) -> RelPath:
        """To the project."""
        if path.startswith(self._inside):
            return path[len(self._inside) :] or "."
        return posixpath.relpath(path, self.root) if path.startswith("/") else path

    # --- what is recorded, without a look --------------------------------------------------------

    def file(self, *paths: str) -> None:
        """What lies there, through symlinks, or that nothing does; of a folder, that it does."""
        self._files.update(paths)

    def link(self, path: str) -> None:
        """A symlink on the way: where it leads."""
        self._links.add(path)

    def listing(self, folder: str, counted: Names) -> None:
        """Those names in the folder that count, and that it is there."""
        known = self._listings.get(folder)
        self._listings[folder] = counted if known is None else more(known, counted)

    def names(self, folder: str, names: Iterable[str]) -> None:
        """Whether the folder has these names, with whatever ending."""
        known = self._names.get(folder)
        if known is None:
            self._names[folder] = set(names)
        else:
            known.update(names)

    def add(self, inputs: InputSet) -> None:
        """What a value depends on that was made before, or by another program."""
        self._added.append(inputs)

    # --- looks, each recorded --------------------------------------------------------------------

    def kind(self, path: str) -> PathKind | None:
        """What is there, through symlinks; None: nothing, or nothing that can be read."""
        self._files.add(path)
        if self._kinds is None:
            return _kind(self.absolute(path))
        if path not in self._kinds:
            self._kinds[path] = _kind(self.absolute(path))
        return self._kinds[path]

    def exists(self, path: str) -> bool:
        """Whether anything is there, through symlinks."""
        self._files.add(path)
        return os.path.exists(self.absolute(path))

    def is_file(self, path: str) -> bool:
        return self.kind(path) == "file"

    def is_folder(self, path: str) -> bool:
        return self.kind(path) == "folder"

    def first_file(self, paths: Iterable[str]) -> str | None:
        """The first of them that is a file; what comes after it is not looked at."""
        return next((path for path in paths if self.kind(path) == "file"), None)

    def has(self, folder: str, name: str) -> bool:
        """Whether the folder has that name, wherever it leads. Names that go on with a dot, and
        those that differ in case alone, count as well."""
        self.names(folder, (name,))
        return os.path.lexists(f"{self.absolute(folder)}/{name}")

    def is_link(self, path: str) -> bool:
        """Whether a symlink lies there, which is then an input; what else lies there is known by
        what is looked at in it."""
        found = os.path.islink(self.absolute(path))
        if found:
            self._links.add(path)
        return found

    def status(self, path: str) -> os.stat_result:
        """Of what is there, through symlinks. Raises OSError."""
        self._files.add(path)
        return os.stat(self.absolute(path))

    def real(self, path: str) -> str:
        """The absolute path that it leads to, as os.path.realpath returns it, there or not."""
        absolute = self.absolute(path)
        at = self.root if f"{absolute}/".startswith(self._inside) else "/"
        left = absolute[len(at) :].split("/")[::-1]
        followed = 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                at = posixpath.dirname(at)
                continue
            here = posixpath.join(at, name)
            try:
                target = os.readlink(here)
            except (OSError, ValueError) as fault:
                if getattr(fault, "errno", None) != errno.EINVAL:  # else it is there, and no link
                    self._files.add(path)
                at = here
                continue
            self._links.add(here)
            followed += 1
            if followed > _MOST_LINKS:  # a loop of links
                self._files.add(path)
                return os.path.realpath(absolute)
            at = "/" if target.startswith("/") else at
            left += target.split("/")[::-1]
        return at

    def leads_inside(self, path: str, allow: Iterable[str] = ()) -> bool:
        """Whether it lies, symlinks resolved, in the repository or in a folder of `allow`."""
        return is_inside(self.real(path), self.homes(allow))

    def homes(self, allow: Iterable[str]) -> tuple[str, ...]:
        """The real folders that paths of the project may lead into."""
        return (os.path.realpath(self.repository), *map(self.real, allow))

    def content(self, path: str, most: int = SETTINGS) -> bytes:
        """A regular file's bytes. Raises OSError: absent, unreadable, too large, no such file."""
        self._files.add(path)
        return read_regular(self.absolute(path), most)

    def read(self, path: RelPath, most: int = SETTINGS) -> bytes | None:
        """A configuration file's bytes; None: there is none.

        Raises ProjectError: `unreadable-config`, or `broken-config` if it is larger than `most`.
        """
        try:
            return self.content(path, most)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as fault:
            where = self.relative(path)
            if fault.errno == errno.EFBIG:
                raise broken(
                    f"larger than {most >> 20} MiB, so not taken for configuration", where
                ) from fault
            message = f"can't be read: {reason(fault)}"
            raise ProjectError(error("unreadable-config", message, Location(where))) from fault

    # --- recorders beside it ---------------------------------------------------------------------

    @contextlib.contextmanager
    def apart(self) -> Iterator[Seen]:
        """A recorder of its own, for a value that is kept with what it was made of.

        However it ends, what that one has recorded is then recorded here, too.
        """
        inner = Seen(self.root, self.repository, once=self._kinds is not None)
        try:
            yield inner
        finally:
            self.add(inner.inputs())

    # --- the end ---------------------------------------------------------------------------------

    def inputs(self) -> InputSet:
        """All that was looked at so far."""
        relative = self.relative
        files = {relative(path) for path in self._files}
        links = {relative(path) for path in self._links}
        listings = {relative(path): names for path, names in self._listings.items()}
        several: list[tuple[RelPath, Names]] = [
            (relative(path), Stems.of(names)) for path, names in self._names.items()
        ]
        for inputs in self._added:
            files |= inputs.files
            links |= inputs.links
            several += inputs.listings.items()
        files.discard(".")  # the project's folder is there, or there would be no question
        for path, names in several:
            listings[path] = more(listings[path], names) if path in listings else names
        return InputSet(
            files=frozenset(files), links=frozenset(links), listings=MappingProxyType(listings)
        )


def is_inside(real: str, homes: Iterable[str]) -> bool:
    """Whether it is one of these folders, or lies in one."""
    return any(real == home or real.startswith(f"{home.rstrip('/')}/") for home in homes)


def _kind(path: str) -> PathKind | None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else None
