"""What a module's source says without being run: its syntax, its names, its imports."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler.trust import EVERYWHERE, SearchPath


@dataclass(frozen=True, slots=True)
class Module:
    """What a module's source says without being run."""

    names: frozenset[str]
    """Bound at its top level, conditionally or not."""
    functions: tuple[str, ...]
    """Those that a handler could be, in order."""
    is_certain: bool
    """False: it may bind names in ways that can't be read."""
    imports: frozenset[tuple[int, str]]
    """Each with its level: 0 absolute, 1 from its own package, ..."""


@dataclass(frozen=True, slots=True)
class Broken:
    """It does not parse."""

    message: str
    line: int | None
    column: int | None
    is_certain: bool = True
    """False: a newer Python than any here may read it."""


_PARSED: Final[dict[tuple[str, tuple[int, ...]], Module | Broken]] = {}
_MOST_PARSED: Final = 10_000


def parse(
    source: bytes,
    version: tuple[int, ...],
    environ: Mapping[str, str],
    programs: SearchPath = EVERYWHERE,
) -> Module | Broken:
    """The module as a Python of that version reads it; remembered by content.

    What this Python can't read is shown to one of that version, if that is newer and installed.
    Raises BundlerError `untrusted-build` if there is only one of an untrusted project's own.
    """
    key = (hashlib.sha256(source).hexdigest(), version)
    if key not in _PARSED:
        if len(_PARSED) >= _MOST_PARSED:
            _PARSED.clear()
        parsed = _parse(source, version)
        if isinstance(parsed, Broken) and version > sys.version_info[:2]:
            parsed = _ask_newer(source, (version[0], version[1]), parsed, environ, programs)
        _PARSED[key] = parsed
    return _PARSED[key]


def _parse(source: bytes, version: tuple[int, ...]) -> Module | Broken:
    import warnings

    try:
        with warnings.catch_warnings(action="ignore"):
            body = ast.parse(source, feature_version=(version[0], version[1]))
    except SyntaxError as fault:
        return Broken(fault.msg, fault.lineno, fault.offset)
    except (ValueError, RecursionError, MemoryError) as fault:  # null bytes; nested too deeply
        return Broken(str(fault) or "it is nested too deeply", None, None)
    names = set(_bound(body))
    functions = tuple(
        node.name
        for node in body.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    )
    return Module(
        names=frozenset(names),
        functions=functions,
        is_certain="*" not in names and "__getattr__" not in names and not _is_dynamic(body),
        imports=frozenset(_imports(body)),
    )


def _bound(body: ast.Module) -> Iterator[str]:
    """Every name the top level may bind, "*" for a star import. Generous: what a comprehension or
    one arm of a condition binds counts, as a wrong "missing" would be worse than none."""
    left: list[ast.AST] = list(body.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            left += node.decorator_list
            continue
        match node:
            case ast.Lambda():
                continue
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name
        left += ast.iter_child_nodes(node)
    for inner in ast.walk(body):
        if isinstance(inner, ast.Global):
            yield from inner.names


_DYNAMIC: Final = frozenset({"exec", "globals", "locals", "vars", "setattr", "__dict__", "modules"})


def _is_dynamic(body: ast.Module) -> bool:
    for node in ast.walk(body):
        match node:
            case ast.Name(id=name) if name in _DYNAMIC:
                return True
            case ast.Attribute(attr=name) if name in _DYNAMIC:
                return True
    return False


def _imports(body: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(body):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
            prefix = f"{node.module}." if node.module else ""
            yield from ((node.level, f"{prefix}{alias.name}") for alias in node.names)


# --- what only a newer Python can read -------------------------------------------------------

_NEWER: Final = re.compile(
    r"^\s*type\s+\w|\b(?:def|class)\s+\w+\s*\[|\b[fFtT][rR]?[\"']|\b[rR][fFtT][\"']|\bexcept\b"
)
"""Lines on which Pythons after 3.11 read what it can't: PEP 695 and 696, 701, 750, 758."""

_SCRIPT: Final = """
import ast, json, sys, warnings
warnings.simplefilter("ignore")
try:
    ast.parse(sys.stdin.buffer.read())
except SyntaxError as fault:
    print(json.dumps([fault.msg, fault.lineno, fault.offset]))
except (ValueError, RecursionError, MemoryError) as fault:
    print(json.dumps([str(fault), None, None]))
else:
    print("[]")
"""


def _ask_newer(
    source: bytes,
    version: tuple[int, int],
    broken: Broken,
    environ: Mapping[str, str],
    programs: SearchPath,
) -> Module | Broken:
    import json

    from lambdad.bundler import tool_faults, tools
    from lambdad.bundler.python import interpreters
    from lambdad.bundler.tool_faults import Program

    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        return broken
    if python := interpreters.find(version, environ, programs):
        answer = tools.run(
            [python, "-I", "-X", "utf8", "-c", _SCRIPT],
            cwd=tempfile.gettempdir(),
            environ=environ,
            input_text=text,
            timeout_s=60,
        )
        if fault := tool_faults.machine_fault(Program.PYTHON, answer) if answer.code else None:
            raise fault
        if answer.code == 0:
            found = json.loads(answer.stdout)
            # It reads it: so nothing of its names is known here.
            return Broken(*found) if found else _UNREADABLE
    lines = text.splitlines()
    at = (broken.line or 1) - 1
    is_certain = at < len(lines) and not _NEWER.search(lines[at])
    return replace(broken, is_certain=is_certain and not broken.message.startswith("f-string"))


_UNREADABLE: Final = Module(names=frozenset(), functions=(), is_certain=False, imports=frozenset())
