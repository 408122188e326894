"""What decides the findings of a tool that reads more than the file that it is to check: all of the
project's files that it may read, by their contents.

A finding in one file may come from another: a type that changed, a name that is no longer exported.
So the findings of such a tool hold for as long as none of these files differ.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from lambdad.bundler.inputs.counted import LEFT_OUT
from lambdad.bundler.inputs.reading import read_regular
from lambdad.bundler.lint.tool import Batch
from lambdad.bundler.model import RelPath
from lambdad.bundler.workshop import Workshop

MODULES: Final = "node_modules"
INSTALLED: Final = (".package-lock.json", ".modules.yaml", ".yarn-state.yml", ".yarn-integrity")
"""What package managers write into node_modules last; bun changes the folder alone."""
YOUNG_NS: Final = 2_000_000_000
"""What changed so lately may change again unseen, within one tick of the file system's clock."""
MOST_BYTES: Final = 4_000_000
"""Larger files are data: known by their times."""
_KNOWN: Final = 50_000

_Key = tuple[int, int, int, int, int]
_known: dict[str, tuple[_Key, bytes]] = {}
"""Digests of contents, by absolute path. Threads may work one out twice, which costs time alone."""


def stamp(workshop: Workshop, tops: Iterable[RelPath], takes: Callable[[str], bool]) -> str:
    """A digest of all files whose name `takes` accepts: of the project, of the folders `tops`, and
    of what lies above the project up to the repository's root, there without subfolders.

    Equal stamps mean equal contents at equal places. node_modules and virtual environments count by
    what was installed last.
    """
    whole = hashlib.sha256()
    for path, content in sorted(_contents(workshop, tops, takes)):
        whole.update(path.encode("utf-8", "surrogateescape") + b"\0" + content + b"\0")
    return whole.hexdigest()


def outside(batch: Batch) -> tuple[RelPath, ...]:
    """Code folders of the batch's functions that lie outside of the project's."""
    return tuple(sorted({each.code for each in batch.functions if each.code.startswith("..")}))


def _contents(
    workshop: Workshop, tops: Iterable[RelPath], takes: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    met: set[tuple[int, int]] = set()
    todo = [workshop.root, *(os.path.normpath(workshop.absolute(top)) for top in tops)]
    while todo:
        for entry in _entries(todo.pop(), met):
            if not _is_folder(entry):
                if takes(entry.name):
                    yield from _content(entry.path)
            elif _is_installed(entry):
                yield from _installed(entry)
            elif entry.name not in LEFT_OUT:
                todo.append(entry.path)
    folder = workshop.root
    while folder != workshop.repository and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        for entry in _entries(folder, met):
            if not _is_folder(entry):
                if takes(entry.name):
                    yield from _content(entry.path)
            elif _is_installed(entry):
                yield from _installed(entry)


def _is_installed(entry: os.DirEntry[str]) -> bool:
    is_named_so = entry.name in (MODULES, ".venv")
    return is_named_so or os.path.lexists(f"{entry.path}/pyvenv.cfg")


def _entries(folder: str, met: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """Symlinks may lead in circles: a folder is entered once."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in met:
            return []
        met.add(identity)
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _installed(entry: os.DirEntry[str]) -> Iterator[tuple[str, bytes]]:
    """Installing and removing a distribution changes site-packages itself."""
    if entry.name == MODULES:
        paths = [entry.path, *(f"{entry.path}/{name}" for name in INSTALLED)]
    else:
        libraries = _entries(f"{entry.path}/lib", set())
        paths = [f"{library.path}/site-packages" for library in libraries]
    for path in paths:
        yield from _times(path)


def _times(path: str) -> Iterator[tuple[str, bytes]]:
    try:
        yield path, repr(_key(os.stat(path))).encode()
    except OSError:
        return


def _content(path: str) -> Iterator[tuple[str, bytes]]:
    now_ns = time.time_ns()
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return
        key = _key(status)
        known = _known.get(path)
        if known is not None and known[0] == key:
            yield path, known[1]
            return
        if status.st_size > MOST_BYTES:
            yield path, repr(key).encode()
            return
        digest = hashlib.sha256(read_regular(path, MOST_BYTES)).digest()
    except OSError:
        yield path, b"unreadable"
        return
    if max(status.st_ctime_ns, status.st_mtime_ns) < now_ns - YOUNG_NS:
        if len(_known) >= _KNOWN:
            _known.clear()
        _known[path] = key, digest
    yield path, digest


def _key(status: os.stat_result) -> _Key:
    identity = (status.st_dev, status.st_ino)
    return (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
