"""A store that others filled: nothing in it is believed for lying there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lambdad.bundler.model import Entry
from lambdad.bundler.python import built
from lambdad.bundler.store import notes
from lambdad.bundler.store.store import Store, store_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import segments
from tests.conftest import workshop_at

NOTED = {"what": "was noted"}
OURS, THEIRS = b"o" * 32, b"t" * 32


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", OURS)


@pytest.fixture
def theirs(ours: Store) -> Store:
    return Store(ours.root, THEIRS)


def test_a_note(ours: Store) -> None:
    """It is read as it was written, by this user's other processes too."""
    assert notes.read(ours, "locks", "one") is None
    notes.write(ours, "locks", "one", NOTED)
    assert notes.read(ours, "locks", "one") == NOTED
    assert notes.read(Store(ours.root, OURS), "locks", "one") == NOTED


def test_another_users_note(ours: Store, theirs: Store) -> None:
    """It is a miss, and what is noted anew takes its place."""
    notes.write(theirs, "locks", "one", NOTED)
    assert notes.read(ours, "locks", "one") is None
    notes.write(ours, "locks", "one", NOTED)
    assert notes.read(ours, "locks", "one") == NOTED
    assert notes.read(theirs, "locks", "one") is None
    assert notes.read(Store(ours.root), "locks", "one") is None


@pytest.mark.parametrize(("kind", "name"), [("locks", "two"), ("segments", "one")])
def test_a_note_under_another_name(ours: Store, kind: str, name: str) -> None:
    """A copy of one answers nothing else."""
    notes.write(ours, "locks", "one", NOTED)
    shutil.copyfile(ours.path("locks", "one.json"), ours.path(kind, f"{name}.json"))
    assert notes.read(ours, kind, name) is None


def test_an_answer_of_theirs(ours: Store, theirs: Store, tmp_path: Path) -> None:
    """What a resolver is said to have answered decides which packages a zip has."""
    project = workshop_at(tmp_path / "project", ours)
    key = built.key_of("question")
    built.remember(workshop_at(tmp_path / "project", theirs), key, NOTED)
    assert built.recall(project, key) is None
    built.remember(project, key, NOTED)
    assert built.recall(project, key) == NOTED


def test_a_segment_of_theirs(ours: Store, theirs: Store) -> None:
    """It is made anew of what it should be made of."""
    evil = segments.make(theirs, "key", [Entry(name="a.js", content=b"evil")])
    assert segments.find(theirs, "key") == evil
    assert segments.find(ours, "key") is None
    made = segments.make(ours, "key", [Entry(name="a.js", content=b"good")])
    assert segments.find(ours, "key") == made != evil
    assert segments.find(theirs, "key") is None


def test_private_names(ours: Store, theirs: Store) -> None:
    """They stay the same for a user, and no other user can tell them."""
    assert ours.private("tree") == Store(ours.root, OURS).private("tree")
    assert len({ours.private("tree"), ours.private("other"), theirs.private("tree")}) == 3


def test_names_that_end_with_a_process(tmp_path: Path) -> None:
    """Without a lasting key each process takes names of its own; those that others took for the
    same purpose go when nothing has used them for a while, and no other names do."""

    def process() -> Store:
        made = Store(tmp_path / "store")
        made.secret = os.urandom(32)
        return made

    def keep(store: Store, about: str) -> str:
        name = store.private(about)
        with store.workspace() as folder:
            (folder / "tree").mkdir()
            store.adopt(folder / "tree", "trees", name)
        return name

    lasting = Store(tmp_path / "store", OURS)
    theirs, other, kept = (keep(process(), "a"), keep(process(), "b"), keep(lasting, "a"))
    old = [tmp_path / "store/trees" / name for name in (theirs, other, kept)]
    mine = keep(process(), "a")
    assert all(path.is_dir() for path in old)
    for path in old:
        os.utime(path, (0, 0))
    again = keep(process(), "a")
    assert sorted(os.listdir(tmp_path / "store/trees")) == sorted([other, kept, mine, again])
    assert len({theirs, mine, again}) == 3
    assert not {theirs, mine, again} & {lasting.private("a")}


def test_the_users_store(workshop: Workshop, tmp_path: Path) -> None:
    """Its key is that of the user's state folder, or else this process's."""
    environ = {"LAMBDAD_CACHE_DIR": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}
    one = store_of(environ, workshop.root)
    assert one.root == tmp_path / "c"
    assert one.secret == (tmp_path / "s/lambdad/key").read_bytes()
    inside = {**environ, "XDG_STATE_HOME": f"{workshop.root}/s"}
    assert store_of(inside, workshop.root).secret == Store(one.root).secret
