"""Quick fixes: what a diagnostic's hint says, where doing it takes no judgement."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.ecmascript.syntax import TokenKind, tokens
from lambdad.bundler.model import Diagnostic, Function, Language, Location, Method, Project, RelPath
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.lsp import source
from lambdad.daemon.lsp.site import Site
from lambdad.daemon.lsp.source import EditorSources, NamedPlace
from lambdad.daemon.lsp.text import Span, TextLines

NOT_THERE: Final = ("missing-export", "missing-handler-file")
_WRITE: Final = re.compile(r"\bwrite ([\w$@./-]+\.[\w$]+)$")
"""How the hints of those codes end that know better."""
_NOTHING_BRINGS: Final = re.compile(r"nothing brings ([A-Za-z_]\w*)[\w.]*:")

PACKAGES: Final[Mapping[str, str]] = {
    "attr": "attrs", "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python",
    "dateutil": "python-dateutil", "dotenv": "python-dotenv", "fitz": "PyMuPDF", "git": "GitPython",
    "jose": "python-jose", "jwt": "PyJWT", "MySQLdb": "mysqlclient", "nacl": "PyNaCl",
    "OpenSSL": "pyOpenSSL", "PIL": "Pillow", "psycopg2": "psycopg2-binary", "pkg_resources":
    "setuptools", "requests_aws4auth": "requests-aws4auth", "ruamel": "ruamel.yaml",
    "serial": "pyserial", "sklearn": "scikit-learn", "slugify": "python-slugify",
    "socks": "PySocks", "telegram": "python-telegram-bot", "yaml": "PyYAML", "zmq": "pyzmq",
}  # fmt: skip
"""Modules whose distribution on PyPI has another name."""
_NO_GUESS: Final = frozenset({"google", "azure", "opentelemetry", "zope"})
"""Modules that many distributions have a part of."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A part of a file, absolute, and its new text."""

    path: str
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    title: str
    edits: tuple[Edit, ...]


def of(
    item: Diagnostic, project: Project, site: Site, workshop: Workshop, sources: EditorSources
) -> Iterator[Fix]:
    """What mends the diagnostic; nothing where that is not plain."""
    if item.code in NOT_THERE and item.where is not None:
        functions = [each for each in project.functions if each.handler_where == item.where]
        yield from _handler(item, item.where, functions, site, sources)
        if item.code == "missing-export" and functions:
            yield from _export(functions[0], item, workshop, sources)
    elif item.code == "missing-import" and item.where is not None:
        if found := _NOTHING_BRINGS.match(item.message):
            yield from _requirement(found[1], item.where.file, project, workshop, sources)
    elif item.code == "unused-dependency" and item.where is not None:
        yield from _unused(item.where, site, sources)


# --- handlers ------------------------------------------------------------------------------------


def _handler(
    item: Diagnostic, where: Location, functions: list[Function], site: Site, sources: EditorSources
) -> Iterator[Fix]:
    """The handler as the hint has it, where the configuration says it in so many words."""
    meant = _WRITE.search(item.hint or "")
    if meant is None or len({each.handler.text for each in functions}) != 1:
        return
    path = site.absolute(where.file)
    span = sources.get(path).find(where, functions[0].handler.text)
    if span is not None:
        yield Fix(f"Write {meant[1]}", (Edit(path, span, meant[1]),))


def _export(
    function: Function, item: Diagnostic, workshop: Workshop, sources: EditorSources
) -> Iterator[Fix]:
    """The function that the hint names gets the name that the handler has, where nothing else in
    the file says either."""
    meant = _WRITE.search(item.hint or "")
    path = source.file_of(function, workshop)
    wanted = (function.handler.export or "").partition(".")[0]
    if meant is None or path is None or not wanted.isidentifier():
        return
    name = meant[1].rpartition(".")[2]
    place = _definition(function, path, name, sources)
    if place is None or place.path != path:
        return
    told = _names(sources.get(path), function)
    if told is not None and told[name] == 1 and not told[wanted]:
        shown = os.path.basename(path)
        yield Fix(f"Rename {name} to {wanted} in {shown}", (Edit(path, place.span, wanted),))


def _definition(
    function: Function, path: str, name: str, sources: EditorSources
) -> NamedPlace | None:
    if function.runtime.language is Language.PYTHON:
        return source.in_python(path, name, (), sources)
    return source.in_script(path, name, sources) if name != "default" else None


def _names(text: TextLines, function: Function) -> Counter[str] | None:
    """How often each word is in the file; of scripts in code alone."""
    if function.runtime.language is Language.PYTHON:
        return Counter(re.findall(r"\w+", text.text))
    found = tokens(text.text)
    if found is None:
        return None
    return Counter(
        token.text for token in found if token.kind in (TokenKind.NAME, TokenKind.STRING)
    )


# --- requirements --------------------------------------------------------------------------------


def _requirement(
    module: str, path: RelPath, project: Project, workshop: Workshop, sources: EditorSources
) -> Iterator[Fix]:
    """A line more in the file of requirements that people write for functions with that code."""
    if module in _NO_GUESS:
        return
    name = PACKAGES.get(module, module)
    for file in dict.fromkeys(_requirements(path, project, workshop)):
        whole = workshop.absolute(file)
        text = sources.get(whole)
        if "--hash" in text.text:
            continue  # a lock: a tool writes it
        last = len(text.lines) - 1
        end = len(text.line(last))
        added = f"{name}\n" if not text.line(last) else f"\n{name}\n"
        yield Fix(f"Add {name} to {file}", (Edit(whole, Span(last, end, end), added),))


def _requirements(path: RelPath, project: Project, workshop: Workshop) -> Iterator[RelPath]:
    from lambdad.bundler.python.locks.declared import locate

    for function in project.functions:
        tops = (function.code, *function.shared)
        if function.method is not Method.PYTHON or not any(_is_below(path, top) for top in tops):
            continue
        files = locate(function, workshop)
        written = (files.source, files.txt) if files is not None else ()
        yield from [each for each in written if os.path.isfile(workshop.absolute(each))][:1]


def _is_below(path: RelPath, top: RelPath) -> bool:
    inside = not path.startswith("../")
    return path == top or (top == "." and inside) or path.startswith(f"{top}/")


def _unused(where: Location, site: Site, sources: EditorSources) -> Iterator[Fix]:
    if where.line is None or not where.file.endswith((".txt", ".in")):
        return
    path = site.absolute(where.file)
    text = sources.get(path)
    line = text.line(where.line - 1)
    if line.rstrip().endswith("\\") or not line.strip():
        return
    is_last = where.line >= len(text.lines)
    span = Span(where.line - 1, 0, len(line) if is_last else TO_NEXT)
    yield Fix(f"Remove {line.strip()}", (Edit(path, span, ""),))


TO_NEXT: Final = -1
"""As a span's end: up to the next line's begin."""
