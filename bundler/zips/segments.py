"""Dependency segments: the head of a zip, made once for a set of dependencies, shared by digest.

In the store `segments/<key>.zipseg` holds the bytes and `<key>.json` its members. These are written
last, so a segment without them was never finished.
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
from typing import BinaryIO, Final

from lambdad.bundler.model import BundlerError, Entry, ProjectError
from lambdad.bundler.store import notes
from lambdad.bundler.store.anchored import Folder, descriptor_of
from lambdad.bundler.store.ownership import this_user_or_root
from lambdad.bundler.store.sealed import name_of
from lambdad.bundler.store.store import Store
from lambdad.bundler.toolchain import ZIP_FORMAT
from lambdad.bundler.zips import headers, names
from lambdad.bundler.zips.member import LEVEL, Member, Segment, pack

KIND: Final = "segments"

_SCHEMA: Final = 3
_CHUNK: Final = 1 << 20
_BATCH: Final = 1 << 20
"""Bytes of content that one thread compresses at a time."""
_WORKERS: Final = 4
_MARK_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Spliced:
    """A member whose compressed bytes are copied as they lie in another zip."""

    member: Member
    """With its offset in that zip."""
    source: str
    """Absolute path of that zip."""

    @property
    def name(self) -> str:
        return self.member.name


Part = Spliced | Entry

_Packed = tuple[Member, bytes | Spliced]
"""A member, and what gives its compressed bytes."""


def key(*decided_by: object) -> str:
    """The digest of whatever decides a segment's bytes: JSON values, in a fixed order."""
    import deflate

    return name_of([_SCHEMA, ZIP_FORMAT, LEVEL, deflate.__version__, *decided_by])


def key_of(segment: Segment) -> str:
    """The key that `find` finds the segment under."""
    return os.path.basename(segment.path).partition(".")[0]


def named(store: Store, key: str | None) -> Segment | None:
    """The segment of that key; None: there is to be none. Raises LookupError if it is lost."""
    found = find(store, key) if key is not None else None
    if key is not None and found is None:
        raise LookupError(key)
    return found


def find(store: Store, key: str) -> Segment | None:
    """The segment made under that key; a torn, damaged or foreign list is a miss.

    Its size is checked here, its bytes when they are used (bundler/zips/archive.py).
    """
    document = notes.read(store, KIND, key)
    data_path = store.find(KIND, f"{key}.zipseg")
    if document is None or data_path is None:
        return None
    try:
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
        members=tuple(map(Member.of_row, document["members"])),
        owners=tuple((path, owner) for path, owner in document["owners"]),
    )


def is_there(segment: Segment) -> bool:
    """As `find` for one that was found before: marked as used, but not more than once an hour,
    since a caller that keeps its archive.Prefix must read it again after that."""
    try:
        folder, name = home(segment)
        status = folder.status(name)
        if status.st_size != segment.size:
            return False
        if time.time() - status.st_mtime > _MARK_EVERY_S:
            for each in (name, f"{os.path.splitext(name)[0]}.json"):
                folder.mark(each)
    except (FileNotFoundError, BundlerError):  # what is not ours is refused where it is made anew
        return False
    except OSError:  # a store that may be read but not written still serves
        pass
    return True


def home(segment: Segment) -> tuple[Folder, str]:
    """The folder that it lies in, opened without following a symlink, and its name there. Raises
    OSError, and BundlerError `not-ours`."""
    folder, name = os.path.split(segment.path)
    above, kind = os.path.split(folder)
    return Folder.beneath(above, kind, this_user_or_root()), name


def make(
    store: Store, key: str, parts: Iterable[Part], owners: tuple[tuple[str, str], ...] = ()
) -> Segment:
    """Writes the segment. `parts` come sorted by name and are taken one by one, so what they hold
    need not fit into memory; how many threads compress them changes no byte. `owners` are kept
    with it.

    Raises ProjectError: `zip-name` or `zip-clash`; BundlerError: `store-damaged` if a source is
    gone or shorter than a part says; ValueError if the parts are not sorted.
    """
    made: list[tuple[str, tuple[Member, ...]]] = []
    path = store.put(KIND, f"{key}.zipseg", lambda out: made.append(_write(out, parts)))
    digest, members = made[0]
    size = path.stat().st_size
    document = {
        "schema": _SCHEMA,
        "key": key,
        "digest": digest,
        "size": size,
        "members": [member.row() for member in members],
        "owners": owners,
    }
    notes.write(store, KIND, key, document)
    return Segment(digest=digest, path=str(path), size=size, members=members, owners=owners)


def _write(out: BinaryIO, parts: Iterable[Part]) -> tuple[str, tuple[Member, ...]]:
    digest = hashlib.sha256()
    members: list[Member] = []
    offset = 0
    with _Sources() as sources, contextlib.closing(_packed(parts)) as packed:
        for unplaced, data in packed:
            if members and unplaced.name < members[-1].name:
                raise ValueError(f"{unplaced.name} came after {members[-1].name}")
            member = headers.placed(unplaced, offset)
            members.append(member)
            chunks = (data,) if isinstance(data, bytes) else sources.read(data)
            for chunk in itertools.chain((headers.local_header(member),), chunks):
                out.write(chunk)
                digest.update(chunk)
                offset += len(chunk)
    if faults := names.faults(member.name for member in members):
        raise ProjectError(*faults)
    return digest.hexdigest(), tuple(members)


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
                descriptor = descriptor_of(part.source)
            except FileNotFoundError as fault:
                raise _gone(part.source) from fault
            self._open[part.source] = descriptor
        offset = part.member.offset
        end = offset + part.member.compressed_size
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


def _packed(parts: Iterable[Part]) -> Generator[_Packed]:
    """The parts in their order, compressed batch by batch: libdeflate leaves the interpreter's
    lock alone, so other threads compress while this one reads and writes."""
    batches = _batches(parts)
    first = next(batches, [])
    second = next(batches, None)
    if second is None:
        yield from _pack_batch(first)
        return
    waiting: deque[Future[list[_Packed]]] = deque()
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


def _pack_batch(batch: list[Part]) -> list[_Packed]:
    return [pack(part) if isinstance(part, Entry) else (part.member, part) for part in batch]
