"""How every tool is run: a list of arguments, a chosen environment, a time-out, no shell."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.model import BundlerError


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

    Raises BundlerError: `tool-missing` if it can't be started, `tool-timeout` past `timeout_s`.
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
            encoding="utf-8",
            errors="replace",
        )
    except OSError as fault:
        raise BundlerError(
            "tool-missing", f"can't run {arguments[0]}: {fault.strerror or fault}"
        ) from fault
    _running.add(process)
    if _no_more.is_set():
        end_all()
    try:
        stdout, stderr = process.communicate(input_text, timeout=timeout_s)
    except subprocess.TimeoutExpired as fault:
        raise BundlerError(
            "tool-timeout", f"{arguments[0]} gave no answer within {timeout_s:.0f} s and was ended"
        ) from fault
    finally:
        _end_group(process)
        _running.discard(process)
    return Completed(process.returncode, stdout, stderr)


_running: set[subprocess.Popen[str]] = set()
_no_more = threading.Event()


def end_all(*, for_good: bool = False) -> None:
    """Ends every tool that is running now: the caller was interrupted. Their `run` calls return.

    `for_good`, and any that is started later is ended at once: this process is about to exit.
    """
    if for_good:
        _no_more.set()
    for process in tuple(_running):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_group(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
