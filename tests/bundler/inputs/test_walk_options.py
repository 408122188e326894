"""Walks that include and that take certain files only: what they find, and what they depend on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.inputs import counted, snapshot, tree
from lambdad.bundler.model import ProjectError, Walk
from lambdad.bundler.store.record import decode_snapshot, encode_snapshot
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree, workshop_at, write_tree

Lay = Callable[[Tree], None]

FILES = {
    "app/main.js": "",
    "app/.env": "",
    "app/a.swp": "",
    "app/data/big.csv": "",
    "app/data/deep/small.csv": "",
    "app/node_modules/.prisma/client/engine.node": "",
    "app/node_modules/.prisma/client/node_modules/x/x.pyc": "",
    "app/node_modules/other/index.js": "",
    "app/__pycache__/main.pyc": "",
    "app/views/a.html": "",
    "app/views/sub/b.html": "",
    "app/views/sub/b.js": "",
    "app/views/__pycache__/c.html": "",
}
PRISMA = [
    "node_modules/.prisma/client/engine.node",
    "node_modules/.prisma/client/node_modules/x/x.pyc",
]
PLAIN = [
    ".env",
    "data/big.csv",
    "data/deep/small.csv",
    "main.js",
    "views/a.html",
    "views/sub/b.html",
    "views/sub/b.js",
]


def found(workshop: Workshop, **patterns: tuple[str, ...]) -> list[str]:
    return [file.name for file in tree.walk(workshop.seen, "app", **patterns).files]


@pytest.mark.parametrize(
    ("patterns", "more", "less"),
    [
        (((), ("node_modules/.prisma/client",)), PRISMA, []),
        (((), ("/node_modules/.prisma/client/*.node",)), PRISMA[:1], []),
        (((), ("node_modules/**/*.node",)), PRISMA[:1], []),
        (((), ("__pycache__/main.pyc",)), ["__pycache__/main.pyc"], []),
        (((), ("*.swp",)), ["a.swp"], []),
        (((), ("*.pyc",)), [], []),
        ((("data/",), ("data/big.csv",)), [], ["data/deep/small.csv"]),
        ((("data/",), ("*.csv",)), [], ["data/big.csv", "data/deep/small.csv"]),
        ((("*.csv",), ("*.csv",)), [], []),
        ((("*.csv",), ("*.csv", "!big.csv")), [], ["data/big.csv"]),
        ((("*",), ("main.js",)), [], [name for name in PLAIN if name != "main.js"]),
        ((("*",), ("views/sub/*.js",)), [], [name for name in PLAIN if name != "views/sub/b.js"]),
    ],
)
def test_included(
    workshop: Workshop,
    lay: Lay,
    patterns: tuple[tuple[str, ...], tuple[str, ...]],
    more: list[str],
    less: list[str],
) -> None:
    """An included file is in whatever leaves it out; a pattern with a place opens folders."""
    lay(FILES)
    exclude, include = patterns
    assert found(workshop, exclude=exclude, include=include) == sorted({*PLAIN, *more} - {*less})


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (("*.html",), ["views/a.html", "views/sub/b.html"]),
        (("/views/*.html",), ["views/a.html"]),
        (("/**/*.csv",), ["data/big.csv", "data/deep/small.csv"]),
        (("/*/deep/*",), ["data/deep/small.csv"]),
        (("/views/*",), ["views/a.html", "views/sub/b.html", "views/sub/b.js"]),
        (("/node_modules/**",), []),
        (("/nowhere",), []),
    ],
)
def test_only(workshop: Workshop, lay: Lay, only: tuple[str, ...], expected: list[str]) -> None:
    """No other file is taken in, and built-in excludes hold."""
    lay(FILES)
    assert found(workshop, only=only) == expected


def test_only_enters_no_folder_in_vain(workshop: Workshop, lay: Lay) -> None:
    """What a pattern can't reach is neither read nor an input, whatever lies there."""
    lay(FILES)
    os.mkfifo(Path(workshop.root, "app/data/pipe"))
    tree.walk(workshop.seen, "app", only=("/views/*.html",))
    assert set(workshop.seen.inputs().listings) == {"app", "app/views"}


@pytest.mark.parametrize("pattern", ["!", "\\", "a\\", "[z-a]"])
def test_no_pattern(workshop: Workshop, lay: Lay, pattern: str) -> None:
    """What git would not take for a pattern is told, whichever setting holds it."""
    lay(FILES)
    for option in ("exclude", "include", "only"):
        with pytest.raises(ProjectError) as fault:
            found(workshop, **{option: (pattern,)})
        assert [one.code for one in fault.value.diagnostics] == ["bad-value"]


def test_recorded(workshop: Workshop, lay: Lay) -> None:
    """A new file that is included counts, one that is not does not, also once it was on disk."""
    lay(FILES)
    tree.walk(workshop.seen, "app", include=("node_modules/.prisma",), only=("*.html",))
    seen = snapshot.observe(workshop.root, workshop.seen.inputs())
    assert decode_snapshot(encode_snapshot(seen)) == seen
    lay({"app/views/note.txt": "", "app/node_modules/more/index.js": ""})
    assert list(snapshot.changes(workshop.root, seen)) == []
    lay({"app/node_modules/.prisma/new": "", "app/views/sub/c.html": ""})
    assert sorted(snapshot.changes(workshop.root, seen)) == [
        "app/node_modules/.prisma/new appeared",
        "app/views/sub/c.html appeared",
    ]


parts = st.sampled_from(
    ["a", "b", "node_modules", ".git", "*", "**", "?", "[ab]", "!", "\\", "x.pyc"]
)
patterns = st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), max_size=3).map(tuple)
names = st.sampled_from(["a", "b", "node_modules", ".git", "x.pyc"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@given(files=st.sets(paths, max_size=8), exclude=patterns, include=patterns, only=patterns)
def test_any_patterns(
    tmp_path_factory: pytest.TempPathFactory,
    files: set[str],
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    only: tuple[str, ...],
) -> None:
    """A file is in exactly if it, and each folder on its way, counts; included ones always are,
    where their way is open."""
    root = tmp_path_factory.mktemp("walk")
    shop = workshop_at(root / "p", store=None)  # type: ignore[arg-type]
    flat = {f"{name}/f" for name in files}
    write_tree(Path(shop.root), dict.fromkeys(flat, ""))
    try:
        walked = tree.walk(shop.seen, ".", exclude=exclude, include=include, only=only)
    except ProjectError:
        return  # test_no_pattern's
    walk = Walk(".", exclude, include, only)
    got = {file.name for file in walked.files}
    for name in flat:
        steps = name.split("/")
        ways = [
            counted.is_counted(step, "/".join(steps[:at]), at < len(steps) - 1, walk)
            for at, step in enumerate(steps)
        ]
        assert (name in got) == all(ways)
        if only and name in got:
            assert counted.covers(only, name) or counted.covers(include, name)
        if not include and not only:
            plain = {file.name for file in tree.walk(shop.seen, ".", exclude=exclude).files}
            assert got == plain
