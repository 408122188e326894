"""JSON into located values: json.loads judges the text, a scan of its tokens gives the places."""

from __future__ import annotations

import bisect
import json
import re
from typing import Final

from lambdad.bundler.located.anyjson import characters
from lambdad.bundler.located.located import (
    DEPTH,
    VALUES,
    Document,
    Node,
    broken,
    check_depth,
    duplicate,
    shortened,
    too_deep,
    too_many,
)
from lambdad.bundler.model import Diagnostic, RelPath

NESTING: Final = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"?')
"""Of a string without an end, all that follows."""
_PARTS: Final = frozenset(",[{")
_SEPARATOR: Final = re.compile(r'[\[{,]|"(?:[^"\\]|\\.)*"?')
TOKEN: Final = re.compile(r'[ \t\r\n]*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^ \t\r\n,\]}]+)')


def parse(text: str, file: RelPath, first: int = 1) -> Document:
    """Raises ProjectError `broken-config`. Of duplicate keys the last counts, with a warning.

    `first` is the line of the file that the text begins on.
    """
    check_depth(text, file, NESTING)
    if text.count(",") + text.count("[") + text.count("{") > VALUES and _values(text) > VALUES:
        raise too_many(file)
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        message = fault.msg[:1].lower() + fault.msg[1:]
        raise broken(message, file, first + fault.lineno - 1, fault.colno) from fault
    except ValueError as fault:
        # A number of more digits than Python converts.
        raise broken(shortened(str(fault)), file) from fault
    return _scan(text, file, first)


def _values(text: str) -> int:
    """How many it holds, and brackets, but for those in strings."""
    return sum(match[0] in _PARTS for match in _SEPARATOR.finditer(text))


def _scan(text: str, file: RelPath, first: int) -> Document:
    """The text is valid JSON, so every word is one, and brackets match."""
    newlines = [match.start() for match in re.finditer("\n", text)]
    opened: list[Node] = []
    key: Node | None = None
    diagnostics: list[Diagnostic] = []
    top = Node(None, file, first, 1)
    for match in TOKEN.finditer(text):
        word = match[1]
        if word in ",:":
            continue
        if word in "]}":
            opened.pop()
            continue
        line = bisect.bisect_left(newlines, match.start(1))
        column = match.start(1) - (newlines[line - 1] if line else -1)
        node = _node(word, file, first + line, column)
        parent = opened[-1].value if opened else None
        if isinstance(parent, dict):
            if key is None:
                key = node
                continue
            if key.text in parent:
                diagnostics.append(duplicate(key, parent[key.text]))
            node.key_line, node.key_column = key.line, key.column
            parent[key.text] = node
            key = None
        elif isinstance(parent, list):
            parent.append(node)
        else:
            top = node
        if word in "[{":
            if len(opened) >= DEPTH:
                raise too_deep(file, node.line, node.column)
            opened.append(node)
    return Document(top, tuple(diagnostics))


def _node(word: str, file: RelPath, line: int, column: int) -> Node:
    if word == "{":
        return Node({}, file, line, column)
    if word == "[":
        return Node([], file, line, column)
    value = json.loads(word)
    if not isinstance(value, str):
        return Node(value, file, line, column, word)
    if not value.isascii():
        value = characters(value)
    return Node(value, file, line, column, value)
