"""An untrusted project supplies no program, though the user's PATH leads into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler import build, trust
from lambdad.bundler.esbuild import binary
from lambdad.bundler.model import Built, BundlerError, Failed, Want
from lambdad.bundler.python import interpreters
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import write_tree
from tests.support.samples import function

VERSION = (3, 14)
RUNTIME = RUNTIMES["python3.14"]
NAME = "python3.14"


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ("/usr/bin", True),
        ("{out}", True),
        ("{root}/venv/bin", False),
        ("{root}", False),
        ("{repository}/node_modules/.bin", False),
        ("{out}/../repo/app/venv/bin", False),
        ("{out}/link", False),  # a symlink into the project
        ("{root}/away", False),  # one out of it, which the project may swap
        ("venv/bin", False),
        (".", False),
        ("", False),
        ("{repository}-2/bin", True),
    ],
)
def test_entries(tmp_path: Path, entry: str, kept: bool) -> None:
    """Those of the project, and those that lead elsewhere from each folder, are left out."""
    (tmp_path / "repo/app/venv/bin").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path / "repo/app/venv")
    (tmp_path / "repo/app/away").symlink_to("/usr/bin")
    root, repository = tmp_path / "repo/app", tmp_path / "repo"
    filled = entry.format(root=root, repository=repository, out=tmp_path / "out")
    path = os.pathsep.join(["/bin", filled, "/sbin"])
    found = trust.search_path(path, str(root), str(repository), "/nowhere")
    assert found.folders == (("/bin", filled, "/sbin") if kept else ("/bin", "/sbin"))
    assert found.passed_over == ((filled,) if not kept and os.path.isabs(filled) else ())


def test_a_repository_around_the_home(tmp_path: Path) -> None:
    """Who keeps dotfiles in git keeps the programs in the home folder."""
    home = str(tmp_path)
    path = os.pathsep.join([f"{home}/.local/bin", f"{home}/app/bin"])
    found = trust.search_path(path, f"{home}/app", home, home)
    assert found.folders == (f"{home}/.local/bin",)


# --- what builds take ----------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Workshop]:
    """PATH leads to programs of the project, each of which says that it ran."""
    root = Path(os.path.realpath(tmp_path), "app")
    ran = f"#!/bin/sh\necho $0 >> {tmp_path}/ran\n"
    write_tree(
        root,
        {
            "src/app.py": "def handler(event, context):\n    return 1\n",
            f"venv/bin/{NAME}": f"{ran}echo 3 14\n",
            "node_modules/.bin/npm": ran,
            "node_modules/.bin/node": ran,
        },
    )
    folders = [root / "venv/bin", root / "node_modules/.bin"]
    for program in (path for folder in folders for path in folder.iterdir()):
        program.chmod(0o755)
    (tmp_path / "home").mkdir()
    # uv looks for interpreters of its own in the home folder.
    environ = {"PATH": os.pathsep.join(map(str, folders)), "HOME": str(tmp_path / "home")}
    yield Workshop(
        root=str(root), repository=str(root), store=Store(tmp_path / "store"), environ=environ
    )
    interpreters._FOUND.clear()


def _ran(workshop: Workshop) -> bool:
    return Path(workshop.root, "../ran").exists()


def test_no_interpreter_of_the_projects(app: Workshop) -> None:
    """The build says which it would have to run, and trust makes it take that one."""
    untrusted = replace(app, trusted=False)
    with pytest.raises(BundlerError, match="not trusted") as caught:
        interpreters.find(VERSION, untrusted.environ, untrusted.programs)
    assert caught.value.code == "untrusted-build"
    with pytest.raises(BundlerError, match=NAME):
        interpreters.for_worker(VERSION, untrusted)
    assert not _ran(app)
    assert interpreters.find(VERSION, app.environ) == f"{app.root}/venv/bin/{NAME}"
    assert _ran(app)


def test_no_live_tree_with_another_interpreter(app: Workshop) -> None:
    """It is not recorded, so that it never answers once the project is trusted."""
    asked = [function(runtime=RUNTIME)]
    (refused,) = build.build(asked, replace(app, trusted=False), want=Want.LIVE)
    assert isinstance(refused, Failed)
    assert [item.code for item in refused.diagnostics] == ["untrusted-build"]
    assert not _ran(app)
    (built,) = build.build(asked, app, want=Want.LIVE)
    assert isinstance(built, Built)
    assert built.live is not None
    assert built.live.interpreter == f"{app.root}/venv/bin/{NAME}"


def test_no_npm_of_the_projects(app: Workshop) -> None:
    """esbuild is fetched by the user's npm, which runs the user's Node.js."""
    with pytest.raises(BundlerError) as caught:
        binary.find(replace(app, trusted=False))
    assert caught.value.code == "esbuild-missing"
    assert not _ran(app)


def test_a_relative_folder_supplies_no_interpreter(
    app: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to a project that is trusted, either: the interpreter runs in another folder."""
    monkeypatch.chdir(app.root)
    for path in ("venv/bin", ""):
        interpreters._FOUND.clear()
        assert interpreters.find(VERSION, {**app.environ, "PATH": path}) is None
    assert not _ran(app)
