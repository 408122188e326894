"""Under which names a path is known: a symlink's target changes under the symlink's name too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

DEEP: Final = 3
"""So many symlinks one behind the other are followed back; it also ends loops."""


class Aliases:
    """Links and where they lead. Not locked: its owner is."""

    def __init__(self) -> None:
        self._links: dict[str, set[str]] = {}
        self._targets: dict[str, str] = {}

    def add(self, link: str, target: str) -> None:
        """`target` has no symlinks on its way; it need not exist."""
        self.remove(link)
        self._targets[link] = target
        self._links.setdefault(target, set()).add(link)

    def remove(self, link: str) -> None:
        if (target := self._targets.pop(link, None)) is not None:
            links = self._links[target]
            links.discard(link)
            if not links:
                del self._links[target]

    def clear(self) -> None:
        self._links.clear()
        self._targets.clear()

    def names(self, path: str) -> set[str]:
        """The path, and what it is called through links."""
        names = newest = {path}
        for _ in range(DEEP if self._links else 0):
            newest = {alias for name in newest for alias in self._through_one(name)} - names
            names = names | newest
        return names

    def _through_one(self, path: str) -> Iterator[str]:
        for folder in above(path):
            for link in self._links.get(folder, ()):
                yield link + path[len(folder) :]


def resolved(path: str) -> str:
    """The path without symlinks, as far as it can be known; never raises."""
    try:
        return os.path.realpath(path)
    except OSError:
        # Python's realpath raises when a link goes between its two looks at it.
        return path


def above(path: str) -> Iterator[str]:
    """The path, then each folder it lies in, up to the root of the file system."""
    while True:
        yield path
        head = os.path.dirname(path)
        if head == path:
            return
        path = head
