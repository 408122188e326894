"""Starting and stopping a project's daemon from outside."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Final

from lambdad.daemon.life import lock
from lambdad.daemon.wire import exchange
from lambdad.daemon.wire.address import (
    Address,
    NoDaemon,
    address,
    code_folder,
    identity,
    open_ours,
    prepare,
    read_note,
    unsafe,
)

MODULE = "lambdad.daemon.serve"
"""What is run; tests put another there."""
SPAWNED: Final = "--spawned"
"""Its argument that says: stdout waits for READY, or for what went wrong; stderr is the log."""
READY: Final = b"ready\n"
START_S: Final = 30.0
STOP_S: Final = 5.0
"""What each step of stopping is given: asking, SIGTERM, SIGKILL."""
TURN_S: Final = START_S + 4 * STOP_S


THRIFT: Final = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(256 << 10),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 20),
}
"""For glibc (man mallopt): what large outputs took goes back when they are gone. After builds of
fifty functions with an AWS SDK client the daemon has 75 MB, and had 180. Elsewhere it means
nothing."""


def start(root: str, environ: Mapping[str, str]) -> bool:
    """A daemon like ours answers when this returns; whether this call started it.

    One that is of another version or configuration, or does not answer, is replaced. Raises
    NoDaemon.
    """
    where = address(root, environ)
    prepare(where)
    with _faults(), lock.turn(where, TURN_S):
        if _is_ours(where, environ) and exchange.is_alive(where.socket):
            return False
        _end(where)
        _spawn(root, environ, where)
    return True


def restart(root: str, environ: Mapping[str, str]) -> None:
    """A new daemon answers when this returns. Raises NoDaemon."""
    where = address(root, environ)
    prepare(where)
    with _faults(), lock.turn(where, TURN_S):
        _end(where)
        _spawn(root, environ, where)


def stop(root: str, environ: Mapping[str, str]) -> bool:
    """No daemon holds the lock when this returns; whether one did. Raises NoDaemon."""
    where = address(root, environ)
    if not os.path.isdir(where.folder):
        return False
    prepare(where)
    with _faults(), lock.turn(where, TURN_S):
        return _end(where)


def is_running(where: Address) -> bool:
    """Whether a daemon holds the lock. Raises NoDaemon if the folder is not to be trusted."""
    if os.path.lexists(where.folder) and (reason := unsafe(where)):
        raise NoDaemon(reason)
    with contextlib.suppress(OSError):
        return lock.is_held(where.lock)
    return False


def _is_ours(where: Address, environ: Mapping[str, str]) -> bool:
    note = read_note(where)
    return note is not None and note.get("identity") == identity(environ)


def _end(where: Address) -> bool:
    """Asks the daemon to leave, and if it does not, makes it; it is gone when this returns."""
    if not lock.is_held(where.lock):
        return False
    known = lock.holder(where)
    with contextlib.suppress(NoDaemon):
        exchange.ask(where.socket, "POST", "/v1/stop", timeout_s=STOP_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if lock.wait_until_free(where.lock, STOP_S):
            break
        lock.end_holder(where, number)
    if not lock.wait_until_free(where.lock, STOP_S):
        raise NoDaemon(f"the process that holds {where.lock} does not end")
    if known is not None:
        lock.wait_until_gone(known, STOP_S)
    return True


def _spawn(root: str, environ: Mapping[str, str], where: Address) -> None:
    """Starts the process and waits until it answers."""
    if not sys.executable:
        raise NoDaemon("this Python does not know where its interpreter is")
    paths = [code_folder(), *filter(None, [environ.get("PYTHONPATH")])]
    with _log(where) as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, SPAWNED, root],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env={**THRIFT, **environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    with process:  # which waits for it: the daemon is its child by now, and init's
        said = _first_line(process.stdout)
    if said != READY:
        raise NoDaemon(f"it did not start: {said.decode(errors='replace').strip() or _last(where)}")
    if not exchange.is_alive(where.socket):
        raise NoDaemon(f"it started, and does not answer: {_last(where)}")


def _first_line(pipe: IO[bytes] | None) -> bytes:
    poll = select.poll()
    poll.register(pipe or 0)
    if pipe is None or not poll.poll(START_S * 1000):
        return b"it was not ready within %.0f s" % START_S
    return pipe.readline()


@contextlib.contextmanager
def _log(where: Address) -> Iterator[int]:
    try:
        descriptor = open_ours(where.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError:  # no room, or no right: it does without
        descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _last(where: Address) -> str:
    """The last line of the log: what an import that failed said."""
    with (
        contextlib.suppress(OSError, NoDaemon),
        open(open_ours(where.log, os.O_RDONLY), "rb") as file,
    ):
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return f"see {where.log}"


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """A disk that is full, a folder that is not writable: no daemon, and no more than that."""
    try:
        yield
    except OSError as fault:
        place = f"{fault.filename}: " if fault.filename else ""
        raise NoDaemon(f"{place}{fault.strerror or fault}") from fault
