"""Folders of ours, held open, and what lies in them.

A path is looked up again with every use, and whatever can write to one of its folders decides where
it leads. Here a folder is opened once and checked on its descriptor; everything in it is reached
from that descriptor by a bare name, and no symlink is followed. What is put under the path
afterwards changes nothing: only a later opening sees it, and checks it.

A part that is a symlink, of another kind than it should be, or another user's is refused (see
ownership.py). Other faults are OSErrors with the whole path.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import ownership
from lambdad.bundler.store.ownership import FILE, FOLDER, Owners

TEMPORARY: Final = ".tmp-"
"""Names that begin so are being written; one left behind by a kill is collected."""

ABANDONED_S: Final = 3600.0

LARGEST: Final = 300 << 20
"""The most bytes of a file of ours that is read whole: somewhat more than Lambda takes."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_AS_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_AS_PART: Final = _AS_FOLDER | os.O_NOFOLLOW
_AS_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Opening a FIFO would wait for its other end, and a terminal could become ours."""


def temporary_name() -> str:
    """A name that no other process or thread takes."""
    return f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"


class Folder:
    """A folder of ours that is held open until nothing refers to it.

    Any thread may call any method. Names are bare: no "/", and neither "." nor "..". Every method
    may raise OSError, and BundlerError `not-ours`.
    """

    __slots__ = ("_descriptor", "_owners", "path")

    def __init__(self, descriptor: int, path: str, owners: Owners) -> None:
        """Takes the descriptor over."""
        self._descriptor = descriptor
        self._owners = owners
        self.path = path
        """For messages, and for programs that can be given nothing else."""
        status = os.fstat(descriptor)
        if status.st_uid not in owners:
            raise ownership.another_users(path, status.st_uid)
        if status.st_mode & _OTHERS_WRITE:
            self._set_mode(stat.S_IMODE(status.st_mode) & ~_OTHERS_WRITE)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        _close(self._descriptor)

    @classmethod
    def beneath(cls, above: str, name: str, owners: Owners) -> Folder:
        """The folder of that name in the folder that the path `above` leads to."""
        path = f"{above}/{_bare(name)}"
        try:
            descriptor = os.open(path, _AS_PART)
        except OSError as fault:
            raise ownership.reason(fault, path, FOLDER, owners) from fault
        return cls(descriptor, path, owners)

    @classmethod
    def make_beneath(cls, above: str, name: str, owners: Owners, mode: int = 0o755) -> Folder:
        """As `beneath`; one that is missing is made, with that mode whatever the umask."""
        with contextlib.suppress(FileNotFoundError):
            return cls.beneath(above, name, owners)
        try:
            os.mkdir(f"{above}/{name}", mode)
        except FileExistsError:
            return cls.beneath(above, name, owners)
        made = cls.beneath(above, name, owners)
        made._take_mode(mode)
        return made

    @classmethod
    def root(cls, path: str, owners: Owners) -> Folder:
        """The folder that the path leads to. Symlinks are followed, the last one only if it
        belongs to `owners`; the folder is refused if others can write to it all the same."""
        try:
            before = os.lstat(path)
            descriptor = os.open(path, _AS_FOLDER)
        except OSError as fault:
            raise ownership.reason(fault, path, FOLDER, owners) from fault
        found = cls(descriptor, path, owners)
        now = os.fstat(descriptor)
        if before.st_uid not in owners:
            raise ownership.another_users(path, before.st_uid)
        if not stat.S_ISLNK(before.st_mode) and not os.path.samestat(before, now):
            raise ownership.refused(path, "was replaced while it was looked at", "try again")
        if now.st_mode & _OTHERS_WRITE:
            hint = "choose a folder that only you can write to, on a file system with permissions"
            raise ownership.refused(path, "can be written to by other users", hint)
        return found

    # --- folders in it ---------------------------------------------------------------------------

    def folder(self, name: str) -> Folder:
        """The folder of that name in this one."""
        path = self._path(name)
        try:
            descriptor = os.open(name, _AS_PART, dir_fd=self._descriptor)
        except OSError as fault:
            raise self._reason(fault, name, FOLDER) from fault
        return Folder(descriptor, path, self._owners)

    def make(self, name: str, mode: int = 0o755) -> Folder:
        """As `folder`; one that is missing is made, with that mode whatever the umask."""
        with contextlib.suppress(FileNotFoundError):
            return self.folder(name)
        with contextlib.suppress(FileExistsError):
            return self.make_new(name, mode)
        return self.folder(name)

    def make_new(self, name: str, mode: int = 0o755) -> Folder:
        """Raises FileExistsError if anything has the name."""
        path = self._path(name)
        try:
            os.mkdir(name, mode, dir_fd=self._descriptor)
        except OSError as fault:
            raise _located(fault, path) from fault
        made = self.folder(name)
        made._take_mode(mode)
        return made

    def listed(self) -> list[tuple[str, os.stat_result]]:
        """Every name in it and what has the name, symlinks not followed; in no order."""
        # Opened again: a copy of our descriptor would share its position with other threads.
        descriptor = os.open(".", _AS_FOLDER, dir_fd=self._descriptor)
        try:
            found = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
            return found
        finally:
            os.close(descriptor)

    def mark(self, name: str) -> None:
        """The file or folder of that name counts as used now, where that can be written."""
        path = self._path(name)
        try:
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError as fault:
            raise _located(fault, path) from fault
        kind = FOLDER if stat.S_ISDIR(status.st_mode) else FILE
        ownership.check(path, status, kind, self._owners)
        with contextlib.suppress(OSError):
            os.utime(name, dir_fd=self._descriptor, follow_symlinks=False)

    def own_status(self) -> os.stat_result:
        """Of the folder itself."""
        return os.fstat(self._descriptor)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time is in this block, where the file system locks folders: NFS does
        not. Two threads need a Folder each."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def touch(self) -> None:
        """The folder's modification time is now."""
        os.utime(self._descriptor)

    # --- files in it -----------------------------------------------------------------------------

    def status(self, name: str) -> os.stat_result:
        """Of the file of that name."""
        path = self._path(name)
        try:
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError as fault:
            raise _located(fault, path) from fault
        ownership.check(path, status, FILE, self._owners)
        return status

    def holds(self, name: str) -> bool:
        """Whether a file of ours has the name."""
        try:
            self.status(name)
        except FileNotFoundError:
            return False
        return True

    def open(self, name: str) -> BufferedReader:
        """The file, to be read."""
        return open(self._opened(name, os.O_RDONLY), "rb")

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """All of the file. Raises OSError, also where it holds more bytes than `most`."""
        with self.open(name) as file:
            content = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
        if content is None or len(content) > most:
            what = f"it is larger than {most >> 20} MiB"
            raise OSError(errno.EFBIG, what, self._path(name))
        return content

    def write(
        self,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        mode: int = 0o644,
        *,
        missable: bool = False,
    ) -> os.stat_result:
        """The file is whole under its name, or as it was before; a kill at any moment included.

        What it returns was true of it before it had its name: its ctime moves with that.

        With `missable` it may also be gone. That is for what can be lost at no cost and many a
        build waits for: where ext4 renames over a file it waits for the disk, 10 ms behind a large
        zip.
        """
        with self.staged(mode) as staged:
            if isinstance(content, bytes):
                staged.out.write(content)
            else:
                content(staged.out)
            return staged.publish(name, missable=missable)

    @contextlib.contextmanager
    def staged(self, mode: int = 0o644) -> Iterator[Staged]:
        """A file that is written before it has its name, and gone unless it is published."""
        name = temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _AS_FILE
        try:
            descriptor = os.open(name, flags, 0o600, dir_fd=self._descriptor)
        except OSError as fault:
            raise _located(fault, self._path(name)) from fault
        staged = None
        try:
            with open(descriptor, "wb") as out:
                staged = Staged(self, name, out, mode)
                yield staged
        except OSError as fault:
            if fault.errno and fault.filename is None:  # a write knows a descriptor alone
                raise _located(fault, self.path) from fault
            raise
        finally:
            if staged is None or not staged.is_published:
                self.remove(name)

    def touch_file(self, name: str) -> os.stat_result:
        """The file is there, and its change time is now."""
        while True:
            descriptor = self._opened(name, os.O_WRONLY | os.O_CREAT)
            try:
                if os.fstat(descriptor).st_nlink <= 1:
                    os.utime(descriptor)
                    return os.fstat(descriptor)
            finally:
                os.close(descriptor)
            self.remove(name)  # a second name of another file, which is not to be touched

    def remove(self, name: str) -> None:
        """No file or symlink has the name."""
        path = self._path(name)
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            pass
        except OSError as fault:
            raise _located(fault, path) from fault

    def link(self, name: str, leads_to: str) -> None:
        """Makes a symlink."""
        self._path(name)
        os.symlink(leads_to, name, dir_fd=self._descriptor)

    def leads_to(self, name: str) -> str | None:
        """Where the symlink of that name leads; None if there is none."""
        self._path(name)
        try:
            return os.readlink(name, dir_fd=self._descriptor)
        except OSError:
            return None

    def share(self, name: str, source: Folder, source_name: str) -> None:
        """A file of `source` has the name here, too. Raises OSError where that can't be: the name
        is taken, or the file system has no hard links."""
        self._path(name)
        source.status(source_name)
        os.link(
            source_name,
            name,
            src_dir_fd=source._descriptor,
            dst_dir_fd=self._descriptor,
            follow_symlinks=False,
        )
        self.status(name)

    def move(self, name: str, target: Folder, target_name: str) -> None:
        """Moves a file or a folder; a file takes another's place."""
        self._path(name)
        path = target._path(target_name)
        try:
            os.rename(name, target_name, src_dir_fd=self._descriptor, dst_dir_fd=target._descriptor)
        except OSError as fault:
            raise _located(fault, path) from fault

    # --- removing whole folders ------------------------------------------------------------------

    def discard(self, name: str, aside: Folder) -> None:
        """Removes a folder of ours. Under its name it is there or not; a kill on the way leaves a
        temporary in `aside` that is collected. What can't be removed stays there, too."""
        self.folder(name)
        away = temporary_name()
        with contextlib.suppress(OSError):
            self.move(name, aside, away)
            aside.clear_away(away)

    def clear_away(self, name: str) -> None:
        """Removes a temporary folder, as far as it can be removed.

        What lies deeper is moved up first, so depth costs neither descriptors nor stack.
        """
        left = [name]
        while left:
            place = left.pop()
            with contextlib.suppress(OSError, BundlerError):
                folder = self.folder(place)
                for child, status in folder.listed():
                    if stat.S_ISDIR(status.st_mode):
                        away = temporary_name()
                        folder.move(child, self, away)
                        left.append(away)
                    else:
                        folder.remove(child)
                os.rmdir(place, dir_fd=self._descriptor)

    def collect_abandoned(self, now_s: float | None = None) -> int:
        """Removes temporaries that a killed process left here; returns how many."""
        removed = 0
        limit = (time.time() if now_s is None else now_s) - ABANDONED_S
        for name, status in self.listed():
            if name.startswith(TEMPORARY) and _touched_s(status) < limit:
                with contextlib.suppress(OSError):
                    if stat.S_ISDIR(status.st_mode):
                        self.clear_away(name)
                    else:
                        self.remove(name)
                    removed += 1
        return removed

    # --- details ---------------------------------------------------------------------------------

    def _opened(self, name: str, flags: int) -> int:
        path = self._path(name)
        try:
            descriptor = os.open(name, flags | _AS_FILE, 0o644, dir_fd=self._descriptor)
        except OSError as fault:
            raise self._reason(fault, name, FILE) from fault
        try:
            ownership.check(path, os.fstat(descriptor), FILE, self._owners)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _reason(self, fault: OSError, name: str, kind: int) -> OSError:
        path, owners = self._path(name), self._owners
        return ownership.reason(fault, path, kind, owners, name=name, dir_fd=self._descriptor)

    def _path(self, name: str) -> str:
        return f"{self.path}/{_bare(name)}"

    def _take_mode(self, mode: int) -> None:
        """The mode that it was made with, of which the umask may have taken some."""
        if stat.S_IMODE(os.fstat(self._descriptor).st_mode) != mode:
            self._set_mode(mode)

    def _set_mode(self, mode: int) -> None:
        with contextlib.suppress(OSError):  # a file system without modes, or one that is read-only
            os.fchmod(self._descriptor, mode)


@dataclass(slots=True)
class Staged:
    """A file that is being written under a temporary name."""

    folder: Folder
    name: str
    out: BinaryIO
    mode: int
    is_published: bool = False

    def publish(self, name: str, *, missable: bool = False) -> os.stat_result:
        """The file has that name now, in place of the one that had it; as Folder.write."""
        self.out.flush()
        os.fchmod(self.out.fileno(), self.mode)
        status = os.fstat(self.out.fileno())
        if self.folder.holds(name) and missable:
            self.folder.remove(name)
        self.folder.move(self.name, self.folder, name)
        self.is_published = True
        return status


def open_file(path: str) -> BufferedReader:
    """A file of this user's or root's, to be read. The folders above it are known to be theirs; no
    symlink in its own place is followed. Raises OSError, and BundlerError `not-ours`."""
    return open(descriptor_of(path), "rb")


def descriptor_of(path: str) -> int:
    """As `open_file`, for callers that read by descriptor and close it."""
    owners = ownership.this_user_or_root()
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_FILE)
    except OSError as fault:
        raise ownership.reason(fault, path, FILE, owners) from fault
    try:
        ownership.check(path, os.fstat(descriptor), FILE, owners)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _bare(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name of a file in a folder")
    return name


def _located(fault: OSError, path: str) -> OSError:
    return OSError(fault.errno, fault.strerror, path)


def _touched_s(status: os.stat_result) -> float:
    """When the temporary was made or written. A link to another file has that one's mtime."""
    return status.st_mtime if status.st_nlink == 1 else max(status.st_mtime, status.st_ctime)
