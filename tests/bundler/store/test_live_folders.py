"""Folders of live trees: whole or absent, and kept for as long as a worker may load from them."""

from __future__ import annotations

import itertools
import os
import time
from functools import partial
from pathlib import Path

import pytest

from lambdad.bundler.model import Entry, Live, Runnable
from lambdad.bundler.store import live_folders
from lambdad.bundler.store.output import Output
from tests.support.killed import dies_at

ONE, TWO = "1" * 40, "2" * 40


def runnable(digest: str, text: str = "x") -> Runnable:
    own = (
        Entry(name="a/list.js", content=text.encode() * 1000),
        Entry(name="run.sh", content=b"#!", executable=True),
        Entry(name="package.json", content=b"{}"),
    )
    tree = Live(entry=f".lambdad/live/List/{digest}/a/list.js", path=(), digest=digest)
    links = (("node_modules/lib", "/nowhere/lib"),)
    return Runnable(live=tree, own=own, links=links)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    found = Output(str(tmp_path))
    found.prepare()
    return found


def put(output: Output, digest: str) -> Path:
    live_folders.publish(output, "List", live_folders.write(output, "List", runnable(digest)))
    return Path(output.root, ".lambdad/live/List", digest)


def test_collected_ten_minutes_after_a_newer_one(output: Output) -> None:
    """The time counts from when a folder was replaced, not from when it was made; what is current,
    or is again, always stays."""
    now_s = time.time()
    first = put(output, ONE)
    os.utime(first, (0, 0))
    live_folders.collect(output, ["List"], now_s + 7200)
    assert first.exists()
    second = put(output, TWO)
    live_folders.collect(output, ["List"], now_s + live_folders.KEPT_S - 1)
    assert (first.exists(), second.exists()) == (True, True)
    put(output, ONE)
    live_folders.collect(output, ["List"], now_s + live_folders.KEPT_S + 60)
    assert (first.exists(), second.exists()) == (True, False)


def test_a_function_that_is_gone_is_collected(output: Output) -> None:
    """Nothing of it stays, once ten minutes are over."""
    put(output, ONE)
    live_folders.collect(output, ["Other"], time.time() + live_folders.KEPT_S - 1)
    assert os.listdir(Path(output.root, ".lambdad/live")) == ["List"]
    live_folders.collect(output, ["Other"], time.time() + live_folders.KEPT_S + 60)
    assert os.listdir(Path(output.root, ".lambdad/live")) == []


@pytest.mark.parametrize("there", ["nothing", "another", "harmed"])
def test_killed_at_any_step(tmp_path: Path, there: str) -> None:
    """What stands under a digest is whole or was not there, and the next build puts it right."""
    wanted = runnable(ONE)
    for count in itertools.count():
        (tmp_path / str(count)).mkdir()
        output = Output(str(tmp_path / str(count)))
        output.prepare()
        target = Path(output.root, ".lambdad/live/List", ONE)
        if there == "another":
            put(output, TWO)
        elif there == "harmed":
            put(output, ONE)
            (target / "a/list.js").write_text("harmed")
        killed = dies_at(count, partial(put, output, ONE))
        if target.exists() and (target / "a/list.js").read_text() != "harmed":
            assert {entry.name: (target / entry.name).read_bytes() for entry in wanted.own} == {
                entry.name: entry.content for entry in wanted.own
            }
            assert os.access(target / "run.sh", os.X_OK)
            assert (target / "node_modules/lib").is_symlink()
        put(output, ONE)
        assert (target / "a/list.js").read_bytes() == wanted.own[0].content
        live_folders.collect(output, ["List"], time.time() + 7200)
        assert [
            name for name in os.listdir(Path(output.root, ".lambdad/live")) if name.startswith(".")
        ] == []
        if not killed:
            break
    assert count > 8
