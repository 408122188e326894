"""The protocol's own ends of stdin and stdout, and messages that are none.

Whatever a client sends, the server goes on: what can't be read is skipped up to the next
message, and a request that can't be understood is answered with an error.
Source: the Language Server Protocol 3.17, "Base Protocol".
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from typing import Any, BinaryIO, Final, cast

from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol

MOST_BYTES: Final = 128 << 20
"""Of a message; a longer one is skipped."""
_LONGEST_LINE: Final = 64 << 10
_CHUNK: Final = 1 << 20
_LENGTH: Final = re.compile(rb"content-length:[ \t]*(\d{1,12})[ \t]*\r?\n", re.IGNORECASE)
_IGNORED: Final = b"-\r\n"
"""A header line that says nothing."""

log = logging.getLogger("lambdad")


def take_stdio() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout for the protocol alone: from now on, who reads finds the end, and who
    prints writes to stderr, programs that are started included."""
    sys.stdout.flush()
    ends = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    reading, writing = (os.fdopen(end, mode) for end, mode in zip(ends, ("rb", "wb"), strict=True))
    return cast(BinaryIO, reading), cast(BinaryIO, writing)


class MessageStream:
    """A stream of messages as pygls reads it, a header line or a body at a time.

    pygls ends where a length is absurd, and takes the header's name in one spelling alone.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self) -> bytes:
        line = self._stream.readline(_LONGEST_LINE)
        if not line.strip():
            return line
        # What follows a broken header is read as lines: the next header is where the last ends.
        begin = line.lower().rfind(b"content-length:")
        found = _LENGTH.fullmatch(line, begin) if begin >= 0 else None
        return b"Content-Length: %d\r\n" % int(found[1]) if found else _IGNORED

    def read(self, size: int) -> bytes:
        """A body; of one that is too long something that is no message. Empty at the end."""
        if size <= MOST_BYTES:
            body = self._stream.read(size)
            return body if len(body) == size else b""
        left = size
        while left > 0 and (chunk := self._stream.read(min(left, _CHUNK))):
            left -= len(chunk)
        return b"null" if left <= 0 else b""

    def close(self) -> None:
        self._stream.close()


class Protocol(LanguageServerProtocol):
    """As pygls has it, but that no caller waits for ever for the answer to a broken request."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        try:
            return super().structure_message(data)
        except JsonRpcException as fault:
            number = data.get("id")
            if isinstance(number, str | int) and "method" in data:
                with contextlib.suppress(OSError):
                    self._send_response(number, error=fault.to_response_error())
            raise
