"""Dependency segments: the head of a zip, made once for a set of dependencies, shared by digest.

In the store `segments/<key>.zipseg` holds the bytes and `<key>.json` the records. The records are
written last, so a segment without them was never finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from lambdad.bundler.model import BundlerError, Entry, ProjectError, Record, Segment
from lambdad.bundler.store.sealed import seal, unseal
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips import archive, names
from lambdad.bundler.zips.archive import Packed

KIND: Final = "segments"

_SCHEMA: Final = 2
_FIELDS: Final = (
    "name",
    "executable",
    "deflated",
    "crc",
    "compressed_size",
    "size",
    "offset",
)
_CHUNK: Final = 1 << 20
_BATCH: Final = 1 << 20
"""Bytes of content that one thread compresses at a time."""
_WORKERS: Final = 4
_MARK_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spliced:
    """A file whose compressed bytes are copied as they lie in another zip."""

    name: str
    executable: bool
    deflated: bool
    """Else stored."""
    crc: int
    compressed_size: int
    size: int
    source: str
    """Absolute path of the zip that holds it."""
    offset: int
    """Of its compressed bytes there."""


Part = Spliced | Entry


def key(*decided_by: object) -> str:
    """The digest of whatever decides a segment's bytes: JSON values, in a fixed order."""
    import deflate

    return hashlib.sha256(
        seal([archive.ZIP_FORMAT, archive.LEVEL, deflate.__version__, *decided_by])
    ).hexdigest()


def key_of(segment: Segment) -> str:
    """The key that `find` finds the segment under."""
    return os.path.basename(segment.path).partition(".")[0]


def find(store: Store, key: str) -> Segment | None:
    """The segment made under that key; torn, damaged or foreign records are a miss.

    Its size is checked here, its bytes when they are used (bundler/zips/archive.py).
    """
    records_path = store.find(KIND, f"{key}.json")
    data_path = store.find(KIND, f"{key}.zipseg")
    if records_path is None or data_path is None:
        return None
    try:
        document = unseal(records_path.read_bytes())
        size = data_path.stat().st_size
    except OSError:
        return None
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        return None
    if document["key"] != key or document["size"] != size:
        return None
    return Segment(
        digest=document["digest"],
        path=str(data_path),
        size=size,
        records=tuple(_record(fields) for fields in document["records"]),
        owners=tuple((path, owner) for path, owner in document["owners"]),
    )


def is_there(segment: Segment) -> bool:
    """As `find` for one that was found before: marked as used, but not more than once an hour,
    since whoever keeps its archive.Prefix must read it again after that."""
    try:
        status = os.stat(segment.path)
        if status.st_size != segment.size:
            return False
        if time.time() - status.st_mtime > _MARK_EVERY_S:
            for path in (segment.path, f"{os.path.splitext(segment.path)[0]}.json"):
                os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # a store that may be read but not written still serves
        pass
    return True


def make(
    store: Store, key: str, parts: Iterable[Part], owners: tuple[tuple[str, str], ...] = ()
) -> Segment:
    """Writes the segment. `parts` come sorted by name and are taken one by one, so what they hold
    need not fit into memory; how many threads compress them changes no byte. `owners` are kept
    with it.

    Raises ProjectError: `zip-name` or `zip-clash`; BundlerError: `store-damaged` if a source is
    gone or shorter than a part says; ValueError if the parts are not sorted.
    """
    made: list[tuple[str, tuple[Record, ...]]] = []
    path = store.put(KIND, f"{key}.zipseg", lambda out: made.append(_write(out, parts)))
    digest, records = made[0]
    size = path.stat().st_size
    document = {
        "schema": _SCHEMA,
        "key": key,
        "digest": digest,
        "size": size,
        "records": [_fields(record) for record in records],
        "owners": owners,
    }
    store.put(KIND, f"{key}.json", seal(document))
    return Segment(digest=digest, path=str(path), size=size, records=records, owners=owners)


def _write(out: BinaryIO, parts: Iterable[Part]) -> tuple[str, tuple[Record, ...]]:
    digest = hashlib.sha256()
    records: list[Record] = []
    offset = 0
    with _Sources() as sources, contextlib.closing(_packed(parts)) as packed:
        for part in packed:
            if records and part.name < records[-1].name:
                raise ValueError(f"{part.name} came after {records[-1].name}")
            if isinstance(part, Packed):
                record = archive.placed(part, len(part.data), offset)
                chunks: Iterable[bytes] = (part.data,)
            else:
                record = _placed(part, offset)
                chunks = sources.read(part)
            records.append(record)
            for chunk in itertools.chain((archive.local_header(record),), chunks):
                out.write(chunk)
                digest.update(chunk)
                offset += len(chunk)
    if faults := names.faults(record.name for record in records):
        raise ProjectError(*faults)
    return digest.hexdigest(), tuple(records)


def _placed(part: Spliced, offset: int) -> Record:
    return Record(
        name=part.name,
        executable=part.executable,
        deflated=part.deflated,
        crc=part.crc,
        compressed_size=part.compressed_size,
        size=part.size,
        offset=offset,
    )


def _fields(record: Record) -> list[object]:
    return [getattr(record, field) for field in _FIELDS]


def _record(fields: list[Any]) -> Record:
    name, executable, deflated, crc, compressed_size, size, offset = fields
    return Record(
        name=name,
        executable=executable,
        deflated=deflated,
        crc=crc,
        compressed_size=compressed_size,
        size=size,
        offset=offset,
    )


class _Sources:
    """The zips that parts are copied from, each opened once."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __enter__(self) -> _Sources:
        return self

    def __exit__(self, *_fault: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def read(self, part: Spliced) -> Iterator[bytes]:
        descriptor = self._open.get(part.source)
        if descriptor is None:
            try:
                descriptor = os.open(part.source, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as fault:
                raise _gone(part.source) from fault
            self._open[part.source] = descriptor
        offset = part.offset
        end = part.offset + part.compressed_size
        while offset < end:
            chunk = os.pread(descriptor, min(_CHUNK, end - offset), offset)
            if not chunk:
                raise _gone(part.source)
            offset += len(chunk)
            yield chunk


def _gone(source: str) -> BundlerError:
    return BundlerError(
        "store-damaged", f"{source} is gone or cut short", "build again: it will be fetched anew"
    )


def _packed(parts: Iterable[Part]) -> Generator[Packed | Spliced]:
    """The parts in their order, compressed batch by batch: libdeflate leaves the interpreter's
    lock alone, so other threads compress while this one reads and writes."""
    batches = _batches(parts)
    first = next(batches, [])
    second = next(batches, None)
    if second is None:
        yield from _pack_batch(first)
        return
    waiting: deque[Future[list[Packed | Spliced]]] = deque()
    workers = min(_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="pack") as pool:
        for batch in itertools.chain((first, second), batches):
            waiting.append(pool.submit(_pack_batch, batch))
            if len(waiting) > workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    batch: list[Part] = []
    held = 0
    for part in parts:
        batch.append(part)
        if isinstance(part, Entry):
            held += len(part.content)
        if held >= _BATCH:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _pack_batch(batch: list[Part]) -> list[Packed | Spliced]:
    return [archive.pack(part) if isinstance(part, Entry) else part for part in batch]
