"""TOML into located values: tomllib judges the text, a scan of its statements gives the places."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from typing import Any, Final

from lambdad.bundler.located import anytoml
from lambdad.bundler.located.located import (
    DEPTH,
    VALUES,
    Document,
    Node,
    broken,
    too_deep,
    too_many,
)
from lambdad.bundler.model import RelPath

# The text is valid TOML by then, so these need only find where a token ends.
SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
BARE_VALUE: Final = re.compile(r"[^,\]}#\n]+")
FAULT: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)

KeyPath = tuple[str | int, ...]


def parse(text: str, file: RelPath) -> Document:
    """Raises ProjectError `broken-config`. An empty file is an empty mapping."""
    import tomllib

    if (at := anytoml.too_deep(text)) is not None:
        raise too_deep(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    if anytoml.size(text) > VALUES:
        raise too_many(file)
    try:
        values = tomllib.loads(text)
        scan = _Scan(text.replace("\r\n", "\n"))
        scan.statements()
        newlines = [match.start() for match in re.finditer("\n", scan.text)]
        return Document(_node(values, (), scan, newlines, Node(None, file, 1, 1)))
    except tomllib.TOMLDecodeError as fault:
        message, line, column = str(fault), None, None
        if match := FAULT.fullmatch(message):
            end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
            line, column = (int(match[2]), int(match[3])) if match[2] else end
            message = match[1][:1].lower() + match[1][1:]
        raise broken(message, file, line, column) from fault
    except ValueError as fault:
        # tomllib lets through what date and int say of impossible days and of endless digits.
        raise broken(str(fault), file) from fault


@dataclass(slots=True)
class _Scan:
    text: str
    at: int = 0
    keys: dict[KeyPath, int] = field(default_factory=dict)
    """The place of a value's key, by the value's path; offsets into the text."""
    values: dict[KeyPath, int] = field(default_factory=dict)
    tables: dict[KeyPath, int] = field(default_factory=dict)
    """How many tables an array of tables has so far."""

    def statements(self) -> None:
        header: KeyPath = ()
        while True:
            self._space()
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                header = self._header()
            else:
                self._pair(header)

    def _header(self) -> KeyPath:
        start = self.at
        repeated = self.text.startswith("[[", start)
        self.at += 2 if repeated else 1
        names = self._names()
        self.at += 2 if repeated else 1
        path: KeyPath = ()
        for index, (name, offset) in enumerate(names):
            path = (*path, name)
            self.keys.setdefault(path, offset)
            self.values.setdefault(path, offset)
            if repeated and index == len(names) - 1:
                self.tables[path] = self.tables.get(path, 0) + 1
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
                self.values.setdefault(path, start)
        return path

    def _names(self) -> list[tuple[str, int]]:
        names = []
        while True:
            self._space()
            start = self.at
            if quoted := STRING.match(self.text, start):
                self.at = quoted.end()
                names.append((_unquoted(quoted[0]), start))
            elif bare := BARE_KEY.match(self.text, start):
                self.at = bare.end()
                names.append((bare[0], start))
            self._space()
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _pair(self, table: KeyPath) -> None:
        path = table
        for name, offset in self._names():
            path = (*path, name)
            self.keys.setdefault(path, offset)
            self.values.setdefault(path, offset)
        self.at += 1  # "="
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._space()
        self.values[path] = self.at
        if self.text[self.at] == "[":
            self.at += 1
            index = 0
            while self._more("]"):
                self._value((*path, index))
                index += 1
        elif self.text[self.at] == "{":
            self.at += 1
            while self._more("}"):
                self._pair(path)
        else:
            token = STRING.match(self.text, self.at) or BARE_VALUE.match(self.text, self.at)
            self.at = token.end() if token else self.at + 1

    def _more(self, end: str) -> bool:
        """Passes commas; False once past the end."""
        self._space()
        while self.text[self.at] == ",":
            self.at += 1
            self._space()
        if self.text[self.at] == end:
            self.at += 1
            return False
        return True

    def _space(self) -> None:
        if match := SPACE.match(self.text, self.at):
            self.at = match.end()


def _unquoted(token: str) -> str:
    import tomllib

    name = tomllib.loads(f"name = {token}")["name"]
    return name if isinstance(name, str) else token


def _node(value: Any, path: KeyPath, scan: _Scan, newlines: list[int], parent: Node) -> Node:
    """What has no place of its own (a table between two named ones) takes its parent's."""
    if len(path) > DEPTH:
        raise too_deep(parent.file, parent.line, parent.column)
    node = Node(value, parent.file, parent.line, parent.column)
    if (offset := scan.values.get(path)) is not None:
        node.line, node.column = _place(offset, newlines)
    if (offset := scan.keys.get(path)) is not None:
        node.key_line, node.key_column = _place(offset, newlines)
    if isinstance(value, dict):
        node.value = {
            name: _node(item, (*path, name), scan, newlines, node) for name, item in value.items()
        }
    elif isinstance(value, list):
        node.value = [
            _node(item, (*path, index), scan, newlines, node) for index, item in enumerate(value)
        ]
    elif isinstance(value, bool):
        node.text = "true" if value else "false"
    else:
        node.text = str(value)
    return node


def _place(offset: int, newlines: list[int]) -> tuple[int, int]:
    line = bisect.bisect_left(newlines, offset)
    return line + 1, offset - (newlines[line - 1] if line else -1)
