"""Any installation on disk: each package finds in the zip what it found there."""

from __future__ import annotations

import itertools
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from lambdad.bundler.model import Architecture, ProjectError
from lambdad.bundler.npm import installer, manifest, placement, production
from lambdad.bundler.npm.installed import FoundPackage, Ground
from lambdad.bundler.npm.manifest import PackageJson
from lambdad.bundler.npm.placement import Position
from lambdad.bundler.npm.production import Edge
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop

NAMES = ("a", "b", "@s/c", "d")
TOP = "/r"
CODE = "/r/src/inner"
LINKED = "/r/lib"
HOMES = (CODE, "/r/src", TOP, LINKED)
STORE = "/r/store"

Disk = Mapping[str, frozenset[str]]
"""Each package's folder, with the names it depends on."""


def draw_disk(chance: random.Random) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    """A crowded disk: nested, hoisted and linked packages, many of one name; and its links."""

    def needs() -> frozenset[str]:
        return frozenset(name for name in NAMES if chance.random() < 0.45)

    disk = {CODE: needs(), LINKED: needs()}
    links: dict[str, str] = {}
    for home, name in itertools.product(HOMES, NAMES):
        place = f"{home}/node_modules/{name}"
        drawn = chance.random()
        if drawn < 0.1 and home != LINKED:
            links[place] = LINKED
        elif drawn < 0.25:
            # As pnpm lays it: a folder of its own in a store, with what it needs beside it.
            real = f"{STORE}/{len(disk)}/node_modules/{name}"
            links[place] = real
            disk[real] = needs()
            for other in NAMES:
                if other != name and chance.random() < 0.5:
                    disk[f"{STORE}/{len(disk)}/x/node_modules/{other}"] = needs()
                    links[f"{os.path.dirname(real)}/{other}"] = list(disk)[-1]
        elif drawn < 0.7:
            disk[place] = needs()
            for below in NAMES:
                if chance.random() < 0.3:
                    disk[f"{place}/node_modules/{below}"] = needs()
    return disk, links


def finds(
    present: Callable[[str], str | None], folder: str, name: str, top: str
) -> tuple[str, str] | None:
    """Node.js's lookup, written down once more and as plainly as can be: folder and home."""
    while folder.startswith(top):
        real = present(f"{folder}/node_modules/{name}")
        if real is not None and not folder.endswith("/node_modules"):
            return real, folder
        folder = os.path.dirname(folder)
    return None


def edges_of(disk: Disk, links: Mapping[str, str]) -> dict[str, tuple[Edge, ...]]:
    """What the packages reached from own code find."""

    def present(path: str) -> str | None:
        return links.get(path, path if path in disk else None)

    nothing = PackageJson(path="", dependencies={}, optional={}, lines={})
    edges: dict[str, tuple[Edge, ...]] = {}
    waiting = [CODE]
    while waiting:
        folder = waiting.pop()
        if folder not in edges:
            found = ((name, finds(present, folder, name, TOP)) for name in sorted(disk[folder]))
            edges[folder] = tuple(
                Edge(name, FoundPackage(*hit, nothing, linked=False)) for name, hit in found if hit
            )
            waiting += [edge.found.folder for edge in edges[folder]]
    return edges


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 1 << 32).map(random.Random))
def test_lookups_agree(chance: random.Random) -> None:
    """From each position in the zip every dependency leads to the folder it led to on disk, and
    what was below the code's own node_modules lies at the same place."""
    disk, links = draw_disk(chance)
    edges = edges_of(disk, links)
    try:
        placed = placement.place(CODE, edges, "src/package.json")
    except ProjectError:
        reject()  # versions that need each other round and round; they have a test of their own
    for at, folder in placed.items():
        for edge in edges[folder]:
            assert placement.found(placed, at, edge.name) == edge.found.folder
    paths = {placement.path(at): folder for at, folder in placed.items()}
    for below, folder in _kept(edges):
        assert paths[below] == folder


def _kept(edges: Mapping[str, tuple[Edge, ...]]) -> Iterator[tuple[str, str]]:
    """Path below the code, and real folder, of each package that own code has there directly."""
    for edge in edges[CODE]:
        if edge.found.home == CODE:
            yield f"node_modules/{edge.name}", edge.found.folder
            for inner in edges[edge.found.folder]:
                if inner.found.home == edge.found.folder:
                    path = f"node_modules/{edge.name}/node_modules/{inner.name}"
                    yield path, inner.found.folder


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1 << 32).map(random.Random))
def test_production_finds_what_node_finds(chance: random.Random) -> None:
    """On a real disk the edges found are those of Node.js's rules."""
    disk, links = draw_disk(chance)
    with tempfile.TemporaryDirectory() as scratch:
        root = os.path.realpath(scratch)
        for folder, needs in disk.items():
            real = Path(root + folder)
            real.mkdir(parents=True, exist_ok=True)
            declared = {"peerDependencies": dict.fromkeys(sorted(needs), "*")}
            (real / "package.json").write_text(json.dumps(declared))
        for place, target in links.items():
            Path(root + place).parent.mkdir(parents=True, exist_ok=True)
            Path(root + place).symlink_to(root + target)
        found = _production(root)
    expected = edges_of(disk, links)
    assert {
        folder: [(edge.name, edge.found.folder, edge.found.home) for edge in outgoing]
        for folder, outgoing in found.items()
    } == {
        root + folder: [
            (edge.name, root + edge.found.folder, root + edge.found.home) for edge in outgoing
        ]
        for folder, outgoing in expected.items()
    }


def _production(root: str) -> Mapping[str, tuple[Edge, ...]]:
    workshop = Workshop(
        root=root + TOP, repository=root + TOP, store=Store(Path(root, "store")), environ={}
    )
    ground = Ground(workshop, ())
    declared = manifest.read(workshop.seen, "src/inner/package.json", own=True)
    assert declared is not None
    code = root + CODE
    by = installer.find(ground, code, declared)
    return production.find(
        ground, code=code, declared=declared, by=by, lock=None, architecture=Architecture.X86_64
    ).edges


def test_positions_are_paths() -> None:
    """A position is written as nested node_modules."""
    at: Position = ("a", "@s/b")
    assert placement.path(at) == "node_modules/a/node_modules/@s/b"
