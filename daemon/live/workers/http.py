"""HTTP/1.1 as the Runtime API's server needs it: bodies in pieces, and the trailers behind them.

aiohttp's server drops trailers, in which a streamed answer says that it failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_HEAD: Final = 1 << 20
"""Bytes of a request's line and headers."""
_PIECE: Final = 64 << 10


class BrokenRequestError(Exception):
    """What comes is no HTTP/1.1 request, or ends early."""


@dataclass(slots=True)
class RuntimeRequest:
    """One request of a worker. Its body must be read to its end before the next one."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    _reader: asyncio.StreamReader
    trailers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name, once the body has been read."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises BrokenRequestError."""
        try:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                async for piece in self._chunks():
                    yield piece
                return
            left = _length(self.headers.get("content-length", "0"))
            while left > 0:
                piece = await self._reader.read(min(left, _PIECE))
                if not piece:
                    raise BrokenRequestError("the body ended early")
                left -= len(piece)
                yield piece
        except (OSError, asyncio.IncompleteReadError, ValueError) as fault:
            raise BrokenRequestError(str(fault)) from fault

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            line = await self._reader.readuntil(b"\r\n")
            left = int(line.split(b";")[0].strip(), 16)
            if left == 0:
                break
            while left > 0:
                piece = await self._reader.read(min(left, _PIECE))
                if not piece:
                    raise BrokenRequestError("the body ended early")
                left -= len(piece)
                yield piece
            await self._reader.readexactly(2)
        self.trailers = await _fields(self._reader)

    async def body(self) -> bytes:
        """All of it. Raises BrokenRequestError."""
        return b"".join([piece async for piece in self.pieces()])


async def read_request(reader: asyncio.StreamReader) -> RuntimeRequest | None:
    """The next request of a connection; None at its end. Raises BrokenRequestError."""
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError as fault:
        if not fault.partial:
            return None
        raise BrokenRequestError("no request line") from fault
    except (OSError, asyncio.LimitOverrunError) as fault:
        raise BrokenRequestError(str(fault)) from fault
    words = line.decode("latin-1").split()
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise BrokenRequestError("no request line of HTTP/1.1")
    try:
        headers = await _fields(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as fault:
        raise BrokenRequestError(str(fault)) from fault
    return RuntimeRequest(words[0], words[1], headers, reader)


def response(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, close: bool = False
) -> bytes:
    """A whole response. A header that holds a line break would be another header, and is refused
    by ValueError."""
    fields = {"Content-Type": "application/json", **(headers or {})}
    fields["Content-Length"] = str(len(body))
    if close:
        fields["Connection"] = "close"
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


async def _fields(reader: asyncio.StreamReader) -> dict[str, str]:
    """Header fields up to the empty line."""
    found: dict[str, str] = {}
    size = 0
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or size > MOST_HEAD:
            raise BrokenRequestError("no header field")
        found[name.strip().lower()] = value.strip()
    return found


def _length(text: str) -> int:
    if not text.isdigit():
        raise BrokenRequestError("no Content-Length")
    return int(text)
