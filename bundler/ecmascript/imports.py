"""What own code loads from npm, followed from the handler's file through what it loads itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from lambdad.bundler.ecmascript.syntax import Token, TokenKind, at, tokens

SOURCES: Final = (".js", ".mjs", ".cjs")

BUILTIN: Final = frozenset(
    {
        "assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants",
        "crypto", "dgram", "diagnostics_channel", "dns", "domain", "events", "fs", "http",
        "http2", "https", "inspector", "module", "net", "os", "path", "perf_hooks", "process",
        "punycode", "querystring", "readline", "repl", "stream", "string_decoder", "sys",
        "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi",
        "worker_threads", "zlib",
    }
)  # fmt: skip
"""Node.js documentation, `module.builtinModules`, those that need no "node:" before them."""

_GLANCE: Final = re.compile(
    r"""(?:\brequire\s*\(|\bfrom|\bimport\s*\(?)\s*(?P<quote>['"])"""
    r"""(?P<package>(?:@[\w~-][\w.~-]*/)?[A-Za-z0-9~][\w.~-]*)(?:/[^'"\n]*)?(?P=quote)"""
)


class ImportStatement(NamedTuple):
    specifier: str
    offset: int
    loading: bool
    """It runs when the file is loaded, not only once some function is called."""
    guarded: bool
    """It is in a `try` block, which handles its failure."""


class Use(NamedTuple):
    """That a file loads a package."""

    package: str
    file: str
    imported: ImportStatement


def glance(text: str) -> set[str]:
    """Packages the file may load: cheap, and takes comments for code."""
    return {match["package"] for match in _GLANCE.finditer(text)} - BUILTIN


def package_of(specifier: str) -> str | None:
    """ "@a/b" of "@a/b/c.js"; None for files, builtins, URLs and package imports ("#x")."""
    if specifier[:1] in ("", ".", "/", "#") or ":" in specifier:
        return None
    parts = specifier.split("/")
    name = "/".join(parts[: 2 if specifier.startswith("@") else 1])
    return None if name in BUILTIN else name


def uses(entry: str, names: frozenset[str], read: Callable[[str], str]) -> Iterator[Use]:
    """Every use of a package in the file `entry` and in what it loads of `names`, by files' names.

    Files that are not certain, and computed paths, add nothing.
    """
    waiting, seen = [entry], {entry}
    while waiting:
        file = waiting.pop()
        for imported in imports(read(file)):
            package = package_of(imported.specifier)
            if package is not None:
                yield Use(package, file, imported)
            elif imported.specifier.startswith("."):
                target = resolve(imported.specifier, file, names)
                if target is not None and target not in seen:
                    seen.add(target)
                    waiting.append(target)


def resolve(specifier: str, importer: str, names: frozenset[str]) -> str | None:
    """The source file that a relative specifier leads to, if it is one of `names`."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), specifier))
    tries = (path, *(path + end for end in SOURCES), f"{path}/index.js")
    return next((name for name in tries if name in names and name.endswith(SOURCES)), None)


def imports(text: str) -> Iterator[ImportStatement]:
    """The file's imports with literal specifiers, of either module system."""
    found = tokens(text) or ()
    for index, token in enumerate(found):
        if token.kind is not TokenKind.NAME or at(found, index - 1).text == ".":
            continue
        finder = _FINDERS.get(token.text)
        specifier = finder(found, index) if finder else None
        if specifier is not None:
            loading = token.nested == 0
            yield ImportStatement(specifier.text, token.offset, loading, token.guarded)


def _called_with(found: Sequence[Token], index: int) -> Token | None:
    specifier = at(found, index + 2)
    closed = at(found, index + 3).text in (")", ",")
    if at(found, index + 1).text == "(" and specifier.kind is TokenKind.STRING and closed:
        return specifier
    return None


def _imported(found: Sequence[Token], index: int) -> Token | None:
    following = at(found, index + 1)
    if following.kind is TokenKind.STRING:
        return following
    if following.text == "(":
        return _called_with(found, index)
    return _source(found, index + 1)


def _exported(found: Sequence[Token], index: int) -> Token | None:
    return _source(found, index + 1) if at(found, index + 1).text in ("*", "{") else None


def _source(found: Sequence[Token], index: int) -> Token | None:
    """The string after `from` of the clause that begins there."""
    while index < len(found):
        token = found[index]
        if token.text == "from" and at(found, index + 1).kind is TokenKind.STRING:
            return found[index + 1]
        if token.kind is TokenKind.VALUE or token.text in (";", "(", "=", "."):
            return None
        index += 1
    return None


_FINDERS: Final[Mapping[str, Callable[[Sequence[Token], int], Token | None]]] = {
    "require": _called_with,
    "import": _imported,
    "export": _exported,
}
