"""The import graph of bundler/ and daemon/, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.support.paths import ROOT

Graph = Mapping[str, frozenset[str]]
"""Modules by their path in the repository ("bundler/inputs/tree.py"), each with what it imports."""


def sources(*tops: str) -> dict[str, str]:
    """The text of every Python file below the folders, by its path in the repository."""
    files = (file for top in tops for file in sorted((ROOT / top).rglob("*.py")))
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def graph(texts: Mapping[str, str], package: str = "lambdad") -> Graph:
    """Who imports whom, wherever the import stands: also in a function, or for types alone.

    An import of a name from a module is an import of the module; of a name from a package, one of
    the module that has the name, if one has it, else of the package itself.
    """
    modules = {_dotted(path, package): path for path in texts}
    found = {}
    for path, text in texts.items():
        names = set(_imported(ast.parse(text), modules))
        found[path] = frozenset(modules[name] for name in names) - {path}
    return found


def _dotted(path: str, package: str) -> str:
    return f"{package}.{path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"


def _imported(tree: ast.AST, modules: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in modules:
                    yield full
                elif node.module is not None and node.module in modules:
                    yield node.module


def circles(graph: Graph) -> list[list[str]]:
    """Groups of two or more that all import each other, be it by way of others; sorted."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in graph
        if name in reach[name]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(graph: Graph, start: str) -> set[str]:
    met: set[str] = set()
    todo = [start]
    while todo:
        for name in graph.get(todo.pop(), ()):
            if name not in met:
                met.add(name)
                todo.append(name)
    return met


def grouped(graph: Graph, units: Iterable[str]) -> Graph:
    """The graph of the units, each a module, or a folder ("x/y/") with all below it.

    A module that belongs to no unit is left out.
    """
    known = tuple(units)
    unit_of = {name: unit for name in graph if (unit := owner(name, known))}
    found: dict[str, set[str]] = {unit: set() for unit in known}
    for name, imported in graph.items():
        if name in unit_of:
            found[unit_of[name]].update(unit_of[one] for one in imported if one in unit_of)
    return {unit: frozenset(imported - {unit}) for unit, imported in found.items()}


def owner(name: str, units: Iterable[str]) -> str | None:
    """The unit that the module is, or lies in."""
    return next(
        (one for one in units if name == one or (one[-1] == "/" and name.startswith(one))), None
    )


def children(paths: Iterable[str], folder: str) -> list[str]:
    """What lies directly in the folder ("x/"): modules, and folders with a "/" at the end."""
    found = set()
    for path in paths:
        if path.startswith(folder):
            name, slash, _rest = path[len(folder) :].partition("/")
            found.add(f"{folder}{name}{slash}")
    return sorted(found)


def folders(paths: Iterable[str]) -> list[str]:
    """Every folder that a module lies in, with a "/" at the end."""
    return sorted(
        {f"{parent.as_posix()}/" for path in paths for parent in Path(path).parents} - {"./"}
    )
