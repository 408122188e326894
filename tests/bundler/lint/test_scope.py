"""What decides the findings of a tool that reads a whole project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.bundler.lint import javascript, scope, types
from lambdad.bundler.lint.tool import Batch
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree, write_tree
from tests.support.samples import function

FILES: Tree = {
    "tsconfig.json": "{}",
    "src/a.ts": "export const a = 1;\n",
    "src/b.ts": "export const b = 1;\n",
    "app/app.py": "n = 1\n",
    "read.me": "",
    "node_modules/.package-lock.json": "{}",
    "node_modules/one/index.js": "",
    "dist/.venv": "",
    ".venv/lib/python3.11/site-packages/one/__init__.py": "",
    ".lambdad/state.json": "",
}
Change = Callable[[Path], object]


def write(name: str, text: str = "changed") -> Change:
    return lambda root: write_tree(root, {name: text})


JAVASCRIPT: dict[str, tuple[Change, bool]] = {
    "a source": (write("src/a.ts"), True),
    "a new source": (write("src/c.ts"), True),
    "a new folder": (write("other/c.mjs"), True),
    "a source that is gone": (lambda root: (root / "src/b.ts").unlink(), True),
    "a renamed one": (lambda root: (root / "src/b.ts").rename(root / "src/c.ts"), True),
    "a configuration": (write("tsconfig.json"), True),
    "eslint's": (write(".eslintrc"), True),
    "what is installed": (write("node_modules/.package-lock.json", "{ }"), True),
    "something installed": (write("node_modules/two/index.js"), True),
    "other text": (write("read.me"), False),
    "Python": (write("app/app.py"), False),
    "inside of a package": (write("node_modules/one/lib/index.js"), False),
    "our own folder": (write(".lambdad/state/new.json"), False),
    "times alone": (lambda root: os.utime(root / "src/a.ts", (0, 0)), False),
    "the same again": (write("src/a.ts", str(FILES["src/a.ts"])), False),
}
PYTHON: dict[str, tuple[Change, bool]] = {
    "a source": (write("app/app.py"), True),
    "stubs": (write("app/app.pyi"), True),
    "settings": (write("setup.cfg"), True),
    "pyright's": (write("pyrightconfig.json"), True),
    "something installed": (
        write(".venv/lib/python3.11/site-packages/two/__init__.py", ""),
        True,
    ),
    "JavaScript": (write("src/a.ts"), False),
}


@pytest.mark.parametrize("case", JAVASCRIPT)
def test_what_decides_about_javascript(case: str, workshop: Workshop) -> None:
    """Equal as long as nothing differs that such a tool may read; times don't count."""
    change, moves = JAVASCRIPT[case]
    write_tree(Path(workshop.root), FILES)
    before = javascript.stamp(Batch(files=()), workshop)
    assert javascript.stamp(Batch(files=()), workshop) == before
    change(Path(workshop.root))
    assert (javascript.stamp(Batch(files=()), workshop) != before) == moves


@pytest.mark.parametrize("case", PYTHON)
def test_what_decides_about_python(case: str, workshop: Workshop) -> None:
    """Likewise."""
    change, moves = PYTHON[case]
    write_tree(Path(workshop.root), FILES)
    before = types.python_stamp(Batch(files=()), workshop)
    change(Path(workshop.root))
    assert (types.python_stamp(Batch(files=()), workshop) != before) == moves


def test_code_and_configuration_outside_of_the_project(tmp_path: Path) -> None:
    """Code folders of functions, and what lies above up to the repository's root."""
    from dataclasses import replace

    from lambdad.bundler.store.store import Store
    from tests.conftest import workshop_at

    root = tmp_path / "repository" / "app"
    write_tree(root.parent, {"tsconfig.json": "", "shared/deep/a.ts": "", "app/b.ts": ""})
    workshop = replace(workshop_at(root, Store(tmp_path)), repository=os.path.realpath(root.parent))
    held = Batch(files=("b.ts",), holders={"b.ts": (function(code="../shared"),)})
    stamps = [javascript.stamp(held, workshop)]
    for name in ("tsconfig.json", "shared/deep/a.ts"):
        write_tree(root.parent, {name: "changed"})
        stamps.append(javascript.stamp(held, workshop))
    assert len(set(stamps)) == 3
    write_tree(root.parent, {"unrelated/a.ts": ""})
    assert javascript.stamp(held, workshop) == stamps[-1]


def test_an_edit_in_the_tick_of_the_one_before(workshop: Workshop) -> None:
    """Of the same size: its times may be the same, its content is not."""
    path = Path(workshop.root, "a.ts")
    for number in range(200):
        path.write_text(f"{number:03}")
        before = javascript.stamp(Batch(files=()), workshop)
        path.write_text(f"{number + 1:03}")
        assert javascript.stamp(Batch(files=()), workshop) != before


def test_a_young_file_is_read_again(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as an edit of it could leave its times as they are; an old one is known by them."""
    monkeypatch.setattr(scope, "_key", lambda _status: (0, 0, 0, 0, 0))
    path = Path(workshop.root, "a.ts")

    def moves(text: str) -> bool:
        before = javascript.stamp(Batch(files=()), workshop)
        path.write_text(text)
        return javascript.stamp(Batch(files=()), workshop) != before

    path.write_text("one")
    assert moves("two")
    monkeypatch.setattr(scope, "YOUNG_NS", -(10**12))
    assert not moves("three")


def test_circles_and_what_is_no_file(workshop: Workshop) -> None:
    """Symlinks may lead in circles, and a FIFO is not opened."""
    root = Path(workshop.root)
    write_tree(root, {"src/a.ts": "", "src/loop": "-> ..", "gone.ts": "-> nowhere"})
    os.mkfifo(root / "pipe.ts")
    assert javascript.stamp(Batch(files=()), workshop)
    shutil.rmtree(root)
    assert javascript.stamp(Batch(files=()), workshop)


def test_what_is_known_of_contents_is_bounded(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is forgotten when there is too much of it."""
    monkeypatch.setattr(scope, "YOUNG_NS", -(10**12))
    monkeypatch.setattr(scope, "_KNOWN", 3)
    write_tree(Path(workshop.root), {f"{number}.ts": "" for number in range(10)})
    javascript.stamp(Batch(files=()), workshop)
    assert len(scope._known) <= 3
