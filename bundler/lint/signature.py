"""Whether Lambda can call what the handler names: with an event and a context, for a value.

Only what is certain is reported: a name that is decorated, bound twice or under a condition,
imported, or made by code that is not here passes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import Diagnostic, Location, RelPath, error

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class _Fault:
    what: str
    hint: str
    node: ast.AST


_CALLED: Final = "Lambda calls the handler with two arguments: event and context"


def check(module: ast.Module, name: str, path: RelPath) -> Diagnostic | None:
    """Why a call of the module's `name` fails each time, if that is certain."""
    bound = _binding(module, name)
    fault = _fault(bound, module) if bound is not None else None
    if fault is None:
        return None
    line = getattr(fault.node, "lineno", None)
    column = getattr(fault.node, "col_offset", None)
    where = Location(path, line, column + 1 if column is not None else None)
    return error("handler-signature", f"{name} {fault.what}", where, fault.hint)


def _binding(module: ast.Module, name: str) -> ast.stmt | ast.expr | None:
    """The one statement of the top level that defines it, or the one value it gets."""
    if _count(module, name) != 1:
        return None
    for node in module.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if node.name == name:
                return node
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return value
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if (
                target == name
            ):
                return value
            case ast.Import(names=[ast.alias() as alias]) if _imported_as(alias) == name:
                return node
    return None


def _imported_as(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _count(module: ast.Module, name: str) -> int:
    """How often the module's own scope binds or deletes the name, as far as that can be read."""
    count = 0
    for node in _own_scope(module):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                count += node.name == name
            case ast.Name(id=found, ctx=ast.Store() | ast.Del()):
                count += found == name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                count += sum(_imported_as(alias) in (name, "*") for alias in aliases)
            case (
                ast.ExceptHandler(name=found) | ast.MatchAs(name=found) | ast.MatchStar(name=found)
            ):
                count += found == name
            case ast.MatchMapping(rest=found):
                count += found == name
    elsewhere = (node for node in ast.walk(module) if isinstance(node, ast.Global))
    return count + sum(name in node.names for node in elsewhere)


def _fault(bound: ast.stmt | ast.expr, module: ast.Module) -> _Fault | None:
    match bound:
        case ast.FunctionDef() | ast.AsyncFunctionDef() if not bound.decorator_list:
            return _arity(bound.args, bound) or _answer(bound)
        case ast.Lambda():
            return _arity(bound.args, bound)
        case ast.ClassDef(bases=[], keywords=[], decorator_list=[]) if not _has(bound, _VALUES):
            return _Fault("is a class: Lambda can't send its instance back", _A_FUNCTION, bound)
        case ast.Import():
            return _Fault("is a module, which can't be called", _A_FUNCTION, bound)
        case ast.Constant(value=value):
            return _value("None" if value is None else type(value).__name__, bound)
        case ast.JoinedStr():
            return _value("str", bound)
        case ast.List() | ast.Tuple() | ast.Dict() | ast.Set():
            return _value(type(bound).__name__.lower(), bound)
        case ast.Call(func=ast.Name(id=name)):
            return _instance(name, bound, module)
    return None


def _value(kind: str, node: ast.AST) -> _Fault:
    shown = kind if kind == "None" else f"an {kind}" if kind == "int" else f"a {kind}"
    return _Fault(f"is {shown}, which can't be called", _A_FUNCTION, node)


_A_FUNCTION: Final = "name a function of an event and a context"


def _arity(arguments: ast.arguments, node: ast.AST) -> _Fault | None:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    named = [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    if len(positional) < 2 and arguments.vararg is None:
        count = f"{len(positional)} argument" if len(positional) == 1 else "no arguments"
        return _Fault(f"takes {count}", _CALLED, node)
    if required > 2:
        return _Fault(f"needs {required} arguments", _CALLED, node)
    if named:
        return _Fault(f"needs the keyword {', '.join(named)}", _CALLED, node)
    return None


def _answer(node: _Function) -> _Fault | None:
    """Lambda's Python runtime awaits nothing: it encodes what the call returned as JSON."""
    if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in _own_scope(node)):
        what = "is a generator: Lambda gets no value from it"
        return _Fault(what, "return a value; yield in a function that it calls", node)
    if isinstance(node, ast.AsyncFunctionDef):
        what = "is async: Lambda does not await it, and can't send a coroutine back"
        return _Fault(what, "write def, and asyncio.run(...) in it", node)
    return None


def _own_scope(node: ast.AST) -> Iterator[ast.AST]:
    left = list(ast.iter_child_nodes(node))
    while left:
        inner = left.pop()
        yield inner
        if not isinstance(inner, ast.Lambda | ast.ClassDef | _Function):
            left += ast.iter_child_nodes(inner)


def _instance(name: str, bound: ast.Call, module: ast.Module) -> _Fault | None:
    made = _binding(module, name)
    if not isinstance(made, ast.ClassDef) or made.bases or made.keywords or made.decorator_list:
        return None
    if _has(made, _CALLS):
        return None
    return _Fault(f"is an instance of {name}, which has no __call__", _A_FUNCTION, bound)


def _has(made: ast.AST, names: frozenset[str]) -> bool:
    """Whether the class may define one of the names, in whatever way."""
    for node in ast.walk(made):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name in names:
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in names:
                return True
    return False


_CALLS: Final = frozenset({"__call__", "__new__"})
_VALUES: Final = frozenset({"__new__", "_asdict"})
"""Methods of classes that Lambda's encoder may take an instance of, or that make none."""
