"""The records of a project's functions, for a process that lives long: each is parsed once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.memory import Memory, Slot
from lambdad.bundler.model import RelPath, Snapshot
from lambdad.bundler.store import record
from lambdad.bundler.store.record import MadeKey, Record


def of(memory: Memory) -> RecordCache:
    """The one that belongs to the memory."""
    return memory.shelf(RECORDS).once(None, lambda: RecordCache(memory.pool.snapshot))


@dataclass(slots=True)
class _Known:
    key: MadeKey
    """The file's, as it was read or written."""
    record: Record | None
    folders: frozenset[RelPath] | None = None


class RecordCache:
    """By their files. Any thread may call any method."""

    def __init__(self, shared: Callable[[Snapshot], Snapshot]) -> None:
        """`shared` gives an equal snapshot of objects that others hold, too."""
        self._shared = shared
        self._lock = threading.Lock()
        self._known: dict[Path, _Known] = {}

    def get(self, path: Path) -> Record | None:
        """As record.load, but parsed only if somebody else has replaced the file."""
        known = self._get(path)
        return known.record if known is not None else None

    def folders(self, path: Path) -> frozenset[RelPath]:
        """Those that the inputs of its record lie in, and that these lie in."""
        known = self._get(path)
        if known is None or known.record is None:
            return frozenset()
        if known.folders is None:
            known.folders = snapshot.folders(known.record.inputs)
        return known.folders

    def save(self, path: Path, saved: Record) -> None:
        """As record.save."""
        known = _Known(record.save(path, saved), saved)
        with self._lock:
            before = self._known.get(path)
            self._known[path] = known
        # Else most of it is what was observed before, and shared already.
        if before is None:
            self._share(known)

    def _get(self, path: Path) -> _Known | None:
        try:
            status = os.stat(path)
        except OSError:
            return None
        key = (status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            known = self._known.get(path)
        if known is None or known.key != key:
            known = _Known(key, record.load(path))
            self._share(known)
            with self._lock:
                self._known[path] = known
        return known

    def _share(self, known: _Known) -> None:
        if known.record is not None:
            inputs = self._shared(known.record.inputs)
            known.record = replace(known.record, inputs=inputs)


RECORDS: Final = Slot[RecordCache]("records", most=1)
