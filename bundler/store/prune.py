"""What the store holds, and taking out of it what was not used for longest."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass

from lambdad.bundler.store.anchored import TEMPORARY, Folder
from lambdad.bundler.store.store import Store

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    kind: str
    entries: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    kind: str
    name: str
    size: int
    used_s: float


def usage(store: Store) -> tuple[Usage, ...]:
    """Each kind's number of entries and bytes. Raises BundlerError `not-ours`."""
    entries = _entries(store)
    return tuple(
        Usage(
            kind=kind,
            entries=sum(1 for entry in entries if entry.kind == kind),
            size=sum(entry.size for entry in entries if entry.kind == kind),
        )
        for kind in Store.KINDS
    )


def prune(
    store: Store,
    *,
    unused_days: float | None = None,
    max_bytes: int | None = None,
    now_s: float | None = None,
) -> tuple[int, int]:
    """Removes what was not used for so many days, then the longest unused until it fits.

    Returns how many entries and bytes went. What can't be removed is left. Raises BundlerError
    `not-ours`.
    """
    now_s = time.time() if now_s is None else now_s
    entries = sorted(_entries(store), key=lambda entry: entry.used_s)
    going = [
        entry
        for entry in entries
        if unused_days is not None and entry.used_s <= now_s - unused_days * DAY_S
    ]
    if max_bytes is not None:
        staying = [entry for entry in entries if entry not in going]
        excess = sum(entry.size for entry in staying) - max_bytes
        for entry in staying:
            if excess <= 0:
                break
            going.append(entry)
            excess -= entry.size
    with contextlib.suppress(FileNotFoundError):
        root = store.folder()
        for entry in going:
            store.discard(entry.kind, entry.name)
        root.collect_abandoned(now_s)
        for kind in Store.KINDS:
            with contextlib.suppress(FileNotFoundError):
                root.folder(kind).collect_abandoned(now_s)
    return len(going), sum(entry.size for entry in going)


def _entries(store: Store) -> list[_Entry]:
    found = []
    for kind in Store.KINDS:
        with contextlib.suppress(FileNotFoundError):
            folder = store.folder(kind)
            for name, status in folder.listed():
                if not name.startswith(TEMPORARY):
                    size = _size(folder, name, status)
                    found.append(
                        _Entry(
                            kind=kind,
                            name=name,
                            size=size,
                            used_s=status.st_mtime,
                        )
                    )
    return found


def _size(above: Folder, name: str, status: os.stat_result) -> int:
    """Bytes of a file, or of all files in a folder."""
    total = 0
    left = [(above, name, status)]
    while left:
        above, name, status = left.pop()
        if not stat.S_ISDIR(status.st_mode):
            total += status.st_size
            continue
        with contextlib.suppress(OSError):
            folder = above.folder(name)
            left += [(folder, child, below) for child, below in folder.listed()]
    return total
