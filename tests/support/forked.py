"""Commands of lambdad, each in a process that is forked from one that has imported all of it.

Such a command does what one in a new interpreter does, in a fraction of its time. Nothing has run
in the process that it is forked from, so it knows nothing of any project.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import lambdad.bundler
import lambdad.daemon
from tests.support.paths import ROOT

ENDED = -signal.SIGKILL
"""The exit code of a command that gave no answer in time."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stderr + self.stdout


class Forks:
    """The process that commands are forked from. One thread at a time may use it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def lambdad(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        environ: Mapping[str, str],
        timeout_s: float = 60.0,
    ) -> Ended:
        """Runs `lambdad` with the arguments; one that takes longer is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "arguments": list(arguments),
            "cwd": cwd,
            "environ": dict(environ),
            "timeout_s": timeout_s,
        }
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


@contextlib.contextmanager
def forks() -> Iterator[Forks]:
    """Ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forked"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            yield Forks(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


# --- in that process -----------------------------------------------------------------------------


def _serve() -> None:
    for package in (lambdad.bundler, lambdad.daemon):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with contextlib.suppress(ImportError):  # what only another system has
                import_module(module.name)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(_run(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


def _run(asked: Mapping[str, Any]) -> Mapping[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _become(asked, out.fileno(), err.fileno())
        code = _end_of(pid, asked["timeout_s"])
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
    return {"code": code, "stdout": said[0], "stderr": said[1]}


def _become(asked: Mapping[str, Any], out: int, err: int) -> None:
    """In the child, which this call ends."""
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        sys.argv = ["lambdad", *asked["arguments"]]
        import_module("lambdad.daemon.entry").main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(70)


def _end_of(pid: int, timeout_s: float) -> int:
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            os.killpg(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    _serve()
