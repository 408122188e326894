"""Who a project is."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import identity
from lambdad.bundler.store.output import Output


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "app").mkdir()
    return str(tmp_path / "app")


def token(root: str) -> Path:
    return Path(root, ".lambdad/identity")


def test_whatever_makes_the_folder_makes_an_identity(root: str) -> None:
    """It stays what it is, is like no other, and no other user can read it."""
    assert identity.read(root) is None
    Output(root).prepare()
    known = identity.read(root)
    assert known is not None
    Output(root).prepare()
    assert identity.read(root) == known == identity.ensure(root)
    assert token(root).stat().st_mode & 0o777 == 0o600
    other = f"{root}/other"
    os.mkdir(other)
    Output(other).prepare()
    assert identity.ensure(other).token != known.token


@pytest.mark.parametrize("damage", [b"", b"0" * 63 + b"\n", b"Z" * 64 + b"\n", b"0" * 4096])
def test_a_damaged_token(root: str, damage: bytes) -> None:
    """It is none, and the next run makes another."""
    Output(root).prepare()
    known = identity.ensure(root)
    token(root).write_bytes(damage)
    assert identity.read(root) is None
    assert identity.ensure(root).token not in (known.token, "0" * 64)


@pytest.mark.parametrize("change", [os.utime, lambda path: path.chmod(0o644)])
def test_another_file(root: str, change: Callable[[Path], None]) -> None:
    """The same token in a file that was touched since is another identity."""
    Output(root).prepare()
    known = identity.ensure(root)
    change(token(root))
    now = identity.ensure(root)
    assert now.token == known.token
    assert now != known


def test_a_token_behind_a_symlink(root: str, tmp_path: Path) -> None:
    """It is not read, and not written through."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("f" * 64 + "\n")
    os.mkdir(f"{root}/.lambdad")
    token(root).symlink_to(elsewhere)
    assert identity.read(root) is None
    with pytest.raises(BundlerError, match="identity is a symlink"):
        identity.ensure(root)
    assert elsewhere.read_text() == "f" * 64 + "\n"


def test_many_at_once(root: str) -> None:
    """All get the same one."""
    os.mkdir(f"{root}/.lambdad")
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(identity.ensure, [root] * 64))
    assert len(found) == 1
    assert found == {identity.read(root)}
