"""Dependency segments in the store."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.model import BundlerError, Entry, ProjectError
from lambdad.bundler.store import notes
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips import archive, headers, member, segments
from lambdad.bundler.zips.member import Contents, Member
from lambdad.bundler.zips.segments import Spliced

PARTS = [Entry(name=f"n/{i:03}.js", content=b"x = %d;\n" % i * (i + 1)) for i in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_was_made_is_found(store: Store) -> None:
    """Under its key, equal in every field; under another, nothing."""
    made = segments.make(store, "key", PARTS)
    assert segments.find(store, "key") == made
    assert segments.find(store, "other") is None
    assert made.size == Path(made.path).stat().st_size


def test_torn_or_damaged_records_are_a_miss(store: Store) -> None:
    """A kill at any byte, or any byte changed, costs making it anew, never a wrong zip."""
    segments.make(store, "key", PARTS[:3])
    path = store.path("segments", "key.json")
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bad in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
            path.write_bytes(bad)
            assert segments.find(store, "key") is None, at
    path.write_bytes(whole)
    assert segments.find(store, "key") is not None


def test_torn_bytes_are_a_miss(store: Store) -> None:
    """Records without all of the bytes they speak of are not believed."""
    made = segments.make(store, "key", PARTS[:3])
    data = Path(made.path).read_bytes()
    for cut in range(len(data)):
        Path(made.path).write_bytes(data[:cut])
        assert segments.find(store, "key") is None
    Path(made.path).unlink()
    assert segments.find(store, "key") is None


def test_records_of_another_version_or_key_are_a_miss(store: Store) -> None:
    """Sealed as they are, they must also be ours."""
    segments.make(store, "key", PARTS)
    document = notes.read(store, "segments", "key")
    assert document is not None
    foreign: object
    for foreign in ({**document, "schema": 99}, {**document, "key": "other"}, [], None):
        notes.write(store, "segments", "key", foreign)
        assert segments.find(store, "key") is None


def test_threads_change_no_byte(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch in this thread or many in others: the same segment, in the same order."""
    alone = segments.make(store, "alone", PARTS)
    monkeypatch.setattr(segments, "_BATCH", 64)
    many = segments.make(store, "many", iter(PARTS))
    assert many.digest == alone.digest
    assert many.members == alone.members


def test_parts_are_taken_as_they_are_needed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A big node_modules is never in memory as a whole."""
    monkeypatch.setattr(segments, "_BATCH", 1)
    packed = 0
    lead = []
    real = member.pack

    def pack(entry: Entry) -> tuple[Member, bytes]:
        nonlocal packed
        packed += 1
        return real(entry)

    def read() -> Iterator[Entry]:
        for number, entry in enumerate(PARTS):
            lead.append(number)
            yield entry

    written: list[int] = []
    place = headers.placed

    def placed(unplaced: Member, start: int) -> Member:
        written.append(len(lead) - len(written))
        return place(unplaced, start)

    monkeypatch.setattr(segments, "pack", pack)
    monkeypatch.setattr(headers, "placed", placed)
    segments.make(store, "key", read())
    assert packed == len(PARTS)
    assert max(written) < 10


def test_a_fault_in_the_parts_leaves_no_segment(store: Store) -> None:
    """What failed half-way is not found, and nothing lies about."""

    def vanishing() -> Iterator[Entry]:
        yield PARTS[0]
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        segments.make(store, "key", vanishing())
    assert segments.find(store, "key") is None
    assert list((store.root / "segments").iterdir()) == []


def test_unsorted_parts_are_our_bug(store: Store) -> None:
    """Order is part of the bytes, so it is not mended silently."""
    with pytest.raises(ValueError, match="came after"):
        segments.make(store, "key", reversed(PARTS))


@pytest.mark.parametrize(
    ("names", "code"),
    [(["a", "a"], "zip-clash"), (["a", "a-b", "a/b"], "zip-clash"), (["../a"], "zip-name")],
)
def test_unfit_names_are_refused(store: Store, names: list[str], code: str) -> None:
    """Doubles, a file that is a folder, and names that lead out never get into a segment."""
    with pytest.raises(ProjectError) as caught:
        segments.make(store, "key", [Entry(name=name, content=b"") for name in names])
    assert [fault.code for fault in caught.value.diagnostics] == [code]
    assert segments.find(store, "key") is None


def test_compressed_bytes_are_copied_as_they_lie(store: Store, tmp_path: Path) -> None:
    """A part of another zip keeps its compressed bytes, whoever's zlib made them."""
    packed, compressed = member.pack(Entry(name="a", content=b"a" * 1000))
    (tmp_path / "source").write_bytes(b"????" + compressed + b"????")
    spliced = replace(packed, name="lib/a", executable=True, offset=4)
    part = Spliced(spliced, str(tmp_path / "source"))
    made = segments.make(store, "key", [part])
    out = io.BytesIO()
    archive.write(out, Contents(own=(), dependencies=made))
    with zipfile.ZipFile(out) as opened:
        assert opened.read("lib/a") == b"a" * 1000
    (tmp_path / "source").write_bytes(b"????")
    with pytest.raises(BundlerError):
        segments.make(store, "other", [part])
    (tmp_path / "source").unlink()
    with pytest.raises(BundlerError):
        segments.make(store, "other", [part])


def test_keys_hold_all_that_decides() -> None:
    """Other values, another order or another format give another key."""
    keys = {segments.key(*v) for v in (["a"], ["b"], ["a", "b"], ["b", "a"], [["a", "b"]], [])}
    assert len(keys) == 6


def test_a_symlink_in_the_way_of_the_folder(store: Store, tmp_path: Path) -> None:
    """A daemon holds a segment's path for long: what lies there later is no segment, and neither
    marked nor removed."""
    made = segments.make(store, "k", [])
    folder = Path(made.path).parent
    folder.rename(tmp_path / "victim")
    folder.symlink_to(tmp_path / "victim")
    files = sorted((tmp_path / "victim").iterdir())
    for file in files:
        os.utime(file, (1, 1))
    assert not segments.is_there(made)
    with pytest.raises(BundlerError):
        archive.read_prefix(replace(made, digest="0" * 64))
    assert [file.stat().st_mtime for file in files] == [1] * len(files)
