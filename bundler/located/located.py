"""A configuration file's values, each knowing its place. The syntaxes are in located_*.py beside.

What comes out is bounded whatever went in: nesting by DEPTH, what aliases repeat by REPEATED, all
values by VALUES, the file by SIZE. So a reader may recurse over a tree and copy parts of it without
further care.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Final

from lambdad.bundler.model import Diagnostic, Location, ProjectError, RelPath, error, warning

DEPTH: Final = 100
REPEATED: Final = 200_000
"""Nodes that YAML's aliases and merges may repeat, all counted."""
VALUES: Final = 200_000
"""Values, keys and brackets of a file: to find the places of so many takes seconds."""
SIZE: Final = 4 << 20
"""Bytes; CloudFormation takes templates up to 1 MB."""

Scalar = str | int | float | bool | date | time | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]


@dataclass(slots=True, eq=False)
class Node:
    """A value of the file. Lines and columns count from 1; columns are characters."""

    value: Scalar | list[Node] | dict[str, Node]
    file: RelPath
    line: int
    column: int
    text: str = ""
    """Of a scalar: as written, quotes and escapes undone ("3.10" where the value is 3.1)."""
    key_line: int = 0
    key_column: int = 0
    """Of the key that names it; 0 where none does."""

    @property
    def where(self) -> Location:
        return Location(self.file, self.line, self.column)

    @property
    def key_where(self) -> Location:
        if self.key_line == 0:
            return self.where
        return Location(self.file, self.key_line, self.key_column)

    @property
    def fields(self) -> Mapping[str, Node]:
        """The mapping's values by key; empty for anything but a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The list's values; empty for anything but a list."""
        return self.value if isinstance(self.value, list) else []


@dataclass(frozen=True, slots=True)
class Document:
    top: Node
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings: what it says is clear, and likely not what was meant."""


def plain(node: Node) -> Plain:
    """The value without places."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def kind(node: Node) -> str:
    """What a person calls the value: "a list", "the text \"x\"", "nothing"."""
    match node.value:
        case None:
            return "nothing"
        case bool():
            return "true" if node.value else "false"
        case "":
            return "empty text"
        case str():
            return f'the text "{shortened(node.value)}"'
        case int() | float():
            return f"the number {shortened(node.text)}"
        case list():
            return f"a list of {len(node.value)}"
        case dict():
            return "a mapping"
        case _:
            return "a date or time"


def shortened(text: str) -> str:
    """Text of the user's, fit for a message: one line, no control characters, 80 characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:81])
    return shown if len(shown) <= 80 else shown[:79] + "…"


def broken(
    message: str, file: RelPath, line: int | None = None, column: int | None = None
) -> ProjectError:
    """The file can't be read as what it should be; with the place, if one is known."""
    return ProjectError(error("broken-config", message, Location(file, line, column)))


def too_deep(file: RelPath, line: int | None = None, column: int | None = None) -> ProjectError:
    return broken(f"nested more than {DEPTH} deep", file, line, column)


def too_many(file: RelPath) -> ProjectError:
    return broken(f"it holds more than {VALUES:,} values, so not taken for configuration", file)


def check_depth(
    text: str,
    file: RelPath,
    tokens: re.Pattern[str],
    *,
    start: int = 0,
    end: int | None = None,
    depth: int = 0,
) -> None:
    """Raises ProjectError at the first bracket of text[start:end] that opens level DEPTH + 1.

    `tokens` matches brackets, and whole strings and comments so that brackets in them are passed
    over; `depth` levels are open at `start`. The limit is ours and not a parser's: how deep a
    parser goes, and what it says then, changes from one version to the next.
    """
    end = len(text) if end is None else end
    if depth + text.count("[", start, end) + text.count("{", start, end) <= DEPTH:
        return
    for match in tokens.finditer(text, start, end):
        if match[0] in ("[", "{"):
            depth += 1
            if depth > DEPTH:
                at = match.start()
                raise too_deep(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        elif match[0] in ("]", "}"):
            depth -= 1


def duplicate(key: Node, first: Node) -> Diagnostic:
    """The warning that `key` is there again, after the one that names `first`."""
    return warning(
        "duplicate-key",
        f'"{shortened(key.text)}" is here a second time, and only this one counts',
        Location(key.file, key.line, key.column),
        f"the other is on line {first.key_line}: remove one, or rename it",
    )


def decode(content: bytes, file: RelPath) -> str:
    """The text less a byte order mark. Raises ProjectError if it is not UTF-8, or too large."""
    if len(content) > SIZE:
        raise broken(f"larger than {SIZE >> 20} MiB, so not taken for configuration", file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        # `fault.start` counts from behind the byte order mark.
        before = fault.object[: fault.start].decode("utf-8")
        hint = "save the file as UTF-8"
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            hint += "; it is UTF-16 now"
        where = Location(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise ProjectError(error("broken-config", "not UTF-8 text", where, hint)) from fault
