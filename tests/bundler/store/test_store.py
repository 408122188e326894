"""The shared store, and writing files whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import prune
from lambdad.bundler.store.store import (
    Store,
    cache_folder,
    usual_cache_folder,
    write_atomic,
)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """Whatever stops a write, the old file stays and no temporary is left."""
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(out: BinaryIO) -> None:
        out.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomic(path, fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_modes_do_not_follow_the_umask(tmp_path: Path) -> None:
    """A file is readable the same way whatever the umask was."""
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LAMBDAD_CACHE_DIR": "/c", "XDG_CACHE_HOME": "/x"}, "/c"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/lambdad"),
        ({}, str(Path("~/.cache/lambdad").expanduser())),
    ],
)
def test_where_the_store_lies(environ: dict[str, str], expected: str) -> None:
    """LAMBDAD_CACHE_DIR, else XDG_CACHE_HOME, else ~/.cache."""
    assert str(usual_cache_folder(environ)) == expected


@pytest.mark.parametrize("home", ["/dev/null", "/proc", None])
def test_where_no_home_can_be_written(home: str | None, tmp_path: Path) -> None:
    """The store lies among the temporary files then, in a folder that others can't enter."""
    environ = {"TMPDIR": str(tmp_path)} | ({"HOME": home} if home else {})
    if home is None:
        environ["XDG_CACHE_HOME"] = "/dev/null"
    found = cache_folder(environ)
    assert found == tmp_path / f"lambdad-{os.geteuid()}" / "cache"
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700
    with Store(found).workspace() as folder:
        assert folder.is_relative_to(found)


def test_another_in_the_place_of_the_store(tmp_path: Path) -> None:
    """What lies under that name already is not used unless it is a folder of this user's."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"lambdad-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundlerError) as caught:
        cache_folder({"HOME": "/dev/null", "TMPDIR": str(tmp_path)})
    assert caught.value.code == "not-ours"


def test_the_first_to_adopt_wins(tmp_path: Path) -> None:
    """Two processes that make the same thing end with one of them, whole."""
    store = Store(tmp_path / "store")
    for text in ("first", "second"):
        with store.workspace() as folder:
            (folder / "made").mkdir()
            (folder / "made" / "x").write_text(text)
            kept = store.adopt(folder / "made", "esbuild", "v1")
    assert (kept / "x").read_text() == "first"
    assert sorted(os.listdir(store.root)) == ["esbuild"]


def test_prune_by_age_and_size(tmp_path: Path) -> None:
    """The longest unused goes first, and only as much as must."""
    store = Store(tmp_path / "store")
    for age, name in enumerate(["new", "older", "oldest"]):
        path = store.put("locks", name, b"x" * 100)
        os.utime(path, (1_000_000 - age * prune.DAY_S,) * 2)
    assert prune.Usage(kind="locks", entries=3, size=300) in prune.usage(store)
    assert prune.prune(store, unused_days=2, now_s=1_000_000) == (1, 100)
    assert store.find("locks", "oldest") is None
    assert prune.prune(store, max_bytes=150, now_s=1_000_000) == (1, 100)
    assert store.find("locks", "new") is not None


def test_use_is_remembered(tmp_path: Path) -> None:
    """Finding something marks it as used, so prune keeps it."""
    store = Store(tmp_path / "store")
    path = store.put("locks", "a", b"")
    os.utime(path, (1, 1))
    store.find("locks", "a")
    assert prune.prune(store, unused_days=1) == (0, 0)
