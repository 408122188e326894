"""What code can load from npm on this machine, as it is installed, and a digest of all of it.

Unlike the production set (bundler/npm/production.py) it asks no lock and no target: whatever is
there is what a worker here would load. Reading all of node_modules at every edit would be slow; so
an installed package's digest is kept with the key of its package.json, which an installer
writes anew, and with those of the records that package managers write at the end: package.json is
among the first files that come. Packages that are linked to, or copied from, folders of the user's
are read each time: a copy may be hard links.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from lambdad.bundler.inputs import tree, walking
from lambdad.bundler.inputs.kept import recall
from lambdad.bundler.inputs.reading import open_regular
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.npm import installer, manifest, package_files, production
from lambdad.bundler.npm.installed import MODULES, FoundPackage, Ground
from lambdad.bundler.store.kept_files import Coding
from lambdad.bundler.workshop import Workshop

_one_at_a_time = threading.Lock()
"""Functions share packages: the second finds what the first kept."""


@dataclass(frozen=True, slots=True)
class Reach:
    asked: Mapping[str, FoundPackage | None]
    """Each name that was asked for, and what it leads to."""
    packages: tuple[FoundPackage, ...]
    """All that can be loaded from there on, sorted by folder."""
    local: tuple[tuple[FoundPackage, tree.Tree], ...]
    """Those from the user's own folders, with their files."""
    deciding: Mapping[str, tuple[str, ...]]
    """Of each other one's folder, the files that an installation writes anew."""


def reach(ground: Ground, names: Iterable[str], asker: str, local: Collection[str] = ()) -> Reach:
    """From code in the real folder `asker`; what is not installed is skipped.

    `local` are the names that the asker has from a place on this machine. Raises ProjectError:
    `bad-package-json`, and what bundler/inputs/tree.py finds in local packages.
    """
    asked = {name: ground.find(name, asker) for name in sorted(set(names))}
    waiting = deque(found for found in asked.values() if found is not None)
    met: dict[str, FoundPackage] = {}
    near = {found.folder for name, found in asked.items() if found is not None and name in local}
    while waiting:
        found = waiting.popleft()
        if found.folder in met:
            continue
        met[found.folder] = found
        for name in sorted(production.needs(found.manifest)):
            if (other := ground.find(name, found.folder)) is not None:
                waiting.append(other)
                if name in found.manifest.local:
                    near.add(other.folder)
    packages = tuple(met[folder] for folder in sorted(met))
    walked = tuple(
        (found, _walk(ground, found))
        for found in packages
        if found.linked or found.folder in near
        if not asker.startswith(f"{found.folder}/") and found.folder != asker
    )
    own = {found.folder for found, _tree in walked}
    deciding = {
        found.folder: _deciding(ground, found.folder)
        for found in packages
        if not found.linked and found.folder not in own
    }
    return Reach(asked, packages, walked, deciding)


def _deciding(ground: Ground, folder: str) -> tuple[str, ...]:
    homes = (home for home in ground.above(folder) if ground.is_own(f"{home}/"))
    records = [
        f"{modules}/{name}"
        for modules in map(ground.modules_of, homes)
        if modules is not None
        for name, _manager in installer.RECORDS
    ]
    for path in records:
        ground.exists(path)
    return f"{folder}/{manifest.NAME}", *records


def _walk(ground: Ground, found: FoundPackage) -> tree.Tree:
    path = ground.relative(found.folder)
    patterns = package_files.LINKED if found.linked else package_files.INSTALLED
    return tree.walk(ground.workshop.seen, path, exclude=patterns, allow=ground.allow)


def digest(reached: Reach, workshop: Workshop) -> str:
    """Of the places and contents of all packages; "" if there are none.

    Raises ProjectError `unreadable-file`.
    """
    if not reached.packages:
        return ""
    local = {found.folder: walked for found, walked in reached.local}
    digests = _installed(reached.deciding, workshop)
    for folder, walked in local.items():
        digests[folder] = _digest_of_local(walked, workshop)
    whole = hashlib.sha256()
    for folder, one in sorted(digests.items()):
        whole.update(f"{os.path.relpath(folder, workshop.root)}\0{one}\0".encode())
    return whole.hexdigest()


def _digest_of_local(walked: tree.Tree, workshop: Workshop) -> str:
    found = hashlib.sha256()
    for file in walked.files:
        content = tree.read(workshop.seen, file)
        found.update(f"{file.name}\0{file.executable:d}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


# --- installed packages ------------------------------------------------------------------------


_DIGESTS: Final = Coding[str]("reach", 3, str, str)


def _installed(deciding: Mapping[str, Iterable[str]], workshop: Workshop) -> dict[str, str]:
    with _one_at_a_time:
        table = workshop.kept_table(_DIGESTS)
        digests = {
            folder: recall(
                table,
                workshop.seen.relative(folder),
                workshop,
                partial(_digest_of_files, folder, files),
            )
            for folder, files in deciding.items()
        }
        table.save(lambda path: os.path.isdir(workshop.absolute(path)))
        return digests


def _digest_of_files(folder: str, deciding: Iterable[str], seen: Seen) -> str:
    """Of all it ships, but the packages in it, which are packages of their own.

    It is taken to depend on the deciding files alone.
    """
    seen.file(*deciding)
    found = hashlib.sha256()
    named = seen.relative(folder)
    for place, _below, names in walking.folders(folder, MODULES.__ne__, named=named):
        for name in names:
            path = f"{place}/{name}"
            found.update(f"{path[len(folder) :]}\0".encode(errors="surrogateescape"))
            try:
                with open_regular(path) as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
            except OSError:
                found.update(b"unreadable")  # as for the code that loads it
    return found.hexdigest()
