"""Changes below some folders, as the operating system reports them: a hint, never the truth.

Nothing depends on a change being reported: every request looks at its inputs with stat. What this
buys is time: a build begins at the save. So the one rule here is to never swallow a loss. Whatever
may have hidden a change is reported as `everything`, with the reason.

What each system offers lies behind `ChangeSource`: inotify.py and fsevents.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.daemon.watching.mounts import LOCAL, mount_kind
from lambdad.daemon.watching.source import SHOWN, STOP_S, ChangeSource, Hearing

log = logging.getLogger(__name__)

GAP_S: Final = 0.003
"""Between two reports in a burst. The first one comes at once."""
HOLD_S: Final = 0.003
"""So long a file that is being written waits for its writer to close it, so that the build which
its save starts does not read half of it."""
MOST_PATHS: Final = 20_000
"""More changes than this, unreported, are reported as `everything`."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What moved since the last report."""

    paths: frozenset[str] = frozenset()
    """Absolute, under each name known for it: the real one, and those through symlinks.
    A folder means all below it: of one that went, the folders known below are named too; of
    one that came, the files."""
    everything: bool = False
    """Changes may have gone unheard: any input is suspect."""
    reason: str = ""
    """Why everything is; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether hints can be expected. With less than all watched, builds are right but not early."""

    watching: int
    """Folders watched."""
    expected: int
    """Folders that should be."""
    last_overflow: float | None
    """When the system last dropped events: seconds since 1970."""
    missing: tuple[str, ...]
    """Some of the folders that are not watched, each with the reason after ": "."""
    mount: str
    """Of the roots: "local", or the kind that reports least (daemon/watching/mounts.py)."""
    events: int
    """Heard so far."""
    alive: bool
    """Something is listening."""


def _inotify(hearing: Hearing) -> ChangeSource:
    from lambdad.daemon.watching.inotify import Inotify

    return Inotify(hearing)


def _fsevents(hearing: Hearing) -> ChangeSource:
    from lambdad.daemon.watching.fsevents import FSEvents

    return FSEvents(hearing)


SOURCES: Final[Mapping[str, Callable[[Hearing], ChangeSource]]] = {
    "linux": _inotify,
    "darwin": _fsevents,
}
"""By sys.platform. The imports are late: each loads only where it can."""


class Watcher:
    """Calls `notify` with changes below the roots, from a thread of its own, until `stop`.

    No call here raises for what the system refuses: `health` says what is not watched, and why.
    `start`, `set_roots` and `mend` walk folders (20 ms per 1,000), so an event loop calls them in
    a worker thread; `health` answers at once.
    """

    def __init__(self, roots: Sequence[str], notify: Callable[[Changes], None]) -> None:
        self._roots = _normal(roots)
        self._notify = notify
        self._lock = threading.Lock()  # held by start, stop, set_roots and mend
        self._teller: Teller | None = None
        self._source: ChangeSource | None = None
        self._fault = "not started"
        self._mount = LOCAL

    def start(self) -> None:
        """Changes that begin after this returned are reported. Does nothing if it is started."""
        with self._lock:
            if self._teller is None:
                self._teller = Teller(self._notify)
                self._teller.start()
                self._listen(self._teller)

    def stop(self) -> None:
        """No thread or descriptor is left, and `notify` is called no more."""
        with self._lock:
            teller, self._teller = self._teller, None
            source, self._source = self._source, None
            self._fault = "stopped"
        # Not under the lock: notify may be waiting for it, in a call to set_roots.
        if source is not None:
            source.stop()
        if teller is not None:
            teller.stop()

    def set_roots(self, roots: Sequence[str]) -> None:
        """The folders to watch from now on; those that stay are watched without a gap."""
        with self._lock:
            self._roots = _normal(roots)
            self._mount = _worst_mount(self._roots)
            if self._source is not None:
                self._source.set_roots(self._roots)

    def mend(self) -> None:
        """Tries again what could not be watched. Costs a stat per root when all is well.

        To be called now and then: the system does not say when a limit is raised, or when a file
        system is mounted over a root.
        """
        with self._lock:
            if self._source is not None:
                self._source.mend()
            elif self._teller is not None and self._listen(self._teller):
                self._teller.lost("the watcher was started at last")

    def health(self) -> Health:
        teller, source = self._teller, self._source
        if source is not None:
            watching, expected, missing = source.counts()
        else:
            watching, expected = 0, len(self._roots)
            missing = tuple(f"{root}: {self._fault}" for root in self._roots[:SHOWN])
        return Health(
            watching=watching,
            expected=expected,
            last_overflow=teller.last_overflow if teller else None,
            missing=missing,
            mount=self._mount,
            events=teller.events if teller else 0,
            alive=source is not None and source.is_alive(),
        )

    def _listen(self, teller: Teller) -> bool:
        fault = ""
        source: ChangeSource | None = None
        self._mount = _worst_mount(self._roots)
        try:
            source = SOURCES[sys.platform](teller)
            source.start(self._roots)
        except KeyError:
            fault = f"no watcher for {sys.platform}"
        except (OSError, ImportError, RuntimeError) as refused:  # RuntimeError: no thread
            fault = getattr(refused, "strerror", None) or str(refused)
        if not fault:
            self._source = source
            return True
        if source is not None:
            source.stop()
        if fault != self._fault:  # reported once, not at each try
            self._fault = fault
            teller.lost(f"nothing is watched: {fault}")
        return False


class Teller(threading.Thread):
    """Gathers what is heard and reports it, so that a source never waits for the listener.

    One lock guards all of it; it is never held while `notify` runs.
    """

    def __init__(self, notify: Callable[[Changes], None]) -> None:
        super().__init__(name="watch-tell", daemon=True)
        self.events = 0
        self.last_overflow: float | None = None
        self._notify = notify
        self._news = threading.Condition()
        self._paths: set[str] = set()
        self._half_written: set[str] = set()
        self._reasons: dict[str, None] = {}
        self._owed = ""
        self._first_s = 0.0
        self._told_s = 0.0
        self._leaving = False

    def changed(self, path: str, *, half_written: bool = False) -> None:
        with self._news:
            self.events += 1
            if not self._paths and not self._reasons:
                self._first_s = time.monotonic()
            waits = bool(self._half_written)
            wakes = not self._paths
            self._paths.add(path)
            if half_written:
                self._half_written.add(path)
            else:
                self._half_written.discard(path)
            if len(self._paths) > MOST_PATHS:
                self._give_up("too many changes to name")
            if wakes or (waits and not self._half_written):  # not once for each file of a burst
                self._news.notify()

    def lost(self, reason: str, *, overflow: bool = False) -> None:
        with self._news:
            if overflow:
                self.last_overflow = time.time()
            self._give_up(reason)
            self._news.notify()

    def stop(self) -> None:
        with self._news:
            self._leaving = True
            self._news.notify()
        if self is not threading.current_thread():
            self.join(STOP_S)

    def run(self) -> None:
        while (changes := self._next()) is not None:
            try:
                self._notify(changes)
            except Exception:
                # Owed until the next change: to try again at once could go on for ever.
                log.exception("reporting changes failed")
                self._owed = "the changes before could not be reported"

    def _next(self) -> Changes | None:
        """Waits until something is due; None once it is time to leave."""
        with self._news:
            while not self._leaving:
                wait_s = self._wait_s()
                if wait_s is not None and wait_s <= 0:
                    return self._take()
                self._news.wait(wait_s)
            return None

    def _wait_s(self) -> float | None:
        if self._reasons:
            return 0.0
        if not self._paths:
            return None
        due_s = self._told_s + GAP_S
        if self._half_written:
            due_s = max(due_s, self._first_s + HOLD_S)
        return due_s - time.monotonic()

    def _take(self) -> Changes:
        if self._owed:
            self._reasons[self._owed] = None
        changes = Changes(frozenset(self._paths), bool(self._reasons), "; ".join(self._reasons))
        self._paths.clear()
        self._half_written.clear()
        self._reasons.clear()
        self._owed = ""
        self._told_s = time.monotonic()
        return changes

    def _give_up(self, reason: str) -> None:
        self._paths.clear()
        self._half_written.clear()
        if len(self._reasons) < SHOWN:
            self._reasons[reason] = None


def _normal(roots: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(os.path.abspath(root) for root in roots))


def _worst_mount(roots: Sequence[str]) -> str:
    for root in roots:
        with contextlib.suppress(OSError):
            if (kind := mount_kind(root)) != LOCAL:
                return kind
    return LOCAL
