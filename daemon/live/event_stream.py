"""Messages of application/vnd.amazon.eventstream, as AWS's SDKs read them.

Source: "Amazon Event Stream Specification" of Smithy: two lengths, a checksum of them, headers, the
payload, and a checksum of all.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_TEXT: Final = 7
"""The type of a header whose value is text."""


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    head = b"".join(
        struct.pack(
            f"!B{len(name.encode())}sBH", len(name.encode()), name.encode(), _TEXT, len(text)
        )
        + text
        for name, value in headers.items()
        for text in [value.encode()]
    )
    lengths = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    most = lengths + struct.pack("!I", zlib.crc32(lengths)) + head + payload
    return most + struct.pack("!I", zlib.crc32(most))


def event(kind: str, payload: bytes, content_type: str = "application/octet-stream") -> bytes:
    headers = {":event-type": kind, ":content-type": content_type, ":message-type": "event"}
    return message(headers, payload)


def chunk(payload: bytes) -> bytes:
    """A piece of a function's answer."""
    return event("PayloadChunk", payload)


def complete(
    *, code: str | None = None, details: str | None = None, log_result: str | None = None
) -> bytes:
    """The end of a function's answer; `code` and `details` say how it failed."""
    fields = {"ErrorCode": code, "ErrorDetails": details, "LogResult": log_result}
    known = {name: value for name, value in fields.items() if value is not None}
    return event("InvokeComplete", json.dumps(known).encode(), "application/json")
