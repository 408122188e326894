"""What the system refuses, reported as the machine's fault."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import BundlerError


@contextlib.contextmanager
def disk_faults(elsewhere: str | None = None) -> Iterator[None]:
    """What the file system refuses is the machine's fault, reported with the path and a next step.

    `elsewhere` is that step where it is not the project's folder that is written.
    """
    try:
        yield
    except OSError as fault:
        raise system_fault(fault, elsewhere) from fault


def system_fault(fault: OSError, elsewhere: str | None = None) -> BundlerError:
    """As `disk_faults`, of a fault that was caught."""
    known = _FAULTS.get(fault.errno or 0, _OTHER)
    where = f"{_text(fault.filename)}: " if fault.filename else ""
    hint = elsewhere if elsewhere and known.code == "not-writable" else known.hint
    return BundlerError(known.code, f"{known.what} {where}{fault.strerror or fault}", hint)


def _text(path: object) -> str:
    return path.decode(errors="replace") if isinstance(path, bytes) else str(path)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is reported of an error of the system."""

    code: str
    hint: str | None
    what: str = "can't write"


_OTHER: Final = _Known("not-writable", None)
_FULL: Final = _Known("disk-full", "free some room; `lambdad cache prune` empties the store")
_TOO_MANY: Final = _Known(
    "system-limit",
    "raise the limit of open files or of processes (`ulimit -n`, `ulimit -u`)",
    "a limit of the system is reached:",
)
_FAULTS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _Known(
        "not-writable", "the project is on a file system that is mounted read-only"
    ),
    errno.EACCES: _Known(
        "not-writable", "the .lambdad folder must be yours: who ran lambdad last?"
    ),
    errno.EMFILE: _TOO_MANY,
    errno.ENFILE: _TOO_MANY,
    errno.EAGAIN: _TOO_MANY,
    errno.ENOMEM: _Known(
        "out-of-memory",
        "give it more memory, or build fewer things at a time",
        "there is too little memory:",
    ),
}
