"""Reads the events of an answer that takes long. Standard library alone: clients come here."""

from __future__ import annotations

from lambdad.daemon.wire import quick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Hear = Callable[[str, dict[str, Any]], None]
    """(kind, data), as daemon/serving/events.py sends them, but for `answer` and `problem`."""


def read(data: bytes, more: Callable[[], bytes], hear: Hear) -> tuple[int, bytes]:
    """The answer's status and its JSON. Raises what `more` does, which must when there is none."""
    while True:
        event, end, rest = data.partition(b"\n\n")
        if not end:
            data += more()
            continue
        data = rest
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
        kind, content = fields.get(b"event", b"").decode(), fields.get(b"data", b"{}")
        if kind == "answer":
            return 200, content
        told = quick.loads(content)
        if kind == "problem":
            return int(told["status"]), content
        hear(kind, told)
