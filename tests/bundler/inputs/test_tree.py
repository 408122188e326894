"""The walk of a code folder."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.inputs import snapshot, tree
from lambdad.bundler.model import ProjectError
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree

Lay = Callable[[Tree], None]


def names(workshop: Workshop, top: str = ".", **options: tuple[str, ...]) -> list[str]:
    return [file.name for file in tree.walk(workshop.seen, top, **options).files]


def codes(fault: pytest.ExceptionInfo[ProjectError]) -> list[str]:
    return [item.code for item in fault.value.diagnostics]


def test_built_in_excludes(workshop: Workshop, lay: Lay) -> None:
    """Version control, tools' state, virtual environments and compiled files are left out."""
    lay(
        {
            "app.py": "",
            "data/words.txt": "",
            ".env": "",
            ".git/config": "",
            "__pycache__/app.cpython-312.pyc": "",
            "data/__pycache__/x.pyc": "",
            "any-name/pyvenv.cfg": "",
            "any-name/lib/x.py": "",
            "node_modules/x/index.js": "",
            ".lambdad/build/x.zip": "",
            "app.py~": "",
        }
    )
    assert names(workshop) == [".env", "app.py", "data/words.txt"]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (("tests/",), ["a.py", "docs/a.md", "docs/b.txt", "node_modules/keep.js"]),
        (("*.md",), ["a.py", "docs/b.txt", "node_modules/keep.js", "tests/t.py"]),
        (("/docs/*", "!/docs/a.md"), ["a.py", "docs/a.md", "node_modules/keep.js", "tests/t.py"]),
    ],
)
def test_patterns(workshop: Workshop, lay: Lay, patterns: tuple[str, ...], left: list[str]) -> None:
    """Patterns are .gitignore's; a built-in exclude can be taken back with "!"."""
    lay(
        dict.fromkeys(["a.py", "docs/a.md", "docs/b.txt", "tests/t.py", "node_modules/keep.js"], "")
    )
    assert names(workshop, exclude=(*patterns, "!node_modules")) == left


def test_symlinks_inside_the_repository_are_followed(workshop: Workshop, lay: Lay) -> None:
    """A link to a file or folder of the repository is packaged as what it leads to."""
    lay({"shared/util.py": "x = 1", "app/main.py": "", "app/shared": "-> ../shared"})
    lay({"app/one.py": "-> ../shared/util.py"})
    walked = tree.walk(workshop.seen, "app")
    assert [file.name for file in walked.files] == ["main.py", "one.py", "shared/util.py"]
    assert workshop.seen.inputs().links == {"app/shared", "app/one.py"}
    assert "app/shared" in workshop.seen.inputs().listings


def test_a_link_out_of_the_repository_is_an_error(
    workshop: Workshop, lay: Lay, tmp_path: Path
) -> None:
    """Only what the configuration allows may be reached outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.py").write_text("")
    lay({"app/main.py": "", "app/out": f"-> {outside}"})
    with pytest.raises(ProjectError) as fault:
        tree.walk(workshop.seen, "app")
    assert codes(fault) == ["symlink-escape"]
    assert "app/out" in workshop.seen.inputs().links
    assert names(workshop, "app", allow=("../outside",)) == ["main.py", "out/x.py"]


def test_a_link_above_the_project_but_in_the_repository(
    workshop: Workshop, lay: Lay, tmp_path: Path
) -> None:
    """The repository's root is the border, not the project's."""
    (tmp_path / "common").mkdir()
    (tmp_path / "common/c.py").write_text("")
    lay({"common": "-> ../common"})
    wider = replace(workshop, repository=os.path.realpath(tmp_path))
    assert names(wider) == ["common/c.py"]


def test_loops_and_special_files_are_named(workshop: Workshop, lay: Lay) -> None:
    """A loop, a FIFO and a socket are errors, all told together, each with its path."""
    lay({"a/x.py": "", "a/b/up": "-> ..", "self": "-> self"})
    os.mkfifo(Path(workshop.root, "a/pipe"))
    before = Path.cwd()
    os.chdir(workshop.root)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a/sock")
    finally:
        os.chdir(before)
    with pytest.raises(ProjectError) as fault:
        tree.walk(workshop.seen, ".")
    told = {(item.code, item.where.file) for item in fault.value.diagnostics if item.where}
    assert told == {
        ("symlink-loop", "a/b/up"),
        ("special-file", "a/pipe"),
        ("special-file", "a/sock"),
        ("dangling-symlink", "self"),
    }


def test_a_dangling_link_is_a_warning_and_an_input(workshop: Workshop, lay: Lay) -> None:
    """What it leads to may appear, and counts then."""
    lay({"a.py": "", "later": "-> elsewhere.txt"})
    walked = tree.walk(workshop.seen, ".")
    assert [file.name for file in walked.files] == ["a.py"]
    assert [item.code for item in walked.diagnostics] == ["dangling-symlink"]
    assert "later" in workshop.seen.inputs().files


def test_names_that_no_zip_can_hold(workshop: Workshop) -> None:
    """A name that is not UTF-8, or holds a backslash, is an error with a name that can be shown."""
    Path(workshop.root, "back\\slash.py").write_text("")
    with open(os.fsencode(workshop.root) + b"/\xff.py", "w"):
        pass
    with pytest.raises(ProjectError) as fault:
        tree.walk(workshop.seen, ".")
    assert codes(fault) == ["zip-name", "zip-name"]


def test_order_and_modes(workshop: Workshop, lay: Lay) -> None:
    """Files come sorted by name in the zip, with the executable bit."""
    lay({"b/x": "", "b.py": "", "a/run.sh": "#!/bin/sh"})
    os.chmod(Path(workshop.root, "a/run.sh"), 0o700)
    walked = tree.walk(workshop.seen, ".")
    assert [file.name for file in walked.files] == ["a/run.sh", "b.py", "b/x"]
    assert [file.executable for file in walked.files] == [True, False, False]


def test_a_vanished_file_is_told(workshop: Workshop, lay: Lay) -> None:
    """Between the walk and the reading a file may go."""
    lay({"a.py": "x"})
    (file,) = tree.walk(workshop.seen, ".").files
    Path(workshop.root, "a.py").unlink()
    with pytest.raises(ProjectError) as fault:
        tree.read(workshop.seen, file)
    assert codes(fault) == ["unreadable-file"]


def _stale(
    workshop: Workshop, change: Callable[[Path], object], **options: tuple[str, ...]
) -> bool:
    """Whether a change is noticed after a walk of app/, whatever the walk came to."""
    shop = workshop.recording()
    with contextlib.suppress(ProjectError):
        tree.walk(shop.seen, "app", **options)
    before = snapshot.observe(shop.root, shop.seen.inputs())
    change(Path(shop.root))
    return any(snapshot.changes(shop.root, before))


def test_a_link_that_comes_to_lead_to_a_folder(workshop: Workshop, lay: Lay) -> None:
    """What only a folder's pattern leaves out counts while it leads to one, and after that."""
    lay({"app/main.py": "", "far/data": "", "app/data": "-> ../far/data"})

    def to_folder(root: Path) -> None:
        (root / "far/data").unlink()
        (root / "far/data").mkdir()

    def to_file(root: Path) -> None:
        (root / "far/data").rmdir()
        (root / "far/data").write_text("")

    assert _stale(workshop, to_folder, exclude=("data/",))
    assert _stale(workshop, to_file, exclude=("data/",))


def test_a_link_on_the_way_of_a_link(workshop: Workshop, lay: Lay) -> None:
    """A symlink to a symlink: the second one's target counts as well."""
    lay({"one/a.py": "", "two/a.py": "", "app/main.py": "", "app/lib": "-> ../current"})
    lay({"current": "-> one"})

    def repoint(root: Path) -> None:
        (root / "current").unlink()
        (root / "current").symlink_to("two")

    assert _stale(workshop, repoint)


def test_an_environment_that_no_listing_covers(workshop: Workshop, lay: Lay) -> None:
    """pyvenv.cfg decides about its folder although a pattern leaves the file itself out."""
    lay({"app/main.py": "", "app/env/lib.py": "", "app/env/pyvenv.cfg": ""})

    def remove(root: Path) -> None:
        (root / "app/env/pyvenv.cfg").unlink()

    def put(root: Path) -> None:
        (root / "app/env/pyvenv.cfg").write_text("")

    assert _stale(workshop, remove, exclude=("*.cfg",))
    assert _stale(workshop, put, exclude=("*.cfg",))


def test_a_special_file_behind_a_link(workshop: Workshop, lay: Lay) -> None:
    """A failure that it caused is not told again once it is a file."""
    lay({"app/main.py": "", "app/pipe": "-> ../far"})
    os.mkfifo(Path(workshop.root, "far"))

    def mend(root: Path) -> None:
        (root / "far").unlink()
        (root / "far").write_text("")

    assert _stale(workshop, mend)
