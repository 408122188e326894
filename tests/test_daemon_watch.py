from __future__ import annotations

import errno
import gc
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask

from daemon import inotify, mounts, watch, watches
from daemon.aliases import Aliases
from daemon.watch import Changes, Health, Teller, Watcher, is_covered

linux = pytest.mark.skipif(sys.platform != "linux", reason="real inotify")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="sets the kernel's limits")

BOUND_S = 10.0
"""Nothing here takes a thousandth of it; a test that waits so long has failed."""


class Told:
    """Keeps what a watcher tells; waiting is for an event, bounded."""

    def __init__(self) -> None:
        self.all: list[Changes] = []
        self.paths: set[str] = set()
        self.reasons: list[str] = []
        self._news = threading.Condition()

    def __call__(self, changes: Changes) -> None:
        with self._news:
            self.all.append(changes)
            self.paths |= changes.paths
            if changes.everything:
                self.reasons.append(changes.reason)
            self._news.notify_all()

    def wait(self, enough: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + BOUND_S
        with self._news:
            # In slices: what is waited for may be the watcher's health, which tells nobody.
            while not enough():
                if time.monotonic() > end_s:
                    shown = sorted(self.paths)[:50]
                    pytest.fail(f"never told: {what}\ntold {self.reasons}: {shown}")
                self._news.wait(0.005)

    def wait_for(self, *paths: str | Path) -> None:
        wanted = {str(path) for path in paths}
        self.wait(lambda: wanted <= self.paths, f"{sorted(wanted)[:20]}")

    def wait_for_loss(self, word: str) -> None:
        self.wait(lambda: any(word in reason for reason in self.reasons), f"everything: {word}")

    def forget(self) -> None:
        with self._news:
            self.all.clear()
            self.paths.clear()
            self.reasons.clear()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A project's folder, symlinks resolved, with a src folder in it."""
    path = tmp_path.resolve() / "project"
    (path / "src").mkdir(parents=True)
    return path


@pytest.fixture
def watching(top: Path, told: Told) -> Iterator[Watcher]:
    watcher = Watcher([str(top)], told)
    watcher.start()
    yield watcher
    watcher.stop()


def settle(told: Told, folder: Path) -> None:
    """Returns once everything that was done before is told; then forgets it.

    The kernel's queue is in order, so a marker made now comes after all else.
    """
    marker = folder / f"marker-{time.monotonic_ns()}"
    marker.touch()
    marker.unlink()
    told.wait_for(marker)
    told.forget()


def full(health: Health) -> bool:
    return health.alive and health.watching == health.expected and not health.missing


# --- changes as they come -----------------------------------------------------------------------

Edit = Callable[[Path], Sequence[Path]]


def _create(src: Path) -> Sequence[Path]:
    (src / "new.ts").write_text("1")
    return [src / "new.ts"]


def _modify(src: Path) -> Sequence[Path]:
    (src / "a.ts").write_text("2")
    return [src / "a.ts"]


def _append_held_open(src: Path) -> Sequence[Path]:
    descriptor = os.open(src / "a.ts", os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"3")  # never closed while the test waits
    return [src / "a.ts"]


def _touch(src: Path) -> Sequence[Path]:
    os.utime(src / "a.ts", ns=(1, 1))
    return [src / "a.ts"]


def _chmod(src: Path) -> Sequence[Path]:
    (src / "a.ts").chmod(0o755)
    return [src / "a.ts"]


def _delete(src: Path) -> Sequence[Path]:
    (src / "a.ts").unlink()
    return [src / "a.ts"]


def _rename(src: Path) -> Sequence[Path]:
    (src / "a.ts").rename(src / "c.ts")
    return [src / "a.ts", src / "c.ts"]


def _replace(src: Path) -> Sequence[Path]:
    (src / ".a.tmp").write_text("4")
    os.replace(src / ".a.tmp", src / "a.ts")
    return [src / "a.ts"]


def _hard_link(src: Path) -> Sequence[Path]:
    os.link(src / "a.ts", src / "hard.ts")
    return [src / "hard.ts"]


def _symlink(src: Path) -> Sequence[Path]:
    (src / "soft.ts").symlink_to("a.ts")
    return [src / "soft.ts"]


def _move_out(src: Path) -> Sequence[Path]:
    (src / "a.ts").rename(src.parent.parent / "out.ts")
    return [src / "a.ts"]


def _move_in(src: Path) -> Sequence[Path]:
    (src.parent.parent / "elsewhere.ts").write_text("5")
    (src.parent.parent / "elsewhere.ts").rename(src / "in.ts")
    return [src / "in.ts"]


def _move_tree_in(src: Path) -> Sequence[Path]:
    tree = src.parent.parent / "tree"
    (tree / "x/y").mkdir(parents=True)
    (tree / "x/y/deep.ts").write_text("6")
    tree.rename(src / "tree")
    return [src / "tree", src / "tree/x/y", src / "tree/x/y/deep.ts"]


def _move_tree_out(src: Path) -> Sequence[Path]:
    (src / "sub").rename(src.parent.parent / "sub-out")
    return [src / "sub", src / "sub/inner"]


def _delete_tree(src: Path) -> Sequence[Path]:
    shutil.rmtree(src / "sub")
    return [src / "sub", src / "sub/inner", src / "sub/inner/b.ts"]


def _new_tree(src: Path) -> Sequence[Path]:
    (src / "p/q/r").mkdir(parents=True)
    (src / "p/q/r/s.ts").write_text("7")
    return [src / "p", src / "p/q", src / "p/q/r", src / "p/q/r/s.ts"]


def _odd_name(src: Path) -> Sequence[Path]:
    path = os.fsencode(src) + b"/na\xefve \n.ts"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return [Path(os.fsdecode(path))]


EDITS: list[Edit] = [
    _create,
    _modify,
    _append_held_open,
    _touch,
    _chmod,
    _delete,
    _rename,
    _replace,
    _hard_link,
    _symlink,
    _move_out,
    _move_in,
    _move_tree_in,
    _move_tree_out,
    _delete_tree,
    _new_tree,
    _odd_name,
]


@linux
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__.strip("_"))
def test_every_kind_of_edit_is_told(top: Path, told: Told, edit: Edit) -> None:
    """Whatever an editor, git or a shell does to a file or a tree, its paths are named."""
    (top / "src/sub/inner").mkdir(parents=True)
    (top / "src/sub/inner/b.ts").write_text("0")
    (top / "src/a.ts").write_text("1")
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        told.wait_for(*edit(top / "src"))
        assert told.reasons == []
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__.strip("_"))
def test_after_any_edit_the_tree_is_still_watched(top: Path, told: Told, edit: Edit) -> None:
    """Exactly the folders there are have a watch, and a save in each of them is told."""
    (top / "src/sub/inner").mkdir(parents=True)
    (top / "src/sub/inner/b.ts").write_text("0")
    (top / "src/a.ts").write_text("1")
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        edit(top / "src")
        settle(told, top)
        folders = [Path(folder) for folder, _, _ in os.walk(top)]
        saved = [folder / "saved.ts" for folder in folders]
        for path in saved:
            path.write_text("1")
        told.wait_for(*saved)
        assert watcher.health().watching == watcher.health().expected == len(folders)
    finally:
        watcher.stop()


@linux
def test_reading_is_no_change(top: Path, told: Told, watching: Watcher) -> None:
    """What a build does to its inputs (open, read, list) wakes nobody."""
    (top / "src/a.ts").write_text("1")
    settle(told, top)
    before = watching.health().events
    for _ in range(100):
        (top / "src/a.ts").read_text()
        os.listdir(top / "src")
    settle(told, top)
    assert watching.health().events - before <= 6  # the markers' own


@linux
def test_a_save_wakes_the_build_within_three_milliseconds(top: Path) -> None:
    """Measured from the end of the save to the call of notify, by median."""
    arrived: list[float] = []
    path = str(top / "src/a.ts")
    heard = threading.Event()

    def notify(changes: Changes) -> None:
        if path in changes.paths:
            arrived.append(time.perf_counter())
            heard.set()

    watcher = Watcher([str(top)], notify)
    watcher.start()
    try:
        for save in (_plainly, _by_rename):
            delays = []
            for turn in range(60):
                heard.clear()
                arrived.clear()
                save(path, str(turn))
                saved = time.perf_counter()
                assert heard.wait(BOUND_S)
                delays.append(arrived[0] - saved)
            assert statistics.median(delays) < 0.003
    finally:
        watcher.stop()


def _plainly(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _by_rename(path: str, text: str) -> None:
    _plainly(f"{path}.tmp", text)
    os.replace(f"{path}.tmp", path)


@linux
def test_an_unpaired_move_holds_nothing_back(top: Path, told: Told, watching: Watcher) -> None:
    """A file moved out of sight delays no later change (watchdog's observer waits 0.5 s)."""
    (top / "src/a.ts").write_text("1")
    settle(told, top)
    started = time.perf_counter()
    (top / "src/a.ts").rename(top.parent / "away.ts")
    (top / "src/b.ts").write_text("2")
    told.wait_for(top / "src/b.ts")
    assert time.perf_counter() - started < 0.25


@linux
def test_a_burst_of_2000_files_is_told_whole(top: Path, told: Told, watching: Watcher) -> None:
    """A checkout that makes 2,000 files in 100 folders: each is named, in few tellings."""
    made = []
    for number in range(2000):
        folder = top / "src" / f"f{number % 100}" / "inner"
        folder.mkdir(parents=True, exist_ok=True)
        made.append(folder / f"{number}.ts")
        made[-1].write_text("1")
    told.wait_for(*made)
    assert told.reasons == []
    assert len(told.all) < 1000
    assert full(watching.health())
    assert watching.health().watching == 202


@linux
def test_a_git_checkout_is_told_whole(top: Path, told: Told) -> None:
    """Switching branches names every file that came, went or changed, and nothing of .git."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=one"]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], cwd=top, check=True, capture_output=True)

    run("init")
    for number in range(300):
        (top / "src" / f"{number}.ts").write_text("one")
    run("add", ".")
    run("commit", "-m", "one")
    run("checkout", "-b", "two")
    shutil.rmtree(top / "src")
    changed = [top / "lib" / f"d{number % 7}" / f"{number}.ts" for number in range(300)]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("two")
    run("add", "--all")
    run("commit", "-m", "two")
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        run("checkout", "one")
        told.wait_for(*(top / "src" / f"{number}.ts" for number in range(300)), *changed)
        settle(told, top)
        run("checkout", "two")
        told.wait_for(*changed)
        assert not any("/.git/" in path for path in told.paths)
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
def test_a_deep_tree_made_at_once_is_watched_to_its_end(
    top: Path, told: Told, watching: Watcher
) -> None:
    """Folders made faster than watches can be added are found by the walk that follows."""
    for round_ in range(30):
        deep = top / "src" / f"r{round_}" / "/".join(f"d{level}" for level in range(20))
        deep.mkdir(parents=True)
        (deep / "end.ts").write_text("1")
        told.wait_for(deep / "end.ts")
        (deep / "later.ts").write_text("1")
        told.wait_for(deep / "later.ts")
    assert full(watching.health())


@linux
@pytest.mark.parametrize("gap", [False, True], ids=["at-once", "told-between"])
def test_folders_that_swap_names_are_told_under_their_new_ones(
    top: Path, told: Told, watching: Watcher, gap: bool
) -> None:
    """After a swap by three renames a save in either folder has the path it has now."""
    for name in ("one", "two"):
        (top / "src" / name / name).mkdir(parents=True)
    settle(told, top)
    renames = [("one", "x"), ("two", "one"), ("x", "two")]
    for before, after in renames * 5:
        (top / "src" / before).rename(top / "src" / after)
        if gap:
            settle(told, top)
    settle(told, top)
    (top / "src/one/two/in.ts").write_text("1")
    (top / "src/two/one/in.ts").write_text("1")
    told.wait_for(top / "src/one/two/in.ts", top / "src/two/one/in.ts")
    settle(told, top)
    assert full(watching.health())
    assert watching.health().watching == 6


@linux
def test_a_folder_replaced_by_rename_is_watched(top: Path, told: Told, watching: Watcher) -> None:
    """rename(2) onto an empty folder ends that folder's watch, not the new one's."""
    (top / "src/empty").mkdir()
    (top / "src/filled/sub").mkdir(parents=True)
    settle(told, top)
    os.rename(top / "src/filled", top / "src/empty")
    settle(told, top)
    (top / "src/empty/sub/a.ts").write_text("1")
    told.wait_for(top / "src/empty/sub/a.ts")
    assert watching.health().watching == 4


@linux
def test_folders_remade_again_and_again_stay_watched(
    top: Path, told: Told, watching: Watcher
) -> None:
    """Deleted and made anew, with the inode number of the one before or not."""
    for turn in range(100):
        shutil.rmtree(top / "src")
        (top / "src/a").mkdir(parents=True)
        if turn % 10 == 0:
            settle(told, top)
            (top / "src/a/x.ts").write_text("1")
            told.wait_for(top / "src/a/x.ts")
    settle(told, top)
    assert watching.health().watching == 3
    assert told.reasons == []


# --- what is not watched ------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("name", ["node_modules", ".git", ".lambdad", "__pycache__", ".venv"])
def test_some_folders_are_not_entered(top: Path, told: Told, name: str) -> None:
    """Neither those there at the start nor those that appear, however deep."""
    (top / name / "x").mkdir(parents=True)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        (top / "src" / name / "y").mkdir(parents=True)
        (top / name / "x/a.js").write_text("1")
        settle(told, top)
        (top / "src" / name / "y/b.js").write_text("1")
        (top / "src/c.ts").write_text("1")
        told.wait_for(top / "src/c.ts")
        assert not any(f"/{name}/" in path for path in told.paths)
        assert watcher.health().watching == 2
    finally:
        watcher.stop()


@linux
def test_node_modules_coming_and_going_is_told(top: Path, told: Told, watching: Watcher) -> None:
    """An install decides resolution, so its folder's name is news though its inside is not."""
    (top / "node_modules").mkdir()
    told.wait_for(top / "node_modules")
    settle(told, top)
    shutil.rmtree(top / "node_modules")
    told.wait_for(top / "node_modules")


@linux
def test_our_own_output_is_never_told(top: Path, told: Told, watching: Watcher) -> None:
    """A build that writes to .lambdad begins no other."""
    (top / ".lambdad/build").mkdir(parents=True)
    (top / ".lambdad/build/a.zip").write_text("1")
    settle(told, top)
    shutil.rmtree(top / ".lambdad")
    (top / "src/a.ts").write_text("1")
    told.wait_for(top / "src/a.ts")
    assert not any(".lambdad" in path for path in told.paths)


@linux
def test_a_virtual_environment_under_any_name_is_not_entered(top: Path, told: Told) -> None:
    """Known by its pyvenv.cfg, at the start and as it is made."""
    (top / "env1/lib").mkdir(parents=True)
    (top / "env1/pyvenv.cfg").write_text("")
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        assert watcher.health().watching == 2
        (top / "env2/lib").mkdir(parents=True)
        settle(told, top)
        assert watcher.health().watching == 4
        (top / "env2/pyvenv.cfg").write_text("")
        settle(told, top)
        assert watcher.health().watching == 2
    finally:
        watcher.stop()


@linux
def test_an_unwatched_name_is_watched_where_it_is_a_root(top: Path, told: Told) -> None:
    """A cloud assembly in cdk.out is no source, but asked for by name; also once it is remade."""
    (top / "cdk.out").mkdir()
    watcher = Watcher([str(top), str(top / "cdk.out")], told)
    watcher.start()
    try:
        (top / "cdk.out/manifest.json").write_text("1")
        told.wait_for(top / "cdk.out/manifest.json")
        shutil.rmtree(top / "cdk.out")
        told.wait(lambda: "not there" in str(watcher.health().missing), "its absence")
        settle(told, top)
        (top / "cdk.out").mkdir()
        told.wait_for_loss("cdk.out")
        (top / "cdk.out/manifest.json").write_text("2")
        told.wait_for(top / "cdk.out/manifest.json")
        assert full(watcher.health())
    finally:
        watcher.stop()


# --- symlinks -----------------------------------------------------------------------------------


@linux
def test_a_change_is_told_under_the_symlinks_name_too(
    top: Path, told: Told, watching: Watcher
) -> None:
    """A folder or a file that a function reaches by a symlink, made before or after the start."""
    (top / "common").mkdir()
    (top / "common/util.py").write_text("0")
    (top / "src/shared").symlink_to("../common")
    (top / "src/util.py").symlink_to("../common/util.py")
    settle(told, top)
    (top / "common/util.py").write_text("1")
    told.wait_for(top / "common/util.py", top / "src/shared/util.py", top / "src/util.py")
    watching.stop()
    watching.start()
    told.forget()
    (top / "common/util.py").write_text("2")
    told.wait_for(top / "common/util.py", top / "src/shared/util.py", top / "src/util.py")


@linux
def test_a_retargeted_symlink_stands_for_its_new_target(
    top: Path, told: Told, watching: Watcher
) -> None:
    """Its old target is no longer told under its name."""
    for name in ("one", "two"):
        (top / name).mkdir()
    (top / "src/now").symlink_to("../one")
    settle(told, top)
    (top / "src/next").symlink_to("../two")
    os.replace(top / "src/next", top / "src/now")
    told.wait_for(top / "src/now")
    settle(told, top)
    (top / "two/a.ts").write_text("1")
    told.wait_for(top / "two/a.ts", top / "src/now/a.ts")
    settle(told, top)
    (top / "one/b.ts").write_text("1")
    told.wait_for(top / "one/b.ts")
    assert str(top / "src/now/b.ts") not in told.paths


@linux
def test_a_loop_of_symlinks_ends(top: Path, told: Told, watching: Watcher) -> None:
    """A link to a folder above is neither entered nor followed for ever."""
    (top / "src/up").symlink_to("..")
    (top / "src/self").symlink_to("self")
    settle(told, top)
    (top / "src/a.ts").write_text("1")
    told.wait_for(top / "src/a.ts", top / "src/up/src/a.ts")
    assert watching.health().watching == 2


@linux
def test_a_root_behind_a_symlink_is_told_as_it_was_given(top: Path, told: Told) -> None:
    """And when the link is put elsewhere, the next mend says so and watches there."""
    other = top.parent / "other"
    other.mkdir()
    link = top.parent / "current"
    link.symlink_to(top)
    watcher = Watcher([str(link)], told)
    watcher.start()
    try:
        (top / "src/a.ts").write_text("1")
        told.wait_for(link / "src/a.ts")
        link.unlink()
        link.symlink_to(other)
        watcher.mend()
        told.wait_for_loss("replaced")
        (other / "b.ts").write_text("1")
        told.wait_for(link / "b.ts")
        assert watcher.health().watching == 1
    finally:
        watcher.stop()


def test_aliases_name_every_way_to_a_path() -> None:
    """Links behind links included; a removed link names nothing."""
    aliases = Aliases()
    aliases.add("/p/a", "/p/real")
    aliases.add("/p/b", "/p/a")
    assert aliases.names("/p/real/x") == {"/p/real/x", "/p/a/x", "/p/b/x"}
    aliases.remove("/p/b")
    assert aliases.names("/p/real/x") == {"/p/real/x", "/p/a/x"}
    assert aliases.names("/p/reality/x") == {"/p/reality/x"}
    aliases.clear()
    assert aliases.names("/p/real/x") == {"/p/real/x"}


# --- roots --------------------------------------------------------------------------------------


@linux
def test_roots_come_and_go(top: Path, told: Told, watching: Watcher) -> None:
    """Those that stay are watched without a gap, those that went no more."""
    other = top.parent / "other"
    (other / "deep").mkdir(parents=True)
    watching.set_roots([str(top), str(other)])
    (other / "deep/a.ts").write_text("1")
    (top / "src/a.ts").write_text("1")
    told.wait_for(other / "deep/a.ts", top / "src/a.ts")
    assert watching.health().watching == 4
    watching.set_roots([str(other)])
    assert watching.health().watching == 2
    settle(told, other)
    (top / "src/a.ts").write_text("2")
    (other / "b.ts").write_text("2")
    told.wait_for(other / "b.ts")
    assert not any(path.startswith(f"{top}/") for path in told.paths)


@linux
def test_nested_roots_are_watched_once(top: Path, told: Told, watching: Watcher) -> None:
    """A function's folder inside the project's adds nothing, and taking it away takes nothing."""
    watching.set_roots([str(top / "src"), str(top)])
    assert watching.health().watching == 2
    watching.set_roots([str(top)])
    (top / "src/a.ts").write_text("1")
    told.wait_for(top / "src/a.ts")
    assert watching.health().watching == 2


@linux
def test_a_root_that_appears_later_is_watched(top: Path, told: Told, watching: Watcher) -> None:
    """With folders above it missing too; until then health names it."""
    late = top.parent / "x/y/late"
    watching.set_roots([str(top), str(late)])
    assert watching.health().missing == (f"{late}: not there",)
    (late / "deep").mkdir(parents=True)
    told.wait_for_loss("appeared")
    told.wait(lambda: full(watching.health()), "full health")
    (late / "deep/a.ts").write_text("1")
    told.wait_for(late / "deep/a.ts")


def _root_deleted(top: Path) -> None:
    shutil.rmtree(top)


def _root_renamed(top: Path) -> None:
    top.rename(top.with_name("elsewhere"))


def _parent_renamed(top: Path) -> None:
    top.parent.rename(top.parent.with_name("parent-elsewhere"))


@linux
@pytest.mark.parametrize("leave", [_root_deleted, _root_renamed, _parent_renamed])
@pytest.mark.parametrize("mended", [False, True], ids=["heard", "mended"])
def test_a_root_that_went_and_came_back_is_watched(
    tmp_path: Path, told: Told, leave: Callable[[Path], None], mended: bool
) -> None:
    """Everything is suspect when it goes and when it comes; a save in the new one is told."""
    top = tmp_path.resolve() / "parent/project"
    (top / "src").mkdir(parents=True)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        leave(top)
        told.wait(lambda: bool(told.reasons), "that the root went")
        told.wait(lambda: watcher.health().watching == 0, "that nothing is watched")
        assert watcher.health().missing == (f"{top}: not there",)
        told.forget()
        (top / "src/new").mkdir(parents=True)
        if mended:
            watcher.mend()
        told.wait(lambda: bool(told.reasons), "that the root came back")
        told.wait(lambda: full(watcher.health()), "full health")
        (top / "src/new/a.ts").write_text("1")
        told.wait_for(top / "src/new/a.ts")
        if leave is not _root_deleted:
            told.forget()
            away = next(tmp_path.glob("**/*elsewhere"))
            (away / "unseen.ts").write_text("1")
            settle(told, top)
            assert watcher.health().watching == 3
    finally:
        watcher.stop()


@linux
def test_a_parent_swapped_for_another_is_noticed(tmp_path: Path, told: Told) -> None:
    """The root's path leads to other folders at once: those are watched, and all is suspect."""
    base = tmp_path.resolve()
    for name in ("live", "next"):
        (base / name / "project/src").mkdir(parents=True)
    top = base / "live/project"
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        for _ in range(10):
            told.forget()
            (base / "live").rename(base / "old")
            (base / "next").rename(base / "live")
            (base / "old").rename(base / "next")
            told.wait_for_loss("moved")
            told.wait(lambda: full(watcher.health()), "full health")
            told.forget()
            (top / "src/a.ts").write_text("1")
            told.wait_for(top / "src/a.ts")
    finally:
        watcher.stop()


@linux
@root_only
def test_an_unmounted_root_is_noticed(tmp_path: Path, told: Told) -> None:
    """Both that it went and, by mend, that it is mounted again."""
    top = tmp_path.resolve() / "mounted"
    top.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(top)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    watcher = Watcher([str(top)], told)
    try:
        (top / "src").mkdir()
        watcher.start()
        assert watcher.health().watching == 2
        subprocess.run(["umount", str(top)], check=True)
        told.wait_for_loss("unmounted")
        told.forget()
        subprocess.run(mount, check=True)
        watcher.mend()
        told.wait_for_loss("replaced")
        (top / "a.ts").write_text("1")
        told.wait_for(top / "a.ts")
    finally:
        watcher.stop()
        subprocess.run(["umount", str(top)], check=False, capture_output=True)


# --- limits and faults --------------------------------------------------------------------------


@pytest.fixture
def kernel_limit() -> Iterator[Callable[[str, int], None]]:
    """Sets one of inotify's limits; all are as they were afterwards."""
    before: dict[Path, str] = {}

    def set_limit(name: str, value: int) -> None:
        path = Path("/proc/sys/fs/inotify", name)
        before.setdefault(path, path.read_text())
        try:
            path.write_text(str(value))
        except OSError:
            pytest.skip("may not set the kernel's limits")

    yield set_limit
    for path, value in before.items():
        path.write_text(value)


@linux
@root_only
@pytest.mark.xdist_group("kernel-limits")
def test_a_real_overflow_makes_everything_suspect_and_mends_itself(
    top: Path, told: Told, kernel_limit: Callable[[str, int], None]
) -> None:
    """After it every folder there is has a watch, also those whose creation was dropped."""
    for number in range(200):
        (top / "src" / f"old{number}").mkdir()
    kernel_limit("max_queued_events", 16)
    watcher = Watcher([str(top)], told)
    watcher.start()
    source = watcher._source
    assert isinstance(source, inotify.Inotify)
    try:
        with source._lock:  # the reader stalls, and the kernel's queue fills
            for number in range(300):
                (top / "src" / f"new{number}/inner").mkdir(parents=True)
                if number < 200:
                    (top / "src" / f"old{number}").rmdir()
        told.wait_for_loss("dropped")
        told.wait(lambda: watcher.health().watching == 602, "each folder's watch")
        for number in range(300):
            told.forget()
            (top / "src" / f"new{number}/inner/a.ts").write_text("1")
            told.wait_for(top / "src" / f"new{number}/inner/a.ts")
        assert watcher.health().last_overflow == pytest.approx(time.time(), abs=60)
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
@pytest.mark.parametrize("lost", ["created", "deleted", "moved", "remade"])
def test_an_overflow_leaves_exactly_the_right_watches(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Whatever happened to folders while nothing was heard."""
    (top / "src/a/b").mkdir(parents=True)
    deaf = threading.Event()
    handle = watches._Reader.handle_event

    def handle_unless_deaf(reader: watches._Reader, event: InotifyEvent) -> None:
        if not deaf.is_set():
            handle(reader, event)
        elif event.name == b"overflow":  # in the kernel's place, once it is heard again
            deaf.clear()
            handle(reader, InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b""))  # type: ignore[arg-type]

    monkeypatch.setattr(watches._Reader, "handle_event", handle_unless_deaf)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        deaf.set()
        if lost == "created":
            (top / "src/x/y").mkdir(parents=True)
        elif lost == "deleted":
            shutil.rmtree(top / "src/a")
        elif lost == "moved":
            (top / "src/a").rename(top / "src/z")
        else:
            shutil.rmtree(top / "src")
            (top / "src/a/b").mkdir(parents=True)
        (top / "overflow").touch()
        told.wait_for_loss("dropped")
        settle(told, top)
        folders = [Path(folder) for folder, _, _ in os.walk(top)]
        for folder in folders:
            (folder / "saved.ts").write_text("1")
        told.wait_for(*(folder / "saved.ts" for folder in folders))
        assert watcher.health().watching == len(folders)
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
def test_an_overflow_of_many_folders_makes_no_other(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watches are renewed in place: no event comes of it (watchdog's own way queues one each)."""
    for number in range(500):
        (top / "src" / f"f{number}").mkdir()
    events: list[InotifyEvent] = []
    handle = watches._Reader.handle_event

    def handle_and_count(reader: watches._Reader, event: InotifyEvent) -> None:
        events.append(event)
        handle(reader, event)

    monkeypatch.setattr(watches._Reader, "handle_event", handle_and_count)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        source = watcher._source
        assert isinstance(source, inotify.Inotify)
        source._overflowed()
        told.wait_for_loss("dropped")
        settle(told, top)
        assert len(events) < 20
        assert watcher.health().watching == 502
    finally:
        watcher.stop()


@linux
def test_the_watch_limit_is_told_and_mended(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC for some folders: health counts them, all is suspect once, and a mend finds room."""
    for number in range(10):
        (top / "src" / f"f{number}/inner").mkdir(parents=True)
    allowed = 5
    add = InotifyFD._get_or_create_watch

    def add_some(reader: InotifyFD, path: bytes, mask: Mask) -> object:
        if path.startswith(os.fsencode(top)) and len(reader._watch_for_wd) >= allowed + 6:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return add(reader, path, mask)

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", add_some)
    monkeypatch.setattr(inotify, "above", lambda path: iter([path]))  # no watches above
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        told.wait_for_loss("limit reached")
        health = watcher.health()
        assert health.alive
        assert (health.watching, health.expected) == (11, 22)
        assert len(health.missing) == 11
        assert "limit reached" in health.missing[0]
        told.forget()
        watcher.mend()
        assert watcher.health().watching == 11
        assert told.reasons == []  # not again at each try
        allowed = 1000
        watcher.mend()
        assert full(watcher.health())
        (top / "src/f9/inner/a.ts").write_text("1")
        (top / "src/f0/inner/a.ts").write_text("1")
        told.wait_for(top / "src/f9/inner/a.ts", top / "src/f0/inner/a.ts")
    finally:
        watcher.stop()


@linux
@root_only
@pytest.mark.xdist_group("kernel-limits")
def test_the_kernels_own_watch_limit_is_survived(
    top: Path, told: Told, kernel_limit: Callable[[str, int], None]
) -> None:
    """For real: some folders watched, the rest named, and all of them once it is raised."""
    for number in range(100):
        (top / "src" / f"f{number}").mkdir()
    kernel_limit("max_user_watches", 40)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        health = watcher.health()
        assert health.expected == 102
        assert health.watching < 102
        assert health.missing
        told.wait_for_loss("limit reached")
        kernel_limit("max_user_watches", 100_000)
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
@root_only
@pytest.mark.xdist_group("kernel-limits")
def test_the_kernels_own_instance_limit_is_survived(
    top: Path, told: Told, kernel_limit: Callable[[str, int], None]
) -> None:
    """Nothing is watched and health says why; a mend starts once there is room."""
    kernel_limit("max_user_instances", 0)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        told.wait_for_loss("instance limit")
        health = watcher.health()
        assert not health.alive
        assert (health.watching, health.expected) == (0, 1)
        assert "instance limit" in health.missing[0]
        told.forget()
        watcher.mend()
        assert not watcher.health().alive
        assert told.reasons == []
        kernel_limit("max_user_instances", 128)
        watcher.mend()
        assert full(watcher.health())
        (top / "src/a.ts").write_text("1")
        told.wait_for(top / "src/a.ts")
    finally:
        watcher.stop()


@linux
@pytest.mark.parametrize("nth", range(12))
def test_any_refused_watch_is_counted(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Sweep: whichever call of the kernel fails, the folder is named and the others watched."""
    for number in range(4):
        (top / "src" / f"f{number}").mkdir()
    calls = itertools.count()
    refused: list[bytes] = []
    add = InotifyFD._get_or_create_watch

    def refuse_nth(reader: InotifyFD, path: bytes, mask: Mask) -> object:
        if next(calls) == nth:
            refused.append(path)
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return add(reader, path, mask)

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", refuse_nth)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        health = watcher.health()
        assert health.alive
        assert health.expected == 6
        inside = [path for path in refused if path.startswith(os.fsencode(top))]
        assert health.watching == 6 - len(inside)
        assert [m.split(": ")[0] for m in health.missing] == [os.fsdecode(p) for p in inside]
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
def test_a_folder_that_may_not_be_read_is_counted(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """watchdog answers EACCES with a watch that is none; it is not counted as one."""
    (top / "src/closed").mkdir()
    add = InotifyFD.add_callback

    def deny(reader: InotifyFD, path: bytes, *rest: object) -> object:
        answer = add(reader, path, *rest)  # type: ignore[arg-type]
        if path.endswith(b"/closed"):
            reader.remove_callbacks([(answer, rest[-1])])  # type: ignore[list-item]
            return -1
        return answer

    monkeypatch.setattr(InotifyFD, "add_callback", deny)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        assert watcher.health().missing == (f"{top}/src/closed: permission denied",)
        assert (watcher.health().watching, watcher.health().expected) == (2, 3)
    finally:
        watcher.stop()


@linux
def test_a_reader_that_dies_is_told_and_replaced(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is suspect, health says so, and the next mend listens again."""
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        with monkeypatch.context() as patch:

            def fail(*_: object, **__: object) -> None:
                raise RuntimeError("a fault of ours")

            patch.setattr(inotify.Inotify, "_tell", fail)
            (top / "src/a.ts").write_text("1")
            told.wait_for_loss("died: a fault of ours")
        assert not watcher.health().alive
        assert watcher.health().watching == 0
        assert "a fault of ours" in watcher.health().missing[0]
        watcher.mend()
        told.wait_for_loss("again")
        assert full(watcher.health())
        (top / "src/b.ts").write_text("1")
        told.wait_for(top / "src/b.ts")
    finally:
        watcher.stop()


@linux
def test_a_dead_reader_that_gets_no_instance_stays_told(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mend that fails says why, and the one after it still tries."""
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        source = watcher._source
        assert isinstance(source, inotify.Inotify)
        source._died("the watcher died: test")
        with monkeypatch.context() as patch:

            def refuse(_cls: type[InotifyFD]) -> int:
                raise OSError(errno.EMFILE, "inotify instance limit reached")

            patch.setattr(InotifyFD, "_create_inotify_fd", classmethod(refuse))
            watcher.mend()
            assert watcher.health().missing == (f"{top}: inotify instance limit reached",)
            assert (watcher.health().watching, watcher.health().expected) == (0, 1)
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()


def test_a_system_without_a_watcher_is_told(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails; health says that nothing is watched."""
    monkeypatch.setattr(watch, "SOURCES", {})
    watcher = Watcher([str(top)], told)
    watcher.start()
    told.wait_for_loss("nothing is watched")
    assert not watcher.health().alive
    watcher.set_roots([str(top / "src")])
    watcher.mend()
    watcher.stop()
    assert watcher.health().missing == (f"{top}/src: stopped",)


# --- threads and descriptors --------------------------------------------------------------------


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@linux
def test_200_starts_and_stops_leave_nothing(top: Path, told: Told) -> None:
    """No descriptor, inotify instance or thread is left over."""
    watcher = Watcher([str(top)], told)
    watcher.start()
    watcher.stop()
    gc.collect()
    before = _descriptors(), threading.active_count()
    for turn in range(200):
        watcher.start()
        (top / "src/a.ts").write_text(str(turn))
        watcher.stop()
    assert (_descriptors(), threading.active_count()) == before


@linux
def test_children_do_not_inherit_the_instance(top: Path, told: Told, watching: Watcher) -> None:
    """An esbuild that outlives us must not keep it against the user's limit."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            is_inotify = "inotify" in os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if is_inotify:
            found += 1
            assert not os.get_inheritable(int(name))
    assert found


@linux
def test_start_and_stop_may_be_called_twice(top: Path, told: Told) -> None:
    """The second call does nothing, and a stopped watcher may be asked and told anything."""
    watcher = Watcher([str(top)], told)
    watcher.mend()
    watcher.start()
    watcher.start()
    assert full(watcher.health())
    watcher.stop()
    watcher.stop()
    watcher.mend()
    watcher.set_roots([])
    assert watcher.health().expected == 0


@linux
def test_nobody_is_told_after_stop(top: Path) -> None:
    """stop returns only once notify can't be called any more, in the midst of a burst too."""
    calls = 0

    def notify(_changes: Changes) -> None:
        nonlocal calls
        calls += 1

    for _ in range(20):
        watcher = Watcher([str(top)], notify)
        watcher.start()
        for number in range(50):
            (top / "src" / f"{number}.ts").write_text("1")
        watcher.stop()
        after = calls
        for number in range(50):
            (top / "src" / f"{number}.ts").write_text("2")
        assert calls == after


@linux
def test_an_idle_watcher_uses_no_processor(top: Path) -> None:
    """Its threads wait without a time-out: their clocks stand still while nothing happens."""
    for number in range(500):
        (top / "src" / f"f{number}").mkdir()
    told = Told()
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        settle(told, top)
        threads = [t for t in threading.enumerate() if t.name.startswith("watch-")]
        assert len(threads) == 2
        before = [_switches(thread) for thread in threads]
        threading.Event().wait(0.5)  # what is measured is that nothing happens
        assert [_switches(thread) for thread in threads] == before
    finally:
        watcher.stop()


def _switches(thread: threading.Thread) -> str:
    """How often the kernel has run the thread."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return "".join(line for line in status.splitlines() if "ctxt_switches" in line)


# --- the teller ---------------------------------------------------------------------------------


def test_a_slow_listener_loses_nothing() -> None:
    """What is heard while notify runs is gathered and told in one piece."""
    told = Told()
    entered, release = threading.Event(), threading.Event()

    def notify(changes: Changes) -> None:
        entered.set()
        assert release.wait(BOUND_S)
        told(changes)

    teller = Teller(notify)
    teller.start()
    teller.changed("/first")
    assert entered.wait(BOUND_S)
    for number in range(5000):
        teller.changed(f"/{number}")
    release.set()
    told.wait_for("/first", *(f"/{number}" for number in range(5000)))
    assert len(told.all) == 2
    teller.stop()


def test_a_listener_that_fails_is_owed_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Its fault ends no thread, and the next telling says that one was lost."""
    told = Told()
    failed = threading.Event()

    def notify(changes: Changes) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("loop is closed")
        told(changes)

    teller = Teller(notify)
    teller.start()
    teller.changed("/one")
    assert failed.wait(BOUND_S)
    teller.changed("/two")
    told.wait_for_loss("could not be told")
    teller.stop()
    assert "telling of changes failed" in caplog.text


def test_more_changes_than_worth_naming_are_everything() -> None:
    """Memory stays bounded while nobody takes them."""
    told = Told()
    teller = Teller(told)
    for number in range(watch.MOST_PATHS + 10):
        teller.changed(f"/{number}", half_written=True)
    assert len(teller._paths) < 20
    teller.start()
    told.wait_for_loss("too many")
    teller.stop()


def test_a_half_written_file_waits_for_its_close() -> None:
    """Told at once when it is closed; told anyway when it is not, a few milliseconds later."""
    times: list[float] = []
    told = Told()

    def notify(changes: Changes) -> None:
        times.append(time.monotonic())
        told(changes)

    teller = Teller(notify)
    teller.start()
    started = time.monotonic()
    teller.changed("/open", half_written=True)
    told.wait_for("/open")
    assert times[0] - started >= watch.HOLD_S
    told.forget()
    teller.changed("/a", half_written=True)
    teller.changed("/a")
    told.wait_for("/a")
    assert len(told.all) == 1
    teller.stop()


def test_stop_may_be_called_from_notify() -> None:
    """A listener that leaves on what it hears waits for nobody."""
    done = threading.Event()

    def notify(_changes: Changes) -> None:
        teller.stop()
        done.set()

    teller = Teller(notify)
    teller.start()
    teller.changed("/a")
    assert done.wait(BOUND_S)
    teller.join(BOUND_S)
    assert not teller.is_alive()


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/p", True),
        ("/p/src/a", True),
        ("/p/node_modules/x", False),
        ("/p/src/node_modules", False),
        ("/p/cdk.out/asset", True),
        ("/pp", False),
        ("/", False),
    ],
)
def test_what_roots_cover(path: str, covered: bool) -> None:
    """All below them but the unwatched names, unless one of those is a root."""
    assert is_covered(path, frozenset({"/p", "/p/cdk.out"})) is covered


# --- macOS, against a stand-in for the binding ---------------------------------------------------


class FakeStream:
    """What watchdog's binding offers: runs until it is stopped; the test calls back."""

    made: list[FakeStream]

    def __init__(self, paths: list[str], latency: float) -> None:
        self.paths = paths
        self.callback: Callable[..., None]
        self.ended = threading.Event()
        FakeStream.made.append(self)

    def run(self, callback: Callable[..., None], started: Callable[[], None]) -> None:
        self.callback = callback
        started()
        self.ended.wait(BOUND_S)

    def stop(self) -> None:
        self.ended.set()

    def send(self, path: str | Path, flags: int = 0) -> None:
        self.callback([str(path)], [1], [flags], [1])


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeStream]]:
    """A watcher started now believes it is on macOS."""
    FakeStream.made = []
    binding = types.ModuleType("_watchdog_fsevents")
    binding.__dict__.update(Stream=FakeStream, NativeEvent=object)
    monkeypatch.setitem(sys.modules, "_watchdog_fsevents", binding)
    monkeypatch.setattr(watch, "SOURCES", {sys.platform: watch.SOURCES["darwin"]})
    yield FakeStream.made
    sys.modules.pop("watchdog.observers.fsevents", None)
    sys.modules.pop("daemon.fsevents", None)


def test_fsevents_are_told_as_ours(top: Path, told: Told, mac: list[FakeStream]) -> None:
    """Paths below node_modules and our own output are left out; a dropped event is everything."""
    link = top.parent / "link"
    link.symlink_to(top)
    watcher = Watcher([str(link)], told)
    watcher.start()
    try:
        assert watcher.health().alive
        assert watcher.health().watching == watcher.health().expected == 1
        stream = mac[0]
        assert stream.paths == [str(top)]
        stream.send(top / "node_modules/a/b.js")
        stream.send(top / ".lambdad")
        stream.send(top / "src/a.ts")
        told.wait_for(top / "src/a.ts", link / "src/a.ts")
        stream.send(top / "node_modules")
        told.wait_for(top / "node_modules")
        assert not any("/a/b.js" in path or ".lambdad" in path for path in told.paths)
        stream.send(top, 0x1 | 0x2)
        told.wait_for_loss("dropped")
        assert watcher.health().last_overflow is not None
        stream.send(top, 0x20)
        told.wait_for_loss("moved")
    finally:
        watcher.stop()
    assert mac[0].ended.is_set()


def test_fsevents_streams_follow_their_roots(top: Path, told: Told, mac: list[FakeStream]) -> None:
    """One for each root; one whose folder was replaced, or whose thread ended, is begun anew."""
    other = top.parent / "other"
    other.mkdir()
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        watcher.set_roots([str(other)])
        assert [stream.ended.is_set() for stream in mac] == [True, False]
        other.rename(top.parent / "gone")
        other.mkdir()
        watcher.mend()
        told.wait_for_loss("replaced")
        assert [stream.ended.is_set() for stream in mac] == [True, True, False]
        mac[2].ended.set()
        told.wait(lambda: not watcher.health().alive, "the thread's end")
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()
    assert threading.active_count() <= 2


# --- mount kinds --------------------------------------------------------------------------------

MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:30 / /home/me/share rw shared:7 - nfs4 host:/export rw,vers=4.2
31 27 0:31 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync
32 27 0:32 / /work rw - virtiofs share rw
33 27 0:33 / /media/with\040space rw master:1 propagate_from:2 - fuse.sshfs me@host: rw
34 27 0:34 / /mac rw - fuse.grpcfuse grpcfuse rw
35 27 8:1 / /usb rw - fuseblk /dev/sda1 rw
36 27 0:36 / /crypt rw - fuse.gocryptfs x rw
37 27 0:37 / /over rw - overlay overlay rw
38 30 0:38 / /home/me/share/local rw - tmpfs tmpfs rw
39 27 0:39 / /twice rw - nfs4 host:/a rw
40 39 0:40 / /twice rw - tmpfs tmpfs rw
41 27 0:41 / /docker rw - fakeowner /run/host_mark/Users rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc", mounts.LOCAL),
        ("/", mounts.LOCAL),
        ("/home/me", mounts.LOCAL),
        ("/home/me/share", mounts.NETWORK),
        ("/home/me/share/app/src", mounts.NETWORK),
        ("/home/me/shared", mounts.LOCAL),
        ("/home/me/share/local/x", mounts.LOCAL),
        ("/mnt/c/Users/me", mounts.SHARE),
        ("/work/app", mounts.SHARE),
        ("/media/with space/app", mounts.NETWORK),
        ("/mac/app", mounts.SHARE),
        ("/docker/app", mounts.SHARE),
        ("/usb/app", mounts.LOCAL),
        ("/crypt/app", mounts.USER_SPACE),
        ("/over/app", mounts.LOCAL),
        ("/twice/app", mounts.LOCAL),
    ],
)
def test_the_kind_of_mount_is_known(monkeypatch: pytest.MonkeyPatch, path: str, kind: str) -> None:
    """Of the deepest mount above the path, the latest of two at one place."""
    monkeypatch.setattr(mounts, "_mounts", lambda: mounts.parse_mountinfo(MOUNTINFO))
    assert mounts.mount_kind(path) == kind
    assert (kind == mounts.LOCAL) or mounts.MEANING[kind]


def test_macs_mounts_are_read() -> None:
    """Names with spaces and brackets included."""
    printed = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n"
        "//me@host/share on /Volumes/my share (old) (smbfs, nodev, nosuid)\n"
    )
    assert mounts.parse_mount_output(printed) == [
        ("/", "apfs"),
        ("/System/Volumes/Data/home", "autofs"),
        ("/Volumes/my share (old)", "smbfs"),
    ]


@pytest.mark.parametrize("cut", range(0, len(MOUNTINFO), 7))
def test_torn_mountinfo_raises_nothing(cut: int) -> None:
    """A line that can't be read is left out."""
    for point, kind in mounts.parse_mountinfo(MOUNTINFO[:cut]):
        assert point.startswith("/")
        assert kind


def test_a_system_that_tells_no_mounts_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health says so rather than promise hints."""
    monkeypatch.setattr(mounts, "_mounts", list)
    assert mounts.mount_kind("/p") == mounts.UNKNOWN


@linux
def test_this_machines_mounts_are_known(tmp_path: Path, told: Told) -> None:
    """Of a real path, and of one that is not there yet; health tells the worst of its roots."""
    assert mounts.mount_kind(str(tmp_path)) != mounts.UNKNOWN
    assert mounts.mount_kind(str(tmp_path / "not/yet")) == mounts.mount_kind(str(tmp_path))
    watcher = Watcher([str(tmp_path)], told)
    watcher.start()
    assert watcher.health().mount == mounts.mount_kind(str(tmp_path))
    watcher.stop()
