"""The cases in fixtures/lint: a project each, and what lint says of it, a line a finding."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from lambdad.bundler.config.find import read_project
from lambdad.bundler.lint import outputs
from lambdad.bundler.lint.run import Report, lint
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.support.paths import ROOT

CASES = ROOT / "fixtures" / "lint"
NAMES = sorted(path.name for path in CASES.iterdir() if (path / "expected.txt").exists())


def workshop_at(root: Path, **environ: str) -> Workshop:
    real = os.path.realpath(root)
    kept = {name: text for name, text in os.environ.items() if name != "VIRTUAL_ENV"}
    store = Store(root.parent / "store")
    return Workshop(root=real, repository=real, store=store, environ={**kept, **environ})


def lint_at(root: Path, workshop: Workshop | None = None, **options: Any) -> Report:
    """All functions, or the `files`."""
    project = read_project(str(root), {})
    Output(project.root).prepare()
    functions = () if options.get("files") else project.functions
    given = {"trusted": True, "not_built": project.not_built, **options}
    return lint(project, functions, workshop or workshop_at(root), **given)


def lines(report: Report) -> list[str]:
    return [outputs.line(item) for item in report.findings]


def lint_case(name: str, root: Path) -> list[str]:
    shutil.copytree(CASES / name, root)
    (root / "expected.txt").unlink(missing_ok=True)
    return lines(lint_at(root))
