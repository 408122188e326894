"""The one reader of files that are not ours: regular files only, of a bounded size.

A file is checked through its open descriptor, so no other file can take its place after the check.
A FIFO does not block the caller, and a device or a sparse file does not fill the memory.
"""

from __future__ import annotations

import errno
import io
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SETTINGS: Final = 4 << 20
"""The most bytes of a file that people write: a package.json, a tsconfig.json, requirements."""
LOCK: Final = 64 << 20
"""The most bytes of a file that tools write: a lock, a list of packages."""
SOURCE: Final = 262_144_000
"""The most bytes of a file that goes into a zip: Lambda takes as many of all files together."""


def read_regular(path: str, most: int) -> bytes:
    """A regular file's bytes. Raises OSError: also if it is larger than `most`, or no such file."""
    descriptor, status = _opened(path)
    try:
        parts: list[bytes] = []
        size, wanted = 0, min(status.st_size, most) + 1  # one more, so that the end is met
        if status.st_size <= most:
            while size <= most and (part := os.read(descriptor, max(wanted - size, _CHUNK))):
                parts.append(part)
                size += len(part)
        if max(size, status.st_size) > most:
            shown = f"{most >> 20} MiB" if most >> 20 else f"{most} bytes"
            raise OSError(errno.EFBIG, f"it is larger than {shown}", path)
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(descriptor)


def open_regular(path: str) -> io.BufferedReader:
    """A regular file, to be read a piece at a time. Raises OSError, also if it is no such file."""
    descriptor, _status = _opened(path)
    return open(descriptor, "rb")


def _opened(path: str) -> tuple[int, os.stat_result]:
    # To open a FIFO waits for its writer, for ever; non-blocking has no effect on a file.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except ValueError as fault:  # it holds a NUL, or half a character: nothing has such a name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from fault
    except OSError as fault:
        if fault.errno == errno.ENXIO:  # a socket can't be opened, nor a device without a driver
            raise OSError(errno.EINVAL, f"it is {special(path) or 'a device'}", path) from fault
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
            raise OSError(code, f"it is {_what(status.st_mode)}", path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


_CHUNK: Final = 1 << 16

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def special(path: str) -> str | None:
    """What the path leads to if that is neither a file nor a folder: "a FIFO", "a device". None
    also if nothing can be seen there."""
    try:
        return special_kind(os.stat(path).st_mode)
    except (OSError, ValueError):
        return None


def special_kind(mode: int) -> str | None:
    """As `special`, by a file's mode."""
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _what(mode)


def _what(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def reason(fault: OSError) -> str:
    """Why a file could not be read: words that follow a colon."""
    text = fault.strerror or str(fault)
    return text[:1].lower() + text[1:]
