"""The watcher: from a save until its path is reported, against a bare inotify read."""

from __future__ import annotations

import ctypes
import os
import statistics
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.measure import Claim
from lambdad.daemon.watching.watcher import GAP_S, Changes, Watcher

SAVES = 100
TURNS = 3
APART_S = 4 * GAP_S
"""Between two saves: in a burst the watcher waits, so that it reports many together."""
BOUND_S = 10.0
"""An event that has not come within that never comes."""

IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_IGNORED = 0x8000
HEADER = struct.Struct("iIII")

Save = Callable[[str, int], None]
Hear = Callable[[str], None]
"""Called with the path of an event, as soon as a listener knows it."""
Listening = Callable[[Path, Hear], AbstractContextManager[None]]


def claims(folder: Path) -> list[Claim]:
    if sys.platform != "linux":
        return []
    return [
        _claim(folder / "plain", "a save, until the watcher reports it", _plainly, 1),
        _claim(folder / "renamed", "a save by rename, likewise", _by_rename, 1),
        # The move is reported at once, so the save is the second change of a burst.
        _claim(folder / "away", "a save after a file was moved out of sight", _after_a_move, 4),
    ]


def _claim(folder: Path, what: str, save: Save, most_ms: int) -> Claim:
    top = folder / "project"
    top.mkdir(parents=True)
    ours_s: list[float] = []
    theirs_s: list[float] = []
    for _ in range(TURNS):  # one of each in turn: drift hits both alike
        ours_s += _delays(top, save, _watched)
        theirs_s += _delays(top, save, _bare)
    ours, theirs = statistics.median(ours_s), statistics.median(theirs_s)
    return Claim(
        what=what,
        ours=ours * 1e6,
        yardstick="a thread that reads inotify and nothing else",
        theirs=theirs * 1e6,
        limit=theirs * 1e6 + most_ms * 1e3,
        promise=f"at most {most_ms} ms more than that",
        unit="µs",
    )


def _delays(top: Path, save: Save, listening: Listening) -> list[float]:
    """Seconds from the beginning of each save until the listener names its path."""
    path = str(top / "a.ts")
    arrived: list[float] = []
    heard = threading.Event()

    def hear(named: str) -> None:
        if named == path:
            arrived.append(time.perf_counter())
            heard.set()

    delays = []
    with listening(top, hear):
        for turn in range(SAVES):
            heard.clear()
            arrived.clear()
            time.sleep(APART_S)
            began_s = time.perf_counter()
            save(path, turn)
            if not heard.wait(BOUND_S):
                raise SystemExit(f"no event of {path} within {BOUND_S:.0f} s")
            delays.append(arrived[0] - began_s)
    return delays


# --- saves -------------------------------------------------------------------------------------


def _plainly(path: str, turn: int) -> None:
    with open(path, "w") as file:
        file.write(str(turn))


def _by_rename(path: str, turn: int) -> None:
    _plainly(f"{path}.tmp", turn)
    os.replace(f"{path}.tmp", path)


def _after_a_move(path: str, turn: int) -> None:
    """The kernel reports half of a move: a listener that waits for the other half is late."""
    stray = os.path.join(os.path.dirname(path), f"stray{turn}")
    _plainly(stray, turn)
    os.rename(stray, os.path.join(os.path.dirname(path), os.pardir, "away"))
    _plainly(path, turn)


# --- listeners ---------------------------------------------------------------------------------


@contextmanager
def _watched(top: Path, hear: Hear) -> Iterator[None]:
    def notify(changes: Changes) -> None:
        for path in changes.paths:
            hear(path)

    watcher = Watcher([str(top)], notify)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


@contextmanager
def _bare(top: Path, hear: Hear) -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    watch = libc.inotify_add_watch(
        descriptor, os.fsencode(top), ctypes.c_uint32(IN_CLOSE_WRITE | IN_MOVED_TO)
    )
    if descriptor < 0 or watch < 0:
        raise OSError(ctypes.get_errno(), "inotify")

    def read() -> None:
        while True:
            events, at = os.read(descriptor, 65536), 0
            while at < len(events):
                _watch, mask, _cookie, size = HEADER.unpack_from(events, at)
                at += HEADER.size + size
                if mask & IN_IGNORED:
                    return
                hear(os.path.join(top, os.fsdecode(events[at - size : at].rstrip(b"\0"))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        libc.inotify_rm_watch(descriptor, watch)
        reader.join()
        os.close(descriptor)
