"""Values that are kept with the snapshot that proves them: they hold while stat shows it unmoved.

Where they are kept is a Place: the memory of a process that lives long (bundler/memory.py), or
files in the store (store/kept_files.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.inputs.snapshot import Clock, Stat, stat_key
from lambdad.bundler.model import InputSet, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A value, and what it was made of as it was then."""

    value: T
    proof: Snapshot

    def holds(self, root: str, look: Stat = stat_key) -> bool:
        """Whether nothing that the value was made of has moved since. `root` is the project's."""
        return next(snapshot.changes(root, self.proof, look), None) is None


class Place(Protocol[T]):
    """Where values of one kind are kept, by key. To lose any of them costs time alone."""

    def get(self, key: Hashable) -> Kept[T] | None:
        """What is kept under the key, whether it still holds or not."""

    def put(self, key: Hashable, value: Kept[T], /) -> None:
        """Keeps it under the key; it may be lost at any time."""


class Asker(Protocol):
    """What asks for kept values: a build, by its Workshop."""

    @property
    def root(self) -> str:
        """The project's folder."""

    @property
    def seen(self) -> Seen:
        """Records what a value depends on."""

    @property
    def look(self) -> Stat:
        """How inputs are looked at."""

    def clock(self) -> Clock | None:
        """A reading of the clock of the project's file system."""


def observed(root: str, value: T, inputs: InputSet, since: Clock) -> Kept[T]:
    """The value with its inputs as they are now; it never holds if one of them is suspect."""
    return Kept(value, snapshot.observe(root, inputs, since=since))


def prove(root: str, value: T, inputs: InputSet, since: Clock | None) -> Kept[T] | None:
    """The value with its proof; None if it can't be proved.

    The clock was read before anything that the value was made of. What changed at or after that
    moment, or in its tick, proves nothing; nor does an empty set of inputs, which nothing would
    ever move. Without a clock nothing can be shown to be old enough.
    """
    if since is None or not (inputs.files or inputs.listings):
        return None
    kept = observed(root, value, inputs, since)
    return None if kept.proof.suspects else kept


def keep(
    place: Place[T], key: Hashable, value: T, inputs: InputSet, *, root: str, since: Clock | None
) -> None:
    """Keeps the value there, if it can be proved (see `prove`)."""
    proved = prove(root, value, inputs, since)
    if proved is not None:
        place.put(key, proved)


def find(
    place: Place[T],
    key: Hashable,
    asker: Asker,
    is_there: Callable[[T], bool] = lambda _value: True,
) -> T | None:
    """The kept value, if it holds; what it was made of is then recorded for the asker.

    `is_there` says whether something that the value only names is still there.
    """
    kept = place.get(key)
    if kept is None or not kept.holds(asker.root, asker.look) or not is_there(kept.value):
        return None
    asker.seen.add(snapshot.inputs_of(kept.proof))
    return kept.value


def recall(
    place: Place[T],
    key: Hashable,
    asker: Asker,
    make: Callable[[Seen], T],
    is_there: Callable[[T], bool] = lambda _value: True,
) -> T:
    """The kept value, if it holds; else it is made now, and kept if it can be proved.

    Either way its inputs are recorded for the asker. `make` looks at the project through the
    recorder that it is given, and may raise anything. `is_there` is as in `find`.
    """
    found = find(place, key, asker, is_there)
    if found is not None:
        return found
    now = asker.clock()  # before anything is read
    with asker.seen.apart() as inner:
        value = make(inner)
    keep(place, key, value, inner.inputs(), root=asker.root, since=now)
    return value
