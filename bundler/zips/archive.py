"""The deterministic zip: the same contents give the same bytes, on every machine, at every time.

Layout: [dependency segment][own entries][central directory]; no directory entries, names sorted
within each part. The fields are in headers.py.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final

from lambdad.bundler.inputs.snapshot import file_key, key_of
from lambdad.bundler.memory import SETS, Memory, Slot
from lambdad.bundler.model import (
    BundlerError,
    Diagnostic,
    FileKey,
    ProjectError,
    error,
)
from lambdad.bundler.store.anchored import Folder, descriptor_of
from lambdad.bundler.zips import headers, names, segments
from lambdad.bundler.zips.member import Contents, Segment, pack

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


def write(out: BinaryIO, contents: Contents, prefix: Prefix | None = None) -> ArchiveSummary:
    """Writes the zip at the start of `out`, which is empty, and digests it on the way.

    If the segment's `prefix` is given, its bytes are copied by the kernel and not read.

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
        packed, data = pack(entry)
        member = headers.placed(packed, offset)
        for piece in (headers.local_header(member), data):
            out.write(piece)
            digest.update(piece)
            offset += len(piece)
        directory.append(headers.directory_record(member))
        unzipped_size += member.size
    count = len(own) + (len(segment.members) if segment is not None else 0)
    tail = b"".join(directory)
    tail += headers.end_records(count, len(tail), offset)
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
        # Two functions with equal bytes may be built at once. The second one keeps the file of the
        # first one, whose record holds that file's inode.
        with _PUBLISHING, folder.alone():
            if not _holds(folder, name, summary.sha256):
                staged.publish(name)
    return summary


_PUBLISHING: Final = threading.Lock()
"""Among the threads of this process, which may share a Folder."""


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
        taken = [member.name for member in contents.dependencies.members]
        faults += tuple(
            error("zip-clash", f"own code and a dependency both claim {name} in the zip")
            for name in names.shadowed(own, taken)
        )
    return faults


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
        directory=b"".join(map(headers.directory_record, segment.members)),
        unzipped_size=sum(member.size for member in segment.members),
    )


def _opened(segment: Segment) -> io.FileIO:
    try:
        return io.FileIO(descriptor_of(segment.path))
    except FileNotFoundError as fault:
        raise _damaged(segment) from fault


def _damaged(segment: Segment) -> BundlerError:
    with contextlib.suppress(OSError, BundlerError):
        folder, name = segments.home(segment)
        folder.remove(name)
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
