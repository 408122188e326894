"""The store that a user's projects share, and the one way files are written: beside, then renamed.

Everything in the store is a cache: content that can be fetched or made again. Its folders:

wheels/     <sha256>/<file name>.whl     proved on entering, never changed
trees/      <private name>/              wheels unpacked, for workers on this machine
segments/   <key>.zipseg, <key>.json     dependency segments and their records
locks/      <key>.json                   what a resolver answered
esbuild/    <version>-<platform>/        the pinned binary
tools/      <private name>/              interpreters' environments for pip-tools
checks/     <private name>.<ending>      what a type checker keeps of a project
caches/     <tool>/                      of tools that can't write the user's own

A store may come out of a cache that others write to, of CI for one. So nothing in it is believed
for lying there: content under its digest proves itself, JSON is sealed with the user's key
(notes.py), and folders that can't be proved have names that only this user can know.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from lambdad.bundler.store import ownership
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.store.user_state import process_secret, user_key

TEMPORARY: Final = ".tmp-"
"""Names that begin so are being written; one left behind by a kill is collected."""

ABANDONED_S: Final = 3600.0


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where the store lies: LAMBDAD_CACHE_DIR, else lambdad under XDG_CACHE_HOME or ~/.cache.

    Where that can't be made, as in a container with `HOME=/`, it is a folder of this user's among
    the temporary files. Raises BundlerError `not-ours` if another user made that.
    """
    usual = usual_cache_folder(environ)
    if usual is not None and (environ.get("LAMBDAD_CACHE_DIR") or _is_made(usual)):
        return usual
    name = f"lambdad-{os.geteuid()}"
    above = environ.get("TMPDIR") or "/tmp"  # noqa: S108 -- its owner is checked
    with contextlib.suppress(OSError):
        Folder.make_beneath(os.path.abspath(above), name, ownership.this_user(), 0o700)
    return Path(os.path.abspath(above), name, "cache")


def usual_cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Where the store lies if that can be written; None: there is no home."""
    if own := environ.get("LAMBDAD_CACHE_DIR"):
        return Path(own).absolute()
    try:
        base = Path(environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME') or '~'}/.cache")
        return base.expanduser().absolute() / "lambdad"
    except RuntimeError:  # a user that no table of users knows
        return None


def _is_made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def write_atomic(
    path: Path,
    content: bytes | Callable[[BinaryIO], None],
    mode: int = 0o644,
    *,
    missable: bool = False,
) -> os.stat_result:
    """The file is whole under its name, or as it was before; a kill at any moment included.

    What it returns was true of it before it had its name: its ctime moves with that.

    With `missable` it may also be gone. That is for what nobody misses and many a build waits for:
    where ext4 renames over a file it waits for the disk, 10 ms behind a large zip.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
    try:
        with open(temporary, "xb") as out:
            if isinstance(content, bytes):
                out.write(content)
            else:
                content(out)
            os.fchmod(out.fileno(), mode)
            out.flush()
            status = os.fstat(out.fileno())
        if missable:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return status


def collect_abandoned(folder: Path, now_s: float | None = None) -> int:
    """Removes temporaries that a killed process left in `folder`; returns how many."""
    removed = 0
    limit = (time.time() if now_s is None else now_s) - ABANDONED_S
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            with contextlib.suppress(OSError):
                if entry.name.startswith(TEMPORARY) and _touched_s(entry) < limit:
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)
                    removed += 1
    return removed


def _touched_s(entry: os.DirEntry[str]) -> float:
    """When the temporary was made or written. A link to another file has that one's mtime."""
    status = entry.stat(follow_symlinks=False)
    return status.st_mtime if status.st_nlink == 1 else max(status.st_mtime, status.st_ctime)


def store_of(environ: Mapping[str, str], root: str) -> Store:
    """The user's store, for the project at `root`, its symlinks resolved."""
    return Store(cache_folder(environ), user_key(environ, root).secret)


class Store:
    """Content shared by projects. Names are keys; what is found under one is whole."""

    KINDS: Final = ("wheels", "trees", "segments", "locks", "esbuild", "tools", "checks", "caches")

    def __init__(self, root: Path, secret: bytes | None = None) -> None:
        """`secret` is the user's key; without one, what this process notes is a miss for others."""
        self.root = root
        self.secret = secret or process_secret()
        self._tidied: set[Path] = set()

    def path(self, kind: str, name: str) -> Path:
        """Where content of that name lies or would lie; its folder exists."""
        folder = self.root / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def private(self, name: str) -> str:
        """A name that stands for this one, and that only this user's processes can know."""
        return hmac.digest(self.secret, f"private\0{name}".encode(), "sha256").hex()[:40]

    def find(self, kind: str, name: str) -> Path | None:
        """The content, marked as used now, or None."""
        path = self.root / kind / name
        try:
            os.utime(path)
        except OSError:
            # A store that may be read but not written still serves.
            return path if path.exists() else None
        return path

    def put(
        self,
        kind: str,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        *,
        missable: bool = False,
    ) -> Path:
        """Returns where it lies. `missable` as in write_atomic. Raises OSError."""
        path = self.path(kind, name)
        self._tidy(path.parent)
        write_atomic(path, content, missable=missable)
        return path

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder on the store's file system, gone afterwards: rename what stays."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._tidy(self.root)
        folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _tidy(self, folder: Path) -> None:
        """What killed processes left there is gone; once is enough for as long as we live."""
        if folder not in self._tidied:
            self._tidied.add(folder)
            collect_abandoned(folder)

    def discard(self, kind: str, name: str) -> None:
        """Nothing lies under that name, as far as it can be removed."""
        path = self.root / kind / name
        if path.is_dir() and not path.is_symlink():
            # Under its name it is whole or gone; what a kill leaves is collected as abandoned.
            away = self.root / f"{TEMPORARY}{os.getpid()}-{kind}-{name}"
            with contextlib.suppress(OSError):
                os.rename(path, away)
                shutil.rmtree(away, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()

    def adopt(self, folder: Path, kind: str, name: str) -> Path:
        """Moves a finished folder into the store; if another process was first, theirs stays."""
        target = self.path(kind, name)
        try:
            os.rename(folder, target)
        except OSError:
            if not target.is_dir():
                raise
        return target
