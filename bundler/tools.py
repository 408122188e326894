"""How every tool is run: a list of arguments, a chosen environment, a time-out, no shell."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store.disk import system_fault

MOST_OUTPUT: Final = 64 << 20
"""Bytes that a tool may print: no answer that is of any use is longer, and all of it is kept."""
_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Completed:
    """What a tool answered; output that is not UTF-8 is kept readable."""

    code: int
    stdout: str
    stderr: str


def run(
    arguments: Sequence[str],
    *,
    cwd: Path | str,
    environ: Mapping[str, str] | None = None,
    input_text: str | None = None,
    timeout_s: float = 600.0,
) -> Completed:
    """Runs a tool to its end. It leads a process group of its own, which is gone when this returns.

    Raises BundlerError: `tool-missing` if it can't be started, `system-limit` or `out-of-memory`
    if nothing can, `tool-timeout` past `timeout_s`, `tool-output` when it prints more than
    `MOST_OUTPUT`, `interrupted` when `end_all` ended it.
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            cwd=cwd,
            env=dict(os.environ if environ is None else environ),
            stdin=subprocess.DEVNULL if input_text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as fault:
        raise not_started(arguments[0], fault) from fault
    _running.add(process)
    if _no_more.is_set():
        end_all()
    sent = b"" if input_text is None else input_text.encode(errors="replace")
    try:
        stdout, stderr = _talk(process, sent, timeout_s)
    except subprocess.TimeoutExpired as fault:
        raise BundlerError(
            "tool-timeout", f"{arguments[0]} gave no answer within {timeout_s:.0f} s and was ended"
        ) from fault
    except _TooMuchError as fault:
        raise BundlerError(
            "tool-output",
            f"{arguments[0]} printed more than {MOST_OUTPUT >> 20} MB and was ended",
        ) from fault
    finally:
        _end_group(process)
        _running.discard(process)
        was_ended = process in _ended
        _ended.discard(process)
    if was_ended:
        raise BundlerError("interrupted", f"{arguments[0]} was interrupted", "build again")
    return Completed(process.returncode, _text(stdout), _text(stderr))


def not_started(program: str, fault: OSError) -> BundlerError:
    """Why the program can't be started: it, or the system, which has no room for another."""
    known = system_fault(fault)
    message = f"can't run {program}: {fault.strerror or fault}"
    if known.code in ("system-limit", "out-of-memory"):
        return BundlerError(known.code, message, known.hint)
    hint = None
    if fault.errno == errno.EACCES:
        hint = f"see whether it may be executed, and how its disk is mounted: `ls -l {program}`"
    return BundlerError("tool-missing", message, hint)


class _TooMuchError(Exception):
    """It prints without end."""


def _talk(process: subprocess.Popen[bytes], sent: bytes, timeout_s: float) -> tuple[bytes, bytes]:
    """As Popen.communicate, which keeps whatever comes. Raises TimeoutExpired, _TooMuchError."""
    ends_s = time.monotonic() + timeout_s
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    told = {pipe.fileno(): bytearray() for pipe in pipes}
    left = memoryview(sent)
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            if (left_s := ends_s - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            for key, _events in selector.select(left_s):
                if key.fileobj is process.stdin:
                    left = _send(key.fd, left)
                    is_over = not left
                else:
                    piece = os.read(key.fd, _PIECE)
                    told[key.fd] += piece
                    is_over = not piece
                if is_over:
                    selector.unregister(key.fileobj)
                    if key.fileobj is process.stdin:
                        process.stdin.close()
            if sum(map(len, told.values())) > MOST_OUTPUT:
                raise _TooMuchError
    process.wait(max(ends_s - time.monotonic(), 0))
    stdout, stderr = told.values()
    return bytes(stdout), bytes(stderr)


def _send(descriptor: int, left: memoryview) -> memoryview:
    """What is still to be sent; nothing to one that reads no more."""
    try:
        return left[os.write(descriptor, left[:_PIECE]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]


def _text(told: bytes) -> str:
    return told.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


_running: set[subprocess.Popen[bytes]] = set()
_ended: set[subprocess.Popen[bytes]] = set()
"""Those of them that `end_all` ended: what they came to says nothing."""
_no_more = threading.Event()


def end_all(*, for_good: bool = False) -> None:
    """Ends every tool that is running now: the caller was interrupted. Their `run` calls raise.

    `for_good`, and any that is started later is ended at once: this process is about to exit.
    """
    if for_good:
        _no_more.set()
    for process in tuple(_running):
        _ended.add(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
