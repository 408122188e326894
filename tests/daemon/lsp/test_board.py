"""What is shown of a project, from what the daemon and its files say; and fixes, without either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import Location, Severity, error, warning
from lambdad.bundler.store import record
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.lsp import fixes
from lambdad.daemon.lsp.board import Board
from lambdad.daemon.lsp.site import Site
from lambdad.daemon.lsp.source import EditorSources
from tests.conftest import Tree

OWN = '[functions.{name}]\nhandler = "app.handler"\nruntime = "python3.12"\ncode = "{name}"\n'
TREE: Tree = {
    "lambdad.toml": OWN.format(name="one") + OWN.format(name="two"),
    "one/app.py": "",
    "two/app.py": "",
}

Lay = Callable[[Tree], None]


def item(code: str, file: str | None, line: int = 1, severity: str = "error") -> dict[str, Any]:
    found: dict[str, Any] = {"code": code, "severity": severity, "message": code}
    return found | ({"where": {"file": file, "line": line}} if file else {})


def answer(
    *findings: dict[str, Any], more: dict[str, Any] | None = None, **functions: list[dict[str, Any]]
) -> dict[str, Any]:
    told = [{"name": name, "diagnostics": items} for name, items in functions.items()]
    return {"functions": told, "findings": list(findings), **(more or {})}


@pytest.fixture
def board(lay: Lay, workshop: Workshop) -> Board:
    lay(TREE)
    found = Board()
    found.declare(read_project(workshop.root, {}))
    return found


def shown(board: Board) -> dict[str, list[str]]:
    return {path: [each.code for each in items] for path, items in board.files().items()}


def test_an_answer_replaces_what_it_is_about(board: Board) -> None:
    """Of lint all, of builds those of the functions that it names."""
    board.answer(answer(item("lint", "one/app.py"), one=[item("build", "one/app.py")]))
    assert shown(board) == {"one/app.py": ["build", "lint"]}
    assert board.linted == ["one/app.py"]
    board.answer(answer(two=[item("build", "two/app.py")]))
    assert shown(board) == {"one/app.py": ["build"], "two/app.py": ["build"]}
    board.answer(answer(one=[]))
    assert shown(board) == {"two/app.py": ["build"]}
    board.answer(answer(more={"building": ["two"]}))
    assert shown(board) == {}


def test_the_same_is_shown_once(board: Board) -> None:
    """What several say of a place is shown once, as the strictest has it."""
    mild, strict = item("x", "a.py", severity="warning"), item("x", "a.py")
    for several in ((mild, strict), (strict, mild)):
        board.answer(answer(*several, one=[mild], two=[mild]))
        (only,) = board.files()["a.py"]
        assert only.severity is Severity.ERROR


def test_what_has_no_place(board: Board) -> None:
    """A function's is shown at its handler; the rest is told as a message."""
    board.answer(answer(item("tool", None), one=[item("whole", None)]))
    (only,) = board.files()["lambdad.toml"]
    assert (only.code, only.where) == ("whole", Location("lambdad.toml", 2, 11))
    assert [each.code for each in board.rest()] == ["tool"]


def test_what_is_declared_no_more(board: Board, lay: Lay, workshop: Workshop) -> None:
    """Findings of a function that is gone go with it, and all with the configuration."""
    board.answer(answer(one=[item("build", "one/app.py")], two=[item("build", "two/app.py")]))
    lay({"lambdad.toml": OWN.format(name="two")})
    board.declare(read_project(workshop.root, {}))
    assert shown(board) == {"two/app.py": ["build"]}
    board.answer(answer(item("lint", "one/app.py"), one=[item("late", "one/app.py")]))
    assert "late" not in str(shown(board))
    board.declare(None)
    assert shown(board) == {}


def test_faults_of_the_configuration(lay: Lay, workshop: Workshop) -> None:
    """What is wrong as declared is shown; what is skipped as it should be, is not."""
    lay({"lambdad.toml": OWN.format(name="one").replace("3.12", "3.99"), "one/app.py": ""})
    board = Board()
    board.declare(read_project(workshop.root, {}))
    assert set(board.files()) == {"lambdad.toml"}
    lay({"lambdad.toml": OWN.format(name="one") + "skip = true\n"})
    board.declare(read_project(workshop.root, {}))
    assert shown(board) == {}


def test_a_build_that_began_with_the_save(lay: Lay, workshop: Workshop) -> None:
    """What was written in the tick of a build's start proves nothing to builds, and is shown as
    that build's nevertheless, until it moves."""
    lay({"lambdad.toml": OWN.format(name="one"), "one/app.py": "def other(e, c): ...\n"})
    project = read_project(workshop.root, {})
    build.build(project.functions, workshop, Upkeep(project))
    place = workshop.state().record("one")
    known = record.load(place)
    assert known is not None
    young = replace(known.inputs, suspects=frozenset({"one/app.py"}))
    record.save(place, replace(known, inputs=young))
    site = Site(workshop.root, workshop.environ)
    last = site.last(project, project.functions[0], Look())
    assert last is not None
    assert last.outcome is not None
    assert [each.code for each in last.outcome.diagnostics] == ["missing-export"]
    lay({"one/app.py": "def handler(event, context): ...\n"})
    last = site.last(project, project.functions[0], Look())
    assert last is not None
    assert last.outcome is None
    assert last.stale == ("one/app.py changed",)


# --- fixes ---------------------------------------------------------------------------------------

NOTHING = "nothing brings {}: neither the code, nor its dependencies, nor python3.12"
CASES: dict[str, tuple[Tree, Any, list[str]]] = {
    "a package": (
        {"one/requirements.txt": "boto3\n"},
        error("missing-import", NOTHING.format("requests.auth"), Location("one/app.py", 1, 1)),
        ["Add requests to one/requirements.txt"],
    ),
    "the source of a lock": (
        {"one/requirements.txt": "", "one/requirements.in": ""},
        error("missing-import", NOTHING.format("yaml"), Location("one/app.py", 1, 1)),
        ["Add PyYAML to one/requirements.in"],
    ),
    "a lock": (
        {"one/requirements.txt": "a==1 --hash=sha256:00\n"},
        error("missing-import", NOTHING.format("requests"), Location("one/app.py", 1, 1)),
        [],
    ),
    "no file": ({}, error("missing-import", NOTHING.format("x"), Location("one/app.py", 1, 1)), []),
    "a namespace": (
        {"one/requirements.txt": ""},
        error("missing-import", NOTHING.format("google"), Location("one/app.py", 1, 1)),
        [],
    ),
    "a module of one's own": (
        {"one/requirements.txt": ""},
        error("missing-import", "there is no module lib.x here", Location("one/app.py", 1, 1)),
        [],
    ),
    "unused": (
        {"one/requirements.txt": "boto3\nrequests==2\n"},
        warning("unused-dependency", "x", Location("one/requirements.txt", 2, 1)),
        ["Remove requests==2"],
    ),
    "unused, over lines": (
        {"one/requirements.txt": "requests==2 \\\n  --hash=sha256:00\n"},
        warning("unused-dependency", "x", Location("one/requirements.txt", 1, 1)),
        [],
    ),
    "unused, elsewhere": (
        {"one/pyproject.toml": "x\n"},
        warning("unused-dependency", "x", Location("one/pyproject.toml", 1, 1)),
        [],
    ),
    "a handler": (
        {"one/app.py": "def main(event, context): ...\n"},
        error(
            "missing-export",
            "x",
            Location("lambdad.toml", 2, 11),
            "it defines main; write app.main",
        ),
        ["Write app.main", "Rename main to handler in app.py"],
    ),
    "a name that is used": (
        {"one/app.py": "def main(event, context): ...\nmain.x = 1\n"},
        error(
            "missing-export",
            "x",
            Location("lambdad.toml", 2, 11),
            "it defines main; write app.main",
        ),
        ["Write app.main"],
    ),
    "a name that is taken": (
        {"one/app.py": "def main(event, context): ...\ndef f(handler): ...\n"},
        error(
            "missing-export",
            "x",
            Location("lambdad.toml", 2, 11),
            "it defines main; write app.main",
        ),
        ["Write app.main"],
    ),
    "a file": (
        {},
        error(
            "missing-handler-file", "x", Location("lambdad.toml", 2, 11), "there is a.py: write a.f"
        ),
        ["Write a.f"],
    ),
    "a hint that is no name": (
        {},
        error("missing-export", "x", Location("lambdad.toml", 2, 11), "write `exports.a = f`"),
        [],
    ),
    "elsewhere": (
        {},
        error("missing-export", "x", Location("lambdad.toml", 3, 1), "it defines f; write app.f"),
        [],
    ),
    "no place": ({}, error("missing-export", "x", None, "it defines f; write app.f"), []),
    "something else": ({}, error("syntax-error", "x", Location("one/app.py", 1, 1)), []),
}


@pytest.mark.parametrize("case", CASES)
def test_fixes(case: str, lay: Lay, workshop: Workshop) -> None:
    """A fix is offered where it takes no judgement, and nowhere else."""
    files, found, titles = CASES[case]
    lay({"lambdad.toml": OWN.format(name="one"), "one/app.py": "", **files})
    project = read_project(workshop.root, {})
    site = Site(workshop.root, workshop.environ)
    told = list(fixes.of(found, project, site, workshop, EditorSources()))
    assert [each.title for each in told] == titles
    for edit in (edit for each in told for edit in each.edits):
        assert Path(edit.path).is_file()
