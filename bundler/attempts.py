"""What was tried in vain in one batch of builds: functions often share what they need.

A thing is tried once for all of them, and again in the next batch: what made it fail, an index or
the machine, may be mended by then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from lambdad.bundler.model import BundlerError, ProjectError

T = TypeVar("T")


class Attempts:
    """The failures of one batch, by what was tried. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: dict[Hashable, ProjectError | BundlerError] = {}

    def once(self, key: Hashable, attempt: Callable[[], T]) -> T:
        """What the attempt comes to. Raises what it raised the last time, without a further try."""
        with self._lock:
            failed = self._failed.get(key)
        if failed is not None:
            raise failed.with_traceback(None)
        try:
            return attempt()
        except (ProjectError, BundlerError) as fault:
            with self._lock:
                self._failed[key] = fault
            raise
