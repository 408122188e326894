"""What a process that lives long keeps between builds, each thing with the proof that it holds.

Nothing here is believed for its age: what came from files is kept with a snapshot of them and
holds while stat shows it unmoved; the rest is kept under the digest of what it came from. It is
bounded, and losing any of it costs time alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import InputSet, Segment, Snapshot
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.record_cache import Records
from lambdad.bundler.zips import archive
from lambdad.bundler.zips.archive import Prefix

if TYPE_CHECKING:
    from lambdad.bundler.esbuild.engine import Esbuild
    from lambdad.bundler.esbuild.known import Known
    from lambdad.bundler.npm.vendored import Vendored
    from lambdad.bundler.python.dependencies import Dependencies
    from lambdad.bundler.python.wheels.splice import Splice

FUNCTIONS: Final = 256
"""So many functions are known of; the large things they have in common are kept once."""
SETS: Final = 16
"""Sets of dependencies, each with a few megabytes of names."""

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


class Shelf(Generic[T]):
    """Values by key; of too many the least lately used goes. Any thread may call any method."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
        return value

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._values.pop(key, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)


class Pool:
    """One object for all equal ones: functions look at much that others look at, too. An AWS SDK
    client alone is 600 paths, keys and folders. Any thread may call any method."""

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._known: dict[Any, Any] = {}

    def one(self, value: H) -> H:
        known: H = self._known.setdefault(value, value)
        if len(self._known) > self._most:
            self._known = {}
        return known

    def snapshot(self, seen: Snapshot) -> Snapshot:
        one = self.one
        return Snapshot(
            files={one(path): one(key) for path, key in seen.files.items()},
            links={one(path): one(key) for path, key in seen.links.items()},
            listings={one(path): one(listing) for path, listing in seen.listings.items()},
            suspects=seen.suspects,
        )

    def inputs(self, inputs: InputSet) -> InputSet:
        return InputSet(
            files=frozenset(map(self.one, inputs.files)),
            links=frozenset(map(self.one, inputs.links)),
            listings={self.one(path): self.one(names) for path, names in inputs.listings.items()},
        )


class Memory:
    """One project's. Any thread may use it."""

    def __init__(self) -> None:
        self.pool = Pool()
        self.records = Records(self.pool.snapshot)
        self.bundles: Shelf[Known] = Shelf(FUNCTIONS)
        """By function and whether it is wanted live."""
        self.dependencies: Shelf[tuple[Dependencies, Snapshot]] = Shelf(FUNCTIONS)
        self.vendored: Shelf[tuple[Vendored, Snapshot]] = Shelf(FUNCTIONS)
        self.splices: Shelf[Splice] = Shelf(SETS)
        """By the wheels' digests."""
        self._segments: Shelf[Segment] = Shelf(SETS)
        self._prefixes: Shelf[Prefix] = Shelf(SETS)
        self._lock = threading.Lock()  # guards the one below
        self._esbuild: Esbuild | None = None

    def esbuild(self, make: Callable[[], Esbuild]) -> Esbuild:
        """The one for all builds, made by the first of them."""
        with self._lock:
            if self._esbuild is None:
                self._esbuild = make()
            return self._esbuild

    def engine(self) -> tuple[int, int | None]:
        """How many contexts esbuild holds, and its process, if one runs."""
        from lambdad.bundler.esbuild.contexts import Contexts

        with self._lock:
            esbuild = self._esbuild
        return (esbuild.count, esbuild.pid) if isinstance(esbuild, Contexts) else (0, None)

    def shared(self, segment: Segment) -> Segment:
        """The same segment, as one object for all functions that have it."""
        known = self._segments.get((segment.path, segment.digest))
        if known == segment and known is not None:
            return known
        self._segments.put((segment.path, segment.digest), segment)
        return segment

    def prefix(self, segment: Segment) -> Prefix:
        """What spares reading the segment: read once, and again whenever its file was touched.

        Raises BundlerError: `store-damaged`.
        """
        known = self._prefixes.get(segment.digest)
        if known is None or not archive.holds(known, segment):
            known = archive.read_prefix(segment)
            self._prefixes.put(segment.digest, known)
        return known

    def close(self) -> None:
        """Ends the tools that outlive a build. Safe to call again."""
        with self._lock:
            esbuild, self._esbuild = self._esbuild, None
        if esbuild is not None:
            esbuild.close()


def recall(
    shelf: Shelf[tuple[T, Snapshot]],
    key: Hashable,
    seen: Seen,
    make: Callable[[Seen], T],
) -> T:
    """The value that was made of inputs which have not moved since, or is made now.

    Its inputs are recorded either way; `make` looks at the project through the recorder that it is
    given. What changed while the value was made, or in the same tick, is not kept. `make` may raise
    anything.
    """
    root = seen.root
    known = shelf.get(key)
    if known is not None:
        value, kept = known
        if next(snapshot.changes(root, kept), None) is None:
            seen.add(snapshot.inputs_of(kept))
            return value
        shelf.drop(key)
    # The clock first: what is read after it and changes meanwhile is suspect.
    clock = None
    with contextlib.suppress(OSError):
        clock = snapshot.read_clock(Output(root).clock)
    with seen.apart() as inner:
        value = make(inner)
    inputs = inner.inputs()
    if clock is not None and (inputs.files or inputs.listings):  # else nothing would ever end it
        kept = snapshot.observe(root, inputs, since=clock)
        if not kept.suspects:
            shelf.put(key, (value, kept))
    return value
