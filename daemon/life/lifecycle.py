"""The daemon process: its lock, socket and log, its heartbeat, and how it leaves.

daemon/serve.py runs it; control.py starts that. Alive means: holds the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from lambdad.bundler import tools
from lambdad.bundler.store.user_state import user_key
from lambdad.bundler.version import LAMBDAD
from lambdad.daemon.life import lock, process
from lambdad.daemon.life.control import READY, SPAWNED, THRIFT
from lambdad.daemon.life.leave import Leave
from lambdad.daemon.wire.address import Address, NoDaemon, address, identity, open_ours, prepare

Serve = Callable[[socket.socket, str, Mapping[str, str], Leave], Awaitable[None]]

BEAT_S: Final = 2.0
IDLE_S: Final = 1800.0
MEMORY_MB: Final = 2048.0
MEMORY_BEATS: Final = 1 if process.LINUX else 15
"""Every so many beats the memory is looked at: elsewhere that runs a command."""
LAST_S: Final = 4.5
"""A daemon that is to leave is gone after so long: before `stop` loses patience."""
LOCK_S: Final = 1.0
"""For so long a process that only looks may hold a lock."""
LOG_BYTES: Final = 1_000_000
BACKLOG: Final = 256
DESCRIPTORS: Final = 65536

log = logging.getLogger("lambdad")

if TYPE_CHECKING:
    _Stderr = logging.StreamHandler[TextIO]
else:
    _Stderr = logging.StreamHandler

FileIdentity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What a daemon must not outlive, as it was when it moved in."""

    root: str
    where: Address
    keys: Mapping[str, FileIdentity]
    """Of its project's folder, its lock and its socket, by path."""
    idle_s: float
    memory: float
    """Bytes."""


def run(
    root: str,
    environ: Mapping[str, str],
    serve: Serve,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serves the project until it is time to leave; then its socket, lock and children are gone.

    `ready` is called once a client may connect. Raises NoDaemon if another daemon serves it.
    """
    where = address(root, environ)
    prepare(where)
    held = lock.take(where.lock, LOCK_S)
    if held is None:
        raise NoDaemon("another daemon serves this project")
    try:
        lock.write_note(held, _note(root, environ))
        with _listening(where) as listener:
            home = _home(root, where, environ)
            log.info("lambdad %s serves %s", LAMBDAD, root)
            if fault := user_key(environ, root).fault:
                log.warning("nothing is remembered between runs: %s", fault)
            last = threading.Timer(LAST_S, _abandon, (home,))
            last.daemon = True
            serving = functools.partial(serve, listener, root, environ)
            asyncio.run(_live(home, serving, ready, last))
            last.cancel()
    finally:
        _end_children()
        lock.release(where.lock, held)


async def _live(
    home: Home,
    serving: Callable[[Leave], Awaitable[None]],
    ready: Callable[[], None],
    last: threading.Timer,
) -> None:
    leave = Leave()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.because, f"{number.name} came")
    beating = asyncio.create_task(_beat(home, leave, last))
    ready()
    try:
        await serving(leave)
    finally:
        leave.set()
        tools.end_all(for_good=True)  # worker threads that wait for one go on, and end
        await beating


async def _beat(home: Home, leave: Leave, last: threading.Timer) -> None:
    """Looks every few seconds whether there is a reason to leave, and sees to it that we do."""
    beats = 0
    beat_s = min(BEAT_S, home.idle_s)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(leave.wait(), beat_s)
        if leave.is_set():
            break
        try:
            reason = reason_to_leave(home, leave.idle_s(), look_at_memory=beats % MEMORY_BEATS == 0)
        except Exception:
            # Without a heartbeat nothing would ever end this process.
            log.exception("the heartbeat failed")
            reason = "the heartbeat failed"
        if reason:
            leave.because(reason)
        beats += 1
    last.start()


def reason_to_leave(home: Home, idle_s: float, *, look_at_memory: bool = True) -> str | None:
    for path, key in home.keys.items():
        if _key(path) != key:
            return f"{path} is gone"
    if idle_s >= home.idle_s:
        return f"no request for {idle_s:.0f} s"
    if look_at_memory and (used := memory_in_use()) > home.memory:
        return f"it takes {used / 1e6:.0f} MB of memory, {home.memory / 1e6:.0f} MB are allowed"
    return None


def memory_in_use() -> int:
    """Bytes, of this process and its esbuild. Other tools end by themselves."""
    children = process.children(os.getpid())
    return process.memory(os.getpid()) + sum(
        child.memory for child in children if child.name == "esbuild"
    )


def _abandon(home: Home) -> None:
    """In a thread of its own: something keeps the loop, or a worker, from ending."""
    log.error("leaving did not end within %.1f s", LAST_S)
    _end_children()
    _remove_socket(home.where, home.keys[home.where.socket])
    os._exit(1)  # and the lock with it


def _end_children() -> None:
    tools.end_all()
    process.end_children()


# --- what it holds -----------------------------------------------------------------------------


def _home(root: str, where: Address, environ: Mapping[str, str]) -> Home:
    keys = {}
    for path in (root, where.lock, where.socket):
        key = _key(path)
        if key is None:
            raise NoDaemon(f"{path} is gone")
        keys[path] = key
    return Home(
        root=root,
        where=where,
        keys=keys,
        idle_s=_number(environ, "LAMBDAD_IDLE_S", IDLE_S),
        memory=_number(environ, "LAMBDAD_MEMORY_MB", MEMORY_MB) * 1e6,
    )


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    given = environ.get(name)
    if not given:
        return default
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        log.warning("%s=%s is not a positive number; %g is taken", name, given, default)
        return default
    return value


def _note(root: str, environ: Mapping[str, str]) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "birth": process.birth(os.getpid()),
        "version": LAMBDAD,
        "python": sys.executable,
        "identity": identity(environ),
        "project": root,
        "started_s": round(time.time(), 3),
    }


@contextlib.contextmanager
def _listening(where: Address) -> Iterator[socket.socket]:
    """The socket, under its name only once it listens: a client that finds it can connect."""
    temporary = f"{where.socket[:-5]}.new"  # shorter than the name: a path that fits, fits
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # of a daemon killed just here; only the lock's holder binds
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Only now: a umask for life would show in the modes of what builds write.
        umask = os.umask(0o077)
        try:
            listener.bind(temporary)
        finally:
            os.umask(umask)
        listener.listen(BACKLOG)
        key = _key(temporary)
        os.rename(temporary, where.socket)
    except BaseException:
        listener.close()
        raise
    try:
        yield listener
    finally:
        _remove_socket(where, key)
        listener.close()


def _remove_socket(where: Address, key: FileIdentity | None) -> None:
    with contextlib.suppress(OSError):
        if _key(where.socket) == key:
            os.unlink(where.socket)


def _key(path: str) -> FileIdentity | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


# --- the process -------------------------------------------------------------------------------


def main(load: Callable[[], Serve], arguments: Sequence[str] | None = None) -> None:
    """`python -m lambdad.daemon.serve ROOT`: in the foreground, with its log on stderr.

    `load` imports the server once the process has parted from its starter.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    spawned = given[:1] == [SPAWNED]
    if spawned:
        given = given[1:]
        _part_from_starter()
    root = os.path.realpath(given[0]) if len(given) == 1 else ""
    if not os.path.isdir(root):
        _tell(f"there is no folder {root}\n".encode(), spawned=spawned)
        sys.exit("usage: python -m lambdad.daemon.serve PROJECT")
    where = address(root, os.environ)
    _keep_log(where, bounded=spawned)
    _inherit_nothing()
    try:
        serving = load()  # its libraries load before the starter hears that the daemon is ready
        run(root, dict(os.environ), serving, _tell_ready if spawned else lambda: None)
        code = 0
    except NoDaemon as fault:
        log.error("%s", fault)
        _tell(f"{fault}\n".encode(), spawned=spawned)
        code = 1
    except BaseException as fault:
        log.exception("the daemon failed")
        _tell(f"{type(fault).__name__}: {fault}\n".encode(), spawned=spawned)
        code = 1
    # Not sys.exit: it waits for worker threads, whatever they do. All that counts is on disk.
    logging.shutdown()
    os._exit(code)


def _part_from_starter() -> None:
    """A child of init, which waits for it, and not a session's leader: no terminal is ever its."""
    if os.fork():
        os._exit(0)
    # What control.py added, so that this very code runs, and frugally, is not for our tools.
    paths = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    if rest := os.pathsep.join(paths[1:]):
        os.environ["PYTHONPATH"] = rest
    for name, value in THRIFT.items():
        if os.environ.get(name) == value:
            del os.environ[name]


def _inherit_nothing() -> None:
    """Whatever the starter blocked, ignored or bounded."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, no child's exit code could be read
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _tell_ready() -> None:
    _tell(READY, spawned=True)


def _tell(what: bytes, *, spawned: bool) -> None:
    """To the starter, which reads until our end of the pipe is closed; it may have gone."""
    if spawned:
        with contextlib.suppress(OSError):
            os.write(1, what)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)


# --- its log -----------------------------------------------------------------------------------


class _Log(_Stderr):
    """Writes to stderr, which goes on in a new file once the old one is large; one old one stays.

    stderr itself moves, so that what an interpreter that dies writes there is in the newest.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        with contextlib.suppress(OSError, NoDaemon):
            if os.fstat(2).st_size > LOG_BYTES:
                self._turn_over()

    def _turn_over(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path, f"{self._path}.1")
        descriptor = open_ours(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 2)
        os.close(descriptor)


def _keep_log(where: Address, *, bounded: bool) -> None:
    handler = _Log(where.log) if bounded else logging.StreamHandler()
    logging.basicConfig(
        level=logging.INFO,
        handlers=[handler],
        format=f"%(asctime)s {os.getpid()} %(levelname)s %(message)s",
    )
    with contextlib.suppress(RuntimeError):  # no stderr
        faulthandler.enable()
