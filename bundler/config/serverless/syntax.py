"""The Serverless Framework's variables as text: `${type(parameters):address, fallback}`.

What only looks like one stays text: `${AWS::Region}` is CloudFormation's, `\\${` is an escape.
Source: Serverless Framework, "Variables", and what its version 3 takes for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.located.anyjson import characters

DEPTH: Final = 20
"""Variables inside of variables."""
LONGEST: Final = 65_536
"""Characters of a value that may hold variables."""

OPENING: Final = re.compile(r"(\\*+)\$\{")
TYPE: Final = re.compile(r"([a-z][A-Za-z0-9.-]*)([:(])")
"""As the framework reads it; the types that there are have letters and digits alone."""
LITERAL: Final = re.compile(r"[A-Za-z0-9.-][A-Za-z0-9. -]*")
NUMBER: Final = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
SPACES: Final = re.compile(" *")
PLAIN: Final = re.compile(r"[^$,})\\]++|\\++(?!\$\{)|.", re.DOTALL)
QUOTED: Final = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
WORDS: Final = {"true": True, "false": False, "null": None}

Text = tuple["str | Variable", ...]
"""Text with variables in it: what both come to, one after the other."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: `type(parameters):address`."""

    type: str
    parameters: tuple[Text, ...] = ()
    address: Text | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | float | int | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """The first of its sources that has a value."""

    sources: tuple[Source | Literal, ...]


class SyntaxFaultError(ValueError):
    """The text has a variable that can't be read; the message says why."""


def parse(text: str) -> Text:
    """Raises SyntaxFaultError."""
    if len(text) > LONGEST:
        if "${" in text:
            raise SyntaxFaultError(f"it has variables in more than {LONGEST} characters")
        return (text,)
    reader = _Reader(text)
    return reader.top()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def top(self) -> Text:
        parts: list[str | Variable] = []
        while (dollar := self._text.find("${", self._at)) >= 0:
            start = dollar
            while start > self._at and self._text[start - 1] == "\\":
                start -= 1
            parts.append(self._text[self._at : start])
            parts.extend(self._opened(dollar - start, dollar + 2))
        parts.append(self._text[self._at :])
        return tuple(part for part in parts if part != "")

    def _opened(self, slashes: int, after: int) -> Text:
        """The variable, or the text that only begins like one; the reader is then behind it."""
        self._at = after
        before = "\\" * (slashes // 2)
        start = TYPE.match(self._text, after)
        # "${AWS::Region}" and the like: no variable of the framework.
        if slashes % 2 or start is None or self._text.startswith("::", start.end() - 1):
            return (before + "${",)
        return (before, self._variable())

    def _variable(self) -> Variable:
        self._depth += 1
        if self._depth > DEPTH:
            raise SyntaxFaultError(f"variables are nested more than {DEPTH} deep")
        sources = [self._source()]
        while self._passed(","):
            sources.append(self._source())
        if not self._passed("}"):
            raise SyntaxFaultError('a variable has no "}" at its end')
        self._depth -= 1
        return Variable(tuple(sources))

    def _source(self) -> Source | Literal:
        self._spaces()
        if quoted := QUOTED.match(self._text, self._at):
            self._at = quoted.end()
            text = _unquoted(quoted)
            return Literal(text, text)
        if start := TYPE.match(self._text, self._at):
            self._at = start.end()
            parameters: tuple[Text, ...] = ()
            address = None
            if start[2] == "(":
                parameters = self._parameters()
                self._spaces()
            if start[2] == ":" or self._passed(":"):
                address = self._address()
            return Source(start[1], parameters, address)
        word = LITERAL.match(self._text, self._at)
        if word is None:
            raise SyntaxFaultError("a variable's source can't be read")
        self._at = word.end()
        return _literal(word[0].strip())

    def _parameters(self) -> tuple[Text, ...]:
        found: list[Text] = []
        while True:
            self._spaces()
            found.append(self._piece("),"))
            self._spaces()
            if self._passed(")"):
                return tuple(found)
            if not self._passed(","):
                raise SyntaxFaultError("a variable's parameters can't be read")

    def _address(self) -> Text | None:
        self._spaces()
        address = self._piece(",}")
        return address or None

    def _piece(self, ends: str) -> Text:
        """Up to one of these characters, outside of any variable; quotes around it are undone."""
        if quoted := QUOTED.match(self._text, self._at):
            self._at = quoted.end()
            self._spaces()
            return (_unquoted(quoted),)
        parts: list[str | Variable] = []
        while self._at < len(self._text) and self._text[self._at] not in ends:
            if self._text[self._at] == "}":
                raise SyntaxFaultError("a variable's parameters have no end")
            if opening := OPENING.match(self._text, self._at):
                parts.extend(self._opened(len(opening[1]), opening.end()))
            elif plain := PLAIN.match(self._text, self._at):
                parts.append(plain[0])
                self._at = plain.end()
        if parts and isinstance(parts[-1], str):
            parts[-1] = parts[-1].rstrip()
        return tuple(part for part in parts if part != "")

    def _spaces(self) -> None:
        if match := SPACES.match(self._text, self._at):
            self._at = match.end()

    def _passed(self, character: str) -> bool:
        self._spaces()
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True


def _unquoted(quoted: re.Match[str]) -> str:
    if quoted[1] is not None:
        return quoted[1]
    import json

    try:
        text: str = json.loads(f'"{quoted[2]}"')
    except ValueError as fault:
        raise SyntaxFaultError("a quoted text can't be read") from fault
    return characters(text)


def _literal(word: str) -> Literal:
    if word in WORDS:
        return Literal(WORDS[word], "" if word == "null" else word)
    if NUMBER.fullmatch(word) and len(word) < 20:
        return Literal(float(word) if "." in word else int(word), word)
    raise SyntaxFaultError(f'"{word[:40]}" is no source of a variable; as text it needs quotes')
