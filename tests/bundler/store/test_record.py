"""What is remembered of a build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.model import (
    Artifact,
    BuildRequest,
    FileKey,
    Listing,
    Live,
    Location,
    Snapshot,
    Stems,
    Walk,
    warning,
)
from lambdad.bundler.store import record
from lambdad.bundler.store.project_folder import OurFile, ProjectFolder
from lambdad.bundler.store.record import Record
from lambdad.bundler.store.sealed import Seal, SealedFile
from lambdad.bundler.toolchain import current_toolchain
from tests.support.samples import function

REQUEST = BuildRequest(function=function(), toolchain=current_toolchain())
KEY = FileKey(1, 2, 3, 4, 5, 0o100644)
RECORD = Record(
    request=record.canonical(REQUEST),
    inputs=Snapshot(
        files={"a.py": KEY, "b.py": None},
        links={"l": KEY},
        listings={
            ".": Listing(KEY, Walk(".", ("*.md",)), ("a.py/f",)),
            "src": Listing(None, Stems(frozenset({"a", "index"})), ()),
        },
        suspects=frozenset({"a.py"}),
    ),
    succeeded=True,
    artifact=Artifact(path="p", immutable_path="i", sha256="00", size=1, unzipped_size=2),
    live=Live(entry=".lambdad/live/Sample/00/a.js", path=("src", "/store"), digest="00"),
    made={"i": (1, 2, 3), "p": (4, 5, 6)},
    diagnostics=(warning("code", "message", Location("a.py", 1, 2), "hint"),),
    reasons=("never built",),
    duration_s=0.25,
)


@pytest.fixture
def place(tmp_path: Path) -> SealedFile:
    folder = ProjectFolder(str(tmp_path))
    folder.prepare()
    return SealedFile(OurFile(folder, "state", "r.json"), ("record",), Seal(b"k" * 32))


def test_round_trip(place: SealedFile) -> None:
    """What was saved is what is loaded."""
    record.save(place, RECORD)
    assert record.load(place) == RECORD


def test_torn_record_is_a_miss(place: SealedFile) -> None:
    """A kill at any byte costs a build, never a wrong answer."""
    record.save(place, RECORD)
    whole = place.file.read()
    for cut in range(len(whole)):
        place.file.write(whole[:cut])
        assert record.load(place) is None


def test_a_record_without_inputs_is_a_miss(place: SealedFile) -> None:
    """Nothing would ever make it stale."""
    none = Snapshot(files={}, links=RECORD.inputs.links, listings={}, suspects=frozenset())
    record.save(place, replace(RECORD, inputs=none))
    assert record.load(place) is None


@pytest.mark.parametrize(
    "foreign",
    [b"", b"null", b"[]", b'{"version": 1}', b'{"version": 99}', b"\xff\xfe", b"{" * 9999],
)
def test_foreign_record_is_a_miss(place: SealedFile, foreign: bytes) -> None:
    """Another version's or another program's file is no record."""
    place.file.write(foreign)
    assert record.load(place) is None


@pytest.mark.parametrize("foreign", [None, [], "text", {}, {"version": 1}, {"version": 99}])
def test_another_versions_record_is_a_miss(place: SealedFile, foreign: object) -> None:
    """Though it was sealed as a record is."""
    place.write(foreign)
    assert record.load(place) is None


def test_labels_are_not_part_of_the_request() -> None:
    """Moving a function's declaration to another line changes nothing that is built."""
    moved = replace(REQUEST, function=function(where=Location("template.yaml", 99, 1)))
    assert record.request_changes(RECORD.request, moved) == ()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"code": "lib"}, 'code changed: "src" -> "lib"'),
        ({"without": ("boto3",)}, 'without changed: [] -> ["boto3"]'),
        ({"layers": True}, "layers changed: false -> true"),
    ],
)
def test_changed_settings_are_named(changed: dict[str, object], reason: str) -> None:
    """The reason says which setting, from what to what."""
    request = replace(REQUEST, function=replace(REQUEST.function, **changed))  # type: ignore[arg-type]
    assert record.request_changes(RECORD.request, request) == (reason,)


def test_another_repository_is_named() -> None:
    """What was outside may lie inside now: `git init` above retries what was refused."""
    request = replace(REQUEST, repository="..")
    reasons = record.request_changes(RECORD.request, request)
    assert reasons == ("the repository is another: . -> ..",)


def test_a_new_version_of_a_tool_is_named() -> None:
    """An upgrade rebuilds, and says so."""
    newer = replace(REQUEST, toolchain=replace(REQUEST.toolchain, esbuild="9.9.9"))
    (reason,) = record.request_changes(RECORD.request, newer)
    assert reason.startswith("esbuild is another version")
