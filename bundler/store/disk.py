"""Faults of the file system that is written to, told as the machine's."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

from lambdad.bundler.model import BundlerError


@contextlib.contextmanager
def disk_faults(elsewhere: str | None = None) -> Iterator[None]:
    """What the file system refuses is the machine's fault, told with the path and a next step.

    `elsewhere` is that step where it is not the project's folder that is written.
    """
    try:
        yield
    except OSError as fault:
        code, hint = _DISK_FAULTS.get(fault.errno or 0, ("not-writable", None))
        if code == "not-writable":
            hint = elsewhere or hint
        where = f"{fault.filename}: " if fault.filename else ""
        raise BundlerError(code, f"can't write {where}{fault.strerror or fault}", hint) from fault


_FULL: Final = ("disk-full", "free some room; `lambdad cache prune` empties the store")
_DISK_FAULTS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: ("not-writable", "the project lies on a file system that is mounted read-only"),
    errno.EACCES: ("not-writable", "the .lambdad folder must be yours: who ran lambdad last?"),
}
