"""The shape of the code: imports go downwards, a name means one thing, a citation leads somewhere.

The layers are those of docs/architecture.md; nothing else lists them.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import imports
from tests.support.imports import Graph
from tests.support.paths import ROOT

PAGE: Final = ROOT / "docs" / "architecture.md"
SECTION: Final = re.compile(r"^## Layers\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ROW: Final = re.compile(r"^\| (?P<units>`[^|]+`) \|", re.MULTILINE)

MOST_MODULES: Final = 14
"""Directly in bundler/: a newcomer reads that list first."""


@functools.cache
def graph() -> Graph:
    """Of the modules of bundler/ and daemon/."""
    return imports.graph(imports.sources("bundler", "daemon"))


@functools.cache
def layers() -> list[list[str]]:
    """As docs/architecture.md lists them, lowest first: each a row of modules and folders."""
    section = SECTION.search(PAGE.read_text("utf-8"))
    assert section is not None, "docs/architecture.md has no section `Layers`"
    rows = ROW.finditer(section["body"])
    return [re.findall(r"`([^`]+)`", row["units"]) for row in rows]


def upward(graph: Graph, layers: list[list[str]]) -> list[tuple[str, str]]:
    """Imports (importer, imported) between units that don't lead to a lower layer, sorted."""
    rank = {unit: number for number, row in enumerate(layers) for unit in row}
    found = []
    for importer, imported in ((a, b) for a in graph for b in graph[a]):
        above, below = imports.owner(importer, rank), imports.owner(imported, rank)
        if above and below and above != below and rank[below] >= rank[above]:
            found.append((importer, imported))
    return sorted(found)


def test_every_module_has_its_layer() -> None:
    """The table of layers lists every module and folder of bundler/ and daemon/, each once."""
    listed = [unit for row in layers() for unit in row]
    there = [*imports.children(graph(), "bundler/"), *imports.children(graph(), "daemon/")]
    empty = {"bundler/__init__.py", "daemon/__init__.py"}
    assert sorted(listed) == sorted(set(there) - empty)


def test_no_module_imports_a_higher_layer() -> None:
    """Imports in functions and imports for types alone are counted."""
    assert upward(graph(), layers()) == []


def test_no_modules_import_each_other() -> None:
    """There is no circle, be it by way of others."""
    assert imports.circles(graph()) == []


def test_no_folders_import_each_other() -> None:
    """In every folder its modules and folders, taken whole, form no circle."""
    found = {
        folder: imports.circles(imports.grouped(graph(), imports.children(graph(), folder)))
        for folder in imports.folders(graph())
    }
    assert {folder: groups for folder, groups in found.items() if groups} == {}


def test_few_modules_lie_directly_in_bundler() -> None:
    """What is in folders can be passed over by who looks for something else."""
    modules = [one for one in imports.children(graph(), "bundler/") if one.endswith(".py")]
    assert len(modules) - 1 <= MOST_MODULES, modules  # less __init__.py


def test_the_bundler_never_imports_the_daemon() -> None:
    """A build without a daemon is the same build."""
    tops = {(a.partition("/")[0], b.partition("/")[0]) for a in graph() for b in graph()[a]}
    assert tops == {("bundler", "bundler"), ("daemon", "bundler"), ("daemon", "daemon")}


# --- the graph itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "import p.b.low",
        "import p.b.low as low",
        "from p.b import low",
        "from p.b.low import name",
        "from p.b import other, low as name",
        "def f():\n    from p.b.low import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import low",
    ],
)
def test_an_import_counts_wherever_it_stands(text: str) -> None:
    """Whatever its form: of a module, of a name from it, in a function, for types alone."""
    found = imports.graph({"b/high.py": text, "b/low.py": "", "b/__init__.py": ""}, "p")
    assert "b/low.py" in found["b/high.py"]


def test_a_circle_is_found() -> None:
    """By way of others, too; what hangs on a circle without being in it is not of it."""
    arrows = {
        "a": {"b"},
        "b": {"c"},
        "c": {"a"},
        "d": {"a"},
        "e": {"f"},
        "f": {"e"},
        "g": set[str](),
    }
    frozen = {name: frozenset(imported) for name, imported in arrows.items()}
    assert imports.circles(frozen) == [["a", "b", "c"], ["e", "f"]]


def test_an_upward_import_is_found() -> None:
    """To a higher layer, and to another part of the same one; within a folder all is allowed."""
    frozen = {
        "x/low.py": frozenset({"x/f/a.py"}),
        "x/f/a.py": frozenset({"x/f/b.py", "x/low.py"}),
        "x/f/b.py": frozenset({"x/beside.py"}),
        "x/beside.py": frozenset({"x/low.py"}),
    }
    table = [["x/low.py"], ["x/f/", "x/beside.py"]]
    assert upward(frozen, table) == [("x/f/b.py", "x/beside.py"), ("x/low.py", "x/f/a.py")]


def test_folders_are_grouped_whole() -> None:
    """Two folders can import each other though no two modules do."""
    frozen = {
        "x/f/a.py": frozenset({"x/g/a.py"}),
        "x/f/b.py": frozenset[str](),
        "x/g/a.py": frozenset({"x/f/b.py"}),
    }
    assert imports.circles(frozen) == []
    units = imports.children(frozen, "x/")
    assert units == ["x/f/", "x/g/"]
    assert imports.circles(imports.grouped(frozen, units)) == [["x/f/", "x/g/"]]


# --- names ---------------------------------------------------------------------------------------


def public_classes() -> dict[str, list[str]]:
    """The modules that define a public class, by the class's name; aliases of types count, too."""
    found: dict[str, list[str]] = {}
    for path, text in imports.sources("bundler", "daemon").items():
        for name in _named(ast.parse(text)):
            found.setdefault(name, []).append(path)
    return found


def _named(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if isinstance(node.value, ast.Call) or not re.fullmatch(r"[A-Z]\w*[a-z]\w*", name):
                continue  # a type variable, or a constant
        else:
            continue
        if not name.startswith("_"):
            yield name


def test_no_two_public_classes_have_one_name() -> None:
    """A name that is read in a message or a traceback leads to one place."""
    twice = {name: paths for name, paths in public_classes().items() if len(paths) > 1}
    assert twice == {}


# --- citations -----------------------------------------------------------------------------------

CITED: Final = re.compile(r"(?<![\w./*<{$@-])([A-Za-z_][\w-]*(?:/[\w.-]+)*\.(?:py|md))(?![\w*])")
"""A file of the project in a text: `record.py`, `bundler/inputs/tree.py`, `docs/design.md`."""

PATTERNS: Final = ("*.md", "docs/*.md", "Makefile", "pyproject.toml", ".ci/*")

OTHERS_FILES: Final = frozenset(
    {"app.py", "setup.py", "src/notes/app.py", "src/notes/text.py", "src/util.py"}
)
"""Files of the users' projects, which texts name as examples."""


def texts() -> Iterator[tuple[str, int, str]]:
    """Comments, docstrings and documents, each with its path and line."""
    for path, text in imports.sources("bundler", "daemon", "tests", "benchmarks").items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield path, node.lineno, str(node.value.value)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield path, token.start[0], token.string
    for pattern in PATTERNS:
        for file in sorted(ROOT.glob(pattern)):
            for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
                yield file.relative_to(ROOT).as_posix(), number, line


@functools.cache
def endings() -> frozenset[str]:
    """All ways to cite a file: its path in the repository, or the end of it."""
    found: set[str] = set()
    for pattern in (
        "bundler",
        "daemon",
        "tests",
        "benchmarks",
        "docs",
        "clients/node",
        "src/lambdad",
    ):
        for file in (ROOT / pattern).rglob("*"):
            if file.suffix in (".py", ".md"):
                parts = file.relative_to(ROOT).parts
                found.update("/".join(parts[start:]) for start in range(len(parts)))
    return frozenset(found.union(file.name for file in ROOT.glob("*.md")))


def astray(text: str) -> list[str]:
    """The files that the text cites and that are not there."""
    return [one for one in CITED.findall(text) if one not in endings() | OTHERS_FILES]


def test_every_file_that_a_text_cites_is_there() -> None:
    """In comments, docstrings and documents."""
    found = [f"{path}:{line}: {one}" for path, line, text in texts() for one in astray(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what `record.py` keeps", []),
        ("see bundler/inputs/tree.py.", []),
        ("[freshness](docs/freshness.md), [freshness](freshness.md)", []),
        ("as gone.py said", ["gone.py"]),
        ("bundler/gone/tree.py", ["bundler/gone/tree.py"]),
        ("the rules are gone.md's", ["gone.md"]),
        ("src/**/*.py and <name>.py", []),
    ],
)
def test_a_citation_is_found(text: str, expected: list[str]) -> None:
    """By its path, or the end of it; a pattern is no citation."""
    assert astray(text) == expected
