"""The project's .lambdad folder, and how files in it are reached.

It lies in a folder that others wrote: a clone can bring a .lambdad of its own. So every part of a
path in it is opened from the folder above it (anchored.py), and refused if it is not ours.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Final

from lambdad.bundler.inputs.reading import LOCK
from lambdad.bundler.inputs.snapshot import Clock, key_of
from lambdad.bundler.model import FileKey, RelPath
from lambdad.bundler.store import identity
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.store.ownership import this_user

FOLDER: Final = identity.FOLDER

FOLDERS: Final = (
    *("build", "artifacts", "live"),
    *("state", "state/live", "state/makeup", "state/makeup/before"),
    *("state/lint", "state/build"),
)
_READABLE: Final = 0o755
"""A deploy may run as another user than the build."""
_PRIVATE: Final = 0o700


class ProjectFolder:
    """One project's .lambdad, as one request or one command uses it.

    A folder is opened when it is first needed, and held from then on: what is put in its place
    later is seen by the next ProjectFolder. So whatever lives long makes one for each request. Any
    thread may call any method. Every method may raise OSError, and BundlerError `not-ours`.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._held: dict[str, Folder] = {}

    def is_there(self) -> bool:
        """Whether anything has the folder's name."""
        return os.path.lexists(f"{self.root}/{FOLDER}")

    def prepare(self) -> None:
        """The folders exist, git ignores them, and the project has an identity. Nothing else makes
        it, and nothing makes the project's own: one that was moved or deleted must not come back
        empty."""
        top = self._hold("", Folder.make_beneath(self.root, FOLDER, this_user(), _READABLE))
        identity.ensure(self.root)
        for name in FOLDERS:
            if not os.path.isdir(f"{self.root}/{FOLDER}/{name}"):
                self.make(name)
        if not top.holds(".gitignore"):
            top.write(".gitignore", b"# lambdad's own folder: made anew by any build\n*\n")

    def folder(self, name: str = "") -> Folder:
        """The folder of that path below .lambdad. Raises FileNotFoundError."""
        held = self._held.get(name)
        if held is None:
            above, _, part = name.rpartition("/")
            if part:
                found = self.folder(above).folder(part)
            else:
                found = Folder.beneath(self.root, FOLDER, this_user())
            held = self._hold(name, found)
        return held

    def make(self, name: str) -> Folder:
        """As `folder`; one that is missing is made, as far as .lambdad is there."""
        held = self._held.get(name)
        if held is None:
            above, _, part = name.rpartition("/")
            mode = _PRIVATE if name.startswith("state") else _READABLE
            home = self.make(above) if above else self.folder()
            held = self._hold(name, home.make(part, mode))
        return held

    def _hold(self, name: str, found: Folder) -> Folder:
        """Those that every function has of its own are too many to be held."""
        return self._held.setdefault(name, found) if not name or name in FOLDERS else found

    # --- files -----------------------------------------------------------------------------------

    def read_clock(self) -> Clock:
        """A write to the project's file system that follows this call has a ctime of at least
        `now_ns`. Raises FileNotFoundError if there is no .lambdad."""
        status = self.folder().touch_file("clock")
        return Clock(status.st_dev, status.st_ctime_ns)

    def at(self, path: RelPath) -> OurFile:
        """The file at that path from the project on. Raises ValueError if the path leads elsewhere
        than below .lambdad."""
        top, _, rest = path.partition("/")
        folder, _, name = rest.rpartition("/")
        if top != FOLDER or not folder:
            raise ValueError(f"{path} does not lie in {FOLDER}")
        return OurFile(self, folder, name)

    def statuses(self, paths: Iterable[RelPath]) -> Iterator[tuple[RelPath, os.stat_result | None]]:
        """Of each path what lies there, None for nothing: a file of ours, or, outside of .lambdad,
        whatever the path leads to."""
        opened: tuple[str, Folder] | None = None
        for path in paths:
            try:
                if path.startswith(f"{FOLDER}/"):
                    ours = self.at(path)
                    if opened is None or opened[0] != ours.folder:
                        opened = ours.folder, self.folder(ours.folder)
                    yield path, opened[1].status(ours.name)
                else:
                    yield path, os.stat(os.path.join(self.root, path))
            except (OSError, ValueError):
                yield path, None


@dataclass(frozen=True, slots=True)
class OurFile:
    """A file below .lambdad, which may be missing. Every method may raise OSError, and BundlerError
    `not-ours`."""

    project: ProjectFolder
    folder: str
    """Below .lambdad."""
    name: str

    @property
    def path(self) -> str:
        """Absolute; a name for it, and nothing to open."""
        return f"{self.project.root}/{FOLDER}/{self.folder}/{self.name}"

    def read(self) -> bytes:
        return self.project.folder(self.folder).read(self.name, LOCK)

    def open(self) -> BufferedReader:
        return self.project.folder(self.folder).open(self.name)

    def status(self) -> os.stat_result:
        return self.project.folder(self.folder).status(self.name)

    def is_there(self) -> bool:
        try:
            self.status()
        except FileNotFoundError:
            return False
        return True

    def key(self) -> FileKey | None:
        """As snapshot.stat_key; None if the file is missing."""
        try:
            return key_of(self.status())
        except FileNotFoundError:
            return None

    def hold_folder(self) -> None:
        """A later write goes into the folder that is there now, or fails once that was removed.
        Raises FileNotFoundError if it is missing."""
        self.project.folder(self.folder)

    def write(self, content: bytes, *, missable: bool = False) -> os.stat_result:
        """As Folder.write; its folder is made if it is missing."""
        return self.project.make(self.folder).write(self.name, content, missable=missable)

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.project.folder(self.folder).remove(self.name)
