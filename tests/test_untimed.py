"""No test asserts how fast something is: it would fail on a busy machine. benchmarks/ measure that.

A limit on waiting is another thing: a loop that waits for an event may give up, and a test may say
that something took at least so long.
"""

import ast
import textwrap
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time", "times"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS}
MODULES = {"time", "os"}

INSTANT = "instant"
"""What a clock says, or such a value and a constant."""
ELAPSED = "elapsed"
"""The time between two instants."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def timed(text: str) -> list[int]:
    """The lines of the assertions that put an upper bound on a time which they measured."""
    found: set[int] = set()
    if not any(clock in text for clock in CLOCKS):
        return []
    for scope in ast.walk(ast.parse(text)):
        if isinstance(scope, (ast.Module, *FUNCTIONS)):
            kinds = _kinds(scope)
            for assertion, waits in _assertions(scope, waits=False):
                if any(_bounds(node, kinds, waits) for node in ast.walk(assertion.test)):
                    found.add(assertion.lineno)
    return sorted(found)


def _assertions(node: ast.AST, *, waits: bool) -> Iterator[tuple[ast.Assert, bool]]:
    """Each assertion below, and whether it stands in a loop, which may wait for something."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assert):
            yield child, waits
        elif not isinstance(child, FUNCTIONS):
            yield from _assertions(child, waits=waits or isinstance(child, ast.While))


def _kinds(scope: ast.AST) -> dict[str, str]:
    """The variables of the scope that hold times; of what is kept in a list, the list."""
    kinds: dict[str, str] = {}
    for _ in range(3):  # a name may be used above the line that gives it its value
        for node in ast.walk(scope):
            for name, value in _bindings(node):
                if (kind := _kind(value, kinds)) is not None:
                    kinds[name] = kind
    return kinds


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from ((name, value) for name in _names(target))
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from ((name, value) for name in _names(target))
        case ast.AugAssign(target=target, value=value):
            yield from ((name, value) for name in _names(target))
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            yield name, value
        case ast.Call(func=ast.Attribute(value=kept, attr="append"), args=[value]):
            yield from ((name, value) for name in _names(kept))


def _names(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _names(part)


def _kind(node: ast.expr, kinds: dict[str, str]) -> str | None:
    """What the value is, if it is a time: a difference of instants is elapsed."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (
            module in MODULES and name in CLOCKS
        ):
            return INSTANT
        case ast.Call(func=ast.Name(id=name)) if name in CLOCKS:
            return INSTANT
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return kinds.get(name)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            parts = [_kind(left, kinds), _kind(right, kinds)]
            if parts[0] == INSTANT and isinstance(right, ast.Constant):
                return INSTANT
            if any(parts):
                return ELAPSED
    below = [
        _kind(child, kinds) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)
    ]
    return ELAPSED if ELAPSED in below else INSTANT if INSTANT in below else None


def _bounds(node: ast.AST, kinds: dict[str, str], waits: bool) -> bool:
    """Whether it compares a time with what it may be at most."""
    if not isinstance(node, ast.Compare):
        return False
    values = [node.left, *node.comparators]
    for left, how, right in zip(values, node.ops, values[1:], strict=False):
        less, more = (right, left) if isinstance(how, ast.Gt | ast.GtE) else (left, right)
        if isinstance(how, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            small, large = _kind(less, kinds), _kind(more, kinds)
            if small == ELAPSED and large != ELAPSED:
                return not waits
            if isinstance(less, ast.Call) and small == INSTANT and large == INSTANT:
                return not waits
        elif isinstance(how, ast.Eq) and ELAPSED in (_kind(less, kinds), _kind(more, kinds)):
            return True
    return False


FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))


def test_no_test_asserts_how_fast_something_is() -> None:
    """What is a promise of speed is a row in benchmarks/, against a yardstick in the same run."""
    found = [f"{path}:{line}" for path in FILES for line in timed((ROOT / path).read_text())]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "assert time.monotonic() - began < 5",
        "assert 5 > time.monotonic() - began",
        "began = time.perf_counter()\nassert time.perf_counter() - began <= 0.1",
        "began = perf_counter()\nwork()\ntook = perf_counter() - began\nassert took < 1",
        "began = time.time()\nassert (time.time() - began) * 1000 < 100 and other",
        "end = time.monotonic() + 5\nwork()\nassert time.monotonic() < end",
        "delays.append(time.monotonic() - began)\nassert min(median(delays), 7) < 0.003",
        "took: float = time.monotonic() - self.began\nassert took == pytest.approx(1, abs=0.5)",
        "self.took = time.monotonic_ns() - began\nassert self.took < 5",
        "assert (took := time.process_time() - began) < 5, took",
    ],
)
def test_an_upper_bound_is_found(text: str) -> None:
    """In a function or a module, whatever the spelling."""
    last = len(text.splitlines())
    assert timed(text) == [last]
    assert timed(f"def test() -> None:\n{textwrap.indent(text, '    ')}") == [last + 1]


@pytest.mark.parametrize(
    "text",
    [
        "assert time.monotonic() - began >= HOLD_S",
        "assert HOLD_S <= time.monotonic() - began",
        "end = time.monotonic() + 5\nwhile not heard():\n    assert time.monotonic() < end",
        "while not heard():\n    assert time.monotonic() - began < 60, 'never heard'",
        "began = time.time()\nassert began <= told() <= time.time()",
        "assert collect(time.time() + 7200) == 2",
        "assert count < 5",
    ],
)
def test_a_limit_on_waiting_is_none(text: str) -> None:
    """Lower bounds, hang limits and dates are not timed."""
    assert timed(text) == []
