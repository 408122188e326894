"""A value made from a project's configuration, made again when a file of that has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from lambdad.bundler.inputs import kept, snapshot
from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.model import InputSet, Snapshot
from lambdad.bundler.store.project_folder import ProjectFolder

T = TypeVar("T")


class Reread(Generic[T]):
    """One value of one project, for as long as a process lives. Threads may use it."""

    def __init__(self, root: str, read: Callable[[], T], inputs: Callable[[T], InputSet]) -> None:
        """`inputs` returns what a value was made of."""
        self._root = root
        self._read = read
        self._inputs = inputs
        self._lock = threading.Lock()
        self._kept: Kept[T] | None = None

    def now(self) -> T:
        """As it is: every file of it was looked at after this call began. Raises as `read` does,
        and BundlerError `not-ours`."""
        with self._lock:
            if self._kept is None or not self._kept.holds(self._root):
                clock = _clock(self._root)
                value = self._read()
                self._kept = kept.observed(self._root, value, self._inputs(value), clock)
            return self._kept.value

    def last(self) -> T:
        """As it was last read. Raises as `now` does, if it never was."""
        found = self._kept
        return self.now() if found is None else found.value

    def proofs(self) -> list[Snapshot]:
        """What the last value was made of, as it was then; empty if there is none."""
        found = self._kept
        return [] if found is None else [found.proof]


def _clock(root: str) -> snapshot.Clock:
    try:
        return ProjectFolder(root).read_clock()
    except OSError:
        return snapshot.any_clock()
