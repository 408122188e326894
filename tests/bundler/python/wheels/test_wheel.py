"""Wheels, proved once on entering the store."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
import zlib
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.bundler.model import BundlerError, ProjectError
from lambdad.bundler.python.wheels import wheel
from lambdad.bundler.python.wheels.wheel import Wheel
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips import reader
from lambdad.bundler.zips.member import Member
from tests.support.paths import ROOT
from tests.support.rawzip import Raw, build, deflated, distribution, write_wheel

NAME = "pkg-1.0-py3-none-any.whl"
HONEST: dict[str, bytes | Raw] = {
    "pkg/__init__.py": b"value = 1\n" * 20,
    "pkg/data.bin": bytes(range(256)),
    "pkg/tool": Raw("pkg/tool", b"#!/bin/sh\n", mode=stat.S_IFREG | 0o755),
    "pkg/empty": b"",
    "pkg/kindless": Raw("pkg/kindless", b"", mode=0o755),
}
TEXT = b"text " * 100


def with_file(raw: Raw) -> bytes:
    return build(distribution({**HONEST, "raw": raw}))


def prove(folder: Path, data: bytes, name: str = NAME) -> Wheel:
    (folder / name).write_bytes(data)
    return wheel.prove(folder / name)


def codes(folder: Path, data: bytes, name: str = NAME) -> list[tuple[str, str]]:
    with pytest.raises(ProjectError) as caught:
        prove(folder, data, name)
    assert all(fault.hint for fault in caught.value.diagnostics)
    return [(fault.code, fault.message) for fault in caught.value.diagnostics]


def described(content: bytes, descriptor: str, *, sizes: bool = False, mark: bool = True) -> Raw:
    """A streamed file: flag 3, sizes behind its bytes; `descriptor` is their format."""
    numbers = (zlib.crc32(content), len(deflated(content)), len(content))
    local = {"flags": 8} if sizes else {"flags": 8, "crc": 0, "compressed_size": 0, "size": 0}
    after = (b"PK\x07\x08" if mark else b"") + struct.pack(descriptor, *numbers)
    return Raw("pkg/s.py", content, local=local, central={"flags": 8}, after=after)


def zip64(*numbers: int) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def wide(content: bytes) -> Raw:
    """A file whose sizes stand in Zip64 fields though they would fit."""
    sizes = {"compressed_size": 0xFFFFFFFF, "size": 0xFFFFFFFF}
    extra = zip64(len(content), len(deflated(content)))
    return Raw(
        "pkg/w.py", content, local=sizes, central=sizes, local_extra=extra, central_extra=extra
    )


def wide_end(count: int | None = None, at: int | None = None) -> bytes:
    """An honest wheel with a Zip64 end, or one that lies about the count or its own place."""
    files = distribution(HONEST)
    plain = build(files)
    real, _, size, start = struct.unpack_from("<2H2I", plain, len(plain) - 14)
    shown = real if count is None else count
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, shown, shown, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size if at is None else at, 1)
    return build(files, end_64=end + locator)


# --- good wheels -----------------------------------------------------------------------------


def test_a_wheel_is_told_file_by_file(tmp_path: Path) -> None:
    """Name, version, tags, Python, and where each file's bytes lie, its SHA-256."""
    metadata = (
        "Metadata-Version: 2.1\nName: Big.Pkg\nVersion: 1.0\nRequires-Python: >=3.9\n\nText\n"
    )
    data = build(distribution(HONEST, name="Big_Pkg", metadata=metadata))
    found = prove(tmp_path, data, "Big_Pkg-1.0-py2.py3-none-any.whl")
    assert (found.name, found.version, found.requires_python) == ("big-pkg", "1.0", ">=3.9")
    assert found.tags == {"py2-none-any", "py3-none-any"}
    assert (found.sha256, found.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert found.dist_info == "Big_Pkg-1.0.dist-info"
    with zipfile.ZipFile(found.path) as opened:
        assert [file.name for file in found.files] == sorted(opened.namelist())
        for file in found.files:
            content = opened.read(file.name)
            packed = data[file.member.offset :][: file.member.compressed_size]
            assert zlib.decompress(packed, -15) == content
            assert file.sha256 == hashlib.sha256(content).hexdigest()
            assert wheel.read(found, file) == content
    assert [file.name for file in found.files if file.member.executable] == ["pkg/tool"]


GOOD: dict[str, Callable[[], bytes]] = {
    "descriptor": lambda: with_file(described(TEXT, "<3I")),
    "descriptor without mark": lambda: with_file(described(TEXT, "<3I", mark=False)),
    "descriptor of Zip64": lambda: with_file(described(TEXT, "<I2Q")),
    "descriptor of Zip64 without mark": lambda: with_file(described(TEXT, "<I2Q", mark=False)),
    "descriptor and sizes in front": lambda: with_file(described(TEXT, "<3I", sizes=True)),
    "flag of a descriptor that isn't there": lambda: with_file(
        Raw("pkg/s.py", TEXT, local={"flags": 8}, central={"flags": 8})
    ),
    "folders": lambda: with_file(Raw("pkg/sub/", mode=stat.S_IFDIR | 0o755)),
    "stored": lambda: with_file(
        Raw("pkg/s.py", TEXT, data=TEXT, local={"method": 0}, central={"method": 0})
    ),
    "extra fields": lambda: with_file(
        Raw("pkg/s.py", TEXT, local_extra=b"UT\5\0" + bytes(5), central_extra=b"UT\1\0\0")
    ),
    "no mode": lambda: with_file(Raw("pkg/s.py", TEXT, mode=0)),
    "other scripts": lambda: with_file(Raw("pkg/größe.py", TEXT)),
    "UTF-8 without its flag": lambda: with_file(
        Raw("pkg/größe.py", TEXT, local={"flags": 0}, central={"flags": 0})
    ),
    "comment": lambda: build(distribution(HONEST), comment=b"built here"),
    "Zip64 sizes": lambda: with_file(wide(TEXT)),
    "Zip64 end": wide_end,
    "larger than a chunk": lambda: with_file(Raw("pkg/big", bytes(3 << 20))),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_build_tools_write_passes(tmp_path: Path, case: str) -> None:
    """Descriptors, Zip64, folders, extra fields: unusual, and sound."""
    found = prove(tmp_path, GOOD[case]())
    with zipfile.ZipFile(found.path) as opened:
        for file in found.files:
            if "without its flag" not in case:
                assert wheel.read(found, file) == opened.read(file.name)


# --- bad wheels ------------------------------------------------------------------------------


def named(name: str) -> Callable[[], bytes]:
    return lambda: with_file(Raw(name, b"x"))


def lying(
    *, local: dict[str, int] | None = None, central: dict[str, int] | None = None
) -> Callable[[], bytes]:
    return lambda: with_file(Raw("pkg/x.py", TEXT, local=local or {}, central=central or {}))


def both(**fields: int) -> Callable[[], bytes]:
    return lying(local=fields, central=fields)


def overlapping() -> bytes:
    """Two names for the same bytes: the second's header lies inside the first's data."""
    files = distribution(HONEST)
    files[1].central["header"] = 0
    files[1].local_name = None
    return build(files)


def repacked(**changes: str) -> bytes:
    return build(distribution(HONEST, **changes))


def with_record(edit: Callable[[bytes], bytes]) -> bytes:
    files = distribution(HONEST)
    files[-1].content = edit(files[-1].content)
    return build(files)


BAD: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "no zip": ("wheel-corrupt", "not a zip", lambda: b"<html>not found</html>"),
    "empty": ("wheel-corrupt", "not a zip", lambda: b""),
    "empty zip": ("wheel-corrupt", "0 .dist-info", lambda: build([])),
    "parent": ("wheel-hostile", "leads out", named("../evil.py")),
    "parent inside": ("wheel-hostile", "leads out", named("pkg/../../evil.py")),
    "absolute": ("wheel-hostile", "absolute", named("/tmp/evil.py")),
    "backslash": ("wheel-hostile", "backslash", named("..\\evil.py")),
    "drive": ("wheel-hostile", "drive letter", named("C:/evil.py")),
    "NUL": ("wheel-hostile", "NUL", named("pkg/a.py\0.txt")),
    "dot": ("wheel-hostile", "only a dot", named("./pkg/__init__.py")),
    "double slash": ("wheel-hostile", "empty part", named("pkg//__init__.py")),
    "folder that leads out": ("wheel-hostile", "leads out", named("../")),
    "duplicate": ("wheel-hostile", "twice", named("pkg/__init__.py")),
    "duplicate of one letter": (
        "wheel-hostile",
        "holds a twice",
        lambda: build(distribution({"a": b"1", "b": Raw("a", b"2")})),
    ),
    "duplicate but for case": ("wheel-hostile", "but for case", named("pkg/__INIT__.py")),
    "file and folder": ("wheel-hostile", "as a folder", named("pkg")),
    "symlink": (
        "wheel-hostile",
        "a symlink",
        lambda: with_file(Raw("pkg/l", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)),
    ),
    "device": (
        "wheel-hostile",
        "no plain file",
        lambda: with_file(Raw("pkg/l", b"", mode=stat.S_IFCHR | 0o666)),
    ),
    "bytes in a folder": (
        "wheel-hostile",
        "in the folder",
        lambda: with_file(Raw("pkg/sub/", b"x", mode=stat.S_IFDIR)),
    ),
    "encrypted": ("wheel-unsupported", "encrypted", both(flags=1)),
    "bzip2": ("wheel-unsupported", "method 12", both(method=12)),
    "unknown method": ("wheel-unsupported", "method 99", both(method=99)),
    "another name": (
        "wheel-hostile",
        "another name",
        lambda: with_file(Raw("pkg/x.py", TEXT, local_name="pkg/y.py")),
    ),
    "another name, longer": (
        "wheel-hostile",
        "another name",
        lambda: with_file(Raw("pkg/x.py", TEXT, local_name="pkg/x.pyc")),
    ),
    "another method": ("wheel-hostile", "disagree", lying(local={"method": 0})),
    "another flag": ("wheel-hostile", "disagree", lying(local={"flags": 8})),
    "another CRC": ("wheel-hostile", "disagree", lying(local={"crc": 1})),
    "no CRC": ("wheel-hostile", "disagree", lying(local={"crc": 0})),
    "another size": ("wheel-hostile", "disagree", lying(local={"size": 1})),
    "another compressed size": ("wheel-hostile", "disagree", lying(local={"compressed_size": 1})),
    "wrong CRC in both": ("wheel-corrupt", "checksum", both(crc=1)),
    "claims less": ("wheel-hostile", "more of pkg/x.py", both(size=len(TEXT) - 1)),
    "claims nothing": ("wheel-hostile", "more of pkg/x.py", both(size=0)),
    "claims more": ("wheel-hostile", "claims", both(size=len(TEXT) + 1)),
    "claims terabytes": ("wheel-hostile", "GiB", lambda: with_file(huge())),
    "stored with two sizes": ("wheel-hostile", "two sizes", both(method=0)),
    "hidden behind a stream": (
        "wheel-hostile",
        "hides bytes",
        lambda: with_file(Raw("pkg/x.py", TEXT, data=deflated(TEXT) + b"hidden")),
    ),
    "stream cut short": (
        "wheel-corrupt",
        "cut short",
        lambda: with_file(Raw("pkg/x.py", TEXT, data=deflated(TEXT)[:-1])),
    ),
    "no stream": (
        "wheel-corrupt",
        "can't be inflated",
        lambda: with_file(Raw("pkg/x.py", TEXT, data=b"\xff" * 20)),
    ),
    "prepended": ("wheel-hostile", "is not where", lambda: b"#!" + repacked()),
    "prepended, offsets mended": (
        "wheel-hostile",
        "hidden bytes before",
        lambda: build([Raw("first", before=b"#!/bin/sh\n"), *distribution(HONEST)]),
    ),
    "appended": ("wheel-hostile", "after its end", lambda: repacked() + b"\0"),
    "appended zip": ("wheel-hostile", "is not where", lambda: repacked() + repacked()),
    "zip in the comment": (
        "wheel-hostile",
        "",
        lambda: build(distribution(HONEST), comment=repacked()),
    ),
    "gap before a file": (
        "wheel-hostile",
        "hidden bytes before pkg/x.py",
        lambda: with_file(Raw("pkg/x.py", TEXT, before=b"hidden")),
    ),
    "gap before the directory": (
        "wheel-hostile",
        "hidden bytes before its directory",
        lambda: build(distribution(HONEST), before_directory=b"hidden"),
    ),
    "bytes for a descriptor": (
        "wheel-hostile",
        "hidden bytes behind",
        lambda: with_file(
            Raw("pkg/x.py", TEXT, local={"flags": 8}, central={"flags": 8}, after=b"x" * 16)
        ),
    ),
    "overlap": ("wheel-hostile", "no room for", overlapping),
    "reaches into the next": (
        "wheel-hostile",
        "reaches into the next",
        lambda: with_file(
            Raw("pkg/x.py", TEXT, local={"compressed_size": 300}, central={"compressed_size": 300})
        ),
    ),
    "count too small": (
        "wheel-hostile",
        "lists",
        lambda: build(distribution(HONEST), end={"count": 3}),
    ),
    "directory elsewhere": (
        "wheel-hostile",
        "is not where",
        lambda: build(distribution(HONEST), end={"offset": 3}),
    ),
    "Zip64 sizes missing": (
        "wheel-corrupt",
        "lacks the Zip64",
        both(size=0xFFFFFFFF),
    ),
    "Zip64 end disagrees": ("wheel-hostile", "two ends", lambda: wide_end(count=2)),
    "Zip64 end elsewhere": ("wheel-hostile", "Zip64 end", lambda: wide_end(at=0)),
    "no dist-info": ("wheel-corrupt", "0 .dist-info", lambda: build([Raw("pkg.py", TEXT)])),
    "two dist-infos": (
        "wheel-corrupt",
        "2 .dist-info",
        lambda: build(distribution({"other-1.0.dist-info/METADATA": b""})),
    ),
    "another's dist-info": (
        "wheel-corrupt",
        "another distribution",
        lambda: repacked(name="other"),
    ),
    "another version's dist-info": (
        "wheel-corrupt",
        "another distribution",
        lambda: repacked(version="2.0"),
    ),
    "another name in the metadata": (
        "wheel-corrupt",
        "calls itself other",
        lambda: repacked(metadata="Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"),
    ),
    "another version in the metadata": (
        "wheel-corrupt",
        "says it is version",
        lambda: repacked(metadata="Metadata-Version: 2.1\nName: pkg\nVersion: 3\n"),
    ),
    "empty metadata": ("wheel-corrupt", "calls itself", lambda: repacked(metadata="")),
    "format 2": (
        "wheel-unsupported",
        "Wheel-Version 2",
        lambda: repacked(wheel="Wheel-Version: 2.0\n"),
    ),
    "no format": ("wheel-corrupt", "Wheel-Version", lambda: repacked(wheel="Tag: py3-none-any\n")),
    "unknown scheme": ("wheel-corrupt", "'etc'", named("pkg-1.0.data/etc/passwd")),
    "no RECORD": (
        "wheel-corrupt",
        "has no pkg-1.0.dist-info/RECORD",
        lambda: build(distribution(HONEST)[:-1]),
    ),
    "wrong hash in RECORD": (
        "wheel-corrupt",
        "not what its RECORD says",
        lambda: with_record(lambda text: replace_first(text, promise("sha256", b"other"))),
    ),
    "broken hash in RECORD": (
        "wheel-corrupt",
        "broken hash",
        lambda: with_record(lambda text: replace_first(text, "sha256=AAAA")),
    ),
    "file not in RECORD": (
        "wheel-corrupt",
        "does not mention",
        lambda: with_record(lambda text: text.split(b"\n", 1)[1]),
    ),
    "size in RECORD": (
        "wheel-corrupt",
        "its RECORD says 7",
        lambda: with_record(lambda text: text.replace(b",200\n", b",7\n")),
    ),
    "weak hash in RECORD": (
        "wheel-corrupt",
        "by md5",
        lambda: with_record(lambda text: text.replace(b"sha256=", b"md5=", 1)),
    ),
    "RECORD of two columns": (
        "wheel-corrupt",
        "path, hash and size",
        lambda: with_record(lambda text: text + b"a,b\n"),
    ),
    "RECORD that is no text": (
        "wheel-corrupt",
        "can't be read",
        lambda: with_record(lambda _: b"\xff"),
    ),
}


def huge() -> Raw:
    sizes = {"size": 0xFFFFFFFF}
    return Raw(
        "pkg/x.py",
        TEXT,
        local=sizes,
        central=sizes,
        local_extra=zip64(1 << 50, len(deflated(TEXT))),
        central_extra=zip64(1 << 50),
    )


@pytest.mark.parametrize("case", BAD)
def test_no_bad_wheel_passes(tmp_path: Path, case: str) -> None:
    """Each has its code and says what is wrong with which file."""
    code, text, make = BAD[case]
    found = codes(tmp_path, make())
    assert (found[0][0], text in found[0][1]) == (code, True), found
    assert found[0][1].startswith(NAME)


def test_faults_of_several_files_come_together(tmp_path: Path) -> None:
    """Three hostile names are three diagnostics; of very many the first ten and their number."""
    names = {f"n{i}": Raw(f"../{i}", b"") for i in range(3)}
    assert len(codes(tmp_path, build(distribution({**names})))) == 3
    files = distribution({f"pkg/{i}": TEXT for i in range(30)})
    for raw in files[:30]:
        raw.local["crc"] = raw.central["crc"] = 1
    with pytest.raises(ProjectError) as caught:
        prove(tmp_path, build(files))
    assert len(caught.value.diagnostics) == 11
    assert caught.value.diagnostics[-1].message == f"{NAME} has 20 more faults"


@pytest.mark.parametrize(
    "name", ["pkg.whl", "pkg-1.0.whl", "pkg-1.0-py3-none-any.zip", "pkg-x.y-py3-none-any.whl"]
)
def test_a_wheel_is_named_as_one(tmp_path: Path, name: str) -> None:
    """Its name is where its tags are from."""
    assert codes(tmp_path, repacked(), name)[0][0] == "wheel-name"


def test_no_torn_wheel_passes(tmp_path: Path) -> None:
    """Cut at any byte it is refused."""
    whole = build(distribution({"pkg.py": b"x"}))
    for cut in range(len(whole)):
        codes(tmp_path, whole[:cut])


def test_no_flipped_bit_changes_a_file_unnoticed(tmp_path: Path) -> None:
    """A bit changed anywhere is refused, or what can be read of the files is still the same."""
    whole = build(distribution({"pkg.py": b"text " * 9}))
    honest = prove(tmp_path, whole)
    contents = [(file.name, file.sha256) for file in honest.files]
    for at in range(len(whole)):
        for bit in (1, 0x80):
            flipped = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
            try:
                found = prove(tmp_path, flipped)
            except ProjectError:
                continue
            assert [(file.name, file.sha256) for file in found.files] == contents


def test_a_bomb_is_not_inflated_past_its_claim(tmp_path: Path) -> None:
    """200 MB behind a claim of 1,000 bytes cost neither memory nor time."""
    bomb = Raw("pkg/x", b"\0" * 1000, data=deflated(bytes(200 << 20)))
    data = with_file(bomb)
    tracemalloc.start()
    try:
        found = codes(tmp_path, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found[0][0] == "wheel-hostile"
    assert peak < 16 << 20


runs = st.lists(st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 400)), max_size=6)


@settings(deadline=None)
@given(runs=runs, chunk=st.integers(1, 300), behind=st.booleans())
def test_chunks_of_any_length_give_the_same_bytes(
    runs: list[tuple[bytes, int]], chunk: int, behind: bool
) -> None:
    """Wherever input and output are cut: all of the content, and nothing hidden behind it."""
    content = b"".join(part * count for part, count in runs)
    packed = deflated(content) + (b"x" if behind else b"")
    member = Member(
        name="x",
        executable=False,
        deflated=True,
        crc=zlib.crc32(content),
        compressed_size=len(packed),
        size=len(content),
        offset=2,
    )
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile() as file:
        patch.setattr(reader, "_CHUNK", chunk)
        file.write(b"??" + packed + b"??")
        file.flush()
        if behind:
            with pytest.raises(reader.ZipError, match="hides bytes"):
                deque(reader.content(file.fileno(), member), maxlen=0)
        else:
            pieces = list(reader.content(file.fileno(), member))
            assert b"".join(pieces) == content
            assert all(len(piece) <= chunk for piece in pieces)


def test_what_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of all claims is bounded before anything is inflated."""
    monkeypatch.setattr(reader, "LARGEST", 1000)
    assert "would unpack to more" in codes(tmp_path, with_file(Raw("pkg/x", bytes(900))))[0][1]


def test_record_may_hash_better_and_leave_hashes_out(tmp_path: Path) -> None:
    """SHA-384 and SHA-512 are checked too; a file without a hash passes."""
    better = [promise(name, b"value = 1\n" * 20) for name in ("sha384", "sha512")]
    for promised in (*better, ""):
        prove(tmp_path, with_record(partial(replace_first, promised=promised)))
    wrong = promise("sha512", b"other")
    found = codes(tmp_path, with_record(partial(replace_first, promised=wrong)))
    assert "is not what its RECORD says" in found[0][1]


def promise(algorithm: str, content: bytes) -> str:
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def replace_first(record: bytes, promised: str) -> bytes:
    first, rest = record.split(b"\n", 1)
    path, _, size = first.split(b",")
    return b",".join((path, promised.encode(), size)) + b"\n" + rest


# --- the store -------------------------------------------------------------------------------


def test_what_was_added_is_loaded(tmp_path: Path) -> None:
    """Under its digest, with the same proof; the user's file is copied, never linked."""
    store = Store(tmp_path / "store")
    path = write_wheel(tmp_path, HONEST)
    added = wheel.add(store, path, [hashlib.sha256(path.read_bytes()).hexdigest()])
    assert wheel.load(store, added.sha256) == added == wheel.add(store, path)
    assert Path(added.path).name == NAME
    assert not os.path.samefile(added.path, path)
    path.write_bytes(b"changed in place")
    wheel.check(added)


def test_a_wheel_that_no_lock_promised_stays_out(tmp_path: Path) -> None:
    """Another digest than the allowed ones: `hash-mismatch`, before anything else is looked at."""
    store = Store(tmp_path / "store")
    path = tmp_path / NAME
    path.write_bytes(b"not even a zip")
    with pytest.raises(ProjectError) as caught:
        wheel.add(store, path, ["0" * 64])
    assert [fault.code for fault in caught.value.diagnostics] == ["hash-mismatch"]
    with pytest.raises(ProjectError):
        wheel.add(store, path)
    assert wheel.load(store, hashlib.sha256(b"not even a zip").hexdigest()) is None


def test_a_torn_proof_heals(tmp_path: Path) -> None:
    """Cut or changed at any byte it is made anew; a wheel of another length is none."""
    store = Store(tmp_path / "store")
    path = write_wheel(tmp_path, {"pkg.py": b"x"})
    added = wheel.add(store, path)
    index = Path(added.path).with_name("index.json")
    whole = index.read_bytes()
    for at in range(len(whole)):
        for bad in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
            index.write_bytes(bad)
            assert wheel.load(store, added.sha256) == added
            assert index.read_bytes() == whole
    os.truncate(added.path, added.size - 1)
    assert wheel.load(store, added.sha256) is None
    assert wheel.add(store, path) == added
    wheel.check(added)


def test_a_wheel_out_of_a_cache(tmp_path: Path) -> None:
    """Another user proved it: it is proved again, and only if it is what its digest says."""
    theirs, ours = (Store(tmp_path / "store", key * 32) for key in (b"t", b"o"))
    path = write_wheel(tmp_path, HONEST)
    added = wheel.add(theirs, path)
    home = Path(added.path).parent
    proof = (home / "index.json").read_bytes()
    assert wheel.load(ours, added.sha256) == added
    assert (home / "index.json").read_bytes() != proof
    (home / "index.json").write_bytes(proof)
    (tmp_path / "evil").mkdir()
    evil = write_wheel(tmp_path / "evil", {**HONEST, "more.py": b"evil"})
    shutil.copyfile(evil, added.path)
    assert wheel.load(ours, added.sha256) is None
    assert wheel.add(ours, path) == added
    wheel.check(added)


@pytest.mark.parametrize("damage", ["no wheel", "two wheels", "no zip"])
def test_what_is_no_wheel_is_not_proved(tmp_path: Path, damage: str) -> None:
    """It is a miss, and the wheel takes its place when it comes."""
    store = Store(tmp_path / "store")
    path = write_wheel(tmp_path, HONEST)
    added = wheel.add(store, path)
    home = Path(added.path).parent
    (home / "index.json").unlink()
    if damage == "no wheel":
        Path(added.path).unlink()
    elif damage == "two wheels":
        shutil.copyfile(added.path, home / "other-1.0-py3-none-any.whl")
    else:
        Path(added.path).write_bytes(b"no zip")
    assert wheel.load(store, added.sha256) is None
    assert wheel.add(store, path) == added


@pytest.mark.parametrize("digest", ["", "..", "../other", "A" * 64, "0" * 63])
def test_only_digests_are_looked_up(tmp_path: Path, digest: str) -> None:
    """What a lock calls a digest is not let near a path, not even to mark it as used."""
    store = Store(tmp_path)
    other = store.path("other", "x").parent
    store.path("wheels", "x")
    os.utime(other, (1, 1))
    assert wheel.load(store, digest) is None
    assert other.stat().st_mtime == 1


def test_a_wheel_changed_in_the_store_is_noticed(tmp_path: Path) -> None:
    """A bit flipped where no size tells: an error, and the store forgets it."""
    store = Store(tmp_path / "store")
    added = wheel.add(store, write_wheel(tmp_path, HONEST))
    data = bytearray(Path(added.path).read_bytes())
    data[added.files[0].member.offset] ^= 1
    Path(added.path).write_bytes(data)
    with pytest.raises(BundlerError) as caught:
        wheel.check(added)
    assert caught.value.code == "store-damaged"
    assert wheel.load(store, added.sha256) is None
    with pytest.raises(BundlerError):
        wheel.check(added)
    with pytest.raises(BundlerError):
        wheel.read(added, added.files[0])


def test_eight_processes_add_the_same_wheel(tmp_path: Path) -> None:
    """All succeed, and one proof lies in the store."""
    path = write_wheel(tmp_path, HONEST)
    code = (
        "import sys; from pathlib import Path; from lambdad.bundler.python.wheels import wheel;"
        "from lambdad.bundler.store.store import Store; sys.stdin.read();"
        "print(wheel.add(Store(Path(sys.argv[1])), sys.argv[2]).sha256)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "store", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(8)
    ]
    answers = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 8
    assert answers == {hashlib.sha256(path.read_bytes()).hexdigest()}
    assert len(os.listdir(tmp_path / "store" / "wheels")) == 1
