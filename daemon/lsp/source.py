"""Where a handler's function is: from the handler to its file, and in there to its definition.

What is found is certain, else the file's first line is returned: names are followed through imports
and exports between own files, and no code is run.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.ecmascript.syntax import NOTHING, Token, TokenKind, at, tokens
from lambdad.bundler.lint.imports import parsed
from lambdad.bundler.model import BundlerError, Function, Language, Method, ProjectError
from lambdad.bundler.python.handler import candidates
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.lsp.text import LARGEST, Span, TextLines
from lambdad.daemon.lsp.text import read as read_file

DEEPEST: Final = 8
"""So often a name is handed on from file to file."""
ENDINGS: Final = (".js", ".mjs", ".cjs")
FROM: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
"""What `./name` in a script may be."""


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A file, absolute, and the name in it."""

    path: str
    span: Span


class EditorSources:
    """Files as an editor has them, where it has them open, else as they are; each is read once."""

    def __init__(self, opened: Mapping[str, str] | None = None) -> None:
        self._opened = opened or {}
        self._texts: dict[str, TextLines] = {}

    def get(self, path: str) -> TextLines:
        """Of an absolute path, its folder's symlinks resolved."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> TextLines:
        if (opened := self._opened.get(path)) is not None:
            return TextLines(opened if len(opened) <= LARGEST else "")
        return read_file(path)


def find(function: Function, workshop: Workshop, sources: EditorSources) -> NamedPlace | None:
    """The handler's function; None if there is no such file."""
    path = file_of(function, workshop)
    if path is None:
        return None
    name = (function.handler.export or "").partition(".")[0]
    found = None
    if name and function.runtime.language is Language.PYTHON:
        tops = [_top(workshop.absolute(top)) for top in (function.code, *function.shared)]
        found = in_python(path, name, tops, sources)
    elif name:
        found = in_script(path, name, sources)
    return found or NamedPlace(path, Span(0, 0, 0))


def file_of(function: Function, workshop: Workshop) -> str | None:
    """The source that the handler names, absolute."""
    if function.method is Method.ESBUILD:
        from lambdad.bundler.esbuild.plan import plan

        try:
            entries = plan(function, workshop).entries
        except (ProjectError, BundlerError):
            return None
        return entries[0][1] if entries else None
    module = function.handler.module
    if function.handler.export is None:
        names: Iterable[str] = (module,)
    elif function.method is Method.PYTHON:
        names = candidates(module)
    else:
        names = (f"{module}{ending}" for ending in (*ENDINGS, "/index.js"))
    tops = [_top(workshop.absolute(top)) for top in (function.code, *function.shared)]
    paths = (os.path.normpath(f"{top}/{name}") for name in names for top in tops)
    return next((path for path in paths if os.path.isfile(path)), None)


def _top(path: str) -> str:
    """The code folder, also of code that is one file."""
    return os.path.dirname(path) if os.path.isfile(path) else path


# --- Python --------------------------------------------------------------------------------------


def in_python(
    path: str, name: str, tops: Sequence[str], sources: EditorSources, depth: int = 0
) -> NamedPlace | None:
    text = sources.get(path)
    module = parsed(text.text.encode("utf-8", "surrogatepass"))
    if module is None:  # it is being written: a line that begins with its def will do
        pattern = re.compile(rf"(?:async\s+)?def\s+({re.escape(name)})\b")
        for number, line in enumerate(text.lines):
            if found := pattern.match(line):
                return NamedPlace(path, Span(number, found.start(1), found.end(1)))
        return None
    for node in reversed([each for each in _bindings(module.body) if _binds(each, name)]):
        if isinstance(node, ast.ImportFrom) and depth < DEEPEST:
            alias = next(each for each in node.names if (each.asname or each.name) == name)
            for other in _modules(node, path, tops):
                if place := in_python(other, alias.name, tops, sources, depth + 1):
                    return place
        return NamedPlace(path, _named(node, name, text))
    return None


def _bindings(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that are run when the module is loaded, in order."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for name in ("body", "orelse", "finalbody"):
                inner = getattr(node, name, None)
                yield from _bindings(inner) if isinstance(inner, list) else ()
            for handler in getattr(node, "handlers", ()):
                yield from _bindings(handler.body)


def _binds(node: ast.stmt, name: str) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return node.name == name
        case ast.Assign(targets=targets):
            names = (each for target in targets for each in ast.walk(target))
            return any(isinstance(each, ast.Name) and each.id == name for each in names)
        case ast.AnnAssign(target=ast.Name(id=target), value=value):
            return target == name and value is not None
        case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
            return any((alias.asname or alias.name) == name for alias in aliases)
    return False


def _named(node: ast.stmt, name: str, text: TextLines) -> Span:
    """The name in the statement; decorators are above it."""
    line = text.line(node.lineno - 1)
    start = len(line.encode("utf-8", "surrogatepass")[: node.col_offset].decode("utf-8", "replace"))
    for number in range(node.lineno - 1, (node.end_lineno or node.lineno)):
        found = re.compile(rf"\b{re.escape(name)}\b").search(text.line(number), start)
        if found:
            return Span(number, found.start(), found.end())
        start = 0
    return Span(node.lineno - 1, 0, 0)


def _modules(node: ast.ImportFrom, path: str, tops: Sequence[str]) -> Iterator[str]:
    """The own files that the import may be of."""
    homes: Sequence[str] = tops
    if node.level:
        home = os.path.dirname(path)
        for _ in range(node.level - 1):
            home = os.path.dirname(home)
        homes = [home]
    below = (node.module or "").replace(".", "/")
    for home in homes:
        stem = f"{home}/{below}" if below else home
        for found in candidates(stem) if below else (f"{stem}/__init__.py",):
            if os.path.isfile(found):
                yield os.path.normpath(found)
                break


# --- JavaScript and TypeScript -------------------------------------------------------------------

_DECLARING: Final = frozenset({"const", "let", "var", "function", "class"})


@dataclass(frozen=True, slots=True)
class _Script:
    """A file, and the name that it is to export."""

    path: str
    name: str
    text: TextLines
    found: Sequence[Token]
    sources: EditorSources
    depth: int

    def place(self, token: Token) -> NamedPlace:
        line, start = self.text.at(token.offset)
        if token.kind is TokenKind.STRING:
            start += 1
        return NamedPlace(self.path, Span(line, start, start + len(token.text)))


def in_script(path: str, name: str, sources: EditorSources, depth: int = 0) -> NamedPlace | None:
    """Where the name that the file exports is written."""
    text = sources.get(path)
    found = tokens(text.text)
    if found is None:
        return _by_line(path, name, text)
    script = _Script(path, name, text, found, sources, depth)
    for index, token in enumerate(found):
        if token.depth or token.kind is not TokenKind.NAME or at(found, index - 1).text == ".":
            continue
        if token.text == "export":
            if place := _exported(script, index + 1):
                return place
        elif token.text in ("exports", "module") and (named := _assigned(script, index)):
            return script.place(named)
    return None


def _exported(script: _Script, index: int) -> NamedPlace | None:
    found = script.found
    if at(found, index).text in ("{", "*"):
        return _handed_on(script, index)
    while at(found, index).text in ("async", "declare", "abstract"):
        index += 1
    token = at(found, index)
    if token.text == "default":
        return script.place(token) if script.name == "default" else None
    if token.kind is TokenKind.NAME and token.text in _DECLARING:
        named = _declared(found, index, script.name)
        return script.place(named) if named else None
    return None


def _declared(found: Sequence[Token], index: int, name: str) -> Token | None:
    """The name in the declaration that begins there, be it one of several."""
    if at(found, index).text in ("function", "class"):
        index += 2 if at(found, index + 1).text == "*" else 1
        token = at(found, index)
        return token if token.text == name else None
    comes = True
    for token in found[index + 1 :]:
        if token.depth == 0:
            is_next = token.text in ("export", "function", "class", "const", "let", "var", "import")
            if token.text == ";" or (token.kind is TokenKind.NAME and is_next):
                return None
            if comes and token.kind is TokenKind.NAME and token.text == name:
                return token
            comes = token.text == ","
    return None


def _handed_on(script: _Script, index: int) -> NamedPlace | None:
    """Of `export {a as b}` with or without `from`, and of `export *`."""
    found = script.found
    inner: Token | None = None
    if at(found, index).text == "{":
        end, inner = _clause(script, index)
        if inner is None:
            return None
    else:
        end = index + 1
        if at(found, end).text == "as":
            return None
    if at(found, end).text != "from":
        return _of_own(script, inner) if inner else None
    target = _resolved(script.path, at(found, end + 1))
    if target is not None and script.depth < DEEPEST:
        wanted = inner.text if inner is not None else script.name
        if place := in_script(target, wanted, script.sources, script.depth + 1):
            return place
    return script.place(inner) if inner is not None else None


def _clause(script: _Script, index: int) -> tuple[int, Token | None]:
    """What follows `{a as b}`, and what the name is called inside: before its `as`."""
    found = script.found
    inner: Token | None = None
    depth = at(found, index).depth
    index += 1
    while at(found, index).depth > depth:
        token = at(found, index)
        is_last = at(found, index + 1).text in (",", "}")
        if is_last and token.text == script.name and token.kind is not TokenKind.SIGN:
            renamed = at(found, index - 1).text == "as" and at(found, index - 2).text not in "{,"
            inner = at(found, index - 2) if renamed else token
        index += 1
    return index + 1, inner


def _of_own(script: _Script, inner: Token) -> NamedPlace:
    """The declaration of a name that is exported elsewhere in the file, else that place."""
    found = script.found
    for index, token in enumerate(found):
        if token.depth == 0 and token.kind is TokenKind.NAME and token.text in _DECLARING:
            named = _declared(found, index, inner.text)
            if named is not None:
                return script.place(named)
    return script.place(inner)


def _resolved(path: str, token: Token) -> str | None:
    """The own file that is imported by a relative path."""
    if token.kind is not TokenKind.STRING or not token.text.startswith("."):
        return None
    stem = os.path.normpath(os.path.join(os.path.dirname(path), token.text))
    bare = re.sub(r"\.[cm]?jsx?$", "", stem)  # TypeScript names the file that it will become
    tries = [stem, *(f"{bare}{end}" for end in FROM), *(f"{stem}/index{end}" for end in FROM)]
    return next((each for each in tries if os.path.isfile(each)), None)


def _assigned(script: _Script, index: int) -> Token | None:
    """The name in `exports.name =`, or as a key of `module.exports = {name}`."""
    found, name = script.found, script.name
    if at(found, index).text == "module":
        if (at(found, index + 1).text, at(found, index + 2).text) != (".", "exports"):
            return None
        index += 2
    sign, named = at(found, index + 1), at(found, index + 2)
    if sign.text == "." and named.text == name:
        is_assigned = at(found, index + 3).text == "=" and at(found, index + 4).text != "="
        return named if is_assigned else None
    if sign.text == "=" and named.text == "{":
        before = NOTHING
        for token in found[index + 3 :]:
            if token.depth <= named.depth:
                break
            is_key = token.depth == named.depth + 1 and before.text in ("", ",", "async")
            if is_key and token.text == name and token.kind in (TokenKind.NAME, TokenKind.STRING):
                return token
            before = token
    return None


def _by_line(path: str, name: str, text: TextLines) -> NamedPlace | None:
    """Where tokens leave a doubt, as in JSX: a line that begins with its export will do."""
    word = re.escape(name)
    kinds = r"(?:async\s+)?function\s*\*?|const|let|var|class"
    pattern = re.compile(rf"export\s+(?:{kinds})\s+({word})(?![\w$])|exports\.({word})\s*=")
    for number, line in enumerate(text.lines):
        if found := pattern.match(line):
            group = 1 if found[1] else 2
            return NamedPlace(path, Span(number, found.start(group), found.end(group)))
    return None
