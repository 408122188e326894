"""Kept values on disk, for processes that do not live long: sealed files in the store.

A file there is believed only if this user's own runs wrote it for this project; anything torn,
foreign or of another version is a miss. What it holds is believed as any kept value is: while stat
shows what it was made of unmoved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import record
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.record import Json
from lambdad.bundler.store.sealed import name_of
from lambdad.bundler.store.store import Store

KIND: Final = "locks"
"""The store's kind for such files; their names begin with what the values are."""

_BROKEN: Final = (BundlerError, LookupError, OSError, TypeError, ValueError, AttributeError)

T = TypeVar("T")


@dataclass(frozen=True)
class Coding(Generic[T]):
    """How values of one kind are written as JSON."""

    name: str
    version: int
    """Raised whenever older files would be read as something else."""
    encode: Callable[[T], Json]
    decode: Callable[[Json], T]
    """Raises LookupError, TypeError, ValueError or AttributeError where it can't be a value, and
    LookupError where what the value names is no longer there."""


@dataclass(frozen=True, slots=True)
class KeptFiles(Generic[T]):
    """A Place with a file for each key. Keys are what `record.canonical` takes."""

    coding: Coding[T]
    store: Store
    state: ProjectState
    believed: bool = True
    """Else nothing is found, and what is made anew is kept."""

    def get(self, key: Hashable) -> Kept[T] | None:
        if not self.believed:
            return None
        try:
            return _decoded(_read(self.store, self.state, self._name(key)), self.coding)
        except _BROKEN:
            return None

    def put(self, key: Hashable, value: Kept[T]) -> None:
        _write(self.store, self.state, self._name(key), _encoded(value, self.coding))

    def _name(self, key: Hashable) -> str:
        return _name(self.coding, self.state, record.canonical(key))


class KeptTable(Generic[T]):
    """A Place with one file for all keys, which are text: for many small values.

    It is read when it is made; what it is given is lost unless `save` is called. One thread at a
    time uses it.
    """

    def __init__(
        self, coding: Coding[T], store: Store, state: ProjectState, *, believed: bool = True
    ) -> None:
        self._coding = coding
        self._state = state
        self._store = store
        self._name = _name(coding, state, None)
        self._changed = False
        saved = _read(store, state, self._name) if believed else None
        self._saved: dict[str, Json] = saved if isinstance(saved, dict) else {}

    def get(self, key: Hashable) -> Kept[T] | None:
        try:
            return _decoded(self._saved[str(key)], self._coding)
        except _BROKEN:
            return None

    def put(self, key: Hashable, value: Kept[T]) -> None:
        self._saved[str(key)] = _encoded(value, self._coding)
        self._changed = True

    def save(self, lasts: Callable[[str], bool]) -> None:
        """Writes what has changed, less the keys that do not last. A failure costs time alone."""
        if not self._changed:
            return
        lasting = {key: saved for key, saved in self._saved.items() if lasts(key)}
        _write(self._store, self._state, self._name, lasting)


def _name(coding: Coding[T], state: ProjectState, key: Json) -> str:
    return f"{coding.name}-{name_of([coding.version, state.project.root, key])}.json"


def _read(store: Store, state: ProjectState, name: str) -> Json:
    """What this project's own runs wrote there; None if there is nothing to be believed."""
    content, seal = store.read(KIND, name), state.kept(name)
    return None if content is None or seal is None else seal.unseal(content)


def _write(store: Store, state: ProjectState, name: str, document: Json) -> None:
    seal = state.kept(name)
    if seal is not None:
        with contextlib.suppress(OSError, BundlerError):  # what is not ours is not written to
            store.put(KIND, name, seal.seal(document), missable=True)


def _encoded(kept: Kept[T], coding: Coding[T]) -> Json:
    return [coding.encode(kept.value), record.encode_snapshot(kept.proof)]


def _decoded(saved: Json, coding: Coding[T]) -> Kept[T]:
    value, proof = saved
    return Kept(coding.decode(value), record.decode_snapshot(proof))
