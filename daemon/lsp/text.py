"""A file's lines, and places in them as clients count: from 0, in units of the encoding that was
agreed on, UTF-16 unless the client knows better. Ours count from 1, in characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.inputs.reading import read_regular
from lambdad.bundler.model import Location

LARGEST: Final = 4 << 20
"""Bytes; nothing is looked for in larger files: they are data, or a tool wrote them."""

_END: Final = re.compile(r"\r\n|\n|\r")
_WORD: Final = re.compile(r"[\w$]+")
_PATH: Final = re.compile(r"[\w$@./-]+")
_WIDTHS: Final = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2)}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a line, in characters, all from 0."""

    line: int
    start: int
    end: int


class TextLines:
    """A file's text by lines, as the protocol ends them: str.splitlines knows more ends."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = _END.split(text)

    def line(self, number: int) -> str:
        """The line of that number from 0; empty beyond the end."""
        return self.lines[number] if 0 <= number < len(self.lines) else ""

    def span(self, where: Location, *, whole: bool = False) -> Span:
        """What is at a place of ours: the word, with `whole` the path or dotted name; of a
        place without a column the line without its indent."""
        number = min(max((where.line or 1) - 1, 0), len(self.lines) - 1)
        line = self.line(number)
        if where.line is None:
            return Span(number, 0, 0)
        if where.column is None:
            end = len(line.rstrip())
            return Span(number, min(len(line) - len(line.lstrip()), end), end)
        start = min(max(where.column - 1, 0), len(line))
        if whole and line[start : start + 1] in ('"', "'"):
            start += 1
        found = (_PATH if whole else _WORD).match(line, start)
        return Span(number, start, found.end() if found else min(start + 1, len(line)))

    def find(self, where: Location, wanted: str) -> Span | None:
        """Where the text is from that place on, in its line."""
        if where.line is None or not wanted:
            return None
        start = self.line(where.line - 1).find(wanted, max((where.column or 1) - 1, 0))
        return Span(where.line - 1, start, start + len(wanted)) if start >= 0 else None

    def units(self, line: int, character: int, encoding: str) -> int:
        """Of a character's column, what the client calls it."""
        return width(self.line(line)[:character], encoding)

    def character(self, line: int, units: int, encoding: str) -> int:
        """The other way; within a character, the one it is in."""
        text = self.line(line)
        if encoding not in _WIDTHS or text.isascii():
            return min(units, len(text))
        name, size = _WIDTHS[encoding]
        before = text.encode(name, "surrogatepass")[: units * size]
        return len(before.decode(name, "ignore"))

    def at(self, offset: int) -> tuple[int, int]:
        """The line and character, from 0, of an offset in characters."""
        before = self.text[:offset]
        ends = list(_END.finditer(before))
        return len(ends), offset - (ends[-1].end() if ends else 0)


def width(text: str, encoding: str) -> int:
    """In units of the encoding."""
    if encoding not in _WIDTHS or text.isascii():
        return len(text)
    name, size = _WIDTHS[encoding]
    return len(text.encode(name, "surrogatepass")) // size


def decode(content: bytes) -> str:
    """What an editor shows of a file, whatever it holds."""
    return content.decode("utf-8-sig", "replace")


def read(path: str) -> TextLines:
    """The file as it is; empty where it can't be read, is none, or is too large."""
    try:
        return TextLines(decode(read_regular(path, LARGEST)))
    except (OSError, ValueError):
        return TextLines("")
