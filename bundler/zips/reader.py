"""A wheel's zip read so strictly that no two readers could see different files in it.

Everything is written twice in a zip, and readers differ in what they believe. Here the two must
agree, and the files must fill the zip from its first byte to its directory: nothing before,
between, after or on top of each other (APPNOTE.TXT 4.3). What a file's bytes are is proved by
inflating them once, never past the size they claim.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.zips import headers, names
from lambdad.bundler.zips.member import Member

LARGEST: Final = 4 << 30
"""Bytes that a wheel may hold unzipped: sixteen times what Lambda takes, and enough for any wheel
that is used on a developer's machine. Inflating it is bounded by this."""

_CHUNK: Final = 1 << 20
_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
_DESCRIPTOR: Final = 1 << 3
_DESCRIPTOR_MARK: Final = b"PK\x07\x08"
_TAIL: Final = headers.END.size + 0xFFFF
_METHODS: Final = {headers.STORED: "stored", headers.DEFLATED: "deflated"}


@dataclass(frozen=True, slots=True)
class ZipFault:
    code: str
    """Of the diagnostic it becomes."""
    text: str
    """Goes on after the zip's name."""


class ZipError(Exception):
    def __init__(self, *faults: ZipFault) -> None:
        super().__init__("; ".join(fault.text for fault in faults))
        self.faults = faults


def corrupt(text: str) -> ZipError:
    return ZipError(ZipFault("wheel-corrupt", text))


def hostile(text: str) -> ZipError:
    return ZipError(ZipFault("wheel-hostile", text))


def read(descriptor: int) -> tuple[Member, ...]:
    """The zip's files sorted by name, folders left out; no content is looked at yet.

    Raises ZipError: `wheel-corrupt`, `wheel-hostile`, or `wheel-unsupported` for what no tool that
    builds wheels makes (encryption, other compression than deflate, several volumes).
    """
    count, start, end = _find_directory(descriptor)
    entries = _read_directory(_pread(descriptor, end - start, start), count)
    faults = [*_unfit(entries), *_clashes(entries)]
    if faults:
        raise ZipError(*faults)
    members = _locate(descriptor, entries, start)
    return tuple(sorted(members, key=lambda member: member.name))


def content(descriptor: int, member: Member) -> Iterator[bytes]:
    """The member's bytes in chunks, checked against its size and CRC when they end.

    Raises ZipError as soon as they can't be what the member says.
    """
    crc = 0
    size = 0
    for chunk in _inflated(descriptor, member):
        size += len(chunk)
        if size > member.size:
            raise hostile(f"holds more of {member.name} than the {member.size} bytes it claims")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if size != member.size:
        raise hostile(f"holds {size} bytes of {member.name} and claims {member.size}")
    if crc != member.crc:
        raise corrupt(f"is damaged: the checksum of {member.name} does not fit")


def _inflated(descriptor: int, member: Member) -> Iterator[bytes]:
    """In chunks that are bounded whatever the member claims."""
    packed = _chunks(descriptor, member)
    if not member.deflated:
        yield from packed
        return
    inflate = zlib.decompressobj(-15)
    try:
        for chunk in packed:
            left = chunk
            while left and not inflate.eof:
                yield inflate.decompress(left, _CHUNK)
                left = inflate.unconsumed_tail
            if left or inflate.unused_data:
                raise hostile(f"hides bytes behind the compressed {member.name}")
        # The last input may be taken in while there was no room for what it says.
        while not inflate.eof and (rest := inflate.decompress(b"", _CHUNK)):
            yield rest
    except zlib.error as fault:
        raise corrupt(f"is damaged: {member.name} can't be inflated") from fault
    if not inflate.eof:
        raise corrupt(f"is damaged: the compressed {member.name} is cut short")


def _chunks(descriptor: int, member: Member) -> Iterator[bytes]:
    end = member.offset + member.compressed_size
    for at in range(member.offset, end, _CHUNK):
        yield _pread(descriptor, min(_CHUNK, end - at), at)


# --- the directory ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What the central directory says of a file or folder."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    compressed_size: int
    size: int
    mode: int
    header: int
    """Offset of its local header."""


def _pread(descriptor: int, count: int, offset: int) -> bytes:
    found = os.pread(descriptor, count, offset)
    while len(found) < count:
        more = os.pread(descriptor, count - len(found), offset + len(found))
        if not more:
            raise corrupt("is cut short")
        found += more
    return found


def _find_directory(descriptor: int) -> tuple[int, int, int]:
    """How many records the central directory has, where it begins and where it ends."""
    zip_size = os.fstat(descriptor).st_size
    tail_start = max(0, zip_size - _TAIL)
    tail = _pread(descriptor, zip_size - tail_start, tail_start)
    at = tail.rfind(headers.END_MARK)
    if at == -1 or at + headers.END.size > len(tail):
        raise corrupt("is not a zip, or is cut short")
    fields: Sequence[int] = headers.END.unpack_from(tail, at)[1:]
    disk, first_disk, here, count, size, start, comment = fields
    if at + headers.END.size + comment != len(tail):
        raise hostile("has bytes after its end")
    end = tail_start + at
    if end >= headers.LOCATOR_64.size:
        locator = _pread(descriptor, headers.LOCATOR_64.size, end - headers.LOCATOR_64.size)
        if locator.startswith(headers.LOCATOR_64_MARK):
            end -= headers.LOCATOR_64.size
            wide = _read_end_64(descriptor, locator, end)
            narrow = (disk, first_disk, here, count, size, start)
            ones = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
            if any(n not in (w, o) for n, w, o in zip(narrow, wide, ones, strict=True)):
                raise hostile("has two ends that disagree")
            disk, first_disk, here, count, size, start = wide
            end -= headers.END_64.size
    if disk or first_disk or here != count:
        raise ZipError(ZipFault("wheel-unsupported", "is one volume of several"))
    if start + size != end:
        raise hostile("has a directory that is not where its end says")
    return count, start, end


def _read_end_64(descriptor: int, locator: bytes, end: int) -> tuple[int, ...]:
    _, _, at, _ = headers.LOCATOR_64.unpack(locator)
    if at + headers.END_64.size != end:
        raise hostile("has a Zip64 end that is not where it should be")
    mark, length, _made, _needs, *fields = headers.END_64.unpack(
        _pread(descriptor, headers.END_64.size, at)
    )
    if mark != headers.END_64_MARK or length != headers.END_64.size - 12:
        raise corrupt("has a damaged Zip64 end")
    return tuple(fields)


def _read_directory(directory: bytes, count: int) -> list[_Entry]:
    entries = []
    at = 0
    while at < len(directory):
        if at + headers.CENTRAL.size > len(directory):
            raise corrupt("has a damaged directory")
        (mark, _made, _needs, flags, method, _time, _date, crc, compressed_size, size) = (
            fields := headers.CENTRAL.unpack_from(directory, at)
        )[:10]
        name_size, extra_size, comment_size, disk, _internal, external, header = fields[10:]
        at += headers.CENTRAL.size
        raw_name = directory[at : at + name_size]
        extra = directory[at + name_size : at + name_size + extra_size]
        at += name_size + extra_size + comment_size
        if mark != headers.CENTRAL_MARK or at > len(directory) or disk not in (0, 0xFFFF):
            raise corrupt("has a damaged directory")
        size, compressed_size, header = _widened(extra, (size, compressed_size, header))
        try:
            name = raw_name.decode()
        except UnicodeDecodeError as fault:
            raise corrupt(f"holds a name that is not UTF-8: {raw_name!r}") from fault
        entries.append(
            _Entry(
                name=name,
                raw_name=raw_name,
                flags=flags,
                method=method,
                crc=crc,
                compressed_size=compressed_size,
                size=size,
                mode=external >> 16,
                header=header,
            )
        )
    if len(entries) != count:
        raise hostile(f"claims {count} files and lists {len(entries)}")
    return entries


def _widened(extra: bytes, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers, those full of ones replaced by what the Zip64 field says."""
    if 0xFFFFFFFF not in numbers:
        return numbers
    field = _zip64_field(extra)
    wanted = numbers.count(0xFFFFFFFF)
    if field is None or len(field) < 8 * wanted:
        raise corrupt("lacks the Zip64 sizes it refers to")
    wide = iter(struct.unpack_from(f"<{wanted}Q", field))
    return tuple(next(wide) if number == 0xFFFFFFFF else number for number in numbers)


def _zip64_field(extra: bytes) -> bytes | None:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == headers.EXTRA_64:
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return None


def _unfit(entries: Sequence[_Entry]) -> Iterator[ZipFault]:
    """What is wrong with entries, each by itself."""
    for entry in entries:
        folder = entry.name.endswith("/")
        name = entry.name
        if reason := names.check_name(name.removesuffix("/")):
            yield ZipFault("wheel-hostile", f"holds a file whose name {reason}: {name!r}")
        kind = stat.S_IFMT(entry.mode)
        if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
            what = "a symlink" if kind == stat.S_IFLNK else "no plain file"
            yield ZipFault("wheel-hostile", f"holds {what}: {name}")
        if entry.flags & _ENCRYPTED:
            yield ZipFault("wheel-unsupported", f"holds an encrypted file: {name}")
        elif entry.method not in _METHODS:
            # Deflate is what package indexes accept and what is sure to be unpacked by Lambda;
            # packing anew what is never published is not worth a second way to splice.
            yield ZipFault(
                "wheel-unsupported", f"compresses {name} by method {entry.method}, not by deflate"
            )
        if folder and entry.size:
            yield ZipFault("wheel-hostile", f"hides bytes in the folder {name}")
        if entry.method == headers.STORED and entry.size != entry.compressed_size:
            yield ZipFault("wheel-hostile", f"stores {name} with two sizes")
    if sum(entry.size for entry in entries) > LARGEST:
        yield ZipFault("wheel-hostile", f"would unpack to more than {LARGEST >> 30} GiB")


def _clashes(entries: Sequence[_Entry]) -> Iterator[ZipFault]:
    """Names that come twice, or that one file system or another takes for the same."""
    seen: dict[str, str] = {}
    files = {entry.name for entry in entries if not entry.name.endswith("/")}
    for entry in entries:
        name = entry.name.removesuffix("/")
        key = name.lower()
        if key not in seen:
            seen[key] = name
        elif seen[key] == name:
            yield ZipFault("wheel-hostile", f"holds {name} twice")
        else:
            yield ZipFault("wheel-hostile", f"holds {seen[key]} and {name}, the same but for case")
        for folder in names.folders(name):
            if folder in files:
                yield ZipFault("wheel-hostile", f"holds {folder} both as a file and as a folder")


# --- the files -------------------------------------------------------------------------------


def _locate(descriptor: int, entries: Sequence[_Entry], end: int) -> list[Member]:
    """The files, each local header checked; together they fill the zip up to `end`."""
    members = []
    ordered = sorted(entries, key=lambda entry: entry.header)
    at = 0
    ends = [*(entry.header for entry in ordered[1:]), end]
    for entry, behind in zip(ordered, ends, strict=False):  # without files there is one end
        if entry.header != at:
            raise hostile(f"has hidden bytes before {entry.name}")
        offset, described = _check_header(descriptor, entry, behind)
        at = offset + entry.compressed_size
        if at > behind:
            raise hostile(f"is not one file after the other: {entry.name} reaches into the next")
        if at < behind and described:
            _check_descriptor(_pread(descriptor, min(behind - at, 25), at), entry)
            at = behind
        if not entry.name.endswith("/"):
            members.append(
                Member(
                    name=entry.name,
                    # As pip has it: the bits count only where the kind is given with them.
                    executable=stat.S_ISREG(entry.mode) and bool(entry.mode & 0o111),
                    deflated=entry.method == headers.DEFLATED,
                    crc=entry.crc,
                    compressed_size=entry.compressed_size,
                    size=entry.size,
                    offset=offset,
                )
            )
    if at != end:
        raise hostile("has hidden bytes before its directory")
    return members


def _check_header(descriptor: int, entry: _Entry, behind: int) -> tuple[int, bool]:
    """Where the file's bytes begin, and whether its sizes may follow them."""
    if entry.header + headers.LOCAL.size > behind:
        raise hostile(f"is not one file after the other: no room for {entry.name}")
    header = _pread(descriptor, headers.LOCAL.size + len(entry.raw_name), entry.header)
    (
        mark,
        _needs,
        flags,
        method,
        _time,
        _date,
        crc,
        compressed_size,
        size,
        name_size,
        extra_size,
    ) = headers.LOCAL.unpack_from(header)
    if mark != headers.LOCAL_MARK:
        raise corrupt(f"has no file where its directory says {entry.name} is")
    offset = entry.header + headers.LOCAL.size + name_size + extra_size
    if name_size != len(entry.raw_name) or header[headers.LOCAL.size :] != entry.raw_name:
        raise hostile(f"gives {entry.name} another name in its header")
    compared = _ENCRYPTED | _DESCRIPTOR | headers.UTF8_FLAG
    if method != entry.method or flags & compared != entry.flags & compared:
        raise hostile(f"describes {entry.name} in two ways that disagree")
    if 0xFFFFFFFF in (size, compressed_size):
        extra = _pread(descriptor, extra_size, offset - extra_size)
        size, compressed_size = _widened(extra, (size, compressed_size))
    described = bool(flags & _DESCRIPTOR)
    found = (crc, compressed_size, size)
    claimed = (entry.crc, entry.compressed_size, entry.size)
    # Where a descriptor follows, the header's own numbers may be 0 (4.4.4).
    if any(f != c and not (described and f == 0) for f, c in zip(found, claimed, strict=True)):
        raise hostile(f"gives {entry.name} two sizes or checksums that disagree")
    return offset, described


def _check_descriptor(between: bytes, entry: _Entry) -> None:
    """`between` is what lies behind the file's bytes: CRC and sizes, in one of four lengths."""
    numbers = (entry.crc, entry.compressed_size, entry.size)
    narrow = struct.pack("<3I", *(number & 0xFFFFFFFF for number in numbers))
    wide = struct.pack("<I2Q", *numbers)
    if between not in (narrow, wide, _DESCRIPTOR_MARK + narrow, _DESCRIPTOR_MARK + wide):
        raise hostile(f"has hidden bytes behind {entry.name}")
