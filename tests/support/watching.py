"""What tests of the watcher share: a listener that can be waited for, bounded."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambdad.daemon.watching.watcher import Changes, Health, Watcher

linux = pytest.mark.skipif(sys.platform != "linux", reason="real inotify")

BOUND_S = 10.0
"""Nothing here takes a thousandth of it; a test that waits so long has failed."""


class Told:
    """Keeps what a watcher tells; waiting is for an event, bounded."""

    def __init__(self) -> None:
        self.all: list[Changes] = []
        self.paths: set[str] = set()
        self.reasons: list[str] = []
        self._news = threading.Condition()

    def __call__(self, changes: Changes) -> None:
        with self._news:
            self.all.append(changes)
            self.paths |= changes.paths
            if changes.everything:
                self.reasons.append(changes.reason)
            self._news.notify_all()

    def wait(self, enough: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + BOUND_S
        with self._news:
            # In slices: what is waited for may be the watcher's health, which tells nobody.
            while not enough():
                if time.monotonic() > end_s:
                    shown = sorted(self.paths)[:50]
                    pytest.fail(f"never told: {what}\ntold {self.reasons}: {shown}")
                self._news.wait(0.005)

    def wait_for(self, *paths: str | Path) -> None:
        wanted = {str(path) for path in paths}
        self.wait(lambda: wanted <= self.paths, f"{sorted(wanted)[:20]}")

    def wait_for_loss(self, word: str) -> None:
        self.wait(lambda: any(word in reason for reason in self.reasons), f"everything: {word}")

    def forget(self) -> None:
        with self._news:
            self.all.clear()
            self.paths.clear()
            self.reasons.clear()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A project's folder, symlinks resolved, with a src folder in it."""
    path = tmp_path.resolve() / "project"
    (path / "src").mkdir(parents=True)
    return path


@pytest.fixture
def watching(top: Path, told: Told) -> Iterator[Watcher]:
    watcher = Watcher([str(top)], told)
    watcher.start()
    yield watcher
    watcher.stop()


def settle(told: Told, folder: Path) -> None:
    """Returns once everything that was done before is told; then forgets it.

    The kernel's queue is in order, so a marker made now comes after all else.
    """
    marker = folder / f"marker-{time.monotonic_ns()}"
    marker.touch()
    marker.unlink()
    told.wait_for(marker)
    told.forget()


def full(health: Health) -> bool:
    return health.alive and health.watching == health.expected and not health.missing
