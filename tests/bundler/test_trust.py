"""What an editor's save runs where nobody trusts the project: nothing that the project chose."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import trust
from lambdad.bundler.store.output import Output
from lambdad.daemon.serving.builds import Builds
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


@pytest.mark.parametrize("command", [["list"], ["why", "Two"]], ids=" ".join)
def test_a_look_leaves_none(app: Served, command: list[str]) -> None:
    """A person who looks at a project, and runs none of its code, has not said that it may run."""
    there = app.site.environ
    main, worker = pty.openpty()
    arguments = [sys.executable, "-m", "lambdad", *command]
    with subprocess.Popen(
        arguments, cwd=app.root, env=there, stdin=worker, stdout=worker, stderr=worker
    ) as process:
        assert process.wait() == 0
    os.close(worker)
    os.close(main)
    assert not trust.is_trusted(str(app.root), there)


@dataclass(frozen=True)
class Place:
    """A project that is trusted, in a folder of its own."""

    root: Path
    environ: Mapping[str, str]

    @property
    def token(self) -> Path:
        return self.root / ".lambdad/identity"

    @property
    def mark(self) -> Path:
        (mark,) = Path(self.environ["XDG_STATE_HOME"], "lambdad/trusted").iterdir()
        return mark

    def is_trusted(self, root: Path | None = None) -> bool:
        return trust.is_trusted(str(root or self.root), self.environ)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "app", {"XDG_STATE_HOME": str(tmp_path / "state")})
    made.root.mkdir()
    trust.trust(str(made.root), made.environ)
    assert made.is_trusted()
    return made


def test_a_new_folder_in_its_place(place: Place) -> None:
    """Though file systems hand out the same inode again."""
    for _round in range(20):
        shutil.rmtree(place.root)
        place.root.mkdir()
        assert not place.is_trusted()
        Output(str(place.root)).prepare()
        assert not place.is_trusted()


def test_a_clone_that_brings_the_token(place: Place) -> None:
    """It was committed by mistake, or read by another: a token is no proof."""
    token, status = place.token.read_bytes(), place.token.stat()
    shutil.rmtree(place.root)
    place.token.parent.mkdir(parents=True)
    place.token.write_bytes(token)
    os.utime(place.token, ns=(status.st_atime_ns, status.st_mtime_ns))
    Output(str(place.root)).prepare()
    assert place.token.read_bytes() == token
    assert not place.is_trusted()


def test_a_copy(place: Place, tmp_path: Path) -> None:
    """It is another project, even if it takes the first one's place."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", place.root, copy], check=True)
    assert not place.is_trusted(copy)
    shutil.rmtree(place.root)
    copy.rename(place.root)
    assert not place.is_trusted()


def test_a_move(place: Place, tmp_path: Path) -> None:
    """Trust stays where it was given; a folder that comes back is what it was."""
    moved = tmp_path / "moved"
    place.root.rename(moved)
    assert not place.is_trusted(moved)
    assert not place.is_trusted()
    moved.rename(place.root)
    assert place.is_trusted()


def test_a_checkout_over_the_token(place: Place) -> None:
    """git overwrites files that it ignores."""
    place.token.write_bytes(b"0" * 64 + b"\n")
    assert not place.is_trusted()


def test_another_projects_mark(place: Place, tmp_path: Path) -> None:
    """A mark names its project, so a copy of it is worth nothing."""
    other = tmp_path / "other"
    other.mkdir()
    mine, content = place.mark, place.mark.read_bytes()
    mine.unlink()
    trust.trust(str(other), place.environ)
    place.mark.write_bytes(content)
    assert not place.is_trusted(other)
    assert not place.is_trusted()


@pytest.mark.parametrize("damage", [b"", b"\xff", b"\n"])
def test_a_damaged_mark(place: Place, damage: bytes) -> None:
    """It is none, and the next trust mends it."""
    place.mark.write_bytes(damage)
    assert not place.is_trusted()
    trust.trust(str(place.root), place.environ)
    assert place.is_trusted()


def test_a_project_that_holds_the_state_folder(place: Place, tmp_path: Path) -> None:
    """A home inside of the project, as some CI has it, would let a clone bring its own marks."""
    inside = {"XDG_STATE_HOME": str(place.root / "home")}
    trust.trust(str(place.root), inside)
    assert not (place.root / "home").exists()
    subprocess.run(["cp", "-a", tmp_path / "state", place.root / "home"], check=True)
    assert not trust.is_trusted(str(place.root), inside)


def test_a_state_folder_that_cannot_be_written(place: Place, tmp_path: Path) -> None:
    """Nothing is trusted, and nothing fails."""
    (tmp_path / "file").touch()
    none = {"XDG_STATE_HOME": str(tmp_path / "file")}
    trust.trust(str(place.root), none)
    assert not trust.is_trusted(str(place.root), none)


def test_a_daemon_that_was_vouched_for(place: Place) -> None:
    """Who asked it for a build answered for the project that was there, not for the next one."""
    place.mark.unlink()
    builds = Builds(str(place.root), place.environ)
    assert not builds.is_trusted()
    builds.vouch()
    assert builds.is_trusted()
    token = place.token.read_bytes()
    shutil.rmtree(place.root)
    place.token.parent.mkdir(parents=True)
    place.token.write_bytes(token)
    assert not builds.is_trusted()
    builds.vouch()
    assert builds.is_trusted()
    assert not place.is_trusted()
