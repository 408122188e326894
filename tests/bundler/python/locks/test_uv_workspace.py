"""Which folders are members of a uv workspace, and what that is decided by."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.inputs.snapshot import changes, observe
from lambdad.bundler.python.locks import uv_workspace
from tests.conftest import write_tree

FILES = {"libs/one/pyproject.toml": "", "libs/two/x.py": "", "libs/file": "", "apps/a/b/c.py": ""}


def found(root: Path, top: str, members: str) -> tuple[set[str], Seen]:
    write_tree(root, {**FILES, "pyproject.toml": f"[tool.uv.workspace]\nmembers = {members}\n"})
    real = os.path.realpath(root)
    seen = Seen(os.path.normpath(f"{real}/{top}"), real)
    relative = os.path.relpath(real, seen.root)
    return set(uv_workspace.manifests(relative, seen)), seen


@pytest.mark.parametrize(
    ("members", "folders"),
    [
        ('["libs/*"]', {"libs/one", "libs/two"}),
        ('["./libs/one/", "gone"]', {"libs/one", "gone"}),
        ('["l?bs/t*", "[!l]pps/*"]', {"libs/two", "apps/a"}),
        ('["apps/**"]', {"apps", "apps/a", "apps/a/b"}),
        (
            '["**/b"]',
            {"apps/a/b", "b", "libs/b", "libs/one/b", "libs/two/b", "apps/b", "apps/a/b/b"},
        ),
        ('["gone/*"]', set()),
        ('"libs/*"', set()),
        ("[1]", set()),
    ],
)
def test_members(tmp_path: Path, members: str, folders: set[str]) -> None:
    """The folders that a pattern names, and those that it matches, each by its pyproject.toml."""
    assert found(tmp_path, ".", members)[0] == {f"{one}/pyproject.toml" for one in folders}


def test_from_a_member(tmp_path: Path) -> None:
    """The paths lead from the project on, which may be a member itself."""
    names = found(tmp_path, "libs/one", '["libs/*"]')[0]
    assert names == {"pyproject.toml", "../two/pyproject.toml"}


@pytest.mark.parametrize("pattern", ["libs/*", "libs/**", "l[!x]b?/new", "**"])
def test_what_decides_is_recorded(tmp_path: Path, pattern: str) -> None:
    """A folder that comes to match is a change, and so is one that is gone."""
    names, seen = found(tmp_path, ".", f'["{pattern}"]')
    seen.file(*names)
    before = observe(seen.root, seen.inputs())
    assert next(changes(seen.root, before), None) is None
    write_tree(tmp_path, {"libs/new/pyproject.toml": ""})
    assert next(changes(seen.root, before), None) is not None
    shutil.rmtree(tmp_path / "libs/new")
    assert next(changes(seen.root, before), None) is None
    shutil.rmtree(tmp_path / "libs")
    assert next(changes(seen.root, before), None) is not None
