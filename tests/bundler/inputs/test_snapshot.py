"""Whether recorded inputs still hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.inputs import snapshot, tree
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import InputSet, Stems, Walk
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree

Lay = Callable[[Tree], None]

INPUTS = InputSet(
    files=frozenset({"src/a.ts", "src/b.ts", "tsconfig.json", "src/lib"}),
    links=frozenset({"link"}),
    listings={"src": Stems(frozenset({"a", "b", "index"})), "py": Walk("py", ("*.md",))},
)

Step = Callable[[Path], object]


def keep_times(path: Path, change: Step) -> None:
    """Makes a change and puts size and mtime back: only ctime moves."""
    status = path.stat()
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def then(*steps: Step) -> Step:
    """One after the other."""
    return lambda root: [step(root) for step in steps]


STEPS: dict[str, tuple[Step, list[str]]] = {
    "nothing": (lambda root: None, []),
    "truncating write": (lambda root: (root / "src/a.ts").write_text("new"), ["src/a.ts changed"]),
    "same size, mtime restored": (
        lambda root: keep_times(root / "src/a.ts", lambda path: path.write_text("2")),
        ["src/a.ts changed"],
    ),
    "mode": (lambda root: os.chmod(root / "src/a.ts", 0o755), ["src/a.ts changed"]),
    "atomic rename": (
        lambda root: os.replace(write(root / "src/z.tmp", "1"), root / "src/a.ts"),
        ["src/a.ts changed"],
    ),
    "hard-link write": (
        lambda root: write(linked(root / "src/a.ts", root / "other"), "3"),
        ["src/a.ts changed"],
    ),
    "deleted": (
        lambda root: (root / "src/a.ts").unlink(),
        ["src/a.ts is gone", "src/a.ts is gone"],
    ),
    "looked for, now there": (
        lambda root: write(root / "tsconfig.json", "{}"),
        ["tsconfig.json appeared"],
    ),
    "shadowing file": (lambda root: write(root / "src/a.js", ""), ["src/a.js appeared"]),
    "index over file": (lambda root: write(root / "src/index.ts", ""), ["src/index.ts appeared"]),
    "a name that does not count": (lambda root: write(root / "src/readme.txt", ""), []),
    "a folder's contents, where presence counts": (
        lambda root: write(root / "src/lib/new.ts", ""),
        [],
    ),
    "file becomes folder": (
        then(lambda root: (root / "src/b.ts").unlink(), lambda root: (root / "src/b.ts").mkdir()),
        ["src/b.ts changed", "src/b.ts appeared"],
    ),
    "symlink retargeted": (
        then(
            lambda root: (root / "link").unlink(),
            lambda root: (root / "link").symlink_to("src/lib"),
        ),
        ["link leads elsewhere"],
    ),
    "file in a walked folder": (lambda root: write(root / "py/new.py", ""), ["py/new.py appeared"]),
    "excluded file in a walked folder": (lambda root: write(root / "py/new.md", ""), []),
    "compiled file in a walked folder": (lambda root: write(root / "py/x.pyc", ""), []),
    "folder swapped by rename": (
        then(
            lambda root: shutil.copytree(root / "src", root / "src2"),
            lambda root: os.rename(root / "src", root / "old"),
            lambda root: os.rename(root / "src2", root / "src"),
        ),
        ["src/a.ts changed", "src/b.ts changed", "src/lib changed"],
    ),
    "folder gone": (
        lambda root: os.rename(root / "py", root / "gone"),
        ["py is gone"],
    ),
}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def linked(path: Path, other: Path) -> Path:
    os.link(path, other)
    return other


@pytest.mark.parametrize("step", STEPS)
def test_each_change_is_seen_and_told(workshop: Workshop, lay: Lay, step: str) -> None:
    """Every kind of edit that could alter a build is a reason, and only those."""
    lay({"src/a.ts": "1", "src/b.ts": "1", "src/lib/x.ts": "", "link": "-> src", "py/m.py": ""})
    root = workshop.root
    # An edit in the very tick of the observation is the clock's business, tested below.
    for name in ("src/a.ts", "src/b.ts"):
        os.utime(Path(root, name), ns=(1, 1))
    seen = snapshot.observe(root, INPUTS)
    change, reasons = STEPS[step]
    wait_for_tick(root)
    change(Path(root))
    assert sorted(snapshot.changes(root, seen)) == sorted(reasons)


def wait_for_tick(root: str) -> None:
    """Returns once the file system's clock has moved on; bounded by its coarsest tick."""
    # Beside the root: in it, the file would make the root itself young.
    path = f"{root}.tick"
    start = snapshot.read_clock(path).now_ns
    while snapshot.read_clock(path).now_ns == start:
        pass
    os.unlink(path)


def test_a_write_after_the_clock_is_suspect(workshop: Workshop, lay: Lay) -> None:
    """Whatever is written once the clock was read makes the input suspect, however soon."""
    lay({"src/a.ts": "1"})
    root = workshop.root
    for number in range(200):
        clock = snapshot.read_clock(f"{root}/clock")
        Path(root, "src/a.ts").write_text(str(number % 10))
        seen = snapshot.observe(root, InputSet(files=frozenset({"src/a.ts"})), since=clock)
        assert seen.suspects == {"src/a.ts"}
        assert list(snapshot.changes(root, seen)) == [
            "src/a.ts may have changed while the last build read it"
        ]


def test_a_restored_time_does_not_hide_a_write(workshop: Workshop, lay: Lay) -> None:
    """A write after the clock is suspect by its ctime, even with an old mtime put back."""
    lay({"a": "1"})
    wait_for_tick(workshop.root)
    clock = snapshot.read_clock(f"{workshop.root}/clock")
    Path(workshop.root, "a").write_text("2")
    os.utime(Path(workshop.root, "a"), ns=(1, 1))
    seen = snapshot.observe(workshop.root, InputSet(files=frozenset({"a"})), since=clock)
    assert seen.suspects == {"a"}


def test_an_old_file_is_not_suspect(workshop: Workshop, lay: Lay) -> None:
    """A file that was at rest before the clock was read is trusted."""
    lay({"a": "1"})
    wait_for_tick(workshop.root)
    clock = snapshot.read_clock(f"{workshop.root}/clock")
    seen = snapshot.observe(workshop.root, InputSet(files=frozenset({"a"})), since=clock)
    assert not seen.suspects


def test_another_file_systems_clock_is_not_trusted(workshop: Workshop, lay: Lay) -> None:
    """An input on a device whose clock was not read is suspect if it is about as young."""
    lay({"a": "1"})
    clock = snapshot.read_clock(f"{workshop.root}/clock")
    foreign = snapshot.Clock(clock.device + 1, clock.now_ns + 1_000_000_000)
    inputs = InputSet(files=frozenset({"a"}))
    assert "a" in snapshot.observe(workshop.root, inputs, since=foreign).suspects
    late = snapshot.Clock(clock.device + 1, clock.now_ns + 3_000_000_000)
    assert not snapshot.observe(workshop.root, inputs, since=late).suspects


def test_a_folder_key_taken_before_its_names(workshop: Workshop, lay: Lay) -> None:
    """A name that comes between the two makes the listing stale, never wrongly fresh."""
    lay({"src/a.ts": ""})
    root = workshop.root
    listing = snapshot.observe_listing(root, "src", Stems(frozenset({"a"})))
    wait_for_tick(root)
    Path(root, "src/a.tsx").write_text("")
    assert listing.key != snapshot.observe_listing(root, "src", listing.counted).key


name = st.text("aBbé.", min_size=1, max_size=6)


@given(stems=st.frozensets(name, min_size=1), other=name)
def test_stems_cover_what_could_shadow(stems: frozenset[str], other: str) -> None:
    """A stem covers itself and every name that goes on with a dot, whatever their case, and
    nothing else."""
    lower = other.lower()
    expected = any(f"{lower}.".startswith(f"{stem.lower()}.") for stem in stems)
    assert Stems.of(stems).covers(other) == expected


def test_walked_listing_agrees_with_the_walk(workshop: Workshop, lay: Lay) -> None:
    """What a listing counts is what the walk takes in, in subfolders too."""
    lay({"py/docs/a.md": "", "py/docs/b.py": "", "py/b.md": "", "py/.git/x": ""})
    tree.walk(workshop.seen, "py", exclude=("/docs/*.md",))
    seen = snapshot.observe(workshop.root, workshop.seen.inputs())
    assert seen.listings["py"].names == ("b.md/f", "docs/d")
    assert seen.listings["py/docs"].names == ("b.py/f",)


def test_two_ways_of_counting_meet(workshop: Workshop, lay: Lay) -> None:
    """Where two parts of a closure list one folder by different rules, every name counts."""
    lay({"py/a.py": "", "py/b.md": "", "py/node_modules/x": ""})
    one = InputSet(listings={"py": Walk("py", ("*.md",))})
    for other in (Walk("py", ("*.py",)), Walk(".", ()), Stems(frozenset({"node_modules"}))):
        both = Seen(workshop.root, workshop.repository)
        both.add(one)
        both.add(InputSet(listings={"py": other}))
        seen = snapshot.observe(workshop.root, both.inputs())
        assert seen.listings["py"].names == ("a.py/f", "b.md/f", "node_modules/d")
