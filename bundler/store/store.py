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
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import ownership
from lambdad.bundler.store.anchored import Folder, temporary_name
from lambdad.bundler.store.ownership import this_user_or_root
from lambdad.bundler.store.user_state import process_secret, user_key

FORMER_KEPT_S: Final = 600.0
"""A worker may be loading what a process left that knew no lasting key."""
_OF_A_RUN: Final = "run-"


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
        home = environ.get("HOME") or "~"
        base = Path(environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"))
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

    With `missable` it may also be gone. That is for what can be missing and many builds wait for:
    where ext4 renames over a file it waits for the disk, 10 ms behind a large zip.
    """
    temporary = path.with_name(temporary_name())
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


def store_of(environ: Mapping[str, str], root: str) -> Store:
    """The user's store, for the project at `root`, its symlinks resolved."""
    key = user_key(environ, root)
    return Store(cache_folder(environ), key.secret if key.fault is None else None)


class Store:
    """Content shared by projects. Names are keys; what is found under one is whole.

    Its root may be reached through symlinks of the user's; below it none is followed. The root and
    all that is found are this user's or root's, and no other user can write to the root: programs
    are given paths in it. Every method may raise OSError, and BundlerError `not-ours`.
    """

    KINDS: Final = ("wheels", "trees", "segments", "locks", "esbuild", "tools", "checks", "caches")

    def __init__(self, root: Path, secret: bytes | None = None) -> None:
        """`secret` is the user's key; without one, what this process notes is a miss for others,
        and what it keeps under private names is of no use to them."""
        self.root = root
        self.secret = secret or process_secret()
        self._is_lasting = secret is not None
        self._tidied: set[str] = set()

    def folder(self, kind: str | None = None) -> Folder:
        """The folder of that kind, or the root. Raises FileNotFoundError."""
        root = Folder.root(str(self.root), this_user_or_root())
        return root if kind is None else root.folder(kind)

    def _made(self, kind: str | None = None) -> Folder:
        """As `folder`; it is made if it is missing, and tidied if that has not been done yet."""
        with contextlib.suppress(FileExistsError):
            self.root.mkdir(mode=0o755, parents=True)
        folder = self.folder()
        if kind is not None:
            folder = folder.make(kind)
        # What killed processes left there goes once; that is enough for as long as we live.
        if folder.path not in self._tidied:
            self._tidied.add(folder.path)
            folder.collect_abandoned()
        return folder

    def path(self, kind: str, name: str) -> Path:
        """Where content of that name lies or would lie; its folder exists."""
        return Path(self._made(kind).path, name)

    def private(self, name: str) -> str:
        """A name in place of this one that only this user's processes can know."""
        made = hmac.digest(self.secret, f"private\0{name}".encode(), "sha256")
        return self.named(name, made.hex()[:40])

    def named(self, about: str, private: str) -> str:
        """A private name that is made elsewhere, as it is used here. Where the key ends with this
        process, it also says what it is about, for `drop_former`."""
        if self._is_lasting:
            return private
        public = hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()
        return f"{_OF_A_RUN}{public[:16]}-{private}"

    def drop_former(self, kind: str, name: str, now_s: float | None = None) -> None:
        """What earlier processes kept for the same purpose under names that ended with them is
        gone, unless it was used lately: it would pile up, a copy for each run."""
        if not name.startswith(_OF_A_RUN):
            return
        same = name[: len(_OF_A_RUN) + 17]
        limit = (time.time() if now_s is None else now_s) - FORMER_KEPT_S
        with contextlib.suppress(OSError):
            for other, status in self.folder(kind).listed():
                if other.startswith(same) and other != name and status.st_mtime < limit:
                    self.discard(kind, other)

    def find(self, kind: str, name: str) -> Path | None:
        """The content, marked as used now, or None. A store that may be read but not written still
        serves."""
        try:
            folder = self.folder(kind)
            folder.mark(name)
        except (OSError, ValueError):
            return None
        return Path(folder.path, name)

    def read(self, kind: str, name: str) -> bytes | None:
        """A file's content, which is marked as used now; None if it is missing."""
        try:
            folder = self.folder(kind)
            folder.mark(name)
            return folder.read(name)
        except (OSError, ValueError):
            return None

    def put(
        self,
        kind: str,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        *,
        missable: bool = False,
    ) -> Path:
        """Returns where it lies. `missable` as in Folder.write."""
        folder = self._made(kind)
        folder.write(name, content, missable=missable)
        return Path(folder.path, name)

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder on the store's file system, gone afterwards: adopt what stays."""
        root = self._made()
        name = temporary_name()
        root.make_new(name, 0o700)
        try:
            yield Path(root.path, name)
        finally:
            root.clear_away(name)

    def adopt(self, folder: Path, kind: str, name: str) -> Path:
        """Moves a finished folder of a workspace into the store; if another process was first,
        theirs stays."""
        self.drop_former(kind, name)
        above, target = self.folder(), self._made(kind)
        *parts, last = folder.relative_to(self.root).parts
        for part in parts:
            above = above.folder(part)
        try:
            above.move(last, target, name)
        except OSError:
            try:
                target.folder(name)
            except FileNotFoundError:
                pass
            else:
                return Path(target.path, name)
            raise
        return Path(target.path, name)

    def discard(self, kind: str, name: str) -> None:
        """Nothing lies under that name, as far as it can be removed. Under its name a folder is
        whole or gone; what a kill leaves of it is collected as abandoned."""
        with contextlib.suppress(OSError):
            folder = self.folder(kind)
            try:
                folder.discard(name, aside=self.folder())
            except BundlerError:  # no folder of ours
                folder.remove(name)
