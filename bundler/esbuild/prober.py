"""Walks paths and notes, folder by folder, the names that decided where they lead."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from lambdad.bundler.esbuild import pnp
from lambdad.bundler.inputs.reading import LOCK, read_regular
from lambdad.bundler.inputs.seen import Seen

_MAX_LINKS: Final = 40

T = TypeVar("T")


class Disk:
    """What lies where, asked once per path. Shared by the closures of one moment."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._json: dict[str, Mapping[str, Any]] = {}
        self._read: dict[tuple[object, str], Any] = {}

    def kind(self, path: str) -> str:
        """ "f", "d", "l" or "?"; "" where there is nothing or nothing can be seen."""
        known = self._kinds.get(path)
        if known is None:
            try:
                mode = os.lstat(path).st_mode
            except (OSError, ValueError):
                known = ""
            else:
                if stat.S_ISREG(mode):
                    known = "f"
                elif stat.S_ISDIR(mode):
                    known = "d"
                else:
                    known = "l" if stat.S_ISLNK(mode) else "?"
            self._kinds[path] = known
        return known

    def manifest(self, path: str) -> Mapping[str, Any]:
        """The package.json at a path; empty if there is none to be read."""
        known = self._json.get(path)
        if known is None:
            try:
                found = json.loads(read_regular(path, LOCK))
            except (OSError, ValueError, RecursionError):
                found = None
            known = self._json[path] = found if isinstance(found, dict) else {}
        return known

    def locations(self, path: str) -> pnp.Locations:
        """Where packages lie by the Plug'n'Play data at a path."""
        return self.once(pnp.read, path)

    def once(self, read: Callable[[str], T], path: str) -> T:
        """What `read` makes of the file at a path."""
        key = (read, path)
        if key not in self._read:
            self._read[key] = read(path)
        made: T = self._read[key]
        return made


class Prober:
    """Walks paths and records what decided where they lead. All paths are absolute."""

    def __init__(self, disk: Disk, seen: Seen) -> None:
        self.disk = disk
        self.seen = seen
        repository = seen.repository
        self._inside = repository.rstrip("/") + "/"
        self._repository = repository
        self._real: dict[str, str | None] = {"/": "/"}
        folder = repository
        while folder != "/":  # the project's root is given with its symlinks resolved
            self._real[folder] = folder
            folder = os.path.dirname(folder)

    def inside(self, folder: str) -> bool:
        return folder.startswith(self._inside) or folder == self._repository

    def played(self, folder: str, name: str) -> tuple[str, ...]:
        """Where Plug'n'Play has a package for code in that folder, archives left out; recorded are
        the data that tell, and the archives."""
        while True:
            for file in pnp.FILES:
                path = os.path.join(folder, file)
                if self.disk.kind(path):
                    self.seen.file(path)
                    places = self.disk.locations(path).get(name, ())
                    archives = {place: pnp.archive(f"{place}/") for place in places}
                    self.seen.file(*filter(None, archives.values()))
                    return tuple(place for place, one in archives.items() if one is None)
            above = os.path.dirname(folder)
            if above == folder:
                return ()
            folder = above

    def stem(self, folder: str, name: str) -> None:
        """From now on that name counts in that (real, existing) folder."""
        self.seen.names(folder, (name,))

    def real(self, path: str) -> str | None:
        """Where a path leads, symlinks resolved; None at the first component that is not there.

        Recorded: of each folder on the way the name looked for in it, and each symlink.
        """
        if path in self._real:
            return self._real[path]
        return self._follow(path, 0)

    def _follow(self, path: str, hops: int) -> str | None:
        if path in self._real:
            return self._real[path]
        above, name = os.path.split(path)
        if above == path:
            return "/"  # "//" too, which has no parent either
        base = self._follow(above, hops)
        found: str | None = None
        if base is not None and hops <= _MAX_LINKS:
            found = self._step(base, name, hops)
        self._real[path] = found
        return found

    def _step(self, base: str, name: str, hops: int) -> str | None:
        if name in ("", "."):
            return base
        if name == "..":
            return os.path.dirname(base)
        here = f"{base}/{name}" if base != "/" else f"/{name}"
        kind = self.disk.kind(here)
        if self.inside(base):
            self.stem(base, name)
        elif not kind:
            self.seen.file(here)
        if kind != "l":
            return here if kind else None
        self.seen.link(here)
        try:
            target = os.readlink(here)
        except OSError:
            return None
        at: str | None = "/" if target.startswith("/") else base
        for part in target.split("/"):
            if at is None:
                return None
            # By component: what ".." means depends on where the folder before it leads.
            at = self._step(at, part, hops + 1) if hops < _MAX_LINKS else None
        return at
