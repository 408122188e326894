"""What a process that lives long keeps between builds, each thing with the proof that it holds.

Nothing here is believed for its age: what came from files is kept with a snapshot of them and
holds while stat shows it unmoved; the rest is kept under the digest of what it came from. It is
bounded, and losing any of it costs time alone.

What is kept is decided elsewhere: a module that makes values worth keeping declares a Slot for
them, and the memory has a shelf for each slot.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from lambdad.bundler.model import InputSet, Snapshot

FUNCTIONS: Final = 256
"""The bound of slots with a value for each function; large things that functions have in common are
kept once."""
SETS: Final = 16
"""The bound of slots with a value for each set of dependencies, which takes a few megabytes."""

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)
E = TypeVar("E", bound="Engine")


@dataclass(frozen=True, eq=False)
class Slot(Generic[T]):
    """A kind of values in every Memory: declared once, where the values are made and used."""

    name: str
    most: int
    """Values that are kept; of more the least lately used goes."""


class Engine(Protocol):
    """A tool that runs on between builds."""

    @property
    def pid(self) -> int | None:
        """Its process, if one runs."""

    @property
    def count(self) -> int:
        """How many builds it is ready to repeat."""

    def close(self) -> None:
        """Ends it. Safe to call again."""


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

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value, made now if there is none."""
        with self._lock:
            value = self._values.get(key)
            if value is None:
                value = self._values[key] = make()
        return value

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
        self._lock = threading.Lock()  # guards what is below
        self._shelves: dict[Slot[Any], Shelf[Any]] = {}
        self._engine: Engine | None = None

    def shelf(self, slot: Slot[T]) -> Shelf[T]:
        """The values of that kind."""
        with self._lock:
            shelf: Shelf[T] | None = self._shelves.get(slot)
            if shelf is None:
                shelf = self._shelves[slot] = Shelf(slot.most)
        return shelf

    def engine(self, make: Callable[[], E]) -> E:
        """The one for all builds, made by the first of them; `make` is always the same."""
        with self._lock:
            if self._engine is None:
                self._engine = make()
            return cast("E", self._engine)

    @property
    def running(self) -> Engine | None:
        """The engine, if a build has needed one."""
        with self._lock:
            return self._engine

    def close(self) -> None:
        """Ends the tools that outlive a build. Safe to call again."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
