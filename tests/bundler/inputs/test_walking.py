"""The one walker of what is not ours, and its bounds."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambdad.bundler.inputs import tree, walking
from lambdad.bundler.model import ProjectError
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree, write_tree

Lay = Callable[[Tree], None]


@contextlib.contextmanager
def deep(top: Path, levels: int) -> Iterator[None]:
    """Folders in folders, deeper than Python's own rmtree can remove them."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", str(top / "d")], check=True)


def fan(top: Path, levels: int, width: int) -> None:
    """Of each level, symlinks to the next one: `width` to the power of `levels` paths."""
    for level in range(levels):
        folder = top / f"level-{level}"
        folder.mkdir()
        for number in range(width):
            (folder / f"link-{number}").symlink_to(f"../level-{level + 1}")
    (top / f"level-{levels}").mkdir()


def code(fault: pytest.ExceptionInfo[ProjectError]) -> tuple[str, str]:
    (found, *_others) = fault.value.diagnostics
    return found.code, found.message


def test_folders_nested_too_deep(workshop: Workshop, lay: Lay) -> None:
    """They are refused by name, with no error of Python's stack."""
    lay({"app/a.py": ""})
    with deep(Path(workshop.root, "app"), 1500), pytest.raises(ProjectError) as caught:
        tree.walk(workshop.seen, "app")
    found, message = code(caught)
    assert found == "endless-tree"
    assert "is nested more than 200 folders deep" in message
    assert len(message) < 250


def test_symlinks_that_fan_out(workshop: Workshop, lay: Lay) -> None:
    """Nine levels of ten symlinks each are a thousand million folders."""
    lay({"app/a.py": ""})
    fan(Path(workshop.root, "app"), 9, 10)
    with pytest.raises(ProjectError) as caught:
        tree.walk(workshop.seen, "app")
    found, message = code(caught)
    assert found == "endless-tree"
    assert "symlinks in app lead to more than 5,000 folders" in message


def test_too_many_files(workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts names as they are met."""
    monkeypatch.setattr(walking, "ENTRIES", 10)
    lay({f"app/{number}.py": "" for number in range(10)})
    assert len(tree.walk(workshop.seen, "app").files) == 10
    lay({"app/more.py": ""})
    with pytest.raises(ProjectError) as caught:
        tree.walk(workshop.seen, "app")
    assert code(caught)[0] == "endless-tree"


def test_folders_as_os_walk_gives_them(tmp_path: Path) -> None:
    """Sorted, links not entered, what is not to be entered left out."""
    write_tree(tmp_path, {"b/c/x": "", "b/y": "", "a/z": "", "node_modules/n": "", "top": ""})
    (tmp_path / "link").symlink_to("b")
    found = [
        (os.path.relpath(path, tmp_path), below, names)
        for path, below, names in walking.folders(str(tmp_path), lambda name: "node" not in name)
    ]
    assert found == [
        (".", ["a", "b", "link"], ["top"]),
        ("a", [], ["z"]),
        ("b", ["c"], ["y"]),
        ("b/c", [], ["x"]),
    ]


def test_a_walk_of_folders_is_bounded(tmp_path: Path) -> None:
    """As that of a tree."""
    with deep(tmp_path, 300), pytest.raises(ProjectError) as caught:
        list(walking.folders(str(tmp_path), named="app"))
    assert code(caught)[0] == "endless-tree"
