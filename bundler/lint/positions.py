"""Places in files: tools count columns in bytes, UTF-16 units or characters; we, in characters."""

from __future__ import annotations

import enum

from lambdad.bundler.inputs.reading import SOURCE, read_regular
from lambdad.bundler.model import RelPath
from lambdad.bundler.workshop import Workshop


class Units(enum.Enum):
    """What a tool counts columns in."""

    BYTES = "bytes"
    UTF16 = "utf-16"
    CHARACTERS = "characters"


class Places:
    """Of files as they are now, each read once."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._lines: dict[RelPath, list[bytes]] = {}

    def column(self, path: RelPath, line: int, column: int, units: Units) -> int:
        """The column in characters; as it was given where the file has no such line."""
        lines = self._lines_of(path)
        if units is Units.CHARACTERS or not 0 < line <= len(lines) or lines[line - 1].isascii():
            return max(column, 1)
        text, before = lines[line - 1], max(column - 1, 0)
        if units is Units.BYTES:
            return len(text[:before].decode("utf-8", "replace")) + 1
        wide = text.decode("utf-8", "replace").encode("utf-16-le", "surrogatepass")
        return len(wide[: 2 * before].decode("utf-16-le", "replace")) + 1

    def at(self, path: RelPath, offset: int) -> tuple[int, int] | None:
        """The line and column of a place that is given in bytes from the file's start."""
        lines, left = self._lines_of(path), offset
        for number, text in enumerate(lines, start=1):
            if left <= len(text):
                return number, self.column(path, number, left + 1, Units.BYTES)
            left -= len(text) + 1
        return None

    def _lines_of(self, path: RelPath) -> list[bytes]:
        if path not in self._lines:
            try:
                content = read_regular(self._workshop.absolute(path), SOURCE)
                self._lines[path] = content.split(b"\n")
            except OSError:
                self._lines[path] = []
        return self._lines[path]
