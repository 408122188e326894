"""Values that are kept with the snapshot that proves them: they hold while stat shows it unmoved.

Where they are kept is a Place: the memory of a process that lives long (bundler/memory.py), or
files in the store.
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


def prove(root: str, value: T, inputs: InputSet, since: Clock | None) -> Kept[T] | None:
    """The value with its proof; None if it can't be proved.

    The clock was read before anything that the value was made of. What changed at or after that
    moment, or in its tick, proves nothing; nor does an empty set of inputs, which nothing would
    ever move. Without a clock nothing can be shown to be old enough.
    """
    if since is None or not (inputs.files or inputs.listings):
        return None
    proof = snapshot.observe(root, inputs, since=since)
    return None if proof.suspects else Kept(value, proof)


def recall(
    place: Place[T],
    key: Hashable,
    seen: Seen,
    clock: Callable[[], Clock | None],
    make: Callable[[Seen], T],
    *,
    is_there: Callable[[T], bool] = lambda _value: True,
) -> T:
    """The kept value, if it holds; else it is made now, and kept if it can be proved.

    Either way its inputs are recorded in `seen`; `make` looks at the project through the recorder
    that it is given, and may raise anything. `clock` reads the clock of the project's file system.
    `is_there` says whether something that the value only names is still there.
    """
    kept = place.get(key)
    if kept is not None and kept.holds(seen.root) and is_there(kept.value):
        seen.add(snapshot.inputs_of(kept.proof))
        return kept.value
    now = clock()  # before anything is read
    with seen.apart() as inner:
        value = make(inner)
    proved = prove(seen.root, value, inner.inputs(), now)
    if proved is not None:
        place.put(key, proved)
    return value
