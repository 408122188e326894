"""The error objects that Lambda itself makes, where no handler can: exits, time-outs, sizes."""

from __future__ import annotations

import json
import signal
from typing import Final

MOST_ANSWER: Final = 6_291_556
"""Bytes of an answer that is not streamed (AWS: 6 MB and what the envelope may take)."""
MOST_STREAM: Final = 200 << 20
"""Bytes of a streamed answer."""


def timed_out(request_id: str, timeout_s: float) -> bytes:
    message = f"RequestId: {request_id} Error: {timed_out_line(timeout_s)}"
    return _object("Sandbox.Timedout", message)


def timed_out_line(timeout_s: float) -> str:
    """What the log says, too."""
    return f"Task timed out after {timeout_s:.2f} seconds"


def exited(request_id: str, code: int) -> bytes:
    """Of a process that ended; a negative code is a signal's number, as subprocess has it."""
    return _object("Runtime.ExitError", f"RequestId: {request_id} Error: {exit_line(code)}")


def exit_line(code: int) -> str:
    """How Lambda words the way that the runtime's process ended."""
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 0:
        return f"Runtime exited with error: exit status {code}"
    try:
        name = signal.strsignal(-code)
    except ValueError:
        name = None
    return f"Runtime exited with error: signal: {(name or str(-code)).lower()}"


def too_large(size: int) -> bytes:
    return _object(
        "Function.ResponseSizeTooLarge",
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
        f"({MOST_ANSWER} bytes).",
    )


def too_large_stream() -> bytes:
    return _object(
        "Function.ResponseSizeTooLarge",
        f"The streamed response exceeded maximum allowed payload size ({MOST_STREAM} bytes).",
    )


def broken_stream(request_id: str) -> bytes:
    return _object(
        "Runtime.TruncatedResponse",
        f"RequestId: {request_id} Error: the response ended before it was whole",
    )


def error_type(error: bytes) -> str:
    """An error object's type, as log lines name it."""
    try:
        found = json.loads(error)
    except ValueError:
        return "Runtime.Unknown"
    kind = found.get("errorType") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) and kind else "Runtime.Unknown"


def _object(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
