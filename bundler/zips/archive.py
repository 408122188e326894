"""The deterministic zip: the same contents give the same bytes, on every machine, at every time.

Layout: [dependency segment][own entries][central directory]. Field by field it follows APPNOTE.TXT
6.3.10; what that leaves open is fixed here: one time, two modes, one creator, no extra fields but
Zip64's where a number does not fit, no directory entries, names sorted within each part.

Own bytes are compressed by libdeflate alone: the interpreter's zlib differs between machines.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final

from lambdad.bundler.inputs.snapshot import file_key, key_of
from lambdad.bundler.memory import SETS, Memory, Slot
from lambdad.bundler.model import (
    BundlerError,
    Contents,
    Diagnostic,
    Entry,
    FileKey,
    ProjectError,
    Record,
    Segment,
    error,
)
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.zips import names

ZIP_FORMAT: Final = 1
"""Raised whenever the same contents would give other bytes."""

LEVEL: Final = 6
"""libdeflate's. Measured on 15 MB of Python and 45 MB of shared objects: 110 and 95 MB/s, smaller
than zlib's 9. Level 8 saves 1% more at half the speed, level 12 4% at a fifteenth."""

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
_DATE: Final = 1 << 5 | 1  # 1980-01-01, the format's first day; its time is 0

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    sha256: str
    """Of the zip's bytes, in hex."""
    size: int
    """Bytes."""
    unzipped_size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What a daemon keeps of a segment, so that none of its bytes pass through Python again."""

    segment: Segment
    key: FileKey
    """Of the file that was read: whatever is done to it, to mark it as used included, ends this."""
    state: hashlib._Hash
    """SHA-256 after the segment's last byte; only copies of it are ever updated."""
    directory: bytes
    """The segment's part of the central directory."""
    unzipped_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """An entry's bytes as they stand in the zip."""

    name: str
    executable: bool
    deflated: bool
    crc: int
    size: int
    data: bytes


def write(out: BinaryIO, contents: Contents, prefix: Prefix | None = None) -> ArchiveSummary:
    """Writes the zip at the start of `out`, which is empty, and digests it on the way.

    With the segment's `prefix` at hand its bytes are copied by the kernel and not read.

    Raises ProjectError: `zip-name` or `zip-clash`. Raises BundlerError: `store-damaged` if the
    segment is not what its digest says; it is then gone from the store, so the next build heals.
    """
    if faults := name_faults(contents):
        raise ProjectError(*faults)
    own = sorted(contents.own, key=lambda entry: entry.name)
    segment = contents.dependencies

    digest = hashlib.sha256()
    offset = 0
    directory = []
    unzipped_size = 0
    if segment is not None:
        prefix = _copy_segment(out, segment, prefix)
        digest = prefix.state.copy()
        offset = segment.size
        directory.append(prefix.directory)
        unzipped_size = prefix.unzipped_size
    for entry in own:
        packed = pack(entry)
        record = placed(packed, len(packed.data), offset)
        for piece in (local_header(record), packed.data):
            out.write(piece)
            digest.update(piece)
            offset += len(piece)
        directory.append(directory_record(record))
        unzipped_size += record.size
    count = len(own) + (len(segment.records) if segment is not None else 0)
    tail = b"".join(directory)
    tail += _end(count, len(tail), offset)
    out.write(tail)
    digest.update(tail)
    return ArchiveSummary(
        sha256=digest.hexdigest(), size=offset + len(tail), unzipped_size=unzipped_size
    )


def write_file(folder: Folder, contents: Contents, prefix: Prefix | None = None) -> ArchiveSummary:
    """Writes the zip into `folder` as `<sha256>.zip`, whole or not at all; if it is there already
    that file stays, the very same inode: functions that share it must not make each other's
    records stale. Read-only, since each name of it is a hard link. Raises as `write`, and what
    Folder raises."""
    with folder.staged(0o444) as staged:
        summary = write(staged.out, contents, prefix)
        name = f"{summary.sha256}.zip"
        if not _holds(folder, name, summary.sha256):
            staged.publish(name)
    return summary


def _holds(folder: Folder, name: str, sha256: str) -> bool:
    try:
        with folder.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def name_faults(contents: Contents) -> tuple[Diagnostic, ...]:
    """The errors `zip-name` and `zip-clash` of all names, dependencies' included."""
    own = [entry.name for entry in contents.own]
    faults = names.faults(own)
    if contents.dependencies is not None:
        taken = [record.name for record in contents.dependencies.records]
        faults += tuple(
            error("zip-clash", f"own code and a dependency both claim {name} in the zip")
            for name in names.shadowed(own, taken)
        )
    return faults


# --- entries ---------------------------------------------------------------------------------


def pack(entry: Entry) -> Packed:
    """Compresses the entry, or leaves it as it is where that would not make it smaller."""
    import deflate

    data: bytes = entry.content
    # A deflate block never takes less than 2 bytes.
    squeezed = deflate.deflate_compress(data, LEVEL) if len(data) > 2 else data
    deflated = len(squeezed) < len(data)
    return Packed(
        name=entry.name,
        executable=entry.executable,
        deflated=deflated,
        crc=deflate.crc32(data),
        size=len(data),
        data=bytes(squeezed) if deflated else data,
    )


def placed(packed: Packed, compressed_size: int, offset: int) -> Record:
    return Record(
        name=packed.name,
        executable=packed.executable,
        deflated=packed.deflated,
        crc=packed.crc,
        compressed_size=compressed_size,
        size=packed.size,
        offset=offset,
    )


def local_header(record: Record) -> bytes:
    name = record.name.encode()
    sizes = (record.compressed_size, record.size)
    extra = b""
    if max(sizes) >= FIT_32:
        # Here both must be there, unlike in the directory (4.5.3).
        extra = struct.pack("<2H2Q", EXTRA_64, 16, record.size, record.compressed_size)
        sizes = (0xFFFFFFFF, 0xFFFFFFFF)
    return (
        LOCAL.pack(
            LOCAL_MARK,
            _NEEDS_64 if extra else _NEEDS,
            0 if record.name.isascii() else UTF8_FLAG,
            DEFLATED if record.deflated else STORED,
            0,
            _DATE,
            record.crc,
            *sizes,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def directory_record(record: Record) -> bytes:
    name = record.name.encode()
    size, compressed_size, offset = record.size, record.compressed_size, record.offset
    extra = b""
    if max(size, compressed_size, offset) >= FIT_32:
        # Only those that don't fit, in this order (4.5.3).
        wide = [number for number in (size, compressed_size, offset) if number >= FIT_32]
        extra = struct.pack(f"<2H{len(wide)}Q", EXTRA_64, 8 * len(wide), *wide)
        size, compressed_size, offset = (
            0xFFFFFFFF if number >= FIT_32 else number for number in (size, compressed_size, offset)
        )
    mode = stat.S_IFREG | (0o755 if record.executable else 0o644)
    return (
        CENTRAL.pack(
            CENTRAL_MARK,
            _CREATOR,
            _NEEDS_64 if extra else _NEEDS,
            0 if record.name.isascii() else UTF8_FLAG,
            DEFLATED if record.deflated else STORED,
            0,
            _DATE,
            record.crc,
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


def _end(count: int, size: int, offset: int) -> bytes:
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


# --- the dependency segment ------------------------------------------------------------------


def read_prefix(segment: Segment) -> Prefix:
    """Reads the segment once. Raises BundlerError: `store-damaged`."""
    with _opened(segment) as source:
        return _read_prefix(source, segment)


PREFIXES: Final = Slot[Prefix]("prefixes", most=SETS)
"""By the segments' digests."""


def prefix_of(segment: Segment, memory: Memory) -> Prefix:
    """The prefix, read once, and again whenever the segment's file was touched.

    Raises BundlerError: `store-damaged`.
    """
    shelf = memory.shelf(PREFIXES)
    known = shelf.get(segment.digest)
    if known is None or known.segment != segment or known.key != file_key(segment.path):
        known = read_prefix(segment)
        shelf.put(segment.digest, known)
    return known


def _copy_segment(out: BinaryIO, segment: Segment, prefix: Prefix | None) -> Prefix:
    with _opened(segment) as source:
        found = os.fstat(source.fileno())
        if found.st_size != segment.size:
            raise _damaged(segment)
        if prefix is not None and prefix.segment == segment and prefix.key == key_of(found):
            copied = _copy(source, out, segment.size)
        else:  # hashing and copying both leave the interpreter's lock alone
            with ThreadPoolExecutor(1) as aside:
                reading = aside.submit(_read_prefix, source, segment)
                copied = _copy(source, out, segment.size)
            prefix = reading.result()
        if copied != segment.size:
            raise _damaged(segment)
    return prefix


def _read_prefix(source: io.FileIO, segment: Segment) -> Prefix:
    state = hashlib.sha256()
    # The key first: what is written while we read moves it.
    key = key_of(os.fstat(source.fileno()))
    offset = 0
    while chunk := os.pread(source.fileno(), _CHUNK, offset):
        state.update(chunk)
        offset += len(chunk)
    if state.hexdigest() != segment.digest:
        raise _damaged(segment)
    return Prefix(
        segment=segment,
        key=key,
        state=state,
        directory=b"".join(map(directory_record, segment.records)),
        unzipped_size=sum(record.size for record in segment.records),
    )


def _opened(segment: Segment) -> io.FileIO:
    try:
        return io.FileIO(segment.path)
    except FileNotFoundError as fault:
        raise _damaged(segment) from fault


def _damaged(segment: Segment) -> BundlerError:
    with contextlib.suppress(OSError):
        os.unlink(segment.path)
    return BundlerError(
        "store-damaged",
        f"the store's {segment.path} is not what was written there; it has been removed",
        "build again: it will be made anew",
    )


def _copy(source: io.FileIO, out: BinaryIO, size: int) -> int:
    """Copies `size` bytes, in the kernel where it can; returns how many there were."""
    source.seek(0)
    copied = _copy_in_kernel(source, out, size)
    while copied < size and (chunk := source.read(min(_CHUNK, size - copied))):
        out.write(chunk)
        copied += len(chunk)
    return copied


def _copy_in_kernel(source: io.FileIO, out: BinaryIO, size: int) -> int:
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        target = out.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return 0
    out.flush()
    copied = 0
    try:
        while copied < size and (
            count := os.copy_file_range(source.fileno(), target, size - copied)
        ):
            copied += count
    except OSError as fault:
        # Other file systems, pipes, files opened to append and old kernels can't: read and write.
        if fault.errno not in _NO_KERNEL_COPY:
            raise
    return copied


_NO_KERNEL_COPY: Final = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}
)
