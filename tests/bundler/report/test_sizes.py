"""What takes the room in a zip, and what is remembered of the one before: part by part."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.bundler.model import Artifact, Entry
from lambdad.bundler.report import sizes
from lambdad.bundler.report.sizes import PackageKind
from lambdad.bundler.store import project_state
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.zips import archive, headers, names, zip_sources
from lambdad.bundler.zips.member import Contents, Segment
from lambdad.bundler.zips.zip_sources import Makeup

NAMES = st.lists(st.sampled_from(["a", "b", "node_modules", "@s", "x.js"]), min_size=1, max_size=5)
PATHS = NAMES.map("/".join)


def contents(*files: str, owners: tuple[tuple[str, str], ...] = ()) -> Contents:
    segment = Segment(digest="0" * 64, path="/none", size=0, members=(), owners=owners)
    return Contents(
        own=tuple(Entry(name=name, content=name.encode() * 9) for name in files),
        dependencies=segment if owners else None,
        bundled={"a.js": {"src/a.ts": 3}},
    )


def written(output: Output, made: Contents) -> Artifact:
    summary = archive.write_file(output.make("artifacts"), made)
    return Artifact(
        path=output.zip("One"),
        immutable_path=output.artifact(summary.sha256),
        sha256=summary.sha256,
        size=summary.size,
        unzipped_size=summary.unzipped_size,
    )


def of_zip(path: Path, known: Makeup | None = None) -> sizes.Sizes:
    with path.open("rb") as file:
        return sizes.of_zip(file, known)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    made = Output(str(tmp_path))
    made.prepare()
    return made


def state_of(output: Output) -> ProjectState:
    return project_state.of(output.root, os.environ)


def in_memory(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return out.getvalue()


# --- whose files are ---------------------------------------------------------------------------


@given(st.dictionaries(PATHS, st.sampled_from(["one", "two", ""])))
def test_owned_tells_all(files: dict[str, str]) -> None:
    """From the few paths every file's owner is found again, and no path says what another does."""
    files = {n: o for n, o in files.items() if not any(f in files for f in names.folders(n))}
    told = dict(names.owned(files.items()))
    for name, owner in files.items():
        found = [told[path] for path in (*names.folders(name), name) if path in told]
        assert found == [owner]


@pytest.mark.parametrize(
    ("path", "package", "home"),
    [
        ("node_modules/a/index.js", "a", "node_modules/a"),
        ("node_modules/@s/a/lib/x.js", "@s/a", "node_modules/@s/a"),
        ("lib/node_modules/a/node_modules/b/x.js", "b", "lib/node_modules/a/node_modules/b"),
        ("node_modules/.pnpm/a@1.0.0/node_modules/a/x.js", "a",
         "node_modules/.pnpm/a@1.0.0/node_modules/a"),
        (".yarn/cache/a-npm-1.0.0.zip/node_modules/a/x.js", "a",
         ".yarn/cache/a-npm-1.0.0.zip/node_modules/a"),
        ("node_modules/.package-lock.json", "own code", ""),
        ("node_modules/@s/x.js", "own code", ""),
        ("src/x.js", "own code", ""),
    ],
)  # fmt: skip
def test_npm_packages(tmp_path: Path, path: str, package: str, home: str) -> None:
    """The innermost node_modules decides, in every package manager's layout; in a zip as among a
    bundle's sources."""
    (tmp_path / "a.zip").write_bytes(in_memory({path: b"1;"}))
    (file,) = of_zip(tmp_path / "a.zip").files
    assert (file.package, file.home) == (package, home)
    (tmp_path / "b.zip").write_bytes(in_memory({"out.js": b"1;"}))
    known = Makeup(sha256="", bundled={"out.js": {path: 2}}, owners={})
    (file,) = of_zip(tmp_path / "b.zip", known).files
    assert (file.package, file.home, file.bundle) == (package, home, "out.js")


def test_a_source_that_browsers_turn_off(tmp_path: Path) -> None:
    """esbuild's mark before a path is none of its parts."""
    (tmp_path / "b.zip").write_bytes(in_memory({"out.js": b"1;"}))
    known = Makeup(sha256="", bundled={"out.js": {"(disabled):node_modules/a/x.js": 2}}, owners={})
    (file,) = of_zip(tmp_path / "b.zip", known).files
    assert file.package == "a"


def test_notes_that_can_not_be_true(tmp_path: Path) -> None:
    """Sources larger than their bundle are of another one: it counts whole."""
    (tmp_path / "b.zip").write_bytes(in_memory({"out.js": b"1;"}))
    known = Makeup(sha256="", bundled={"out.js": {"src/a.ts": 3}}, owners={})
    found = of_zip(tmp_path / "b.zip", known)
    assert [file.path for file in found.files] == ["out.js"]
    assert found.bundles == frozenset()


# --- any zip -----------------------------------------------------------------------------------


@given(
    files=st.dictionaries(PATHS, st.binary(max_size=300), max_size=8),
    divided=st.lists(st.integers(min_value=0, max_value=40), max_size=6),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_parts_add_up(tmp_path: Path, files: dict[str, bytes], divided: list[int]) -> None:
    """Whatever is in a zip: its parts are all of it but the end, however a bundle is divided."""
    (tmp_path / "a.zip").write_bytes(whole := in_memory(files))
    sources = {f"src/{number}.ts": size for number, size in enumerate(divided)}
    known = Makeup(sha256="", bundled={"a/x.js": sources, "x.js": sources}, owners={"b": "dist"})
    found = of_zip(tmp_path / "a.zip", known)
    assert found.zipped == len(whole)
    assert found.unzipped == sum(map(len, files.values()))
    for parts in (found.files, found.packages):
        assert sum(part.zipped for part in parts) == len(whole) - headers.END.size
        assert sum(part.unzipped for part in parts) == found.unzipped
    assert sizes.compare(found, found).files == ()
    other = of_zip(tmp_path / "a.zip")
    there, back = sizes.compare(other, found), sizes.compare(found, other)
    assert {(one.name, one.before, one.now) for one in there.packages} == {
        (one.name, one.now, one.before) for one in back.packages
    }


SOME = in_memory(
    {
        "a.js": b"1;" * 90,
        "lib/x.py": b"x",
        "x-1.dist-info/RECORD": b"lib/x.py,,\nx-1.dist-info/RECORD,,\n" * 5,
        "caf\u00e9.js": b"2;",
    }
)


DAMAGE = st.lists(
    st.tuples(st.integers(0, len(SOME) - 1), st.sampled_from([0, 1, 0x7F, 0xFF])),
    min_size=1,
    max_size=4,
)


@given(DAMAGE)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400
)
def test_damage_is_told(tmp_path: Path, damage: list[tuple[int, int]]) -> None:
    """Any bytes are a zip, or zipfile.BadZipFile: never another ending."""
    broken = bytearray(SOME)
    for at, value in damage:
        broken[at] = value
    (tmp_path / "a.zip").write_bytes(broken)
    with contextlib.suppress(zipfile.BadZipFile, OSError):
        of_zip(tmp_path / "a.zip")


# --- what is remembered ------------------------------------------------------------------------


def test_the_former_zip(output: Output) -> None:
    """Its sizes are those it had, though only its directory is kept; another build of the same
    bytes is no other zip."""
    one, two = contents("a.js", "old.js"), contents("a.js", "new.js")
    first, second = written(output, one), written(output, two)
    zip_sources.keep(output, state_of(output), "One", zip_sources.of(one, first), None)
    assert zip_sources.load_former(state_of(output), "One") is None
    known = zip_sources.load(state_of(output), "One")
    whole = of_zip(Path(output.root, first.immutable_path), known)
    zip_sources.keep(output, state_of(output), "One", zip_sources.of(two, second), first)
    zip_sources.keep(output, state_of(output), "One", zip_sources.of(two, second), second)
    Path(output.root, first.immutable_path).unlink()
    former = zip_sources.load_former(state_of(output), "One")
    assert former is not None
    assert sizes.of_former(former) == whole
    assert whole.bundles == {"a.js"}


def test_own_code_among_dependencies(output: Output) -> None:
    """A file of own code in a dependency's folder is no file of that dependency."""
    made = contents("thing/mine.py", "other.py", owners=(("thing", "big-thing"),))
    artifact = written(output, contents("thing/mine.py", "other.py", "thing/theirs.py"))
    zip_sources.keep(output, state_of(output), "One", zip_sources.of(made, artifact), None)
    known = zip_sources.load(state_of(output), "One")
    found = of_zip(Path(output.root, artifact.immutable_path), known)
    assert {one.path: one.kind for one in found.files} == {
        "thing/mine.py": PackageKind.OWN,
        "other.py": PackageKind.OWN,
        "thing/theirs.py": PackageKind.PYTHON,
    }


def test_torn_notes_are_a_miss(output: Output) -> None:
    """Cut or changed at any byte, nothing is believed of them."""
    one, two = contents("a.js"), contents("b.js")
    first = written(output, one)
    zip_sources.keep(output, state_of(output), "One", zip_sources.of(one, first), None)
    zip_sources.keep(
        output, state_of(output), "One", zip_sources.of(two, written(output, two)), first
    )
    for path, load in (
        (state_of(output).zip_sources("One").file, zip_sources.load),
        (state_of(output).former("One").file, zip_sources.load_former),
    ):
        whole = path.read()
        for at in range(len(whole)):
            for bad in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
                path.write(bad)
                assert load(state_of(output), "One") is None, at
        path.remove()
        assert load(state_of(output), "One") is None


def test_notes_never_fail_a_build(output: Output) -> None:
    """A former zip that is gone, is no zip, or a folder that can't be written cost the notes."""
    one, two = contents("a.js"), contents("b.js")
    first, second = written(output, one), written(output, two)
    path = Path(output.root, first.immutable_path)
    path.chmod(0o644)
    for content in (b"", b"short", b"PK\x05\x06" * 40):
        path.write_bytes(content)
        zip_sources.keep(output, state_of(output), "One", zip_sources.of(two, second), first)
        known = zip_sources.load(state_of(output), "One")
        assert known is not None
        assert known.sha256 == second.sha256
    path.unlink()
    zip_sources.keep(output, state_of(output), "One", zip_sources.of(two, second), first)
    state_of(output).zip_sources("One").file.remove()
    state_of(output).former("One").file.remove()
    Path(output.root, ".lambdad/state/makeup").chmod(0)
    if os.geteuid() != 0:  # root may write anywhere
        zip_sources.keep(output, state_of(output), "One", zip_sources.of(two, second), first)
    assert zip_sources.load(state_of(output), "One") is None
    assert zip_sources.load_former(state_of(output), "One") is None
