"""Zero stale: a short torture, the long ones, and each freshness rule removed on purpose.

A run that fails tells its seed, its last operations and where the project is kept;
`python -m tests.torture.run --seed N` runs it again.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.memory import Memory
from lambdad.bundler.model import BuildRequest, Handler, Method, ProjectError
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store import live_folders
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.store import Store
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.zips.member import Contents
from tests.conftest import workshop_at
from tests.support.esbuild_cases import pack
from tests.support.samples import function
from tests.torture.clients import Wrong
from tests.torture.mutants import MUTANTS
from tests.torture.run import prime, run

OPERATIONS = 10_000
WITHIN = 2_000
"""A rule that is gone must show in so many operations."""


def test_nothing_stale(shared_store: Store) -> None:
    """Each answer, amid operations and faults, tells of a moment after it was asked for."""
    prime(shared_store.root)
    tally = run(11, 250, shared_store.root)
    assert tally.answers > 150
    assert tally.certain > tally.answers / 2
    assert tally.clean == 1


@pytest.mark.parametrize("mutant", ["no-ctime", "no-listings", "reads-configuration-once"])
def test_a_rule_removed_shows_at_once(shared_store: Store, mutant: str) -> None:
    """The torture would notice: these are caught in the first few operations."""
    prime(shared_store.root)
    with pytest.raises(Wrong):
        run(1, WITHIN, shared_store.root, mutant=mutant)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_nothing_stale_for_long(shared_store: Store, seed: int) -> None:
    """0 stale, 0 wrong failures, 0 hangs."""
    prime(shared_store.root)
    tally = run(seed, OPERATIONS, shared_store.root)
    assert tally.answers > OPERATIONS / 2


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_rule_is_needed(shared_store: Store, mutant: str) -> None:
    """Without it, an answer is wrong within 2,000 operations."""
    prime(shared_store.root)
    with pytest.raises(Wrong):
        run(1, WITHIN, shared_store.root, mutant=mutant)


# --- what it found, each on its own ---


def test_a_young_folder_is_left_alone(tmp_path: Path) -> None:
    """Another build may have made a function's folder just now, and be about to fill it."""
    output = Output(str(tmp_path))
    output.prepare()
    output.make("live/List")
    live_folders.collect(output, [])
    assert (tmp_path / ".lambdad/live/List").is_dir()
    live_folders.collect(output, [], time.time() + 7200)
    assert not (tmp_path / ".lambdad/live/List").exists()


def test_a_project_that_is_gone_stays_gone(tmp_path: Path) -> None:
    """A build under way does not make the folder again that its user moved or deleted."""
    output = Output(str(tmp_path / "moved"))
    with pytest.raises(FileNotFoundError):
        output.prepare()
    assert not (tmp_path / "moved").exists()


def test_reinstalled_while_it_fails(tmp_path: Path, shared_store: Store) -> None:
    """What esbuild read for failures alone is read again: size, mtime and inode tell nothing."""
    root = tmp_path / "project"
    root.mkdir()
    workshop = replace(workshop_at(root, shared_store), memory=Memory())
    Output(workshop.root).prepare()
    install = root / "node_modules/pkg/index.js"
    install.parent.mkdir(parents=True)

    def put(text: str) -> None:
        install.write_text(f'globalThis.seen = "{text}";\n')
        os.utime(install, (499162500, 499162500))  # npm's time of every file

    def packed(more: str) -> Contents | ProjectError:
        (root / "f.ts").write_text(f'import "pkg"; {more}export const handler = 1;\n')
        wanted = function(
            runtime=RUNTIMES["nodejs22.x"],
            method=Method.ESBUILD,
            code=".",
            handler=Handler("f.handler", "f", "handler"),
        )
        request = BuildRequest(function=wanted, toolchain=current_toolchain())
        return pack([request], workshop)[wanted.name]

    assert workshop.memory is not None
    try:
        put("old")
        for _ in range(3):
            assert isinstance(packed('import "./gone"; '), ProjectError)
        put("new")
        found = packed("")
        assert isinstance(found, Contents)
        assert b"new" in b"".join(entry.content for entry in found.own)
    finally:
        workshop.memory.close()
