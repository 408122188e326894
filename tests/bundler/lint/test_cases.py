"""Python projects, and every line that lint says of them: fixtures/lint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import tools
from tests.support.lint_cases import CASES, NAMES, lines, lint_at, lint_case


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, tmp_path: Path) -> None:
    """Lint says of the project what its expected.txt holds, and nothing else."""
    assert (
        lint_case(name, tmp_path / "app")
        == (CASES / name / "expected.txt").read_text().splitlines()
    )


def test_all_cases_are_found() -> None:
    """A folder without its expectation would be no test."""
    assert (
        sorted(path.name for path in CASES.iterdir() if (path / "lambdad.toml").exists()) == NAMES
    )


def test_unchanged_is_not_linted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time no tool is run, and the same is said."""
    root = tmp_path / "app"
    shutil.copytree(CASES / "severities", root)
    first = lines(lint_at(root))

    def run(*_arguments: Any, **_options: Any) -> tools.Completed:
        raise AssertionError

    monkeypatch.setattr(tools, "run", run)
    assert lines(lint_at(root)) == first
