"""Where a project's daemon is found, and whether it is like ours. It imports little: clients do.

In one folder, named by a hash of the project's real path:

<hash>.sock     the socket
<hash>.lock     held for as long as the daemon lives; says who holds it
<hash>.start    held while one is started or stopped
<hash>.log      what it had to say, and <hash>.log.1 before that
"""

from __future__ import annotations

import os
import stat
import sys

from lambdad.bundler.version import LAMBDAD
from lambdad.daemon.wire import quick

TYPE_CHECKING = False  # typing's own costs as much as all of this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LONGEST = 103
"""Bytes of a socket's path: macOS has room for 104, the last a NUL; Linux for 4 more."""

DECIDING = (
    "HOME",
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_BINARY",
    "PIP_NO_INDEX",
    "PIP_ONLY_BINARY",
    "PIP_PRE",
    "PIP_PREFER_BINARY",
)
"""What decides which packages a build takes. PATH is not here: an editor and a terminal seldom
agree on it, and would end each other's daemon with every request."""


class NoDaemon(Exception):  # noqa: N818 -- it is an ending, and named so
    """No daemon can be had; the message says why. The caller can build without one."""


class Address:
    """The paths of one project's daemon. Whether there is one, they don't say."""

    __slots__ = ("folder", "lock", "log", "socket", "start_lock")

    def __init__(self, folder: str, name: str) -> None:
        self.folder = folder
        self.socket = f"{folder}/{name}.sock"
        self.lock = f"{folder}/{name}.lock"
        self.start_lock = f"{folder}/{name}.start"
        self.log = f"{folder}/{name}.log"


def address(root: str, environ: Mapping[str, str]) -> Address:
    """The same for every way to write the project's path, as long as the folder stays there."""
    name = quick.sha256(os.fsencode(os.path.realpath(root)))[:16]
    found = Address(_folder(environ), name)
    if len(os.fsencode(found.socket)) > LONGEST:
        return Address(f"/tmp/lambdad-{os.geteuid()}", name)  # noqa: S108 -- `prepare` checks it
    return found


def _folder(environ: Mapping[str, str]) -> str:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        try:
            # sudo may keep the variable: what root makes there would shut the user out.
            if os.stat(runtime).st_uid == os.geteuid():
                return os.path.join(runtime, "lambdad")
        except OSError:
            pass
    cache = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME') or '~'}/.cache"
    return os.path.join(os.path.abspath(os.path.expanduser(cache)), "lambdad", "run")


def prepare(where: Address) -> None:
    """The folder is there, ours, and no other user may look into it. Raises NoDaemon."""
    try:
        os.makedirs(where.folder, mode=0o700, exist_ok=True)
    except OSError as fault:
        raise NoDaemon(f"can't make {where.folder}: {fault.strerror or fault}") from fault
    if reason := unsafe(where):
        raise NoDaemon(reason)


def unsafe(where: Address) -> str | None:
    """Why nothing in the folder is to be trusted, if so.

    The user may have put a symlink in the folder's place; in the folder none is followed.
    """
    try:
        status = os.lstat(where.folder)
        if stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid():
            status = os.stat(where.folder)
    except OSError as fault:
        return f"{where.folder}: {fault.strerror or fault}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{where.folder} is not a folder"
    if status.st_uid != os.geteuid():
        return f"{where.folder} is another user's: remove it, or set XDG_RUNTIME_DIR"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"others may enter {where.folder}: chmod 700, or remove it"
    for path in (where.lock, where.start_lock, where.log, f"{where.log}.1", where.socket):
        if reason := _not_ours(path, is_socket=path == where.socket):
            return reason
    return None


def _not_ours(path: str, *, is_socket: bool = False) -> str | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    is_kind = stat.S_ISSOCK if is_socket else stat.S_ISREG
    if is_kind(status.st_mode) and status.st_uid == os.geteuid():
        return None
    kind = "socket" if is_socket else "file"
    return f"{path} is no {kind} of this user's: look at what it is, then remove it"


def open_ours(path: str, flags: int) -> int:
    """A file in the folder, as a descriptor. No symlink is followed, and no FIFO waited at.

    Raises OSError; NoDaemon if what lies there is not a file of this user's.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        if reason := _not_ours(path):
            raise NoDaemon(reason) from None
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise NoDaemon(_not_ours(path) or f"{path} is no file of this user's")


def identity(environ: Mapping[str, str]) -> str:
    """Equal for two processes whose builds are interchangeable, as far as they decide anything."""
    cache = environ.get("LAMBDAD_CACHE_DIR") or environ.get("XDG_CACHE_HOME") or ""
    parts = [
        LAMBDAD,
        # sys.executable would differ between python and python3 of one installation.
        sys.prefix,
        sys.version,
        code_folder(),
        os.path.abspath(cache) if cache else "",
        *(f"{name}={environ.get(name, '')}" for name in DECIDING),
    ]
    text = "\0".join(parts)
    return quick.sha256(text.encode("utf-8", "surrogateescape"))[:16]


def code_folder() -> str:
    """The folder that holds the package lambdad, as this process imported it."""
    package = os.path.abspath(__file__)
    for _ in ("address", "client", "daemon", "lambdad"):
        package = os.path.dirname(package)
    return package


def read_note(where: Address) -> dict[str, Any] | None:
    """What the lock's holder, or the last one, wrote of itself; None if that can't be read."""
    try:
        with open(open_ours(where.lock, os.O_RDONLY), "rb") as file:
            note = quick.loads(file.read(65536))
    except (OSError, ValueError, NoDaemon):
        return None
    return note if isinstance(note, dict) else None
