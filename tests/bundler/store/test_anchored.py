"""Folders that are held open: what is reached through them, and what is refused."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store.anchored import ABANDONED_S, TEMPORARY, Folder
from lambdad.bundler.store.ownership import this_user, this_user_or_root
from tests.support.steps import at_step

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The path of `ours`."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def ours(home: Path) -> Folder:
    return Folder.root(str(home), this_user())


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder outside, which must be as it was afterwards, times included."""
    folder = tmp_path / "victim"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_bytes(b"precious")
    (folder / "below/file").write_bytes(b"precious")
    old_s = time.time() - 86_400
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (old_s, old_s))
    before = state_of(folder)
    yield folder
    assert state_of(folder) == before


def state_of(folder: Path) -> dict[str, tuple[int, ...]]:
    return {
        str(path): (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
        for status in [path.lstat()]
    }


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")


# --- what is in the way ------------------------------------------------------------------------


def a_link_to_a_folder(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def a_link_to_a_file(path: Path, victim: Path) -> None:
    path.symlink_to(victim / "file")


def a_link_to_nothing(path: Path, victim: Path) -> None:
    path.symlink_to(victim / "new")


def a_fifo(path: Path, _victim: Path) -> None:
    os.mkfifo(path)


def a_file(path: Path, _victim: Path) -> None:
    path.write_bytes(b"old")


def a_folder(path: Path, _victim: Path) -> None:
    path.mkdir()


def anothers_file(path: Path, _victim: Path) -> None:
    needs_root()
    path.write_bytes(b"old")
    os.chown(path, NOBODY, NOBODY)


def anothers_folder(path: Path, _victim: Path) -> None:
    needs_root()
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)


Way = Callable[[Path, Path], None]
LINKS: tuple[Way, ...] = (a_link_to_a_folder, a_link_to_a_file, a_link_to_nothing)
NO_FOLDER: tuple[Way, ...] = (*LINKS, a_fifo, a_file, anothers_folder)
NO_FILE: tuple[Way, ...] = (*LINKS, a_fifo, a_folder, anothers_file)

ON_FOLDERS: dict[str, Callable[[Folder], object]] = {
    "folder": lambda ours: ours.folder("x"),
    "make": lambda ours: ours.make("x"),
    "discard": lambda ours: ours.discard("x", ours),
    "beneath": lambda ours: Folder.beneath(ours.path, "x", this_user()),
    "make_beneath": lambda ours: Folder.make_beneath(ours.path, "x", this_user()),
}
ON_FILES: dict[str, Callable[[Folder], object]] = {
    "status": lambda ours: ours.status("x"),
    "holds": lambda ours: ours.holds("x"),
    "open": lambda ours: ours.open("x"),
    "read": lambda ours: ours.read("x"),
    "write": lambda ours: ours.write("x", b"new"),
    "write missable": lambda ours: ours.write("x", b"new", missable=True),
    "touch_file": lambda ours: ours.touch_file("x"),
    "share": lambda ours: ours.share("y", ours, "x"),
}


@pytest.mark.parametrize("way", NO_FOLDER)
@pytest.mark.parametrize("does", ON_FOLDERS)
def test_what_is_no_folder_of_ours_is_refused(
    ours: Folder, home: Path, victim: Path, way: Way, does: str
) -> None:
    """The refusal names the path and says what to do; nothing behind it is touched."""
    way(home / "x", victim)
    with pytest.raises(BundlerError) as refused:
        ON_FOLDERS[does](ours)
    assert refused.value.code == "not-ours"
    assert str(home / "x") in refused.value.message
    assert refused.value.hint is not None
    assert os.listdir(home) == ["x"]


@pytest.mark.parametrize("way", NO_FILE)
@pytest.mark.parametrize("does", ON_FILES)
def test_what_is_no_file_of_ours_is_refused(
    ours: Folder, home: Path, victim: Path, way: Way, does: str
) -> None:
    """Likewise; a FIFO is not waited for."""
    way(home / "x", victim)
    with pytest.raises(BundlerError) as refused:
        ON_FILES[does](ours)
    assert refused.value.code == "not-ours"
    assert str(home / "x") in refused.value.message
    assert os.listdir(home) == ["x"]


NAMES = ("", ".", "..", "a/b", "/etc", "a\0b")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("does", ["folder", "make", "status", "read", "remove", "touch_file"])
def test_a_name_that_is_a_path_is_no_name(ours: Folder, name: str, does: str) -> None:
    """No name leads out of the folder, wherever it came from."""
    with pytest.raises(ValueError, match="no name"):
        getattr(ours, does)(name)


# --- what is held stays what it is --------------------------------------------------------------


def test_a_swap_after_the_opening_changes_nothing(ours: Folder, home: Path, victim: Path) -> None:
    """What is done in a folder is done in the one that was opened, whatever has its path now."""
    inner = ours.make("inner")
    inner.write("file", b"1")
    (home / "inner").rename(home / "away")
    (home / "inner").symlink_to(victim)
    assert inner.read("file") == b"1"
    inner.write("file", b"2")
    inner.write("other", b"3")
    inner.remove("file")
    inner.make("below").write("deep", b"4")
    inner.discard("below", inner)
    assert os.listdir(home / "away") == ["other"]


def test_swaps_while_a_folder_is_removed(
    tmp_path: Path, ours: Folder, home: Path, victim: Path
) -> None:
    """Before any step of it, all folders may be swapped for symlinks: the links alone go."""
    away = tmp_path / "away"
    away.mkdir()
    names = itertools.count()

    def swap() -> None:
        for top, folders, _files in os.walk(home, topdown=False):
            for name in folders:
                Path(top, name).rename(away / str(next(names)))
                Path(top, name).symlink_to(victim)

    for count in itertools.count():
        tree = ours.make_new(f"x{count}")
        for name in ("a", "b"):
            tree.make(name).make("below").write("file", b"")
        with at_step(count, swap) as step, contextlib.suppress(OSError, BundlerError):
            ours.discard(f"x{count}", ours)
        for left in home.iterdir():
            assert left.is_symlink()
            left.unlink()
        if not step.is_done:
            break
    assert count > 10


# --- what it does ---------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(ours: Folder, home: Path) -> None:
    """What fails on the way leaves the old file and no temporary."""
    ours.write("file", b"old")

    def fails(out: object) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        ours.write("file", fails)
    assert (home / "file").read_bytes() == b"old"
    assert os.listdir(home) == ["file"]
    status = ours.write("file", b"new", 0o600)
    assert stat.S_IMODE((home / "file").stat().st_mode) == 0o600
    assert status.st_ino == (home / "file").stat().st_ino
    assert ours.write("file", b"newer", missable=True).st_size == 5


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(ours: Folder, home: Path, umask: int) -> None:
    """What is made can be read by others and not written, or as its mode says."""
    before = os.umask(umask)
    try:
        ours.make("open")
        ours.make("closed", 0o700)
        ours.write("file", b"")
        Folder.make_beneath(str(home), "top", this_user())
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    assert modes == {"open": 0o755, "closed": 0o700, "file": 0o644, "top": 0o755}


def test_a_folder_that_others_may_write_to_is_closed_to_them(ours: Folder, home: Path) -> None:
    """Earlier versions left the mode to the umask."""
    (home / "x").mkdir()
    (home / "x").chmod(0o777)
    ours.folder("x")
    assert stat.S_IMODE((home / "x").stat().st_mode) == 0o755


def test_touching_a_file_does_not_touch_its_other_names(ours: Folder, home: Path) -> None:
    """The clock of a project that was copied with hard links is not the copy's."""
    (home / "other").write_bytes(b"")
    os.utime(home / "other", (1, 1))
    os.link(home / "other", home / "clock")
    ours.touch_file("clock")
    assert (home / "other").stat().st_mtime == 1
    first = ours.touch_file("clock")
    assert first.st_ino == ours.touch_file("clock").st_ino


def test_a_deep_folder_is_removed(ours: Folder, home: Path) -> None:
    """Depth costs no stack: neither ours nor a clone's."""
    (home / "aside").mkdir()
    place = ours.make("deep")
    for _ in range(800):
        place.write("file", b"")
        place.link("link", "/etc")
        place = place.make("d")
    del place
    ours.discard("deep", ours.folder("aside"))
    assert sorted(os.listdir(home)) == ["aside"]
    assert os.listdir(home / "aside") == []


def test_links_are_removed_and_not_what_they_lead_to(
    ours: Folder, home: Path, victim: Path
) -> None:
    (home / "x/below").mkdir(parents=True)
    (home / "x/link").symlink_to(victim)
    (home / "x/below/link").symlink_to(victim / "file")
    ours.discard("x", ours)
    assert os.listdir(home) == []


def test_abandoned_temporaries_are_collected(ours: Folder, home: Path, victim: Path) -> None:
    """Files, folders and links by their own age; not what links lead to, nor other names."""
    (home / f"{TEMPORARY}1").write_bytes(b"")
    (home / f"{TEMPORARY}2/below").mkdir(parents=True)
    (home / f"{TEMPORARY}3").symlink_to(victim)
    (home / "kept").mkdir()
    assert ours.collect_abandoned() == 0
    assert ours.collect_abandoned(time.time() + ABANDONED_S + 60) == 3
    assert os.listdir(home) == ["kept"]


def test_anothers_folder_is_not_emptied(ours: Folder, home: Path) -> None:
    """Not even by root, and not where it lies in a folder of ours."""
    needs_root()
    (home / f"{TEMPORARY}1/his").mkdir(parents=True)
    (home / f"{TEMPORARY}1/his/file").write_bytes(b"")
    os.chown(home / f"{TEMPORARY}1/his", NOBODY, NOBODY)
    ours.collect_abandoned(time.time() + ABANDONED_S + 60)
    assert len(list(home.rglob("file"))) == 1


# --- roots ----------------------------------------------------------------------------------------


def test_a_root_may_be_reached_through_the_users_links(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "last").symlink_to(home)
    assert Folder.root(str(tmp_path / "link/home"), this_user()).listed() == []
    assert Folder.root(str(tmp_path / "last"), this_user()).listed() == []


def test_a_root_behind_anothers_link_is_refused(home: Path, tmp_path: Path) -> None:
    """In /tmp anybody may put a link where we look for a folder, even to one of ours."""
    needs_root()
    (tmp_path / "link").symlink_to(home)
    os.chown(tmp_path / "link", NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(BundlerError, match="belongs to another user"):
        Folder.root(str(tmp_path / "link"), this_user())


def test_anothers_root_is_refused(home: Path) -> None:
    needs_root()
    os.chown(home, NOBODY, NOBODY)
    with pytest.raises(BundlerError, match="belongs to another user"):
        Folder.root(str(home), this_user_or_root())


def test_a_root_that_others_can_write_to_is_closed_to_them(home: Path) -> None:
    home.chmod(0o777)
    Folder.root(str(home), this_user())
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_descriptors_are_not_kept(ours: Folder) -> None:
    """A folder's is closed as soon as nothing refers to it."""
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        ours.make("x").write("file", b"")
        ours.folder("x").read("file")
    assert len(os.listdir("/dev/fd")) == before
