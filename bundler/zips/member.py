"""What a zip is made of: its members, the segment that dependencies share, and own files.

A Member is one file of a zip from the reading of a wheel to the writing of an archive: its
compressed bytes are copied as they are, so all that changes on the way is its name and its place.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from lambdad.bundler.model import Diagnostic, Entry, RelPath

LEVEL: Final = 6
"""libdeflate's. Measured on 15 MB of Python and 45 MB of shared objects: 110 and 95 MB/s, smaller
than zlib's 9. Level 8 saves 1% more at half the speed, level 12 4% at a fifteenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in a zip, or in the segment that begins one."""

    name: str
    """Its path: relative, "/" between parts, no "." or ".." among them."""
    executable: bool
    deflated: bool
    """Else stored."""
    crc: int
    """CRC-32 of its content."""
    compressed_size: int
    """Bytes as they lie there."""
    size: int
    """Bytes of its content."""
    offset: int
    """Of its compressed bytes, from the first byte of what it lies in."""

    def row(self) -> list[object]:
        """Its fields as JSON, for `of_row`."""
        return [getattr(self, name) for name in _FIELDS]

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Member:
        """Raises ValueError if there are not as many values as fields."""
        return cls(**dict(zip(_FIELDS, row, strict=True)))


_FIELDS: Final = tuple(each.name for each in dataclasses.fields(Member))


def pack(entry: Entry) -> tuple[Member, bytes]:
    """The entry compressed, or as it is where that would not make it smaller; its place is 0.

    By libdeflate alone: the interpreter's zlib differs between machines.
    """
    import deflate

    data: bytes = entry.content
    # A deflate block never takes less than 2 bytes.
    squeezed = deflate.deflate_compress(data, LEVEL) if len(data) > 2 else data
    deflated = len(squeezed) < len(data)
    packed = bytes(squeezed) if deflated else data
    member = Member(
        name=entry.name,
        executable=entry.executable,
        deflated=deflated,
        crc=deflate.crc32(data),
        compressed_size=len(packed),
        size=len(data),
        offset=0,
    )
    return member, packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Local headers and compressed bytes of dependencies, ready for the head of a zip."""

    digest: str
    """SHA-256 of its bytes, in hex."""
    path: str
    """Absolute, in the store."""
    size: int
    members: tuple[Member, ...]
    """Sorted by name; each offset counts from the segment's first byte."""
    owners: tuple[tuple[str, str], ...] = ()
    """(path, distribution), sorted: what lies there or below is of that Python distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a language made of a function: the zip to be."""

    own: tuple[Entry, ...]
    dependencies: Segment | None
    external: tuple[str, ...] = ()
    """Packages that a bundle loads from elsewhere when it runs, sorted."""
    bundled: Mapping[str, Mapping[RelPath, int]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Of each file that is a bundle, by its name: the bytes that each of its sources has in it."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings only: an error is a ProjectError."""


def missing_from(segment: Segment | None, own: Iterable[Entry]) -> tuple[Entry, ...]:
    """Those own files that the dependencies do not bring. With other bytes they stay: it is not
    known which of the two is meant."""
    known = {one.name: one for one in segment.members} if segment is not None else {}
    return tuple(
        entry
        for entry in own
        if (member := known.get(entry.name)) is None
        or (member.size, member.crc) != (len(entry.content), zlib.crc32(entry.content))
    )
