"""How one operating system reports changes: the interface, and what all of them share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

from lambdad.bundler.inputs import counted
from lambdad.daemon.watching.aliases import above

UNWATCHED: Final = counted.LEFT_OUT
"""Folders of these names are not entered, unless one is a root itself. That they come and go is
reported, since they are in a watched folder."""
SHOWN: Final = 20
"""So many unwatched folders are named in `Health.missing`."""
STOP_S: Final = 5.0


class Hearing(Protocol):
    """Where a source reports what it heard; any thread may call, and nothing here waits."""

    def changed(self, path: str, *, half_written: bool = False) -> None: ...
    def lost(self, reason: str, *, overflow: bool = False) -> None: ...


class ChangeSource(Protocol):
    """One system's way to hear of changes. Raises OSError from `start` alone."""

    def start(self, roots: Sequence[str]) -> None:
        """The roots are watched as far as can be when this returns."""

    def stop(self) -> None:
        """All descriptors and threads are gone when this returns."""

    def set_roots(self, roots: Sequence[str]) -> None: ...

    def mend(self) -> None:
        """Tries again what could not be watched, and looks for roots that were replaced."""

    def counts(self) -> tuple[int, int, tuple[str, ...]]:
        """Watching, expected, missing: as in Health."""

    def is_alive(self) -> bool: ...


def is_covered(path: str, roots: frozenset[str]) -> bool:
    """Whether watching the roots includes what happens in that folder."""
    for folder in above(path):
        if folder in roots:
            return True
        if os.path.basename(folder) in UNWATCHED:
            return False
    return False
