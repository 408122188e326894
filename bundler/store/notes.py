"""What the store notes: of its content, and of what tools answered. JSON documents, sealed.

A note can't prove itself as content under its digest does. So it is believed only if this user's
own runs wrote it, under that very name.
"""

from __future__ import annotations

from typing import Any

from lambdad.bundler.store.sealed import Seal
from lambdad.bundler.store.store import Store


def read(store: Store, kind: str, name: str) -> Any | None:
    """What was noted under the name, or None if there is nothing to be believed."""
    content = store.read(kind, f"{name}.json")
    return seal(store, kind, name).unseal(content) if content is not None else None


def write(store: Store, kind: str, name: str, document: object) -> None:
    """Notes it. Raises OSError."""
    store.put(kind, f"{name}.json", seal(store, kind, name).seal(document))


def seal(store: Store, kind: str, name: str) -> Seal:
    """The seal of what is noted under the name."""
    return Seal(store.secret).of("store", kind, name)
