"""Whether what lies at a path is of the kind that it should be, and belongs to the right user.

What is not is refused: a BundlerError `not-ours` that names the path and says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Final

from lambdad.bundler.model import BundlerError

Owners = frozenset[int]
"""The user IDs that files of ours may have."""

FOLDER: Final = stat.S_IFDIR
FILE: Final = stat.S_IFREG

_KINDS: Final = {
    FOLDER: "a folder",
    FILE: "a file",
    stat.S_IFLNK: "a symlink",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def this_user() -> Owners:
    return frozenset({os.geteuid()})


def this_user_or_root() -> Owners:
    """Root may change this user's files in any case, and a machine's image may hold a store that
    root made."""
    return frozenset({os.geteuid(), 0})


def refused(path: str, what: str, hint: str | None = None) -> BundlerError:
    """The refusal of `path`; `what` completes a sentence that begins with the path."""
    return BundlerError("not-ours", f"{path} {what}", hint or f"remove {path}: it is made anew")


def another_users(path: str, owner: int) -> BundlerError:
    """The refusal of what belongs to the user `owner`."""
    hint = f"remove {path}, or run lambdad as that user"
    return refused(path, f"belongs to another user (ID {owner})", hint)


def check(path: str, status: os.stat_result, kind: int, owners: Owners) -> None:
    """Raises the refusal of what has this status, symlinks not followed, if it is refused."""
    found = stat.S_IFMT(status.st_mode)
    if found != kind:
        raise refused(path, f"is {_KINDS.get(found, 'something else')} and not {_KINDS[kind]}")
    if status.st_uid not in owners:
        raise another_users(path, status.st_uid)


def reason(
    fault: OSError,
    path: str,
    kind: int,
    owners: Owners,
    *,
    name: str | None = None,
    dir_fd: int | None = None,
) -> OSError:
    """What to raise where the system refused to open `path`, which is `name` in the folder
    `dir_fd` if that is given: the fault with the whole path. Raises the refusal of what lies there,
    if that is the reason."""
    if fault.errno not in (errno.ENOENT, errno.EEXIST):
        with contextlib.suppress(OSError):
            status = os.stat(name or path, dir_fd=dir_fd, follow_symlinks=False)
            check(path, status, kind, owners)
    return OSError(fault.errno, fault.strerror, path)
