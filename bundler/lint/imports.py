"""The imports of a module's source, each with its place and with how surely it is run."""

from __future__ import annotations

import ast
import builtins
import enum
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final


class Run(enum.IntEnum):
    """How surely an import is run once the module is; the least counts on a way of several."""

    GUARDED = 0
    """Perhaps, or it may fail: under a condition, in a try that catches ImportError."""
    CALLED = 1
    """When a function is called."""
    LOADED = 2
    """When the module is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonImport:
    level: int
    """0 absolute, 1 from the module's own package, ..."""
    module: str
    """Dotted; "" of `from . import x`."""
    names: tuple[str, ...]
    """What is taken from it; none of `import x`."""
    line: int
    column: int
    run: Run
    inside: str | None = None
    """CALLED: the function of the top level whose body has it, if no condition is between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """What a module's source says of others."""

    imports: tuple[PythonImport, ...]
    is_tame: bool
    """It leaves the way alone on which modules are found."""


_READ: Final[dict[str, ModuleSource | None]] = {}
_MOST_READ: Final = 10_000


def read(content: bytes) -> ModuleSource | None:
    """None where this Python can't parse it. Remembered by content."""
    key = hashlib.sha256(content).hexdigest()
    if key not in _READ:
        if len(_READ) >= _MOST_READ:
            _READ.clear()
        _READ[key] = _read(content)
    return _READ[key]


def parsed(content: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _read(content: bytes) -> ModuleSource | None:
    module = parsed(content)
    if module is None:
        return None
    try:
        imports = tuple(_imports(module.body, Run.LOADED, None))
    except RecursionError:
        return None
    return ModuleSource(imports=imports, is_tame=not _meddles(module))


def _imports(body: Iterable[ast.stmt], run: Run, inside: str | None) -> Iterator[PythonImport]:
    for node in body:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield _import(alias, run, inside, module=alias.name)
            case ast.ImportFrom(names=aliases, module=module, level=level):
                names = tuple(alias.name for alias in aliases)
                yield _import(node, run, inside, level=level, module=module or "", names=names)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                named = node.name if run is Run.LOADED else None
                yield from _imports(node.body, min(run, Run.CALLED), named)
            case ast.ClassDef():
                yield from _imports(node.body, run, None)
            case ast.Try() | ast.TryStar():
                is_caught = any(map(_catches_import, node.handlers))
                within = Run.GUARDED if is_caught else run
                yield from _imports((*node.body, *node.orelse), within, inside)
                yield from _imports(node.finalbody, run, inside)
                for handler in node.handlers:
                    yield from _imports(handler.body, Run.GUARDED, None)
            case _:
                for inner in _bodies(node):
                    yield from _imports(inner, Run.GUARDED, None)


def _import(
    node: ast.alias | ast.ImportFrom,
    run: Run,
    inside: str | None,
    *,
    module: str,
    level: int = 0,
    names: tuple[str, ...] = (),
) -> PythonImport:
    return PythonImport(
        level=level,
        module=module,
        names=names,
        line=node.lineno,
        column=node.col_offset + 1,
        run=run,
        inside=inside,
    )


def _bodies(node: ast.stmt) -> Iterator[Sequence[ast.stmt]]:
    """The statements within one that may, or may not, let them run."""
    for name in ("body", "orelse"):
        inner = getattr(node, name, None)
        if isinstance(inner, list):
            yield inner
    if isinstance(node, ast.Match):
        yield from (case.body for case in node.cases)


_CATCHING: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def _catches_import(handler: ast.ExceptHandler) -> bool:
    """In doubt it does: by the name of its own that an exception may have."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    for kind in kinds:
        if not isinstance(kind, ast.Name) or kind.id in _CATCHING:
            return True
        if not isinstance(getattr(builtins, kind.id, None), type):
            return True
    return False


_MEDDLES: Final = {
    "sys": frozenset({"path", "modules", "meta_path", "path_hooks", "path_importer_cache"}),
    "site": frozenset({"addsitedir"}),
    "pkgutil": frozenset({"extend_path"}),
}


def _meddles(module: ast.Module) -> bool:
    """Whether it may change where modules come from."""
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                if name in _MEDDLES.get(owner, ()):
                    return True
            case ast.ImportFrom(module=str(owner), names=aliases):
                if any(alias.name in _MEDDLES.get(owner, ()) for alias in aliases):
                    return True
            case ast.Name(id="__path__"):
                return True
    return False
