"""What is remembered of the dependencies: reused while nothing moved, and never longer."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.tree import TreeFile
from lambdad.bundler.model import BundlerError
from lambdad.bundler.npm import package_files
from lambdad.bundler.npm.package_files import ProductionPackage
from lambdad.bundler.store import kept_files
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Segment
from tests.conftest import write_tree
from tests.support.npm_apps import names, pack, spec

APP = {
    "src/app.js": "exports.handler = async () => 1;\n",
    "src/package.json": json.dumps(spec("x", dependencies={"a": "1", "@own/lib": "1"})),
    "src/node_modules/a/package.json": json.dumps(spec("a", dependencies={"b": "1"})),
    "src/node_modules/a/index.js": "1",
    "src/node_modules/b/package.json": json.dumps(spec("b")),
    "src/node_modules/@own/lib": "-> ../../../current",
    "current": "-> lib",
    "lib/package.json": json.dumps(spec("@own/lib")),
    "lib/index.js": "one",
    "other/package.json": json.dumps(spec("@own/lib", "2.0.0")),
}


@pytest.fixture
def root(workshop: Workshop) -> Path:
    write_tree(Path(workshop.root), APP)
    return Path(workshop.root)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages whose files were read, as they are read."""
    seen: list[str] = []
    examine = package_files.examine

    def noting(
        workshop: Workshop, name: str, files: tuple[TreeFile, ...], *rest: object
    ) -> ProductionPackage:
        seen.append(name)
        return examine(workshop, name, files, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(package_files, "examine", noting)
    return seen


def segment(workshop: Workshop) -> Segment:
    found = pack(workshop).dependencies
    assert found is not None
    return found


def settle(workshop: Workshop) -> None:
    """Packs until every input is older than the clock, which ticks every few milliseconds."""
    segment(workshop)
    clock = Path(workshop.root, ".lambdad/clock")
    newest = max(
        os.lstat(path).st_ctime_ns
        for path in Path(workshop.root).rglob("*")
        if ".lambdad" not in path.parts
    )
    deadline = time.monotonic() + 10
    while snapshot.read_clock(str(clock)).now_ns <= newest:
        assert time.monotonic() < deadline
    segment(workshop)


def test_edit_of_own_code_reads_no_package(
    workshop: Workshop, root: Path, looks: list[str]
) -> None:
    """An edit of own code keeps the segment, and node_modules is not read for it."""
    settle(workshop)
    before = segment(workshop)
    looks.clear()
    (root / "src/app.js").write_text("exports.handler = async () => 2;\n")
    assert segment(workshop) == before
    assert looks == []


def test_functions_share_the_look(workshop: Workshop, root: Path, looks: list[str]) -> None:
    """A second function of the same code folder reads no package again."""
    settle(workshop)
    looks.clear()
    pack(workshop, name="Another")
    assert looks == []


def replace_file(path: Path, text: str) -> None:
    path.with_name("new").write_text(text)
    os.replace(path.with_name("new"), path)


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().replace("one", "two"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def install_anew(root: Path) -> None:
    shutil.rmtree(root / "src/node_modules/a")
    declared = json.dumps(spec("a", "1.1.0"))
    write_tree(root, {"src/node_modules/a/package.json": declared})


def shadow(root: Path) -> None:
    declared = json.dumps(spec("b", "2.0.0"))
    write_tree(root, {"src/node_modules/a/node_modules/b/package.json": declared})


def lead_elsewhere(root: Path) -> None:
    link = root / "src/node_modules/@own/lib"
    link.unlink()
    link.symlink_to("../../../other")


def lead_elsewhere_on_the_way(root: Path) -> None:
    link = root / "current"
    link.unlink()
    link.symlink_to("other")


def drop_dependency(root: Path) -> None:
    replace_file(root / "src/package.json", json.dumps(spec("x", dependencies={"a": "1"})))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a package installed anew": install_anew,
    "a nearer package": shadow,
    "a linked package's file": lambda root: (root / "lib/index.js").write_text("edited"),
    "the same, of one size and time": lambda root: same_size_and_time(root / "lib/index.js"),
    "a file new in a linked package": lambda root: (root / "lib/new.js").write_text("1"),
    "a file gone from a linked package": lambda root: os.unlink(root / "lib/index.js"),
    "a link led elsewhere": lead_elsewhere,
    "a link on the way led elsewhere": lead_elsewhere_on_the_way,
    "a dependency dropped": drop_dependency,
    "+x on a linked package's file": lambda root: os.chmod(root / "lib/index.js", 0o755),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_seen(workshop: Workshop, root: Path, change: str, tmp_path: Path) -> None:
    """After any change the segment is the one that a look without memory makes."""
    settle(workshop)
    before = segment(workshop)
    CHANGES[change](root)
    after = segment(workshop)
    shutil.rmtree(workshop.store.root)
    clean = segment(workshop)
    assert (after.digest, after.members) == (clean.digest, clean.members)
    assert (after.digest, after.members) != (before.digest, before.members)


def test_a_copy_of_hard_links_is_the_users_own(workshop: Workshop, root: Path) -> None:
    """pnpm and Bun copy a package asked for by its path as hard links: an edit of the original is
    seen through the copy."""
    (root / "src/node_modules/@own/lib").unlink()
    (root / "src/node_modules/@own/lib").mkdir()
    for name in ("package.json", "index.js"):
        os.link(root / "lib" / name, root / "src/node_modules/@own/lib" / name)
    declared = spec("x", dependencies={"a": "1", "@own/lib": "file:../lib"})
    (root / "src/package.json").write_text(json.dumps(declared))
    settle(workshop)
    before = segment(workshop)
    (root / "lib/index.js").write_text("two")
    assert segment(workshop) != before


def test_code_folder_led_elsewhere(workshop: Workshop, root: Path) -> None:
    """A code folder that is a symlink has what it leads to installed."""
    shutil.copytree(root / "src", root / "src2", symlinks=True)
    (root / "src2/node_modules/a/index.js").write_text("two")
    (root / "code").symlink_to("src")
    settle(workshop)
    assert pack(workshop, code="code").dependencies == segment(workshop)
    (root / "code").unlink()
    (root / "code").symlink_to("src2")
    assert pack(workshop, code="code").dependencies == pack(workshop, code="src2").dependencies
    assert pack(workshop, code="code").dependencies != segment(workshop)


def test_new_lock_is_seen(workshop: Workshop, root: Path) -> None:
    """A lock that appears is read, though no package moved."""
    settle(workshop)
    (root / "src/package-lock.json").write_text('{"lockfileVersion": 3, "packages": {"": {}}}')
    with pytest.raises(Exception, match="does not fit"):
        pack(workshop)


def test_fresh_files_prove_nothing(workshop: Workshop, root: Path, looks: list[str]) -> None:
    """Inputs as new as the look itself are read again the next time."""
    segment(workshop)
    looks.clear()
    future = time.time_ns() + 3_600_000_000_000
    os.utime(root / "src/node_modules/b/package.json", ns=(future, future))
    segment(workshop)
    segment(workshop)
    assert looks.count("b") == 2


def test_pruned_segment_is_made_anew(workshop: Workshop, root: Path) -> None:
    """A memory of a segment that the store no longer has is no memory."""
    settle(workshop)
    before = segment(workshop)
    shutil.rmtree(workshop.store.root / "segments")
    assert segment(workshop) == before
    assert Path(before.path).exists()


def test_torn_memory_is_none(workshop: Workshop, root: Path, looks: list[str]) -> None:
    """A memory cut short anywhere is a miss."""
    settle(workshop)
    (memo,) = (workshop.store.root / kept_files.KIND).glob("npm-*.json")
    whole = memo.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 40)):
        memo.write_bytes(whole[:cut])
        looks.clear()
        segment(workshop)
        assert looks


def test_change_while_packing(
    workshop: Workshop, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package's file that changes between digest and packing is never stored under its key."""
    entries = package_files.entries

    def late(workshop: Workshop, listed: list[tuple[str, package_files.PackagedFile]]) -> object:
        (root / "src/node_modules/a/index.js").write_text("2")
        return entries(workshop, listed)

    monkeypatch.setattr(package_files, "entries", late)
    with pytest.raises(BundlerError, match="changed while it was packed"):
        pack(workshop)
    assert not list(workshop.store.root.glob("segments/*"))


def test_same_installation_elsewhere(workshop: Workshop, root: Path, tmp_path: Path) -> None:
    """Equal installations in other folders, made in another order, share one segment."""
    copy = Workshop(
        root=str(tmp_path / "copy"),
        repository=str(tmp_path / "copy"),
        store=workshop.store,
        environ={},
    )
    write_tree(Path(copy.root), dict(reversed(APP.items())))
    assert segment(copy).path == segment(workshop).path
    assert names(pack(copy)) == names(pack(workshop))
