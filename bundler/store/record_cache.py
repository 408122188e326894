"""The records of a project's functions, for a process that lives long: each is parsed once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.memory import Memory, Slot
from lambdad.bundler.model import RelPath, Snapshot
from lambdad.bundler.store import record
from lambdad.bundler.store.record import MadeKey, Record
from lambdad.bundler.store.sealed import SealedFile


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
    """By their files. Any thread may call any method, which may raise BundlerError `not-ours`."""

    def __init__(self, shared: Callable[[Snapshot], Snapshot]) -> None:
        """`shared` gives an equal snapshot of objects that others hold, too."""
        self._shared = shared
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], _Known] = {}

    def get(self, file: SealedFile) -> Record | None:
        """As record.load, but parsed only if another process has replaced the file."""
        known = self._get(file)
        return known.record if known is not None else None

    def folders(self, file: SealedFile) -> frozenset[RelPath]:
        """Those that the inputs of its record lie in, and that these lie in."""
        known = self._get(file)
        if known is None or known.record is None:
            return frozenset()
        if known.folders is None:
            known.folders = snapshot.folders(known.record.inputs)
        return known.folders

    def save(self, file: SealedFile, saved: Record) -> None:
        """As record.save."""
        known = _Known(record.save(file, saved), saved)
        with self._lock:
            before = self._known.get(file.key)
            self._known[file.key] = known
        # Else most of it is what was observed before, and shared already.
        if before is None:
            self._share(known)

    def _get(self, file: SealedFile) -> _Known | None:
        try:
            status = file.file.status()
        except OSError:
            return None
        key = (status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            known = self._known.get(file.key)
        if known is None or known.key != key:
            known = _Known(key, record.load(file))
            self._share(known)
            with self._lock:
                self._known[file.key] = known
        return known

    def _share(self, known: _Known) -> None:
        if known.record is not None:
            inputs = self._shared(known.record.inputs)
            known.record = replace(known.record, inputs=inputs)


RECORDS: Final = Slot[RecordCache]("records", most=1)
