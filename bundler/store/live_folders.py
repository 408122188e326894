"""Live trees on disk: a folder per digest, .lambdad/live/<Name>/<digest>/.

A folder is whole or not there, never changes, and stays readable for ten minutes after a newer one
takes its place. Only what is made for a live tree, a bundle, lies here; a function that is loaded
where the user wrote it has no folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from lambdad.bundler.model import Entry, Live, RelPath, Runnable
from lambdad.bundler.store.output import Output, file_stem
from lambdad.bundler.store.store import TEMPORARY, collect_abandoned, write_atomic

KEPT_S: Final = 600.0
"""A folder stays so long after a newer one took its place: a worker may still load from it."""

CURRENT: Final = "current"
"""Beside the folders: the digest that is published."""


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
    """What is to be written lies under its digest: whole, or as it was before. Raises OSError."""
    if not made.own:
        return made.live
    target = Path(output.root, output.live(name), made.live.digest)
    output.make(f"live/{file_stem(name)}")
    if _holds(target, made):
        os.utime(target)  # from now on it is kept as if it were new
        return made.live
    folder = _temporary(output)
    try:
        _fill(folder, target, made)
        if target.exists():  # changed by another hand
            _discard(output, target)
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return made.live


def publish(output: Output, name: str, live: Live) -> tuple[str, ...]:
    """It is what the function is now; the ten minutes of the one before begin. Raises OSError.

    Returns the paths that must stay as they are for it to be believed later.
    """
    home = output.live(name)
    folder = f"{home}/{live.digest}"
    if not live.entry.startswith(f"{folder}/"):
        return live.path
    current = Path(output.root, home, CURRENT)
    before = _read(current)
    if before != live.digest:
        if before:
            with contextlib.suppress(OSError):
                os.utime(Path(output.root, home, before))
        write_atomic(current, live.digest.encode())
    return tuple(_files(output.root, folder))


def collect(output: Output, names: Iterable[str], now_s: float | None = None) -> None:
    """Removes folders that have not been what any of the named functions is for ten minutes."""
    limit = (time.time() if now_s is None else now_s) - KEPT_S
    stems = {file_stem(name) for name in names}
    top = output.folder / "live"
    collect_abandoned(top, now_s)
    for home in _folders(top):
        current = _read(home / CURRENT) if home.name in stems else ""
        for folder in _folders(home):
            with contextlib.suppress(OSError):
                if folder.name != current and folder.stat().st_mtime < limit:
                    _discard(output, folder)
        with contextlib.suppress(OSError):
            # A young one may have been made for a build that is about to fill it.
            if not current and not any(_folders(home)) and home.stat().st_mtime < limit:
                _discard(output, home)


def _holds(target: Path, made: Runnable) -> bool:
    try:
        return all((target / entry.name).read_bytes() == entry.content for entry in made.own)
    except OSError:
        return False


def _fill(folder: Path, target: Path, made: Runnable) -> None:
    for entry in made.own:
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.content)
        path.chmod(0o755 if entry.executable else 0o644)
    for name, leads_to in made.links:
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        # Relative, so that it holds when the project is moved.
        link.symlink_to(os.path.relpath(leads_to, (target / name).parent))


def _temporary(output: Output) -> Path:
    folder = output.make("live") / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    folder.mkdir()
    return folder


def _discard(output: Output, folder: Path) -> None:
    """Under its name it is there or not; a kill on the way leaves a temporary that is collected."""
    away = output.folder / "live" / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    with contextlib.suppress(OSError):
        os.rename(folder, away)
        shutil.rmtree(away, ignore_errors=True)


def _folders(home: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(home) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(TEMPORARY)
        ]
    return []


def _files(root: str, folder: RelPath) -> Iterator[RelPath]:
    for place, below, names in os.walk(f"{root}/{folder}"):
        below[:] = [name for name in below if name != "node_modules"]
        yield from (os.path.relpath(f"{place}/{name}", root) for name in names)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
