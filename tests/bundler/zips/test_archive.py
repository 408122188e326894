"""The deterministic zip."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import stat
import struct
import subprocess
import tempfile
import threading
import zipfile
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.bundler.model import BundlerError, Entry, ProjectError
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.store.ownership import this_user
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips import archive, headers, reader, segments
from lambdad.bundler.zips.member import Contents, Member, Segment

NOISE = random.Random(0).randbytes(5000)

TREE = (
    Entry(name="app.py", content=b"def handler(event, context):\n    return event\n" * 50),
    Entry(name="bin/run.sh", content=b"#!/bin/sh\nexec python3 -m app\n", executable=True),
    Entry(name="data/empty", content=b""),
    Entry(name="data/noise", content=NOISE),
    Entry(name="a-b/é.txt", content="größer".encode() * 9),
    Entry(name="data/x", content=b"x"),
    # Gives another result at each of libdeflate's levels.
    Entry(
        name="data/lines",
        content=b"".join(b"def f%d(x): return x[%d:] + y\n" % (n % 37, n % 91) for n in NOISE),
    ),
)
GOLDEN = "91d9431777db77b52726e925ec5da5fbc6962698025e65927bfde73ebe19ee3f"

parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:", exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=8,
).filter(lambda part: part not in (".", ".."))


def trees_of(part: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, tuple[bytes, bool]]]:
    content = st.one_of(st.binary(max_size=200), st.sampled_from([b"a" * 999, NOISE]))
    return st.dictionaries(
        st.lists(part, min_size=1, max_size=3).map("/".join),
        st.tuples(content, st.booleans()),
        max_size=8,
    ).filter(lambda tree: not any(a.startswith(b + "/") for a in tree for b in tree))


trees = trees_of(parts)
# Info-ZIP can't map every character of Unicode to a file name, nor does it need to.
unzip_trees = trees_of(
    st.text("abcABC019 _-.éßü語", min_size=2, max_size=8).filter(lambda p: p != "..")
)


def contents(own: Iterable[Entry], dependencies: Segment | None = None) -> Contents:
    return Contents(own=tuple(own), dependencies=dependencies)


def zipped(own: Iterable[Entry], dependencies: Segment | None = None) -> bytes:
    out = io.BytesIO()
    summary = archive.write(out, contents(own, dependencies))
    data = out.getvalue()
    assert summary.sha256 == hashlib.sha256(data).hexdigest()
    assert summary.size == len(data)
    return data


def entries(tree: dict[str, tuple[bytes, bool]]) -> list[Entry]:
    return [Entry(name=n, content=c, executable=x) for n, (c, x) in tree.items()]


def unpacked(data: bytes) -> dict[str, tuple[bytes, bool]]:
    """What zipfile finds; the strict reader that wheels must pass finds no fault."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        for member in reader.read(file.fileno()):
            deque(reader.content(file.fileno(), member), maxlen=0)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        infos = opened.infolist()
        assert len({info.filename for info in infos}) == len(infos)
        return {
            info.filename: (opened.read(info), bool(info.external_attr >> 16 & 0o111))
            for info in infos
        }


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    store = Store(tmp_path / "store")
    dependencies = [
        Entry(name="lib/a.py", content=b"a = 1\n" * 100),
        Entry(name="lib/b.so", content=NOISE, executable=True),
    ]
    return segments.make(store, "key", dependencies)


# --- bytes -----------------------------------------------------------------------------------


def test_the_bytes_are_these_on_every_machine() -> None:
    """A fixed tree has a fixed digest: if this fails, ZIP_FORMAT must be raised."""
    assert hashlib.sha256(zipped(TREE)).hexdigest() == GOLDEN


def test_every_field_is_fixed() -> None:
    """One time, two modes, one creator, no extra fields or comments, UTF-8 flag where needed."""
    with zipfile.ZipFile(io.BytesIO(zipped(TREE))) as opened:
        infos = opened.infolist()
        assert opened.comment == b""
    assert [info.filename for info in infos] == sorted(entry.name for entry in TREE)
    for info in infos:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert (info.create_system, info.create_version, info.extract_version) == (3, 45, 20)
        assert (info.extra, info.comment, info.internal_attr) == (b"", b"", 0)
        mode = 0o755 if info.filename == "bin/run.sh" else 0o644
        assert info.external_attr == (stat.S_IFREG | mode) << 16
        assert info.flag_bits == (0 if info.filename.isascii() else 0x800)


def test_what_does_not_shrink_is_stored() -> None:
    """Empty, tiny and incompressible files are stored, others deflated."""
    with zipfile.ZipFile(io.BytesIO(zipped(TREE))) as opened:
        stored = {i.filename for i in opened.infolist() if i.compress_type == zipfile.ZIP_STORED}
    assert stored == {"data/empty", "data/noise", "data/x", "bin/run.sh"}


@given(tree=trees, seed=st.randoms(use_true_random=False))
def test_any_tree_comes_back_and_its_order_never_matters(
    tree: dict[str, tuple[bytes, bool]], seed: random.Random
) -> None:
    """Names, bytes and +x survive; entries in another order give the same zip."""
    own = entries(tree)
    data = zipped(own)
    assert unpacked(data) == tree
    seed.shuffle(own)
    assert zipped(own) == data


@settings(max_examples=15, deadline=None)
@given(tree=unzip_trees)
def test_unzip_agrees(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, tuple[bytes, bool]]
) -> None:
    """Info-ZIP's unzip finds no fault and unpacks the same files with the same modes."""
    folder = tmp_path_factory.mktemp("unzip")
    target = folder / "a.zip"
    target.write_bytes(zipped(entries({**tree, "always": (b"there", True)})))
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(["unzip", "-tqq", target], check=True, env=environ)
    subprocess.run(["unzip", "-qq", target, "-d", folder / "out"], check=True, env=environ)
    out = folder / "out"
    found = {
        path.relative_to(out).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in out.rglob("*")
        if path.is_file()
    }
    assert found == {**tree, "always": (b"there", True)}


# --- Zip64 -----------------------------------------------------------------------------------


def test_zip64_only_for_the_numbers_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and offsets past the limit go to Zip64 fields that other readers follow."""
    own = [Entry(name=f"f{i}", content=NOISE[: 100 * i]) for i in range(6)]
    plain = zipped(own)
    monkeypatch.setattr(headers, "FIT_32", 300)
    wide = zipped(own)
    assert unpacked(wide) == unpacked(plain)
    with zipfile.ZipFile(io.BytesIO(wide)) as opened:
        needs = {info.filename: info.extract_version for info in opened.infolist()}
    assert needs == {"f0": 20, "f1": 20, "f2": 20, "f3": 45, "f4": 45, "f5": 45}


def test_sizes_past_4_gib_stand_in_zip64_fields() -> None:
    """A header's own fields are full of ones, as they are from 4 GiB - 1 on; no smaller size is."""
    unplaced = Member(
        name="x",
        executable=False,
        deflated=False,
        crc=0,
        compressed_size=0xFFFFFFFE,
        size=0xFFFFFFFE,
        offset=0,
    )
    fits = headers.placed(unplaced, 0xFFFFFFFE)
    assert headers.LOCAL.unpack_from(headers.local_header(fits))[7:] == (*[0xFFFFFFFE] * 2, 1, 0)
    assert headers.CENTRAL.unpack_from(headers.directory_record(fits))[-1] == 0xFFFFFFFE
    for size in (0xFFFFFFFF, 5 << 30):
        wide = headers.placed(replace(unplaced, size=size), 0xFFFFFFFE)
        header = headers.local_header(wide)
        assert headers.LOCAL.unpack_from(header)[7:] == (0xFFFFFFFF, 0xFFFFFFFF, 1, 20)
        assert header[31:] == struct.pack("<2H2Q", 1, 16, size, 0xFFFFFFFE)
        listed = headers.directory_record(wide)
        assert headers.CENTRAL.unpack_from(listed)[8:10] == (0xFFFFFFFE, 0xFFFFFFFF)
        assert listed[47:] == struct.pack("<2HQ", 1, 8, size)
        assert headers.directory_record(headers.placed(unplaced, size))[47:] == listed[47:]


def test_unzip_follows_zip64(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Info-ZIP reads Zip64 sizes, offsets and end records as we write them."""
    monkeypatch.setattr(headers, "FIT_32", 300)
    (tmp_path / "a.zip").write_bytes(zipped(TREE))
    subprocess.run(["unzip", "-tqq", tmp_path / "a.zip"], check=True)


@pytest.mark.parametrize(("count", "wide"), [(65534, False), (65535, True), (70000, True)])
def test_many_files(count: int, wide: bool) -> None:
    """Past 65,534 files the end is Zip64's, because 65,535 means "look there"."""
    data = zipped(Entry(name=f"{i}", content=b"") for i in range(count))
    assert (headers.END_64_MARK in data[-200:]) is wide
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert len(opened.namelist()) == count


# --- names -----------------------------------------------------------------------------------


def test_clashing_names_are_the_projects_fault(segment: Segment) -> None:
    """Own doubles, a file that is a folder, and a clash with a dependency are told together, and
    nothing is written."""
    own = [Entry(name=name, content=b"") for name in ("a", "a", "lib", "b/c", "b")]
    out = io.BytesIO()
    with pytest.raises(ProjectError) as caught:
        archive.write(out, contents(own, segment))
    messages = [fault.message for fault in caught.value.diagnostics]
    assert {fault.code for fault in caught.value.diagnostics} == {"zip-clash"}
    assert len(messages) == 4
    assert "own code and a dependency both claim lib/a.py in the zip" in messages
    assert out.getvalue() == b""


# --- the dependency segment ------------------------------------------------------------------


def test_a_segment_and_own_code_are_one_zip(segment: Segment) -> None:
    """The dependencies stand first, both parts sorted, and all can be read."""
    data = zipped(TREE, segment)
    assert data.startswith(Path(segment.path).read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["lib/a.py", "lib/b.so", *sorted(e.name for e in TREE)]
        assert opened.getinfo("lib/b.so").external_attr >> 16 & 0o111


def test_however_it_is_written_the_bytes_are_the_same(segment: Segment, tmp_path: Path) -> None:
    """Memory, a file, an unbuffered file, a file opened to append, a kept prefix: one result."""
    expected = zipped(TREE, segment)
    prefix = archive.read_prefix(segment)
    for number, (mode, buffering, kept) in enumerate(
        [
            ("wb", -1, None),
            ("wb", 0, None),
            ("ab", -1, None),
            ("wb", -1, prefix),
            ("ab", -1, prefix),
        ]
    ):
        path = tmp_path / f"{number}.zip"
        with open(path, mode, buffering=buffering) as out:
            summary = archive.write(out, contents(TREE, segment), kept)  # type: ignore[arg-type]
            assert out.tell() == summary.size
        assert path.read_bytes() == expected
        assert summary.sha256 == hashlib.sha256(expected).hexdigest()
    assert prefix.state.hexdigest() == segment.digest, "a kept state is never fed"


def test_without_copy_in_the_kernel(
    segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel can't copy, or stops half-way to say so, the bytes are read and written."""
    expected = zipped(TREE, segment)
    real = os.copy_file_range
    calls = []

    def stops(source: int, target: int, count: int) -> int:
        calls.append(count)
        if len(calls) > 1:
            raise OSError(18, "cross-device")
        return real(source, target, 10)

    monkeypatch.setattr(os, "copy_file_range", stops)
    with open(tmp_path / "a.zip", "wb") as out:
        archive.write(out, contents(TREE, segment))
    assert (tmp_path / "a.zip").read_bytes() == expected
    monkeypatch.delattr(os, "copy_file_range")
    with open(tmp_path / "b.zip", "wb") as out:
        archive.write(out, contents(TREE, segment))
    assert (tmp_path / "b.zip").read_bytes() == expected


def test_a_kept_prefix_spares_reading(segment: Segment, tmp_path: Path) -> None:
    """With its prefix at hand the segment is not digested again."""
    prefix = archive.read_prefix(segment)
    other = hashlib.sha256(b"marked")
    with open(tmp_path / "a.zip", "wb") as out:
        summary = archive.write(out, contents(TREE, segment), replace(prefix, state=other))
    assert summary.sha256 != hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()


def test_a_prefix_of_another_segment_is_not_believed(segment: Segment, tmp_path: Path) -> None:
    """Neither one with other records, nor one of a file that was replaced since."""
    prefix = archive.read_prefix(segment)
    wrong = replace(prefix, state=hashlib.sha256(b"wrong"), directory=b"wrong")
    plain = tuple(replace(member, executable=False) for member in segment.members)
    for kept in (
        replace(wrong, segment=replace(segment, members=plain)),
        replace(wrong, key=prefix.key._replace(ctime_ns=prefix.key.ctime_ns - 1)),
    ):
        out = io.BytesIO()
        archive.write(out, contents(TREE, segment), kept)
        assert out.getvalue() == zipped(TREE, segment)


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "gone"])
def test_a_damaged_segment_is_never_used(segment: Segment, tmp_path: Path, damage: str) -> None:
    """Any byte changed, cut off, added, or the file gone: an error, and the next build heals it."""
    good = Path(segment.path).read_bytes()
    variants: dict[str, list[bytes | None]] = {
        "flip": [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in range(0, len(good), 97)],
        "cut": [good[:i] for i in range(0, len(good), 97)],
        "grow": [good + b"\0"],
        "gone": [None],
    }
    store = Store(tmp_path / "store")
    for bad in variants[damage]:
        Path(segment.path).unlink(missing_ok=True)
        if bad is not None:
            Path(segment.path).write_bytes(bad)
        with pytest.raises(BundlerError) as caught:
            archive.write(io.BytesIO(), contents(TREE, segment))
        assert caught.value.code == "store-damaged"
        assert segments.find(store, "key") is None


@pytest.mark.parametrize("change", [-1, 1])
def test_a_segment_of_another_length_is_refused_with_a_prefix(
    segment: Segment, change: int
) -> None:
    """Though its bytes are not read, its length is looked at."""
    prefix = archive.read_prefix(segment)
    os.truncate(segment.path, segment.size + change)
    with pytest.raises(BundlerError):
        archive.write(io.BytesIO(), contents(TREE, segment), prefix)


# --- files -----------------------------------------------------------------------------------


def test_the_file_bears_its_digest(tmp_path: Path) -> None:
    """`<sha256>.zip`, read-only for all whatever the umask; written again it stays that inode."""
    before = os.umask(0o077)
    try:
        summary = archive.write_file(Folder.root(str(tmp_path), this_user()), contents(TREE))
    finally:
        os.umask(before)
    path = tmp_path / f"{summary.sha256}.zip"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == summary.sha256
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    inode = path.stat().st_ino
    archive.write_file(Folder.root(str(tmp_path), this_user()), contents(TREE))
    assert path.stat().st_ino == inode
    assert os.listdir(tmp_path) == [path.name]


def test_a_damaged_file_under_the_digest_is_replaced(tmp_path: Path) -> None:
    """A name is not proof: the bytes are."""
    summary = archive.write_file(Folder.root(str(tmp_path), this_user()), contents(TREE))
    path = tmp_path / f"{summary.sha256}.zip"
    path.write_bytes(path.read_bytes()[:-1])
    archive.write_file(Folder.root(str(tmp_path), this_user()), contents(TREE))
    assert path.stat().st_size == summary.size


def test_a_fault_leaves_nothing_behind(
    tmp_path: Path, segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a write fails, no file is left, neither whole nor half."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    Path(segment.path).write_bytes(b"damaged")
    with pytest.raises(BundlerError):
        archive.write_file(Folder.root(str(folder), this_user()), contents(TREE, segment))
    assert os.listdir(folder) == []


def test_writers_of_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that write at once, threads or processes, the first one's file stays."""
    holds = archive._holds
    inodes: list[int] = []
    both = threading.Barrier(2)

    def late(folder: Folder, name: str, sha256: str) -> bool:
        found = holds(folder, name, sha256)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # until the other has looked, too, if it can
        return found

    def wrote() -> None:
        folder = Folder.root(str(tmp_path), this_user())
        summary = archive.write_file(folder, contents(TREE))
        inodes.append(folder.status(f"{summary.sha256}.zip").st_ino)

    monkeypatch.setattr(archive, "_holds", late)
    for lock in (threading.Lock(), contextlib.nullcontext()):
        monkeypatch.setattr(archive, "_PUBLISHING", lock)
        both.reset()
        threads = [threading.Thread(target=wrote) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (path,) = tmp_path.iterdir()
        assert len(inodes) == 2
        assert set(inodes) == {path.stat().st_ino}
        path.unlink()
        inodes.clear()
