"""Values kept with their proof: they hold while nothing that they were made of has moved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.bundler.inputs.kept import Kept, recall
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.memory import Shelf
from lambdad.bundler.model import ProjectError
from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop
from tests.conftest import write_tree
from tests.support.settled import settle


def test_recall(workshop: Workshop) -> None:
    """A value is made again whenever an input moved, appeared or went, and only then."""
    shelf: Shelf[Kept[int]] = Shelf(8)
    Output(workshop.root).prepare()
    path = Path(workshop.root, "input")
    made: list[int] = []

    def make(seen: Seen) -> int:
        seen.file("input")
        made.append(len(made))
        return made[-1]

    def ask() -> int:
        settle(workshop)
        return recall(shelf, "key", workshop, make)

    assert (ask(), ask(), ask()) == (0, 0, 0)
    path.write_text("one")
    assert (ask(), ask()) == (1, 1)
    mtime_ns = path.stat().st_mtime_ns
    path.write_text("two")
    os.utime(path, ns=(mtime_ns, mtime_ns))
    assert (ask(), ask()) == (2, 2)
    path.unlink()
    assert (ask(), ask()) == (3, 3)


@pytest.mark.parametrize("moved", ["code", "code/py"])
def test_looked_for_while_a_folder_above_was_away(workshop: Workshop, moved: str) -> None:
    """What was absent then is there again, and its own key tells of nothing: it is not kept."""
    shelf: Shelf[Kept[bool]] = Shelf(8)
    Output(workshop.root).prepare()
    name = "code/py/one/requirements.txt"
    write_tree(Path(workshop.root), {name: "x"})
    folder, away = Path(workshop.root, moved), Path(workshop.root, "away")

    def look(seen: Seen) -> bool:
        return seen.exists(name)

    def look_late(seen: Seen) -> bool:
        settle(workshop)
        folder.rename(away)
        try:
            return look(seen)
        finally:
            away.rename(folder)

    settle(workshop)
    assert not recall(shelf, "key", workshop, look_late)
    settle(workshop)
    assert recall(shelf, "key", workshop, look)
    assert len(shelf) == 1


def test_deleted_while_it_was_looked_at(workshop: Workshop) -> None:
    """An absent file has no key that could tell since when: its folder does."""
    shelf: Shelf[Kept[bool]] = Shelf(8)
    Output(workshop.root).prepare()
    write_tree(Path(workshop.root), {"code/asked": "x"})
    path = Path(workshop.root, "code/asked")

    def look(seen: Seen) -> bool:
        found = seen.exists("code/asked")
        path.unlink(missing_ok=True)
        return found

    settle(workshop)
    assert recall(shelf, "key", workshop, look)
    settle(workshop)
    assert not recall(shelf, "key", workshop, look)


def test_what_moved_while_it_was_made_is_not_kept(workshop: Workshop) -> None:
    """Nor what has no inputs at all, since nothing would ever end it."""
    shelf: Shelf[Kept[str]] = Shelf(8)
    Output(workshop.root).prepare()
    path = Path(workshop.root, "input")
    path.write_text("old")
    settle(workshop)

    def make(seen: Seen) -> str:
        read = seen.content("input").decode()
        path.write_text("new")
        return read

    assert recall(shelf, "key", workshop, make) == "old"
    settle(workshop)
    assert recall(shelf, "key", workshop, make) == "new"
    assert recall(shelf, "none", workshop, lambda _seen: "x") == "x"
    assert recall(shelf, "none", workshop, lambda _seen: "y") == "y"


def test_a_fault_is_not_kept(workshop: Workshop) -> None:
    """What raises leaves nothing behind."""
    shelf: Shelf[Kept[str]] = Shelf(8)

    def fail(_seen: Seen) -> str:
        raise ProjectError()

    with pytest.raises(ProjectError):
        recall(shelf, "key", workshop, fail)
    assert len(shelf) == 0


def test_a_hit_records_what_the_value_was_made_of(workshop: Workshop) -> None:
    """Whoever gets the value depends on it, whether it was made now or before."""
    shelf: Shelf[Kept[bool]] = Shelf(8)
    Output(workshop.root).prepare()
    made: list[None] = []

    def make(seen: Seen) -> bool:
        made.append(None)
        return seen.exists("input")

    found = []
    for _ in range(2):
        settle(workshop)
        asking = workshop.recording()
        recall(shelf, "key", asking, make)
        found.append(asking.seen.inputs().files)
    assert found == [{"input"}, {"input"}]
    assert len(made) == 1


def test_what_a_value_only_names_must_be_there(workshop: Workshop) -> None:
    """A value that names something in the store is made again once that is gone."""
    shelf: Shelf[Kept[str]] = Shelf(8)
    Output(workshop.root).prepare()
    there = {"one"}

    def make(seen: Seen) -> str:
        seen.file("input")
        return max(there)

    def ask() -> str:
        settle(workshop)
        return recall(shelf, "key", workshop, make, there.__contains__)

    assert ask() == "one"
    there.add("two")
    assert ask() == "one"
    there.remove("one")
    assert ask() == "two"


def test_without_a_clock_nothing_is_kept(workshop: Workshop) -> None:
    """No input can be shown to be older than the build."""
    shelf: Shelf[Kept[bool]] = Shelf(8)
    assert workshop.clock() is None, "it has no .lambdad yet"
    recall(shelf, "key", workshop, lambda seen: seen.exists("input"))
    assert len(shelf) == 0
