"""The lines that Lambda writes around a request, and the end of what a request logged."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from lambdad.daemon.live.invocation import VERSION

TAIL: Final = 4096
"""Bytes of X-Amz-Log-Result, before base64."""


class Tail:
    """Keeps the last bytes of a log."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, piece: bytes) -> None:
        self._kept += piece
        if len(self._kept) > TAIL:
            del self._kept[:-TAIL]

    def value(self) -> bytes:
        return bytes(self._kept)


def start_line(request_id: str) -> str:
    return f"START RequestId: {request_id} Version: {VERSION}\n"


def end_line(request_id: str) -> str:
    return f"END RequestId: {request_id}\n"


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    memory_mb: int,
    used_mb: int | None,
    init_ms: float | None,
    status: str | None = None,
) -> str:
    """`status`: "timeout", or "error" with its type, as Lambda appends it."""
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(duration_ms + (init_ms or 0))} ms",
        f"Memory Size: {memory_mb} MB",
    ]
    if used_mb is not None:
        parts.append(f"Max Memory Used: {used_mb} MB")
    if init_ms is not None:
        parts.append(f"Init Duration: {init_ms:.2f} ms")
    if status is not None:
        parts.append(f"Status: {status}")
    return "\t".join(parts) + "\t\n"


def stamped(request_id: str, text: str) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{now} {request_id} {text}\n"


def memory_used(pid: int) -> int | None:
    """Megabytes at the most up to now; None where the system does not say."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return math.ceil(int(line.split()[1]) / 1024)
    except (OSError, ValueError, IndexError):
        return None
    return None
