"""TOML of any author: like tomllib.loads, in bounded time and stack.

tomllib takes seconds for a key of many thousand parts, and minutes for as many tables.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

DEPTH: Final = 100
MOST: Final = 3_000_000
"""Values, parts of keys and brackets, also those in strings: a few seconds' work. A lock of three
thousand packages holds a third of that."""

_PART: Final = r"""(?:[A-Za-z0-9_-]++|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+')"""
_SINGLE: Final = re.compile(_PART)
_TOKEN: Final = re.compile(
    r"""[\[\]{}]|#[^\n]*|\"\"\"(?:\\.|[^\\])*?\"\"\"\"{0,2}|'''.*?''''{0,2}"""
    rf"""|(?P<key>{_PART}(?:[ \t]*\.[ \t]*{_PART})*+)""",
    re.DOTALL,
)
"""A bracket, a comment, a string, or a key with all its parts."""

_LETTERS: Final = "=,[{."


def loads(text: str, *, most: int = MOST) -> dict[str, Any]:
    """The document. Raises ValueError, as tomllib.loads does, also where it is nested more than
    DEPTH deep or has more than `most` parts."""
    if (at := too_deep(text)) is not None:
        line = text.count("\n", 0, at) + 1
        raise ValueError(f"nested more than {DEPTH} deep (at line {line})")
    if size(text) > most:
        raise ValueError(f"it holds more than {most:,} values")
    return tomllib.loads(text)


def size(text: str) -> int:
    """How many values, parts of keys and brackets it has at most; more are counted than there are,
    since strings and comments are not distinguished."""
    return sum(map(text.count, _LETTERS))


def too_deep(text: str) -> int | None:
    """The offset of the first bracket or part of a key that is deeper than DEPTH; None without
    one."""
    if text.count("[") + text.count("{") + text.count(".") <= DEPTH:
        return None
    depth = 0
    for match in _TOKEN.finditer(text):
        word = match[0]
        if match["key"] is not None:
            if word.count(".") >= DEPTH:
                parts = [part.start() for part in _SINGLE.finditer(text, *match.span())]
                if len(parts) > DEPTH:
                    return parts[DEPTH - 1]
        elif word in ("[", "{"):
            depth += 1
            if depth > DEPTH:
                return match.start()
        elif word in ("]", "}"):
            depth -= 1
    return None
