"""The zip format as we write it, field by field after APPNOTE.TXT 6.3.10.

What that leaves open is fixed here: one time, two modes, one creator, no extra fields but Zip64's
where a number does not fit.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import replace
from typing import Final

from lambdad.bundler.zips.member import Member

FIT_16: Final = 0xFFFF
FIT_32: Final = 0xFFFFFFFF
"""Fields full of ones say "see the Zip64 record", so these values too no longer fit (4.4.1.4)."""

STORED: Final = 0
DEFLATED: Final = 8
UTF8_FLAG: Final = 1 << 11

LOCAL: Final = struct.Struct("<4s5H3I2H")
CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
END: Final = struct.Struct("<4s4H2IH")
END_64: Final = struct.Struct("<4sQ2H2I4Q")
LOCATOR_64: Final = struct.Struct("<4sIQI")
LOCAL_MARK: Final = b"PK\x03\x04"
CENTRAL_MARK: Final = b"PK\x01\x02"
END_MARK: Final = b"PK\x05\x06"
END_64_MARK: Final = b"PK\x06\x06"
LOCATOR_64_MARK: Final = b"PK\x06\x07"
EXTRA_64: Final = 1

_CREATOR: Final = 3 << 8 | 45  # Unix, so that readers honour the modes; APPNOTE 4.5
_NEEDS: Final = 20
_NEEDS_64: Final = 45
_WIDE_EXTRA: Final = 20
_DATE: Final = 1 << 5 | 1  # 1980-01-01, the format's first day; its time is 0


def local_header(member: Member) -> bytes:
    """What comes right before the member's compressed bytes."""
    name = member.name.encode()
    sizes = (member.compressed_size, member.size)
    extra = b""
    if _is_wide(member):
        # Here both must be there, unlike in the directory (4.5.3).
        extra = struct.pack("<2H2Q", EXTRA_64, 16, member.size, member.compressed_size)
        sizes = (0xFFFFFFFF, 0xFFFFFFFF)
    return (
        LOCAL.pack(
            LOCAL_MARK,
            _NEEDS_64 if extra else _NEEDS,
            0 if member.name.isascii() else UTF8_FLAG,
            DEFLATED if member.deflated else STORED,
            0,
            _DATE,
            member.crc,
            *sizes,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def header_size(member: Member) -> int:
    """Bytes of its local header."""
    return LOCAL.size + len(member.name.encode()) + (_WIDE_EXTRA if _is_wide(member) else 0)


def _is_wide(member: Member) -> bool:
    return max(member.compressed_size, member.size) >= FIT_32


def placed(member: Member, start: int) -> Member:
    """The member as it lies in a zip in which its local header begins at `start`."""
    return replace(member, offset=start + header_size(member))


def directory_record(member: Member) -> bytes:
    """The member's record in the central directory of the zip that it lies in."""
    name = member.name.encode()
    size, compressed_size = member.size, member.compressed_size
    offset = member.offset - header_size(member)
    extra = b""
    if max(size, compressed_size, offset) >= FIT_32:
        # Only those that don't fit, in this order (4.5.3).
        wide = [number for number in (size, compressed_size, offset) if number >= FIT_32]
        extra = struct.pack(f"<2H{len(wide)}Q", EXTRA_64, 8 * len(wide), *wide)
        size, compressed_size, offset = (
            0xFFFFFFFF if number >= FIT_32 else number for number in (size, compressed_size, offset)
        )
    mode = stat.S_IFREG | (0o755 if member.executable else 0o644)
    return (
        CENTRAL.pack(
            CENTRAL_MARK,
            _CREATOR,
            _NEEDS_64 if extra else _NEEDS,
            0 if member.name.isascii() else UTF8_FLAG,
            DEFLATED if member.deflated else STORED,
            0,
            _DATE,
            member.crc,
            compressed_size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            mode << 16,
            offset,
        )
        + name
        + extra
    )


def end_records(count: int, size: int, offset: int) -> bytes:
    """What follows the central directory, which has `size` bytes and begins at `offset`."""
    wide = b""
    if count >= FIT_16 or size >= FIT_32 or offset >= FIT_32:
        wide = END_64.pack(
            END_64_MARK, END_64.size - 12, _CREATOR, _NEEDS_64, 0, 0, count, count, size, offset
        ) + LOCATOR_64.pack(LOCATOR_64_MARK, 0, offset + size, 1)
    count = 0xFFFF if count >= FIT_16 else count
    size = 0xFFFFFFFF if size >= FIT_32 else size
    offset = 0xFFFFFFFF if offset >= FIT_32 else offset
    return wide + END.pack(END_MARK, 0, 0, count, count, size, offset, 0)
