"""What an editor's save runs where nobody trusts the project: nothing that the project chose."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import trust
from tests.conftest import write_tree
from tests.support.daemons import Site
from tests.support.python_index import source_tree
from tests.support.served import APP, Served, served

PACKAGE = source_tree("greet")
RAN = "open({!r}, 'w').close()\n"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    """A function that needs a package of the project's, whose build says that it ran."""
    mark = RAN.format(str(tmp_path / "ran"))
    package = {**PACKAGE, "backend.py": mark + PACKAGE["backend.py"]}
    files = {f"libs/greet/{name}": text for name, text in package.items()}
    with served(tmp_path, {**APP, **files}, start=False) as found:
        found.site.started()
        assert found.one("Two")["status"] == "built"
        control_restart(found.site)
        yield found


def control_restart(site: Site) -> None:
    """Whoever asked the last daemon vouched to that one alone."""
    from lambdad.daemon.life import control

    control.restart(site.root, site.environ)


def ran(app: Served) -> bool:
    return (app.root.parent / "ran").exists()


def codes(answer: Any, name: str = "One") -> list[str]:
    (found,) = (item for item in answer["functions"] if item["name"] == name)
    return [item["code"] for item in found["diagnostics"]]


def ask_for_greet(app: Served) -> str:
    path = app.root / "one/requirements.txt"
    path.write_text("../libs/greet\n")
    return str(path)


def test_a_save_runs_no_build_backend(app: Served) -> None:
    """It says what it would have to run, and how to allow it; what else is saved is built."""
    app.save(str(app.root / "one/app.py"))
    answer = app.save(ask_for_greet(app))
    assert "untrusted-build" in codes(answer)
    assert not ran(app)
    assert app.save(str(app.root / "two/app.py"))["ok"]


def test_who_asks_for_a_build_vouches(app: Served) -> None:
    """A live proxy or a deploy is started by a person: from then on saves build, too."""
    path = ask_for_greet(app)
    assert "untrusted-build" in codes(app.save(path))
    assert app.one("One")["status"] == "built"
    assert ran(app)
    write_tree(app.root, {"libs/greet/greet/__init__.py": "value = 2\n"})
    assert app.save(path)["ok"]


def test_an_editor_may_vouch(app: Served) -> None:
    """`trusted` in the request, --trust on the command line."""
    path = ask_for_greet(app)
    answer = app.call("POST", "/v1/save", {"files": [path], "trusted": True}).json
    assert answer["ok"]
    assert ran(app)


def test_without_a_daemon(app: Served) -> None:
    """The same for a save that builds in its own process."""
    command = [sys.executable, "-m", "lambdad", "save", "--no-daemon"]
    subprocess.run([*command, "one/app.py"], cwd=app.root, env=app.site.environ, check=True)
    command.append(ask_for_greet(app))
    done = subprocess.run(
        command, cwd=app.root, env=app.site.environ, capture_output=True, text=True, check=False
    )
    assert "untrusted-build" in done.stdout + done.stderr
    assert not ran(app)
    subprocess.run([*command, "--trust"], cwd=app.root, env=app.site.environ, check=True)
    assert ran(app)


# --- the mark ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["lint", "Two"],
        ["build", "Two"],
        ["fresh", "Two"],
        ["fresh", "Two", "--no-daemon"],
        ["list"],
        ["why", "Two"],
    ],
    ids=" ".join,
)
def test_a_terminal_leaves_a_mark(app: Served, command: list[str]) -> None:
    """From then on what runs by itself may run the project's tools; without a terminal never."""
    there = app.site.environ
    arguments = [sys.executable, "-m", "lambdad", *command]
    subprocess.run(
        arguments,
        cwd=app.root,
        env=there,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert not trust.is_trusted(str(app.root), there)
    main, worker = pty.openpty()
    with subprocess.Popen(
        arguments, cwd=app.root, env=there, stdin=worker, stdout=subprocess.DEVNULL, stderr=worker
    ) as process:
        os.close(worker)
        process.wait()
    os.close(main)
    assert trust.is_trusted(str(app.root), there)


def test_a_save_leaves_none(app: Served) -> None:
    """An editor may give its hook a terminal, which is no person who asks."""
    there = app.site.environ
    main, worker = pty.openpty()
    for more in ([], ["--no-daemon"]):
        arguments = [sys.executable, "-m", "lambdad", "save", *more, "two/app.py"]
        with subprocess.Popen(
            arguments, cwd=app.root, env=there, stdin=worker, stdout=worker, stderr=worker
        ) as process:
            assert process.wait() == 0
    os.close(worker)
    os.close(main)
    assert not trust.is_trusted(str(app.root), there)


def test_the_mark_is_of_that_folder(tmp_path: Path) -> None:
    """Another folder in its place is not trusted, nor one whose mark somebody made up."""
    there, root = {"LAMBDAD_CACHE_DIR": str(tmp_path / "cache")}, tmp_path / "app"
    root.mkdir()
    trust.trust(str(root), there)
    assert trust.is_trusted(str(root), there)
    root.rename(tmp_path / "moved")
    assert not trust.is_trusted(str(root), there)
    root.mkdir()
    assert not trust.is_trusted(str(root), there)
    (mark,) = (tmp_path / "cache/trusted").iterdir()
    mark.write_bytes(b"\xff")
    assert not trust.is_trusted(str(root), there)
