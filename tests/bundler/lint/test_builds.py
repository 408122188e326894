"""What builds of JavaScript functions say, as lint tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.config.find import read_project
from lambdad.bundler.lint.builds import TOOL
from lambdad.bundler.lint.tool import Batch, Findings
from lambdad.bundler.model import Project
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import workshop_at, write_tree
from tests.support.lint_tools import told
from tests.support.served import APP, share_esbuild

WORD = "web/word.ts"


@pytest.fixture
def app(tmp_path: Path) -> Workshop:
    share_esbuild(tmp_path / "store")
    workshop = workshop_at(tmp_path / "app", Store(tmp_path / "store"))
    write_tree(Path(workshop.root), APP)
    return workshop


def lint(app: Workshop) -> Findings:
    project: Project = read_project(app.root, {})
    (web,) = [each for each in project.functions if each.name == "Web"]
    held = {"web/web.ts": (web,), WORD: (web,)}
    return TOOL.lint(Batch(files=tuple(held), holders=held), app)


def edit(app: Workshop, name: str, text: str) -> None:
    Path(app.root, name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (WORD, "import './gone';\n", ("unresolved-import", "error", 1, 8)),
        (WORD, "export const = 1;\n", ("syntax-error", "error", 1, 14)),
        (WORD, "export const other = 1;\n", None),
        (
            WORD,
            'import { join } from "path";\njoin = 1;\nexport const word = join;\n',
            None,
        ),
    ],
)
def test_esbuilds_messages(
    name: str, text: str, expected: tuple[str, str, int, int] | None, app: Workshop
) -> None:
    """At their places, of a function that no build was asked of yet."""
    edit(app, name, text)
    found = lint(app)
    if expected is not None:
        assert told(found, name) == [expected]
    else:
        assert [item for items in found.files.values() for item in items]


def test_a_handler_without_its_export(app: Workshop) -> None:
    """It is the function's: the fault is where the handler is named."""
    edit(app, "web/web.ts", "export const main = async () => 1;\n")
    (fault,) = lint(app).functions["Web"]
    assert fault.code == "missing-export"
    assert fault.where is not None
    assert fault.where.file == "template.yaml"


def test_the_last_build_is_believed_while_it_holds(
    app: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is built again for lint's sake; after an edit it is."""
    from lambdad.bundler import build

    edit(app, WORD, "import './gone';\n")
    first = lint(app)
    built: list[str] = []
    produce = build.produce

    def noting(jobs: list[Any], *rest: Any) -> None:
        built.extend(job.name for job in jobs)
        produce(jobs, *rest)

    monkeypatch.setattr(build, "produce", noting)
    assert lint(app) == first
    assert not built
    edit(app, WORD, str(APP[WORD]))
    assert not lint(app).files
    assert built == ["Web"]


def test_functions_in_python_are_not_built(app: Workshop) -> None:
    """They have nothing to say here."""
    project = read_project(app.root, {})
    (one,) = [each for each in project.functions if each.name == "One"]
    batch = Batch(files=("one/app.py",), holders={"one/app.py": (one,)})
    assert TOOL.lint(batch, app) == Findings()
