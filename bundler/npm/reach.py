"""What code can load from npm on this machine, as it is installed, and a digest of all of it.

Unlike the production set (bundler/npm/production.py) it asks no lock and no target: whatever is
there is what a worker here would load. Reading all of node_modules at every edit would be slow; so
an installed package's digest is remembered with the key of its package.json, which an installer
writes anew. Linked packages are the user's own, and are read each time.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bundler import sealed, snapshot, tree
from bundler.model import FileKey, InputSet, RelPath
from bundler.npm import manifest, packaged, production
from bundler.npm.installed import MODULES, Found, Ground
from bundler.output import Output
from bundler.workshop import Workshop

MEMO: Final = "locks"
"""The store's kind for what packages came to; such names begin with "reach-"."""

_SCHEMA: Final = 1

_one_at_a_time = threading.Lock()
"""Functions share packages: the second finds what the first remembered."""


@dataclass(frozen=True, slots=True)
class Reach:
    asked: Mapping[str, Found | None]
    """Each name that was asked for, and what it leads to."""
    packages: tuple[Found, ...]
    """All that can be loaded from there on, sorted by folder."""
    linked: tuple[tuple[Found, tree.Tree], ...]
    """Those of the user's own, with their files."""

    @property
    def inputs(self) -> InputSet:
        """The files of linked packages; all else is in the ground's."""
        found = InputSet()
        for _package, walked in self.linked:
            found = snapshot.union(found, walked.inputs)
        return found


def reach(ground: Ground, names: Iterable[str], asker: str) -> Reach:
    """From code in the real folder `asker`; what is not installed is passed over.

    Raises ProjectError: `bad-package-json`, and what bundler/tree.py finds in linked packages.
    """
    asked = {name: ground.find(name, asker) for name in sorted(set(names))}
    waiting = deque(found for found in asked.values() if found is not None)
    met: dict[str, Found] = {}
    while waiting:
        found = waiting.popleft()
        if found.folder in met:
            continue
        met[found.folder] = found
        for name in sorted(production.needs(found.manifest)):
            if (other := ground.find(name, found.folder)) is not None:
                waiting.append(other)
    packages = tuple(met[folder] for folder in sorted(met))
    linked = tuple(
        (found, _walk(ground, found.folder))
        for found in packages
        if found.linked and not asker.startswith(f"{found.folder}/") and found.folder != asker
    )
    return Reach(asked, packages, linked)


def _walk(ground: Ground, folder: str) -> tree.Tree:
    path = ground.relative(folder)
    return tree.walk(ground.workshop, path, exclude=packaged.LINKED, allow=ground.allow)


def digest(reached: Reach, workshop: Workshop) -> str:
    """Of the places and contents of all packages; "" if there are none.

    Raises ProjectError `unreadable-file`.
    """
    if not reached.packages:
        return ""
    digests = _installed([found.folder for found in reached.packages if not found.linked], workshop)
    for found, walked in reached.linked:
        digests[found.folder] = _digest_of_linked(walked, workshop)
    whole = hashlib.sha256()
    for folder, one in sorted(digests.items()):
        whole.update(f"{os.path.relpath(folder, workshop.root)}\0{one}\0".encode())
    return whole.hexdigest()


def _digest_of_linked(walked: tree.Tree, workshop: Workshop) -> str:
    found = hashlib.sha256()
    for file in walked.files:
        content = tree.read(workshop, file)
        found.update(f"{file.name}\0{file.executable:d}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


# --- installed packages ------------------------------------------------------------------------


def _installed(folders: Iterable[str], workshop: Workshop) -> dict[str, str]:
    with _one_at_a_time:
        name = f"reach-{hashlib.sha256(workshop.root.encode()).hexdigest()}.json"
        known = _recall(name, workshop)
        # The clock first: a package that changes while it is read is not remembered.
        now_ns = _clock_ns(workshop)
        digests: dict[str, str] = {}
        learnt = False
        for folder in folders:
            path = os.path.relpath(folder, workshop.root)
            key = snapshot.file_key(f"{folder}/{manifest.NAME}")
            if key is not None and path in known and known[path][0] == key:
                digests[folder] = known[path][1]
                continue
            digests[folder] = _digest_of_files(folder)
            if key is not None and max(key.ctime_ns, key.mtime_ns) < now_ns:
                known[path] = key, digests[folder]
                learnt = True
        if learnt:
            _remember(name, known, workshop)
        return digests


def _digest_of_files(folder: str) -> str:
    """Of all it ships, but the packages in it, which are packages of their own."""
    found = hashlib.sha256()
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name != MODULES)
        for name in sorted(names):
            path = f"{place}/{name}"
            found.update(f"{path[len(folder) :]}\0".encode(errors="surrogateescape"))
            try:
                with open(path, "rb") as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
            except OSError:
                found.update(b"unreadable")  # as for whoever loads it
    return found.hexdigest()


def _clock_ns(workshop: Workshop) -> int:
    try:
        return snapshot.read_clock(Output(workshop.root).clock).now_ns
    except OSError:
        return 0  # without a clock nothing can be told to be old enough


Known = dict[RelPath, tuple[FileKey, str]]


def _recall(name: str, workshop: Workshop) -> Known:
    path = workshop.store.find(MEMO, name)
    try:
        memo: Any = sealed.unseal(path.read_bytes()) if path is not None else None
        if not isinstance(memo, dict) or memo["schema"] != _SCHEMA:
            return {}
        return {folder: (FileKey(*key), one) for folder, (key, one) in memo["packages"].items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _remember(name: str, known: Known, workshop: Workshop) -> None:
    there = {
        path: entry
        for path, entry in known.items()
        if os.path.isdir(os.path.join(workshop.root, path))
    }
    workshop.store.put(MEMO, name, sealed.seal({"schema": _SCHEMA, "packages": there}))
