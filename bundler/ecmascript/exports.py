"""What a JavaScript file exports, where its tokens leave no doubt.

Both module systems; anything unusual (`export *`, spreads, `module.exports` handed on) is a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lambdad.bundler.ecmascript.syntax import Token, TokenKind, at, tokens

_DECLARING: Final = frozenset({"const", "let", "var"})
_ASKED_OF_MODULE: Final = frozenset(
    {"id", "filename", "path", "paths", "children", "parent", "loaded"}
)


class _Doubt(Exception):  # noqa: N818 - no error: it ends the search and stays in this module
    pass


def names(text: str) -> frozenset[str] | None:
    """All names the file may export, or None if that is not certain."""
    found = tokens(text)
    if found is None:
        return None
    try:
        if any(_is_module_syntax(found, index) for index in range(len(found))):
            return frozenset(_module_names(found))
        return frozenset(_common_names(found))
    except _Doubt:
        return None


def _is(token: Token, text: str) -> bool:
    return token.text == text and token.kind in (TokenKind.NAME, TokenKind.SIGN)


def _is_module_syntax(found: Sequence[Token], index: int) -> bool:
    token = found[index]
    if token.depth or token.kind is not TokenKind.NAME or _is(at(found, index - 1), "."):
        return False
    following = at(found, index + 1)
    if token.text == "import":
        return not _is(following, "(") and not _is(following, ".")
    return token.text == "export"


# --- ECMAScript modules ----------------------------------------------------------------------


def _module_names(found: Sequence[Token]) -> set[str]:
    result: set[str] = set()
    for index, token in enumerate(found):
        if token.depth == 0 and _is(token, "export") and _is_module_syntax(found, index):
            result |= _exported(found, index + 1)
    return result


def _exported(found: Sequence[Token], index: int) -> set[str]:
    token = at(found, index)
    if _is(token, "default"):
        return {"default"}
    if _is(token, "*"):
        if _is(at(found, index + 1), "as"):
            return {at(found, index + 2).text}
        raise _Doubt
    if _is(token, "{"):
        return _clause(found, index + 1)
    if token.text in _DECLARING:
        return _declared(found, index + 1)
    if _is(token, "async"):
        index += 1
    if at(found, index).text in ("function", "class"):
        index += 1
        if _is(at(found, index), "*"):
            index += 1
        return {at(found, index).text}
    raise _Doubt


def _clause(found: Sequence[Token], index: int) -> set[str]:
    """The names of `{a, b as c}`: each is the last word before a comma or the end."""
    result: set[str] = set()
    while not _is(at(found, index), "}"):
        if _is(at(found, index + 1), ",") or _is(at(found, index + 1), "}"):
            result.add(at(found, index).text)
        if index >= len(found):
            raise _Doubt
        index += 1
    return result


def _declared(found: Sequence[Token], index: int) -> set[str]:
    """What `const`, `let` or `var` declares: never less, at times a later statement's names too,
    because where a statement without ";" ends takes a parser."""
    result: set[str] = set()
    name_comes = True
    while index < len(found):
        token = found[index]
        if token.depth == 0:
            if _is(token, ";") or _is_module_syntax(found, index):
                break
            if token.kind is TokenKind.NAME and name_comes:
                result.add(token.text)
            elif name_comes and token.text in ("{", "["):
                closed = index + 1
                while closed < len(found) and found[closed].depth:
                    closed += 1
                result |= {word.text for word in found[index:closed] if word.kind is TokenKind.NAME}
            name_comes = _is(token, ",")
        index += 1
    return result


# --- CommonJS --------------------------------------------------------------------------------


def _common_names(found: Sequence[Token]) -> set[str]:
    result: set[str] = set()
    for index, token in enumerate(found):
        if token.kind is not TokenKind.NAME:
            continue
        before, following = at(found, index - 1), at(found, index + 1)
        if token.text == "exports" and not _is(before, "."):
            if not _is(following, ":"):
                result |= _assigned(found, index + 1, whole=False)
        elif token.text == "module" and not _is(before, "."):
            result |= _of_module(found, index)
        elif token.text == "eval" or (token.text == "this" and token.nested == 0):
            raise _Doubt
    return result


def _of_module(found: Sequence[Token], index: int) -> set[str]:
    before, following = at(found, index - 1), at(found, index + 1)
    if _is(following, "."):
        wanted = at(found, index + 2).text
        if wanted == "exports":
            return _assigned(found, index + 3, whole=True)
        if wanted in _ASKED_OF_MODULE:
            return set()
    compared = _is(before, "=") and _is(at(found, index - 2), "=")
    if _is(following, ":") or compared:  # a key; `require.main === module`
        return set()
    raise _Doubt


def _assigned(found: Sequence[Token], index: int, *, whole: bool) -> set[str]:
    """What follows `exports` or `module.exports` there; `whole` if that may be replaced."""
    token = at(found, index)
    if _is(token, "."):
        name, following = at(found, index + 1), at(found, index + 2)
        if name.kind is not TokenKind.NAME:
            raise _Doubt
        return {name.text} if _is_assignment(found, index + 2) or _is(following, "?") else set()
    if _is(token, "["):
        name = at(found, index + 1)
        if name.kind is TokenKind.STRING and _is(at(found, index + 2), "]"):
            return {name.text}
        raise _Doubt
    if _is(token, ",") and at(found, index + 1).kind is TokenKind.STRING:
        # Object.defineProperty(exports, "name", ...), as compilers write it.
        start = index - (3 if whole else 1) - 1
        called = [at(found, start - back).text for back in range(4)]
        if called == ["(", "defineProperty", ".", "Object"]:
            return {at(found, index + 1).text}
        raise _Doubt
    if whole and _is_assignment(found, index) and _is(at(found, index + 1), "{"):
        before = at(found, index - 4)
        if before.kind is TokenKind.SIGN and before.text not in ("", ";", "{", "}", ")", "]"):
            raise _Doubt  # `const api = (module.exports = {})`: it goes on under another name
        return _keys(found, index + 2)
    raise _Doubt


def _is_assignment(found: Sequence[Token], index: int) -> bool:
    return _is(at(found, index), "=") and not _is(at(found, index + 1), "=")


def _keys(found: Sequence[Token], index: int) -> set[str]:
    """The keys of the object literal whose first token is there."""
    depth = at(found, index - 1).depth + 1
    result: set[str] = set()
    expected = True
    while index < len(found):
        token = found[index]
        if token.depth < depth:
            after = at(found, index + 1)
            if _is(after, ".") or _is(after, "[") or _is(after, ","):
                raise _Doubt
            return result
        if token.depth == depth:
            if _is(token, ","):
                expected = True
            elif expected:
                if token.kind not in (TokenKind.NAME, TokenKind.STRING):
                    raise _Doubt  # a spread, a computed key, a generator method
                if token.text in ("async", "get", "set", "static") and not any(
                    _is(at(found, index + 1), sign) for sign in ",:(}"
                ):
                    index += 1
                    if at(found, index).kind not in (TokenKind.NAME, TokenKind.STRING):
                        raise _Doubt
                    token = found[index]
                result.add(token.text)
                expected = False
        index += 1
    raise _Doubt
