"""The packets of esbuild's stdio service, to bytes and back. No pipes here.

Not a public API: read from esbuild 0.28.2, cmd/esbuild/stdio_protocol.go. A frame is a u32 length
and that many bytes. The first frame from esbuild is its version. Every other one is a packet: u32
`id << 1 | is_response`, then one value: a tag byte (0 null, 1 bool, 2 u32, 3 string, 4 bytes,
5 array, 6 map) and its content; strings and bytes are u32 length and data; a map's keys have no
tag. All numbers are little-endian; -1 arrives as 4294967295.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Value: TypeAlias = "bool | int | str | bytes | Sequence[Value] | Mapping[str, Value] | None"

_U32: Final = struct.Struct("<I")
_MASK: Final = 0xFFFFFFFF


class ProtocolError(ValueError):
    """Bytes that no esbuild of this version sends."""


@dataclass(frozen=True, slots=True)
class Packet:
    id: int
    is_request: bool
    value: Value


def encode(packet: Packet) -> bytes:
    """The packet as a frame. Raises TypeError for a value that the protocol has no tag for."""
    out = bytearray(8)
    _write(out, packet.value)
    struct.pack_into("<II", out, 0, len(out) - 4, packet.id << 1 | (not packet.is_request))
    return bytes(out)


def decode(frame: bytes) -> Packet:
    """The packet in a frame (without its length). Raises ProtocolError."""
    try:
        (head,) = _U32.unpack_from(frame, 0)
        value, end = _read(frame, 4)
    except (struct.error, IndexError, RecursionError) as fault:
        raise ProtocolError(f"not a packet: {fault}") from fault
    if end != len(frame):
        raise ProtocolError(f"{len(frame) - end} bytes after the packet's value")
    return Packet(head >> 1, not head & 1, value)


class FrameReader:
    """Cuts a stream into frames, however its bytes were split on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole now, without their lengths."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _U32.unpack_from(buffer, start)
            end = start + 4 + length
            if end > len(buffer):
                break
            yield bytes(memoryview(buffer)[start + 4 : end])
            start = end
        del buffer[:start]


def _write(out: bytearray, value: Value) -> None:
    match value:
        case None:
            out.append(0)
        case bool():
            out += bytes((1, value))
        case int():
            out.append(2)
            out += _U32.pack(value & _MASK)
        case str():
            out.append(3)
            _write_data(out, _to_bytes(value))
        case bytes():
            out.append(4)
            _write_data(out, value)
        case Mapping():
            out.append(6)
            out += _U32.pack(len(value))
            for key, item in value.items():
                _write_data(out, _to_bytes(key))
                _write(out, item)
        case Sequence():
            out.append(5)
            out += _U32.pack(len(value))
            for item in value:
                _write(out, item)
        case _:
            raise TypeError(f"no packet holds a {type(value).__name__}")


def _write_data(out: bytearray, data: bytes) -> None:
    out += _U32.pack(len(data))
    out += data


def _read(frame: bytes, at: int) -> tuple[Value, int]:
    tag = frame[at]
    at += 1
    match tag:
        case 0:
            return None, at
        case 1:
            return frame[at] != 0, at + 1
        case 2:
            return _U32.unpack_from(frame, at)[0], at + 4
        case 3:
            data, at = _read_data(frame, at)
            return _to_text(data), at
        case 4:
            return _read_data(frame, at)
        case 5:
            (count,) = _U32.unpack_from(frame, at)
            at += 4
            items: list[Value] = []
            for _ in range(count):
                item, at = _read(frame, at)
                items.append(item)
            return items, at
        case 6:
            (count,) = _U32.unpack_from(frame, at)
            at += 4
            table: dict[str, Value] = {}
            for _ in range(count):
                key, at = _read_data(frame, at)
                table[_to_text(key)], at = _read(frame, at)
            return table, at
    raise ProtocolError(f"no value has the tag {tag}")


def _read_data(frame: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _U32.unpack_from(frame, at)
    at += 4
    end = at + length
    if end > len(frame):
        raise ProtocolError("a string longer than its packet")
    return frame[at:end], end


# File names need not be UTF-8: they go through unharmed, as os.fsdecode has them.
def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
