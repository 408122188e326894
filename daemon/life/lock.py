"""Locks that a process holds until it ends, however it ends: flock(2) on a file with a name.

A file that no process holds means nothing. Its holder may remove it: a lock counts only while
its file is the one under the name, so two processes never hold it at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

from lambdad.daemon.life import process
from lambdad.daemon.wire.address import Address, NoDaemon, open_ours, read_note

POLL_S: Final = 0.01


def take(path: str, wait_s: float) -> int | None:
    """The lock, as a descriptor to `release`; None if others keep it for so long.

    Raises OSError; NoDaemon if no file of this user's has the name.
    """
    deadline = time.monotonic() + wait_s
    while True:
        descriptor = open_ours(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_named(path, descriptor):
                return descriptor
            os.close(descriptor)  # its holder removed it meanwhile
            continue
        except BlockingIOError:
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if time.monotonic() >= deadline:
            return None
        time.sleep(POLL_S)


def release(path: str, descriptor: int) -> None:
    """Removes the file, then lets go of it."""
    with contextlib.suppress(OSError):
        if is_named(path, descriptor):
            os.unlink(path)
    os.close(descriptor)


def is_named(path: str, descriptor: int) -> bool:
    """Whether the file that was opened is the one that has the name now."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_held(path: str) -> bool:
    """Whether a process holds the lock. Looking takes it for a moment, as shared.

    Raises OSError; NoDaemon if no file of this user's has the name.
    """
    try:
        descriptor = open_ours(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def wait_until_free(path: str, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while is_held(path):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextlib.contextmanager
def turn(where: Address, wait_s: float) -> Iterator[None]:
    """While it lasts, no other process starts or stops the daemon. Raises NoDaemon, OSError."""
    descriptor = take(where.start_lock, wait_s)
    if descriptor is None:
        raise NoDaemon(f"another process has been starting or stopping it for {wait_s:.0f} s")
    try:
        yield
    finally:
        release(where.start_lock, descriptor)


def write_note(descriptor: int, note: dict[str, Any]) -> None:
    """Writes into the lock's file who holds it. Half of it is no JSON, and so counts as none."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(note).encode(), 0)


def holder(where: Address) -> tuple[int, str] | None:
    """The process that holds the lock, and when it was born, as the lock's note says; it may be a
    former holder's, whose number may be another process's by now."""
    note = read_note(where) or {}
    pid, born = note.get("pid"), note.get("birth")
    return (pid, born) if isinstance(pid, int) and isinstance(born, str) else None


def end_holder(where: Address, number: signal.Signals) -> bool:
    """Signals the process that holds the lock; False if it is not certain which one does.

    The note counts only if a process of that number was born when it says; while that lives, it
    holds the lock.
    """
    if not is_held(where.lock) or (known := holder(where)) is None:
        return False
    return process.end(known[0], number, known[1])


def wait_until_gone(known: tuple[int, str], wait_s: float) -> bool:
    """Whether that process ends in time: it lets go of the lock a moment before."""
    deadline = time.monotonic() + wait_s
    while process.birth(known[0]) == known[1]:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
