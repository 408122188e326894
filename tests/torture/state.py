"""What a function must be built to at one moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_TOKEN = re.compile(r"T\d{8}")


class State(NamedTuple):
    """Of one function at one moment: its tokens, or why it fails."""

    tokens: frozenset[str]
    faults: frozenset[str] = frozenset()
    signature: str = ""
    """Equal exactly for equal live trees, where those are the user's own files."""
    doubts: frozenset[str] = frozenset()
    """Faults that may be told as well, or not: nobody can tell what half a CommonJS file exports.
    If not, the build may hold less than the tokens."""
    live: State | None = None
    """Of its live tree, where that is another's."""

    def of(self, want: str) -> State:
        return self.live if want == "live" and self.live is not None else self


EMPTY = frozenset({"missing-export"})
"""The doubt about an emptied or half-written handler."""

GONE = frozenset({"missing-code"})
"""What is said of a code folder that is not there. Who read the configuration before it went may
find no handler in it."""


def tokens_in(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(token for text in texts for token in _TOKEN.findall(text))
