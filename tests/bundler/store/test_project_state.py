"""What seals: each file is believed for what it was written as, by whom, of which project."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.bundler.model import Want
from lambdad.bundler.store import project_state
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.sealed import Seal, SealedFile, encoded, name_of

WRITTEN = {"what": "was written"}


def documents(state: ProjectState) -> Iterator[SealedFile]:
    """Of every kind, and of two functions."""
    for function in ("One", "Two"):
        yield from (state.record(function, want) for want in Want)
        yield state.zip_sources(function)
        yield state.former(function)
    yield from (state.lint(tool) for tool in ("ruff", "tsc"))
    yield state.manifest()


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "app").mkdir()
    Output(str(tmp_path / "app")).prepare()
    return str(tmp_path / "app")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def write(state: ProjectState) -> None:
    for document in documents(state):
        document.write(WRITTEN)
        assert document.read() == WRITTEN


def believed(state: ProjectState) -> list[str]:
    return [str(document.path) for document in documents(state) if document.read() is not None]


def test_none_passes_for_another(root: str, environ: dict[str, str]) -> None:
    """Whatever file is copied over another: of another function, want or kind."""
    state = project_state.of(root, environ)
    places = list(documents(state))
    assert len({document.path for document in places}) == len(places)
    for one, other in itertools.permutations(places, 2):
        one.write(WRITTEN)
        shutil.copyfile(one.path, other.path)
        assert other.read() is None, (one.path, other.path)


def test_names_that_share_a_file(root: str, environ: dict[str, str]) -> None:
    """The function's whole name is sealed, where a file's name has only most of it."""
    state = project_state.of(root, environ)
    state.record("a/b").write(WRITTEN)
    assert state.record("a/b").read() == WRITTEN
    assert state.record("a-b").path == state.record("a/b").path
    assert state.record("a-b").read() is None


def test_another_users(root: str, environ: dict[str, str], tmp_path: Path) -> None:
    """They are misses: of a colleague, another machine, or a cache of CI."""
    write(project_state.of(root, environ))
    other = {"XDG_STATE_HOME": str(tmp_path / "other")}
    assert believed(project_state.of(root, other)) == []
    assert believed(project_state.of(root, {})) == []
    assert believed(project_state.of(root, environ)) != []


def test_a_copied_project(root: str, environ: dict[str, str], tmp_path: Path) -> None:
    """It starts anew, and so does one that is moved, until it is back."""
    write(project_state.of(root, environ))
    copy, moved = str(tmp_path / "copy"), str(tmp_path / "moved")
    shutil.copytree(root, copy)
    assert believed(project_state.of(copy, environ)) == []
    os.rename(root, moved)
    assert believed(project_state.of(moved, environ)) == []
    os.rename(copy, root)
    assert believed(project_state.of(root, environ)) == []
    shutil.rmtree(root)
    os.rename(moved, root)
    assert believed(project_state.of(root, environ)) != []


@pytest.mark.parametrize("token", [None, "f" * 64 + "\n", "torn"])
def test_another_identity(root: str, environ: dict[str, str], token: str | None) -> None:
    """What was remembered of the last project is nothing to the next."""
    write(project_state.of(root, environ))
    place = Path(root, ".lambdad/identity")
    place.unlink()
    if token is not None:
        place.write_text(token)
    assert believed(project_state.of(root, environ)) == []
    Output(root).prepare()
    assert believed(project_state.of(root, environ)) == []
    write(project_state.of(root, environ))


def test_without_an_identity(root: str, environ: dict[str, str]) -> None:
    """Nothing is believed, and nothing can be written."""
    Path(root, ".lambdad/identity").unlink()
    state = project_state.of(root, environ)
    assert believed(state) == []
    for document in documents(state):
        with pytest.raises(FileNotFoundError):
            document.write(WRITTEN)


def test_what_checkers_keep(root: str, environ: dict[str, str], tmp_path: Path) -> None:
    """It can't be sealed, so no project can name its place."""
    one = project_state.of(root, environ).checkers("tsconfig.json")
    assert one == project_state.of(root, environ).checkers("tsconfig.json")
    other = {"XDG_STATE_HOME": str(tmp_path / "other")}
    places = [
        project_state.of(root, environ).checkers("web/tsconfig.json"),
        project_state.of(root, other).checkers("tsconfig.json"),
    ]
    Path(root, ".lambdad/identity").unlink()
    places.append(project_state.of(root, environ).checkers("tsconfig.json"))
    assert len({one, *places}) == 4


def test_a_sealed_document() -> None:
    """Equal documents have equal bytes; a changed, missing or added byte is a miss, and so is what
    was sealed with another key or in the ways that need none."""
    seal = Seal(b"k" * 32)
    whole = seal.seal(WRITTEN)
    assert seal.unseal(whole) == WRITTEN
    assert seal.seal(dict(WRITTEN)) == whole
    for at in range(len(whole)):
        for bad in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
            assert seal.unseal(bad) is None, at
    body = encoded(WRITTEN)
    for bad in (whole + b" ", body, name_of(WRITTEN).encode() + b"\n" + body):
        assert seal.unseal(bad) is None
    for other in (Seal(b""), Seal(b"j" * 32), seal.of("one"), seal.of()):
        assert seal.unseal(other.seal(WRITTEN)) is None
    assert "k" * 32 not in repr(seal)
    assert (b"k" * 32).hex() not in repr(seal)
