"""A worker's process: started in a group of its own, ended as a group, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lambdad.bundler import tools
from lambdad.bundler.model import BundlerError

_PIECE: Final = 64 << 10
_SET_SIGNAL: Final = 10
"""F_SETSIG of <fcntl.h> on Linux."""
LIFE: Final = "_LAMBDAD_LIFE"
"""Where the system can't end it with us, the worker reads the descriptor of that number: its end is
ours."""


class WorkerProcess:
    """One process. Its output comes in the order of its writes, stdout and stderr alike."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        environ: Mapping[str, str],
        heard: Callable[[bytes], None],
    ) -> None:
        """Starts it. Raises BundlerError as `tools.run` does."""
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._output, written = os.pipe()
        life, self._life = os.pipe()
        try:
            self._process = _start(command, cwd, environ, written, life)
        except BundlerError:
            os.close(self._output)
            os.close(self._life)
            raise
        finally:
            os.close(written)
            os.close(life)
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self.drain)
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._watch()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> asyncio.Future[int]:
        """Its exit code, once it has ended and all that it wrote was heard."""
        return self._ended

    def drain(self) -> None:
        """Hears all that has been written up to now."""
        if self._output < 0:
            return
        while True:
            try:
                piece = os.read(self._output, _PIECE)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            if not piece:
                self._close()
                return
            self._heard(piece)

    def kill(self) -> None:
        """Ends it and all of its group at once; it may have ended already."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    # --- its end -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """By a descriptor of the process where there are such, else by looking."""
        if hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(self._process.pid)
            except OSError:
                pass
            else:
                self._loop.add_reader(descriptor, self._reap, descriptor)
                return
        self._loop.call_later(0.02, self._look)

    def _look(self) -> None:
        kept = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, self._process.pid, kept) is None:
            self._loop.call_later(0.02, self._look)
        else:
            self._settle()

    def _reap(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._settle()

    def _settle(self) -> None:
        self.kill()  # what it started and left in its group, whose number is ours until the wait
        code = self._process.wait()
        self.drain()
        self._close()
        os.close(self._life)
        if not self._ended.done():
            self._ended.set_result(code)

    def _close(self) -> None:
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1


def _start(
    command: Sequence[str], cwd: str, environ: Mapping[str, str], written: int, life: int
) -> subprocess.Popen[bytes]:
    """Raises BundlerError."""
    has_signal = sys.platform == "linux"
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environ) if has_signal else {**environ, LIFE: str(life)},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
            pass_fds=[life],
        )
    except OSError as fault:
        if not os.path.isdir(cwd):
            raise BundlerError("no-folder", f"{cwd} is no folder") from fault
        raise tools.not_started(command[0], fault) from fault
    except ValueError as fault:  # it holds a NUL, half a character, or an = in a name
        message = f"a variable of its environment can't be set: {fault}"
        raise BundlerError("bad-environment", message) from fault
    if has_signal:
        _end_with_us(life, process.pid)
    return process


def _end_with_us(life: int, pid: int) -> None:
    """The system kills the process's group when the pipe's other end, which is ours, is gone: also
    after a SIGKILL of ours. The process holds `life` open and never reads it."""
    fcntl.fcntl(life, fcntl.F_SETOWN, -pid)
    fcntl.fcntl(life, _SET_SIGNAL, int(signal.SIGKILL))
    flags = fcntl.fcntl(life, fcntl.F_GETFL)
    fcntl.fcntl(life, fcntl.F_SETFL, flags | os.O_ASYNC)
