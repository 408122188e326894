"""Live trees on disk: a folder per digest, .lambdad/live/<Name>/<digest>/.

A folder is whole or not there, never changes, and stays readable for ten minutes after a newer one
takes its place. Only what is made for a live tree, a bundle, lies here; a function that is loaded
where the user wrote it has no folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Final

from lambdad.bundler.model import Entry, Live, RelPath, Runnable
from lambdad.bundler.store.anchored import Folder, temporary_name
from lambdad.bundler.store.output import Output, file_stem, folders_in

KEPT_S: Final = 600.0
"""A folder stays so long after a newer one took its place: a worker may still load from it."""

CURRENT: Final = "current"
"""Beside the folders: the digest that is published."""

_DIGEST: Final = re.compile(r"[0-9a-f]{40}")
"""The names that are ours to remove."""


def digest_of(own: Iterable[Entry], beside: Iterable[str] = ()) -> str:
    """A live tree's digest: of names, modes and contents, and of what else decides how they run."""
    digest = hashlib.sha256()
    for entry in own:
        digest.update(f"{entry.name}\0{entry.executable:d}\0{len(entry.content)}\0".encode())
        digest.update(entry.content)
    for text in beside:
        digest.update(f"\0{len(text)}\0{text}".encode())
    return digest.hexdigest()[:40]


def write(output: Output, name: str, made: Runnable) -> Live:
    """What is to be written lies under its digest: whole, or as it was before.

    Raises OSError, and BundlerError `not-ours`.
    """
    if not made.own:
        return made.live
    digest = made.live.digest
    live = output.make("live")
    home = live.make(file_stem(name))
    with contextlib.suppress(FileNotFoundError):
        folder = home.folder(digest)
        if _holds(folder, made, f"{output.root}/{output.live(name)}/{digest}"):
            folder.touch()  # from now on it is kept as if it were new
            return made.live
        home.discard(digest, aside=live)  # modified by another program
    temporary = temporary_name()
    try:
        _fill(live.make_new(temporary), f"{output.root}/{output.live(name)}/{digest}", made)
        live.move(temporary, home, digest)
    except BaseException:
        live.clear_away(temporary)
        raise
    return made.live


def publish(output: Output, name: str, live: Live) -> tuple[str, ...]:
    """It is what the function is now; the ten minutes of the one before begin.

    Returns the paths that must stay as they are for it to be believed later. Raises OSError, and
    BundlerError `not-ours`.
    """
    path = f"{output.live(name)}/{live.digest}"
    if not live.entry.startswith(f"{path}/"):
        return live.path
    home = output.make("live").make(file_stem(name))
    before = _current(home)
    if before != live.digest:
        if _DIGEST.fullmatch(before):
            with contextlib.suppress(OSError):
                home.folder(before).touch()
        home.write(CURRENT, live.digest.encode())
    return tuple(_files(home.folder(live.digest), path))


def collect(output: Output, names: Iterable[str], now_s: float | None = None) -> None:
    """Removes folders that have not been what any of the named functions is for ten minutes."""
    limit = (time.time() if now_s is None else now_s) - KEPT_S
    stems = {file_stem(name) for name in names}
    with contextlib.suppress(FileNotFoundError):
        live = output.folder("live")
        live.collect_abandoned(now_s)
        for stem in folders_in(live):
            with contextlib.suppress(FileNotFoundError):
                _collect_home(live, stem, limit, is_declared=stem in stems)


def _collect_home(live: Folder, stem: str, limit: float, *, is_declared: bool) -> None:
    home = live.folder(stem)
    current = _current(home) if is_declared else ""
    for name in folders_in(home):
        if _DIGEST.fullmatch(name) and name != current:
            with contextlib.suppress(OSError):
                if home.folder(name).own_status().st_mtime < limit:
                    home.discard(name, aside=live)
    # A young one may have been made for a build that is about to fill it.
    if not current and not folders_in(home) and home.own_status().st_mtime < limit:
        with contextlib.suppress(OSError):
            live.discard(stem, aside=live)


def _holds(folder: Folder, made: Runnable, path: str) -> bool:
    """Whether the folder, which lies at `path`, has all that would be written into it."""
    try:
        for entry in made.own:
            above, name = _placed(folder, entry.name)
            if above.read(name) != entry.content:
                return False
        for link, leads_to in made.links:
            above, name = _placed(folder, link)
            if above.leads_to(name) != _relative(path, link, leads_to):
                return False
    except OSError:
        return False
    return True


def _fill(folder: Folder, path: str, made: Runnable) -> None:
    """Writes all of it; the folder is to lie at `path`."""
    for entry in made.own:
        above, name = _placed(folder, entry.name, make=True)
        above.write(name, entry.content, 0o755 if entry.executable else 0o644)
    for link, leads_to in made.links:
        above, name = _placed(folder, link, make=True)
        above.link(name, _relative(path, link, leads_to))


def _placed(folder: Folder, path: RelPath, *, make: bool = False) -> tuple[Folder, str]:
    """The folder that the path's last part lies in, and that part."""
    *parts, name = path.split("/")
    for part in parts:
        folder = folder.make(part) if make else folder.folder(part)
    return folder, name


def _relative(path: str, link: RelPath, leads_to: str) -> str:
    """What the symlink says: a way that holds when the project is moved."""
    return os.path.relpath(leads_to, os.path.dirname(f"{path}/{link}"))


def _files(folder: Folder, path: RelPath) -> Iterator[RelPath]:
    """Of all files in the folder, which lies at `path`, those left out that are installed."""
    left = [(folder, path)]
    while left:
        folder, path = left.pop()
        for name, status in sorted(folder.listed()):
            if not stat.S_ISDIR(status.st_mode):
                yield f"{path}/{name}"
            elif name != "node_modules":
                left.append((folder.folder(name), f"{path}/{name}"))


def _current(home: Folder) -> str:
    """The published digest; empty if there is none."""
    try:
        return home.read(CURRENT).decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
