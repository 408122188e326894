"""docs/diagnostics.md holds every code, and no other."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "diagnostics.md"
SOURCES = sorted([*(ROOT / "bundler").rglob("*.py"), *(ROOT / "daemon").rglob("*.py")])

Emitters = Mapping[str, tuple[int, str]]
"""By name of a function or class: which argument is the code, and the severity it gives."""
BASE: Emitters = {
    "BundlerError": (0, "error"),
    "ZipFault": (0, "error"),
    "MachineFault": (0, "error"),
    "Diagnostic": (-1, ""),
}
"""A ZipFault of a wheel becomes an error. Of a Diagnostic the severity stands beside its code."""
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)*(-[a-z0-9]+|-<id>)")
ROW = re.compile(r"\| `([^`]+)` \| ([a-z, ]+) \| .+ \| .+ \|")

Found = dict[str, set[str]]
"""The severities that each code comes with."""


def name_of(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def argument(call: ast.Call, at: int) -> ast.expr | None:
    """A call's code, by its place or by its keyword."""
    named = next((word.value for word in call.keywords if word.arg == "code"), None)
    return call.args[at] if 0 <= at < len(call.args) else named


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def calls(node: ast.AST, emitters: Emitters) -> Iterator[tuple[ast.Call, ast.expr, str]]:
    """Each call that makes a diagnostic, its code, and its severity if that can be seen."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and name_of(call) in emitters and not _is_log(call):
            at, severity = emitters[name_of(call)]
            if (code := argument(call, at)) is not None:
                said = next((w.value for w in call.keywords if w.arg == "severity"), None)
                shown = said.attr.lower() if isinstance(said, ast.Attribute) else severity
                yield call, code, shown


def _is_log(call: ast.Call) -> bool:
    """`log.warning` is no diagnostic."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="log")):
            return True
    return False


def helpers(tree: ast.Module, known: Emitters) -> dict[str, tuple[int, str]]:
    """The functions that hand on a code they are given: to whom calls them, they are emitters."""
    found = {}
    for function in functions(tree):
        names = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
        for _call, code, severity in calls(function, known):
            if isinstance(code, ast.Name) and code.id in names:
                found[function.name] = (names.index(code.id), severity)
    return found


def constants(node: ast.AST) -> Iterator[str]:
    """The texts in it that look like codes; what is filled in is "<id>"."""
    for one in ast.walk(node):
        if isinstance(one, ast.JoinedStr):
            parts = [
                str(part.value) if isinstance(part, ast.Constant) else "<id>" for part in one.values
            ]
            yield from filter(CODE.fullmatch, ["".join(parts)])
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield from filter(CODE.fullmatch, [one.value])


def looked_up(function: ast.FunctionDef, code: str, tree: ast.Module) -> set[str]:
    """What a variable of the function may hold: texts assigned to it, or in the tables it uses."""
    tables = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found: set[str] = set()
    todo: list[ast.AST] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and code in {
            name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)
        }:
            found.update(constants(node.value))
            todo.append(node.value)
        elif isinstance(node, ast.For):
            todo.append(node.iter)
    met: set[str] = set()
    while todo:
        for name in ast.walk(todo.pop()):
            if isinstance(name, ast.Name) and name.id in tables and name.id not in met:
                met.add(name.id)
                found.update(constants(tables[name.id]))
                todo.append(tables[name.id])
    return found


def codes_of(tree: ast.Module, emitters: Emitters, where: str) -> Iterator[tuple[str, str]]:
    """Every code that the module can emit, with its severity. Fails on one it can't work out."""
    for function in [*functions(tree), tree]:
        inner = {id(call) for one in functions(function) if one is not function
                 for call in ast.walk(one)}  # fmt: skip
        for call, code, severity in calls(function, emitters):
            if id(call) in inner:
                continue
            match code:
                case ast.Constant(value=str(text)):
                    yield text, severity
                case ast.Attribute(attr="code") | ast.Subscript(slice=ast.Constant(value="code")):
                    pass  # another diagnostic's, told anew
                case ast.Name(id=name) if isinstance(function, ast.FunctionDef):
                    if name in {one.arg for one in function.args.args}:
                        continue  # whoever calls it says the code
                    found = looked_up(function, name, tree)
                    assert found, f"{where}:{code.lineno}: what codes are these?"
                    yield from ((text, severity) for text in found)
                case _:
                    pytest.fail(f"{where}:{code.lineno}: write the code out: {ast.unparse(code)}")


def emitted() -> Found:
    trees = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
    shared = dict(BASE)
    for path, tree in trees.items():
        if path.name == "model.py":
            shared |= helpers(tree, shared)
    for tree in trees.values():
        shared |= {
            name: how for name, how in helpers(tree, shared).items() if not name.startswith("_")
        }
    found: Found = defaultdict(set)
    for path, tree in trees.items():
        emitters = {**shared, **helpers(tree, shared)}
        for code, severity in codes_of(tree, emitters, path.relative_to(ROOT).as_posix()):
            found[code].add(severity)
    return found


def documented() -> list[tuple[str, set[str]]]:
    rows = [ROW.fullmatch(line) for line in PAGE.read_text("utf-8").splitlines()]
    return [(row[1], set(row[2].split(", "))) for row in rows if row]


def test_every_code_is_on_the_page() -> None:
    """A code that bundler or daemon can emit has its row, and no row is of any other."""
    listed = [code for code, _ in documented()]
    assert sorted(listed) == sorted(emitted())


def test_severities_are_told() -> None:
    """A row names each severity that its code comes with."""
    found = emitted()
    wrong = {
        code: found[code] - said
        for code, said in documented()
        if not found[code] - {""} <= said or not said <= {"error", "warning", "info"}
    }
    assert not wrong


def test_rows_are_whole() -> None:
    """Every row of a table of codes has its four columns, and each table is sorted."""
    lines = PAGE.read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert [line for line in rows if not ROW.fullmatch(line)] == []
    tables = re.findall(r"(?:^\| `.*\n)+", PAGE.read_text("utf-8"), re.M)
    for table in tables:
        codes = re.findall(r"^\| `([^`]+)`", table, re.M)
        assert codes == sorted(codes)


TABLE = """
TABLE = {1: ("a-b", 2)}
def f():
    code, x = TABLE[1]
    return error(code, "")
"""
COMPUTED = """
def f(x):
    code = f"a-{x}" if x else "b-c"
    return warning(code, "")
"""
HELPER = """
def g(n, code):
    return error(code, "")
g(1, "a-b")
"""
WAYS = [
    ('def f(): return error("a-b", "x")', {"a-b": "error"}),
    ('raise BundlerError(code="offline", message="x")', {"offline": "error"}),
    ('Diagnostic(code="a-b", severity=Severity.INFO, message="")', {"a-b": "info"}),
    (TABLE, {"a-b": "error"}),
    (COMPUTED, {"a-<id>": "warning", "b-c": "warning"}),
    (HELPER, {"a-b": "error"}),
]


@pytest.mark.parametrize(("source", "expected"), WAYS)
def test_codes_are_found(source: str, expected: dict[str, str]) -> None:
    """A code is found however it is written down: directly, by a helper, from a table."""
    tree = ast.parse(source)
    emitters = {**BASE, "error": (0, "error"), "warning": (0, "warning")}
    emitters |= helpers(tree, emitters)
    assert dict(codes_of(tree, emitters, "here")) == expected
