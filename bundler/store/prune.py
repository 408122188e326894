"""What the store holds, and taking out of it what was not used for longest."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from lambdad.bundler.store.store import TEMPORARY, Store, collect_abandoned

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
    path: Path
    size: int
    used_s: float


def usage(store: Store) -> tuple[Usage, ...]:
    """Each kind's number of entries and bytes."""
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

    Returns how many entries and bytes went. What can't be removed is left.
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
    for entry in going:
        store.discard(entry.kind, entry.path.name)
    for folder in (store.root, *(store.root / kind for kind in Store.KINDS)):
        collect_abandoned(folder, now_s)
    return len(going), sum(entry.size for entry in going)


def _entries(store: Store) -> list[_Entry]:
    found = []
    for kind in Store.KINDS:
        with contextlib.suppress(FileNotFoundError), os.scandir(store.root / kind) as scan:
            for item in scan:
                if not item.name.startswith(TEMPORARY):
                    with contextlib.suppress(FileNotFoundError):
                        path = Path(item.path)
                        used_s = item.stat(follow_symlinks=False).st_mtime
                        found.append(_Entry(kind=kind, path=path, size=_size(path), used_s=used_s))
    return found


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _folders, names in os.walk(path)
        for name in names
    )
