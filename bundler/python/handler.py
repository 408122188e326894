"""Whether Lambda can load the handler: its file, its syntax, its name; only the certain is said."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bundler import tree
from bundler.model import Diagnostic, Function, Location, error, warning
from bundler.tree import TreeFile
from bundler.workshop import Workshop


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


def check(
    function: Function,
    files: Mapping[str, TreeFile],
    dependencies: Collection[str],
    workshop: Workshop,
) -> list[Diagnostic]:
    """What would fail when Lambda loads the handler.

    `files` are the own files by name, `dependencies` the names in the dependency segment. Of own
    code the handler's module and what it imports is parsed: what nothing imports can be anything.
    """
    handler = function.handler
    if handler.export is None:
        return _check_wrapper(function, files)
    found = _module_file(handler.module, files)
    if found is None:
        if function.layers or any(name in dependencies for name in _candidates(handler.module)):
            return []
        return [_missing_file(function, files)]
    diagnostics = _check_syntax(found, function, files, workshop)
    module = parse(tree.read(workshop, files[found]), function.runtime.version)
    if isinstance(module, Module) and module.is_certain and handler.export not in module.names:
        diagnostics.append(_missing_export(function, files[found], module))
    return diagnostics


def _candidates(module: str) -> tuple[str, str]:
    """Import's order: a package goes before a module of the same name."""
    return f"{module}/__init__.py", f"{module}.py"


def _module_file(module: str, files: Collection[str]) -> str | None:
    return next((name for name in _candidates(module) if name in files), None)


def _check_wrapper(function: Function, files: Mapping[str, TreeFile]) -> list[Diagnostic]:
    name = function.handler.module
    if name not in files:
        return [] if function.layers else [_missing_file(function, files)]
    if not files[name].executable:
        return [
            warning(
                "not-executable",
                f"{files[name].path} is the handler, and Lambda can't execute it",
                function.handler_where,
                f"chmod +x {files[name].path}",
            )
        ]
    return []


def _missing_file(function: Function, files: Mapping[str, TreeFile]) -> Diagnostic:
    handler = function.handler
    wanted = handler.module if handler.export is None else f"{handler.module}.py"
    tail = wanted.rpartition("/")[2]
    near = sorted(name for name in files if name == tail or name.endswith(f"/{tail}"))
    if near and handler.export is not None:
        meant = near[0].removesuffix(".py").removesuffix("/__init__")
        hint = f"there is {near[0]}: write {meant}.{handler.export}"
    else:
        hint = f"create it, or correct the handler {handler.text!r}"
    return error(
        "missing-handler-file",
        f"there is no {wanted} in {function.code}",
        function.handler_where,
        hint,
    )


def _missing_export(function: Function, file: TreeFile, module: Module) -> Diagnostic:
    handler = function.handler
    others = module.functions[:3]
    begin = handler.text.rpartition(".")[0]
    hint = (
        f"it defines {', '.join(others)}; write {begin}.{others[0]}"
        if others
        else "it defines no function"
    )
    return error(
        "missing-export",
        f"{file.path} does not define {handler.export!r}",
        function.handler_where,
        hint,
    )


# --- syntax ----------------------------------------------------------------------------------


def _check_syntax(
    start: str, function: Function, files: Mapping[str, TreeFile], workshop: Workshop
) -> list[Diagnostic]:
    diagnostics = []
    seen = {start}
    left = [start]
    while left:
        name = left.pop()
        module = parse(tree.read(workshop, files[name]), function.runtime.version)
        if isinstance(module, Broken):
            diagnostics.append(_syntax_error(files[name], module, function))
            continue
        for other in _imported(name, module, files):
            if other not in seen:
                seen.add(other)
                left.append(other)
    return sorted(diagnostics, key=lambda found: found.where.file if found.where else "")


def _imported(name: str, module: Module, files: Collection[str]) -> Iterator[str]:
    """The own files that a module's imports run, the packages on the way included."""
    package = name.rpartition("/")[0]
    for level, dotted in module.imports:
        base = package.split("/") if package and level else []
        if level - 1 > len(base):
            continue
        parts = base[: len(base) - level + 1] if level else []
        parts += dotted.split(".") if dotted else []
        for end in range(1, len(parts) + 1):
            if found := _module_file("/".join(parts[:end]), files):
                yield found


def _syntax_error(file: TreeFile, broken: Broken, function: Function) -> Diagnostic:
    where = Location(file.path, broken.line, broken.column)
    if function.runtime.version > sys.version_info[:2]:
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return warning(
            "syntax-unchecked",
            f"{file.path}: {broken.message}, says Python {here}; {function.runtime.name} "
            "may know better",
            where,
            f"run lambdad under the Python of {function.runtime.name} to be sure",
        )
    return error("syntax-error", f"{file.path}: {broken.message}", where)


_PARSED: Final[dict[tuple[str, tuple[int, ...]], Module | Broken]] = {}
_MOST_PARSED: Final = 10_000


def parse(source: bytes, version: tuple[int, ...]) -> Module | Broken:
    """The module as that Python reads it, as far as this one knows; remembered by content."""
    key = (hashlib.sha256(source).hexdigest(), version)
    if key not in _PARSED:
        if len(_PARSED) >= _MOST_PARSED:
            _PARSED.clear()
        _PARSED[key] = _parse(source, version)
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
