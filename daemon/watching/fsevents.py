"""macOS: one FSEvents stream per root, through watchdog's binding.

Not run by our tests but against a stand-in for the binding: no Mac was available. It is therefore
kept thin. The paths are taken as the system gives them; watchdog's own sorting of them into
creations and moves, which costs a stat each, is left out: here a changed path is all that counts.
FSEvents enters every folder, so what is not to be watched is left out as it is heard. It has no
limit of watches; what it drops, it says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from watchdog.observers.api import EventQueue, ObservedWatch
from watchdog.observers.fsevents import FSEventsEmitter

from lambdad.bundler.store.project_folder import FOLDER
from lambdad.daemon.watching.aliases import resolved
from lambdad.daemon.watching.source import SHOWN, STOP_S, UNWATCHED, Hearing

LATENCY_S: Final = 0.001
DROPPED: Final = 0x01 | 0x02 | 0x04  # must scan subfolders, user dropped, kernel dropped
MOVED: Final = 0x20 | 0x40 | 0x80  # root changed, mounted, unmounted


class _Stream(FSEventsEmitter):
    """A root's stream, in a thread of its own."""

    def __init__(self, given: str, real: str, hearing: Hearing) -> None:
        super().__init__(EventQueue(), ObservedWatch(real, recursive=True), latency=LATENCY_S)
        self.name = "watch-read"
        self.given = given
        self.real = real
        self.key = _key(real)
        self._hearing = hearing

    def events_callback(
        self, paths: list[bytes], inodes: list[int], flags: list[int], ids: list[int]
    ) -> None:
        for name, flag in zip(paths, flags, strict=False):
            path = os.fsdecode(name).rstrip("/")
            if flag & (DROPPED | MOVED):
                overflow = bool(flag & DROPPED)
                what = "the system dropped events" if overflow else f"{path} was moved"
                self._hearing.lost(what, overflow=overflow)
            else:
                self._heard(path)

    def _heard(self, path: str) -> None:
        below = path[len(self.real) :]
        *folders, name = below.split("/")
        if name != FOLDER and UNWATCHED.isdisjoint(folders):
            self._hearing.changed(path)
            if self.given != self.real:
                self._hearing.changed(self.given + below)


class FSEvents:
    """The Source of macOS; its callers take turns (daemon/watching/watcher.py: Watcher)."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._roots: tuple[str, ...] = ()
        self._streams: dict[str, _Stream] = {}

    def start(self, roots: Sequence[str]) -> None:
        self.set_roots(roots)

    def stop(self) -> None:
        for root in list(self._streams):
            self._end(root)

    def set_roots(self, roots: Sequence[str]) -> None:
        self._roots = tuple(roots)
        for root in self._streams.keys() - set(roots):
            self._end(root)
        for root in roots:
            if root not in self._streams:
                self._begin(root)

    def mend(self) -> None:
        for root in self._roots:
            stream = self._streams.get(root)
            real = resolved(root)
            if stream is None:
                if os.path.isdir(real) and self._begin(root):
                    self._hearing.lost(f"{root} appeared")
            elif not stream.is_alive() or (stream.real, stream.key) != (real, _key(real)):
                self._end(root)
                self._begin(root)
                self._hearing.lost(f"{root} was replaced")

    def counts(self) -> tuple[int, int, tuple[str, ...]]:
        streams = self._streams.copy()
        missing = [r for r in self._roots if r not in streams or not streams[r].is_alive()]
        watching = len(self._roots) - len(missing)
        return watching, len(self._roots), tuple(f"{r}: not watched" for r in missing[:SHOWN])

    def is_alive(self) -> bool:
        streams = list(self._streams.values())
        return not streams or any(stream.is_alive() for stream in streams)

    def _begin(self, root: str) -> bool:
        real = resolved(root)
        stream = _Stream(root, real, self._hearing)
        try:
            stream.start()
        except Exception as fault:  # the binding raises what it likes
            self._hearing.lost(f"{root} can't be watched: {fault}")
            return False
        self._streams[root] = stream
        return True

    def _end(self, root: str) -> None:
        stream = self._streams.pop(root)
        stream.stop()
        stream.join(STOP_S)


def _key(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
