"""The user's state folder, and the key in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lambdad.bundler.store import user_state
from lambdad.bundler.store.user_state import user_key

ROOT = "/some/project"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/lambdad"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/lambdad"),
        ({"XDG_STATE_HOME": "here", "HOME": "/h"}, "/h/.local/state/lambdad"),
        ({"HOME": "/"}, "/.local/state/lambdad"),
        ({"HOME": "here"}, None),
        ({}, None),
    ],
)
def test_where_it_lies(environ: Mapping[str, str], folder: str | None) -> None:
    """XDG_STATE_HOME if it is absolute, else ~/.local/state; never below the current folder."""
    assert user_state.state_folder(environ) == folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def key_file(environ: Mapping[str, str]) -> Path:
    return Path(environ["XDG_STATE_HOME"], "lambdad/key")


def test_the_key_is_made_once(environ: dict[str, str]) -> None:
    """It is this user's alone, and stays."""
    known = user_key(environ, ROOT)
    assert known.fault is None
    path = key_file(environ)
    assert path.read_bytes() == known.secret
    assert len(known.secret) == user_state.KEY_SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert user_key(environ, ROOT) == known
    assert user_key(environ, "/another/project") == known
    assert known.secret.hex() not in repr(known)


def test_another_key_is_seen(environ: dict[str, str]) -> None:
    """By a process that lives long, too."""
    known = user_key(environ, ROOT)
    key_file(environ).unlink()
    other = user_key(environ, ROOT)
    assert other.fault is None
    assert other != known
    assert key_file(environ).read_bytes() == other.secret


@pytest.mark.parametrize(
    ("content", "mode"),
    [(b"", 0o600), (b"k" * 31, 0o600), (b"k" * 33, 0o600), (b"k" * 32, 0o644), (b"k" * 32, 0o620)],
    ids=["empty", "short", "long", "readable", "writable"],
)
def test_a_key_that_is_no_secret(environ: dict[str, str], content: bytes, mode: int) -> None:
    """Another takes its place."""
    path = key_file(environ)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(mode)
    known = user_key(environ, ROOT)
    assert known.fault is None
    assert known.secret == path.read_bytes() != content
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_behind_a_symlink(environ: dict[str, str], tmp_path: Path) -> None:
    """It is not read."""
    path = key_file(environ)
    path.parent.mkdir(parents=True)
    (tmp_path / "theirs").write_bytes(b"k" * 32)
    (tmp_path / "theirs").chmod(0o600)
    path.symlink_to(tmp_path / "theirs")
    known = user_key(environ, ROOT)
    assert known.fault is not None
    assert "is a symlink" in known.fault
    assert known.secret != b"k" * 32


MAKE = """
import os, sys
from lambdad.bundler.store.user_state import user_key
sys.stdin.read()
print(user_key(os.environ, "/some/project").secret.hex())
"""


def test_many_runs_at_once(environ: dict[str, str]) -> None:
    """All seal with the same key."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE],
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(8)
    ]
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
    found = set()
    for run in runs:
        assert run.stdout is not None
        found.add(run.stdout.read().decode().strip())
        run.stdout.close()
        assert run.wait() == 0
    assert found == {key_file(environ).read_bytes().hex()}


@pytest.mark.parametrize(
    "where", ["no home", "a file in the way", "in the project", "not writable"]
)
def test_a_key_for_this_process(tmp_path: Path, where: str) -> None:
    """Where there is no folder for it, it lasts as long as the process, and says why."""
    root = str(tmp_path / "project")
    (tmp_path / "file").touch()
    environ, fault = {
        "no home": ({}, "there is no home folder"),
        "a file in the way": ({"HOME": str(tmp_path / "file")}, "can't be written"),
        "in the project": ({"XDG_STATE_HOME": f"{root}/state"}, "is inside the project"),
        "not writable": ({"HOME": "/proc/self"}, "can't be written"),
    }[where]
    known = user_key(environ, root)
    assert known.fault is not None
    assert fault in known.fault
    assert user_key(environ, root) == known
    assert user_key({}, "/another").secret == known.secret
    assert not Path(root).exists()


def test_a_state_folder_that_others_can_write_to(environ: dict[str, str]) -> None:
    """They no longer can: what they wrote is not this user's."""
    path = key_file(environ)
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    assert user_key(environ, ROOT).fault is None
    assert path.parent.stat().st_mode & 0o022 == 0
