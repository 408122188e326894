"""JavaScript's tokens: just enough to distinguish code from comments, strings, templates and
regexes.

No parser: what is concluded from tokens must be certain, so every doubt ends in None.
Source: ECMA-262, chapter 12, "ECMAScript Language: Lexical Grammar".
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from lambdad.bundler.model import Location, RelPath

LONGEST: Final = 512 * 1024
"""Characters; a longer file was made by a tool, and what it holds is not worth the time."""


class TokenKind(enum.Enum):
    NAME = "name"
    STRING = "string"
    """Of plain text; the token's text is what is between the quotes."""
    VALUE = "value"
    """A number, a regular expression, a template, a string with escapes."""
    SIGN = "sign"


class Token(NamedTuple):
    kind: TokenKind
    text: str
    offset: int
    depth: int
    """How many brackets of any kind are open around it."""
    nested: int
    """How many braces are open around it: at 0 it runs when the file is loaded."""
    guarded: bool
    """It is in a `try` block, which handles its failure."""


NOTHING: Final = Token(TokenKind.SIGN, "", -1, 0, 0, guarded=False)

_PIECE: Final = re.compile(
    r"""
      (?P<space> \s+ | //[^\n\r\u2028\u2029]* | /\*[\s\S]*?\*/ )
    | (?P<string> '(?:[^'\\\n\r]|\\[\s\S])*' | "(?:[^"\\\n\r]|\\[\s\S])*" )
    | (?P<name> [^\W\d][\w$]* | \$[\w$]* | \#[\w$]+ )
    | (?P<number> \.?\d[\w.]* )
    | (?P<sign> [^\w\s] )
    """,
    re.VERBOSE,
)
_REGEX: Final = re.compile(
    r"/(?![*/])(?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*\])+/[A-Za-z]*"
)
_TEMPLATE: Final = re.compile(r"(?:[^`\\$]|\\[\s\S]|\$(?!\{))*")
_BEFORE_REGEX: Final = frozenset(
    {
        "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "instanceof",
        "do", "else", "yield", "await",
    }
)  # fmt: skip
_TAKE_PARENTHESES: Final = frozenset({"if", "while", "for", "with"})
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}


class _Reader:
    """One pass over a file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self.open: list[tuple[str, bool]] = []
        """Each open bracket, and a mark: of "(" that a statement's head is in it, of "{" that it
        is a `try` block; "`" is a template's "${"."""
        self.braces = 0
        self.tries = 0
        self.head_closed = False
        """The last token closed the parentheses of an `if`, `while`, `for` or `with`."""

    def add(self, kind: TokenKind, text: str, offset: int) -> None:
        self.head_closed = False
        self.tokens.append(Token(kind, text, offset, len(self.open), self.braces, self.tries > 0))

    def last(self) -> Token:
        return self.tokens[-1] if self.tokens else NOTHING

    def read(self) -> bool:
        offset = 0
        if self.text.startswith("#!"):
            offset = len(self.text.partition("\n")[0])
        while offset < len(self.text):
            after = self._piece(offset)
            if after is None:
                return False
            offset = after
        return not self.open

    def _piece(self, offset: int) -> int | None:
        """Reads what begins there; returns where it ends, or None in doubt."""
        text = self.text
        if text[offset] == "/" and (regex := _REGEX.match(text, offset)) and self._regex_may_come():
            self.add(TokenKind.VALUE, "/", offset)
            return regex.end()
        match = _PIECE.match(text, offset)
        if match is None:
            return None
        found, end = match.group(), match.end()
        match match.lastgroup:
            case "space":
                return end
            case "string":
                plain = "\\" not in found
                self.add(TokenKind.STRING if plain else TokenKind.VALUE, found[1:-1], offset)
            case "name":
                self.add(TokenKind.NAME, found, offset)
            case "number":
                self.add(TokenKind.VALUE, found, offset)
            case _:
                return self._sign(found, offset)
        return end

    def _sign(self, sign: str, offset: int) -> int | None:
        if sign in "'\"\\":
            return None
        if sign == "`":
            return self._template(offset + 1)
        if sign in "([{":
            last = self.last()
            if sign == "(":
                mark = last.kind is TokenKind.NAME and last.text in _TAKE_PARENTHESES
            else:
                mark = sign == "{" and last.kind is TokenKind.NAME and last.text == "try"
            self.add(TokenKind.SIGN, sign, offset)
            self.open.append((sign, mark))
            self.braces += sign == "{"
            self.tries += sign == "{" and mark
        elif sign in ")]}":
            return self._close(sign, offset)
        else:
            self.add(TokenKind.SIGN, sign, offset)
        return offset + 1

    def _close(self, sign: str, offset: int) -> int | None:
        if not self.open:
            return None
        opened, mark = self.open.pop()
        if opened == "`" and sign == "}":
            return self._template(offset + 1)
        if opened != _CLOSING[sign]:
            return None
        self.braces -= sign == "}"
        self.tries -= sign == "}" and mark
        self.add(TokenKind.SIGN, sign, offset)
        self.head_closed = sign == ")" and mark
        return offset + 1

    def _template(self, offset: int) -> int | None:
        match = _TEMPLATE.match(self.text, offset)
        end = match.end() if match else offset
        if self.text.startswith("${", end):
            self.add(TokenKind.SIGN, "${", end)
            self.open.append(("`", False))
            return end + 2
        if self.text.startswith("`", end):
            self.add(TokenKind.VALUE, "`", end)
            return end + 1
        return None

    def _regex_may_come(self) -> bool:
        last = self.last()
        if last.kind is TokenKind.NAME:
            return last.text in _BEFORE_REGEX
        if last.kind is TokenKind.SIGN:
            return self.head_closed or last.text not in {")", "]", "}"}
        return False


def tokens(text: str) -> Sequence[Token] | None:
    """The file's tokens, or None if it is too long or not certain."""
    if len(text) > LONGEST:
        return None
    reader = _Reader(text)
    return reader.tokens if reader.read() else None


def at(found: Sequence[Token], index: int) -> Token:
    """The token there, or NOTHING beyond either end."""
    return found[index] if 0 <= index < len(found) else NOTHING


def location(file: RelPath, text: str, offset: int) -> Location:
    line = text.count("\n", 0, offset) + 1
    return Location(file, line, offset - text.rfind("\n", 0, offset))
