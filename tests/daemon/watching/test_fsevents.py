from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambdad.daemon.watching import watcher as watching_module
from lambdad.daemon.watching.watcher import Watcher
from tests.support.watching import BOUND_S, Told, full

# --- macOS, against a stand-in for the binding ---------------------------------------------------


class FakeStream:
    """What watchdog's binding offers: runs until it is stopped; the test calls back."""

    made: list[FakeStream]

    def __init__(self, paths: list[str], latency: float) -> None:
        self.paths = paths
        self.callback: Callable[..., None]
        self.ended = threading.Event()
        FakeStream.made.append(self)

    def run(self, callback: Callable[..., None], started: Callable[[], None]) -> None:
        self.callback = callback
        started()
        self.ended.wait(BOUND_S)

    def stop(self) -> None:
        self.ended.set()

    def send(self, path: str | Path, flags: int = 0) -> None:
        self.callback([str(path)], [1], [flags], [1])


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeStream]]:
    """A watcher started now believes it is on macOS."""
    FakeStream.made = []
    binding = types.ModuleType("_watchdog_fsevents")
    binding.__dict__.update(Stream=FakeStream, NativeEvent=object)
    monkeypatch.setitem(sys.modules, "_watchdog_fsevents", binding)
    monkeypatch.setattr(
        watching_module, "SOURCES", {sys.platform: watching_module.SOURCES["darwin"]}
    )
    yield FakeStream.made
    sys.modules.pop("watchdog.observers.fsevents", None)
    sys.modules.pop("lambdad.daemon.watching.fsevents", None)


def test_fsevents_are_told_as_ours(top: Path, told: Told, mac: list[FakeStream]) -> None:
    """Paths below node_modules and our own output are left out; a dropped event is everything."""
    link = top.parent / "link"
    link.symlink_to(top)
    watcher = Watcher([str(link)], told)
    watcher.start()
    try:
        assert watcher.health().alive
        assert watcher.health().watching == watcher.health().expected == 1
        stream = mac[0]
        assert stream.paths == [str(top)]
        stream.send(top / "node_modules/a/b.js")
        stream.send(top / ".lambdad")
        stream.send(top / "src/a.ts")
        told.wait_for(top / "src/a.ts", link / "src/a.ts")
        stream.send(top / "node_modules")
        told.wait_for(top / "node_modules")
        assert not any("/a/b.js" in path or ".lambdad" in path for path in told.paths)
        stream.send(top, 0x1 | 0x2)
        told.wait_for_loss("dropped")
        assert watcher.health().last_overflow is not None
        stream.send(top, 0x20)
        told.wait_for_loss("moved")
    finally:
        watcher.stop()
    assert mac[0].ended.is_set()


def test_fsevents_streams_follow_their_roots(top: Path, told: Told, mac: list[FakeStream]) -> None:
    """One for each root; one whose folder was replaced, or whose thread ended, is begun anew."""
    other = top.parent / "other"
    other.mkdir()
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        watcher.set_roots([str(other)])
        assert [stream.ended.is_set() for stream in mac] == [True, False]
        other.rename(top.parent / "gone")
        other.mkdir()
        watcher.mend()
        told.wait_for_loss("replaced")
        assert [stream.ended.is_set() for stream in mac] == [True, True, False]
        mac[2].ended.set()
        told.wait(lambda: not watcher.health().alive, "the thread's end")
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()
    assert threading.active_count() <= 2
