"""Wheels into a dependency segment."""

from __future__ import annotations

import io
import os
import random
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.bundler.model import Architecture, BundlerError, Diagnostic
from lambdad.bundler.python.wheels import splice, wheel
from lambdad.bundler.python.wheels.wheel import Wheel
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips import archive, segments
from lambdad.bundler.zips.member import Contents, Segment
from tests.support.rawzip import Raw, build, distribution, write_wheel

EXECUTABLE = stat.S_IFREG | 0o755


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made(folder: Path, name: str, files: dict[str, bytes | Raw], version: str = "1.0") -> Wheel:
    return wheel.prove(write_wheel(folder, files, name=name, version=version))


def names(plan: splice.InstallPlan) -> list[str]:
    return [part.name for part in plan.parts]


def opened(segment: Segment) -> zipfile.ZipFile:
    out = io.BytesIO()
    archive.write(out, Contents(own=(), dependencies=segment))
    return zipfile.ZipFile(out)


# --- which files land where ------------------------------------------------------------------


def test_files_land_as_installed_less_what_an_installer_adds(tmp_path: Path) -> None:
    """purelib and platlib at the root; no scripts, headers, data, RECORD or bytecode."""
    plan = splice.install_plan(
        [
            made(
                tmp_path,
                "pkg",
                {
                    "pkg/__init__.py": b"1",
                    "pkg/__pycache__/x.cpython-312.pyc": b"no",
                    "pkg/legacy.pyc": b"sourceless modules are code",
                    "pkg/RECORD": b"of the package itself",
                    "pkg-1.0.data/purelib/pure.py": b"2",
                    "pkg-1.0.data/platlib/deep/plat.so": b"3",
                    "pkg-1.0.data/scripts/tool": b"no",
                    "pkg-1.0.data/headers/pkg.h": b"no",
                    "pkg-1.0.data/data/share/man": b"no",
                    "pkg-1.0.dist-info/INSTALLER": b"no",
                    "pkg-1.0.dist-info/REQUESTED": b"",
                    "pkg-1.0.dist-info/direct_url.json": b"no",
                    "pkg-1.0.dist-info/RECORD.jws": b"no",
                    "pkg-1.0.dist-info/entry_points.txt": b"yes",
                    "pkg-1.0.dist-info/licenses/LICENSE": b"yes",
                },
            )
        ]
    )
    assert names(plan) == [
        "deep/plat.so",
        "pkg-1.0.dist-info/METADATA",
        "pkg-1.0.dist-info/WHEEL",
        "pkg-1.0.dist-info/entry_points.txt",
        "pkg-1.0.dist-info/licenses/LICENSE",
        "pkg/RECORD",
        "pkg/__init__.py",
        "pkg/legacy.pyc",
        "pure.py",
    ]
    assert plan.diagnostics == ()


def test_the_same_file_in_two_wheels_is_one(tmp_path: Path) -> None:
    """If the bytes agree nobody needs to be told."""
    plan = splice.install_plan(
        made(tmp_path, name, {"shared/x.py": b"same", f"{name}.py": b"1"}) for name in ("b", "a")
    )
    assert names(plan).count("shared/x.py") == 1
    assert plan.owners[names(plan).index("shared/x.py")] == "a"
    assert plan.diagnostics == ()


def test_files_that_differ_go_to_the_first_by_name(tmp_path: Path, store: Store) -> None:
    """Whatever order the wheels come in, with a warning that names both."""
    wheels = [
        made(tmp_path, "b", {f"tests/{i}.py": b"of b" for i in range(5)}),
        made(tmp_path, "a", {f"tests/{i}.py": b"of a" for i in range(5)}),
    ]
    segment, diagnostics = splice.segment(store, wheels)
    assert splice.segment(store, wheels[::-1]) == (segment, diagnostics)
    with opened(segment) as found:
        assert found.read("tests/4.py") == b"of a"
    assert [(d.code, d.severity.value) for d in diagnostics] == [("dependency-overlap", "warning")]
    assert diagnostics[0].message == (
        "a and b both install tests/0.py, tests/1.py, tests/2.py and 2 more; the zip holds a's"
    )


def test_equal_checksums_do_not_pass_for_equal_bytes(tmp_path: Path) -> None:
    """Two contents with one CRC and one size are two files."""
    first, second = colliding()
    plan = splice.install_plan(
        [made(tmp_path, "a", {"x": first}), made(tmp_path, "b", {"x": second})]
    )
    assert [d.code for d in plan.diagnostics] == ["dependency-overlap"]


def colliding() -> tuple[bytes, bytes]:
    """CRC-32 is linear: xor with its polynomial, 33 bits long, changes nothing."""
    import zlib

    first = bytes(12)
    polynomial = int(f"{0x104C11DB7:033b}"[::-1], 2)
    second = (polynomial << 8).to_bytes(12, "little")
    assert zlib.crc32(first) == zlib.crc32(second)
    return first, second


@pytest.mark.parametrize(("first", "second"), [("x", "x/y.py"), ("x/y.py", "x"), ("x/y/z", "x")])
def test_a_file_and_a_folder_of_one_name_do_not_meet(
    tmp_path: Path, first: str, second: str
) -> None:
    """The first distribution by name has the path; the zip can be unpacked."""
    plan = splice.install_plan(
        [made(tmp_path, "b", {second: b"b"}), made(tmp_path, "a", {first: b"a"})]
    )
    assert first in names(plan)
    assert second not in names(plan)
    assert [d.code for d in plan.diagnostics] == ["dependency-overlap"]


# --- segments --------------------------------------------------------------------------------


def codes(diagnostics: tuple[Diagnostic, ...]) -> list[str]:
    return [diagnostic.code for diagnostic in diagnostics]


def test_own_code_wins(tmp_path: Path, store: Store) -> None:
    """A dependency's file of the same path, or that would be a folder of it, is left out."""
    wheels = [made(tmp_path, "a", {"a/x.py": b"1", "a/y.py": b"2", "z/z.py": b"3"})]
    whole, diagnostics = splice.segment(store, wheels, {"app.py", "b/c.py"})
    assert diagnostics == ()
    less, diagnostics = splice.segment(store, wheels, {"app.py", "a/x.py", "z"})
    assert codes(diagnostics) == ["own-over-dependency"]
    assert diagnostics[0].message == "your own code takes the place of a/x.py, z/z.py of a"
    gone = {member.name for member in whole.members} - {member.name for member in less.members}
    assert gone == {"a/x.py", "z/z.py"}


def test_only_what_is_left_out_decides(tmp_path: Path, store: Store) -> None:
    """Other own files are not part of the key: a new file makes no new segment."""
    wheels = [made(tmp_path, "a", {"a/x.py": b"1"})]
    splice.segment(store, wheels, {"app.py"})
    splice.segment(store, wheels, {"app.py", "new.py"})
    assert len(list((store.root / "segments").glob("*.zipseg"))) == 1
    splice.segment(store, wheels, {"a/x.py"})
    assert len(list((store.root / "segments").glob("*.zipseg"))) == 2


def test_a_second_time_no_wheel_is_opened(tmp_path: Path, store: Store) -> None:
    """The stored segment is enough: the wheels may be gone."""
    wheels = [made(tmp_path, "a", {"a/x.py": b"1"})]
    segment, _ = splice.segment(store, wheels)
    Path(wheels[0].path).unlink()
    assert splice.segment(store, wheels)[0] == segment


def test_a_wheel_that_changed_since_its_proof_is_not_spliced(tmp_path: Path, store: Store) -> None:
    """One bit where no length tells: an error, and no segment."""
    added = wheel.add(store, write_wheel(tmp_path, {"a.py": b"text " * 50}))
    data = bytearray(Path(added.path).read_bytes())
    data[added.files[0].member.offset + 3] ^= 1
    Path(added.path).write_bytes(data)
    with pytest.raises(BundlerError) as caught:
        splice.segment(store, [added])
    assert caught.value.code == "store-damaged"
    assert list((store.root / "segments").glob("*.zipseg")) == []


def test_no_wheels_are_an_empty_segment(store: Store) -> None:
    """A function without dependencies needs no special case."""
    segment, diagnostics = splice.segment(store, [])
    assert (segment.size, segment.members, diagnostics) == (0, (), ())
    assert opened(segment).namelist() == []


# --- wheels built here -----------------------------------------------------------------------


def test_a_built_wheel_is_normalised(tmp_path: Path) -> None:
    """Other order, times, compressor, umask, folders and bytecode: the same bytes."""
    files: dict[str, bytes | Raw] = {
        "pkg/__init__.py": b"value = 1\n" * 50,
        "pkg/run.sh": Raw("pkg/run.sh", b"#!/bin/sh\n", mode=EXECUTABLE),
        'pkg/größe, "x".txt': b"quoted in RECORD",
    }
    noise: dict[str, bytes | Raw] = {
        "pkg/": Raw("pkg/", mode=stat.S_IFDIR | 0o775),
        "pkg/__pycache__/a.cpython-311.pyc": b"noise",
    }
    other: dict[str, bytes | Raw] = {
        name: Raw(name, content, mode=stat.S_IFREG | 0o664, data=content)
        if isinstance(content, bytes)
        else Raw(name, content.content, mode=stat.S_IFREG | 0o775, data=content.content)
        for name, content in reversed(files.items())
    }
    for raw in other.values():
        assert isinstance(raw, Raw)
        raw.local |= {"method": 0, "time": 77}
        raw.central |= {"method": 0, "time": 77}
    results = []
    variants: list[dict[str, bytes | Raw]] = [files, {**noise, **other}]
    for number, content in enumerate(variants):
        folder = tmp_path / str(number)
        folder.mkdir()
        built = write_wheel(tmp_path, content)
        normal = splice.normalise(built, folder / built.name)
        assert normal.path == str(folder / built.name)
        results.append(Path(normal.path).read_bytes())
    assert results[0] == results[1]
    with zipfile.ZipFile(io.BytesIO(results[0])) as found:
        assert found.namelist() == sorted(found.namelist())
        assert found.getinfo("pkg/run.sh").external_attr >> 16 == EXECUTABLE
        assert "pkg-1.0.dist-info/RECORD" in found.namelist()


def test_normalising_twice_changes_nothing(tmp_path: Path) -> None:
    """The result is its own normal form, and keeps the file's name."""
    built = write_wheel(tmp_path, {"pkg.py": b"x" * 100})
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once = splice.normalise(built, tmp_path / "once" / built.name)
    twice = splice.normalise(Path(once.path), tmp_path / "twice" / built.name)
    assert once.sha256 == twice.sha256
    with pytest.raises(ValueError, match="file name"):
        splice.normalise(built, tmp_path / "other-1.0-py3-none-any.whl")


# --- real wheels -----------------------------------------------------------------------------

REAL = ("boto3", "numpy", "pydantic")


@pytest.fixture(scope="session")
def real_wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What pip fetches of these for Lambda's Python 3.12 on x86_64."""
    folder = tmp_path_factory.mktemp("wheels")
    platforms = ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"]
    pip(
        "download",
        "--only-binary=:all:",
        "--python-version=3.12",
        *(f"--platform={platform}" for platform in platforms),
        f"--dest={folder}",
        *REAL,
    )
    return sorted(folder.iterdir())


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def files_below(folder: Path) -> Iterator[tuple[str, bytes, bool]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            executable = bool(path.stat().st_mode & 0o100)
            yield path.relative_to(folder).as_posix(), path.read_bytes(), executable


def test_real_wheels_give_what_pip_installs(real_wheels: list[Path], tmp_path: Path) -> None:
    """boto3, numpy and pydantic: `unzip -t` is content, and unpacked they are pip's folder but for
    bin/, bytecode and what pip notes down; native files fit the runtime."""
    store = Store(tmp_path / "store")
    wheels = [wheel.add(store, path) for path in real_wheels]
    random.Random(1).shuffle(wheels)
    segment, diagnostics = splice.segment(store, wheels)
    assert diagnostics == ()
    target = tmp_path / "a.zip"
    with open(target, "wb") as out:
        archive.write(out, Contents(own=(), dependencies=segment))
    subprocess.run(["unzip", "-tqq", target], check=True)
    subprocess.run(["unzip", "-qq", target, "-d", tmp_path / "ours"], check=True)
    pip(
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--ignore-requires-python",
        f"--target={tmp_path / 'theirs'}",
        "--python-version=3.12",
        "--only-binary=:all:",
        "--platform=manylinux_2_28_x86_64",
        "--platform=manylinux_2_17_x86_64",
        "--platform=manylinux2014_x86_64",
        *real_wheels,
    )
    added = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")
    theirs = [
        file
        for file in files_below(tmp_path / "theirs")
        if not (file[0].split("/")[0].endswith(".dist-info") and file[0].endswith(added))
        and not file[0].startswith(("bin/", "share/"))
    ]
    assert list(files_below(tmp_path / "ours")) == theirs
    assert {one.name for one in wheels} >= {"boto3", "botocore", "numpy", "pydantic-core"}
    for one in wheels:
        assert wheel.native_faults(one, RUNTIMES["python3.12"], Architecture.X86_64) == ()
    core = next(one for one in wheels if one.name == "pydantic-core")
    wrong = wheel.native_faults(core, RUNTIMES["python3.11"], Architecture.ARM64)
    assert {fault.code for fault in wrong} == {"native-platform"}
    assert any("built for x86_64, not for arm64" in fault.message for fault in wrong)
    assert any("built for Python 3.12" in fault.message for fault in wrong)


def test_real_wheels_are_copied_not_compressed(real_wheels: list[Path], tmp_path: Path) -> None:
    """Every file's compressed bytes are those of its wheel."""
    store = Store(tmp_path / "store")
    wheels = [wheel.prove(path) for path in real_wheels if path.stat().st_size < 5 << 20]
    segment, _ = splice.segment(store, wheels)
    found = segments.find(store, os.path.basename(segment.path).removesuffix(".zipseg"))
    assert found == segment
    data = Path(segment.path).read_bytes()
    sources = {one.path: Path(one.path).read_bytes() for one in wheels}
    for part, placed in zip(splice.install_plan(wheels).parts, segment.members, strict=True):
        packed = sources[part.source][part.member.offset :][: part.member.compressed_size]
        assert data[placed.offset :][: placed.compressed_size] == packed


def test_a_wheel_built_by_tools_is_normalised(tmp_path: Path) -> None:
    """pip builds a project twice under other umasks; the normal form is one."""
    results = set()
    for umask in (0o022, 0o077):
        project = tmp_path / f"{umask:o}" / "project"
        (project / "pkg").mkdir(parents=True)
        (project / "pkg" / "__init__.py").write_text("value = 1\n")
        (project / "setup.py").write_text(
            "from setuptools import setup\nsetup(name='pkg', version='1.0', packages=['pkg'])\n"
        )
        before = os.umask(umask)
        try:
            os.utime(project / "pkg" / "__init__.py", (0o1000000000 + umask, 10**9 + umask))
            options = ("--no-deps", "--no-build-isolation", f"--wheel-dir={project.parent}")
            pip("wheel", *options, project)
        finally:
            os.umask(before)
        built = next(project.parent.glob("*.whl"))
        (project.parent / "normal").mkdir()
        results.add(splice.normalise(built, project.parent / "normal" / built.name).sha256)
    assert len(results) == 1


def test_a_hostile_wheel_never_reaches_the_plan(tmp_path: Path, store: Store) -> None:
    """Names in `.data` are checked like all others."""
    path = tmp_path / "pkg-1.0-py3-none-any.whl"
    path.write_bytes(build(distribution({"pkg-1.0.data/purelib/../../evil.py": b"x"})))
    with pytest.raises(Exception, match="leads out"):
        wheel.add(store, path)
