from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import Mask

from lambdad.daemon.watching import watches
from lambdad.daemon.watching.aliases import Aliases, resolved
from lambdad.daemon.watching.watcher import Watcher
from tests.support.watching import Told, full, linux, settle

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")

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
def test_an_unpaired_move_holds_nothing_back(top: Path, told: Told, watching: Watcher) -> None:
    """A file moved out of sight is reported without its other half, and so is what comes after.

    That neither is late (watchdog's observer waits 0.5 s) is measured in benchmarks/watching.py.
    """
    (top / "src/a.ts").write_text("1")
    settle(told, top)
    (top / "src/a.ts").rename(top.parent / "away.ts")
    (top / "src/b.ts").write_text("2")
    told.wait_for(top / "src/a.ts", top / "src/b.ts")


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
def test_folders_exchanged_in_one_step_are_watched(
    top: Path, told: Told, watching: Watcher
) -> None:
    """renameat2(2) with RENAME_EXCHANGE: each name went and came, in an order of its own."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        pytest.skip("a C library without renameat2")
    for name in ("one", "two"):
        (top / "src" / name / name).mkdir(parents=True)
    settle(told, top)
    at_cwd, exchange = -100, 2
    for _ in range(5):
        one, two = bytes(top / "src/one"), bytes(top / "src/two")
        if rename(at_cwd, one, at_cwd, two, exchange):
            pytest.skip("a file system that exchanges nothing")
    settle(told, top)
    (top / "src/one/two/in.ts").write_text("1")
    (top / "src/two/one/in.ts").write_text("1")
    told.wait_for(top / "src/one/two/in.ts", top / "src/two/one/in.ts")
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
@pytest.mark.parametrize("leave", [shutil.rmtree, lambda path: path.rename(f"{path}.old")])
def test_an_unwatched_name_is_watched_where_it_is_a_root(
    top: Path, told: Told, leave: Callable[[Path], object]
) -> None:
    """A cloud assembly in cdk.out is no source, but asked for by name; also once it is remade."""
    (top / "cdk.out").mkdir()
    watcher = Watcher([str(top), str(top / "cdk.out")], told)
    watcher.start()
    try:
        (top / "cdk.out/manifest.json").write_text("1")
        told.wait_for(top / "cdk.out/manifest.json")
        leave(top / "cdk.out")
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
    """Its old target is no longer told under its name, and no target once it is deleted."""
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
    (top / "src/now").unlink()
    settle(told, top)
    (top / "two/c.ts").write_text("1")
    told.wait_for(top / "two/c.ts")
    assert str(top / "src/now/c.ts") not in told.paths


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


def test_a_path_whose_link_just_went_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's realpath raises when a link goes between its two looks at it."""

    def race(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(os.path, "realpath", race)
    assert resolved("/p/link") == "/p/link"


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


@linux
@pytest.mark.parametrize("early", ["x", "x/y", "x/y/late"])
def test_a_folder_that_appears_as_its_parent_gets_a_watch_is_noticed(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch, early: str
) -> None:
    """Whichever of those above a missing root it is, and the root itself."""
    late = top.parent / "x/y/late"
    add = watches.Watches.add

    def add_late(self: watches.Watches, folder: watches.Watched, mask: Mask) -> str | None:
        if folder.path == str((top.parent / early).parent):
            (top.parent / early).mkdir(parents=True, exist_ok=True)
        return add(self, folder, mask)

    (top.parent / early).parent.mkdir(parents=True, exist_ok=True)
    watcher = Watcher([str(top), str(late)], told)
    monkeypatch.setattr(watches.Watches, "add", add_late)
    watcher.start()
    try:
        late.mkdir(parents=True, exist_ok=True)
        told.wait(lambda: full(watcher.health()), "full health")
        (late / "a.ts").write_text("1")
        told.wait_for(late / "a.ts")
    finally:
        watcher.stop()


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
        told.wait_for_loss(f"{top} was unmounted")
        told.forget()
        subprocess.run(mount, check=True)
        watcher.mend()
        told.wait_for_loss("replaced")
        (top / "a.ts").write_text("1")
        told.wait_for(top / "a.ts")
    finally:
        watcher.stop()
        subprocess.run(["umount", str(top)], check=False, capture_output=True)
