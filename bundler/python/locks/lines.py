"""The lines of a requirements file: decoded, continuations joined, variables expanded."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import Location, RelPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A logical line: continuations joined, comment gone, variables expanded."""

    text: str
    where: Location
    """Where it begins."""
    constraint: bool
    """It limits what others ask for, and asks for nothing itself."""


_CODING: Final = re.compile(rb"coding[:=]\s*([-\w.]+)")
_VARIABLE: Final = re.compile(r"\$\{([A-Z0-9_]+)\}")
_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decoded(content: bytes) -> str:
    """By its byte order mark, else the coding its first two lines name, else UTF-8.

    Never by this machine's locale. Raises UnicodeDecodeError, LookupError.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding)
    for line in content.split(b"\n")[:2]:
        if line.startswith(b"#") and (found := _CODING.search(line)):
            return content.decode(found[1].decode("ascii"))
    return content.decode("utf-8")


def logical_lines(
    text: str, path: RelPath, value: Callable[[str], str | None], *, constraint: bool
) -> Iterator[Line]:
    """A file's lines as pip takes them. A variable for which `value` gives nothing stays as it is
    written."""
    for first, raw in _joined(text.splitlines()):
        column = len(raw) - len(raw.lstrip()) + 1
        content = _COMMENT.sub("", raw).strip()
        if content:
            expanded = _VARIABLE.sub(lambda found: value(found[1]) or found[0], content)
            yield Line(text=expanded, where=Location(path, first, column), constraint=constraint)


def _joined(physical: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with their continuations, each with its first line's number."""
    parts: list[str] = []
    first = 1
    for number, line in enumerate(physical, 1):
        if not parts:
            first = number
        if not line.endswith("\\") or _COMMENT.match(line):
            # A comment ends a continuation, and needs the space before it to be seen as one.
            parts.append(f" {line}" if parts and _COMMENT.match(line) else line)
            yield first, "".join(parts)
            parts = []
        else:
            parts.append(line.rstrip("\\"))
    if parts:
        yield first, "".join(parts)
