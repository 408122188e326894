"""A clone that brings a .lambdad of its own: nothing in it decides what a build hands out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import Artifact, BuildResult, Project, Snapshot
from lambdad.bundler.report import sizes
from lambdad.bundler.store import project_state, record
from lambdad.bundler.store.output import Output, manifest_entry
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.record import Record
from lambdad.bundler.store.store import Store
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import zip_sources
from tests.conftest import write_tree

TOML = """
[defaults]
runtime = "python3.12"

[functions.One]
handler = "app.handler"
code = "one"

[functions.Two]
handler = "app.handler"
code = "two"
"""
APP = {
    "lambdad.toml": TOML,
    "one/app.py": "def handler(event, context):\n    return 'honest one'\n",
    "two/app.py": "def handler(event, context):\n    return 'honest two'\n",
}
NOTHING = Snapshot(files={}, links={}, listings={}, suspects=frozenset())


class Clone:
    """The app as somebody else published it: their state folder is not the user's."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder / "app")
        self.store = Store(folder / "store")
        self.theirs = {**os.environ, "XDG_STATE_HOME": str(folder / "theirs")}
        self.ours = {**os.environ, "XDG_STATE_HOME": str(folder / "ours")}
        write_tree(Path(self.root), APP)
        self.output = Output(self.root)

    @property
    def project(self) -> Project:
        return read_project(self.root, self.ours)

    def build(self, *names: str, environ: dict[str, str] | None = None) -> dict[str, BuildResult]:
        """What builds of the named functions come to, or of all: the user's, if nobody is named."""
        project = self.project
        workshop = Workshop(
            root=self.root, repository=self.root, store=self.store, environ=environ or self.ours
        )
        wanted = [each for each in project.functions if not names or each.name in names]
        return {made.name: made for made in build.build(wanted, workshop, Upkeep(project))}

    def state(self, environ: dict[str, str]) -> ProjectState:
        return project_state.of(self.root, environ)

    def manifest(self) -> dict[str, Any]:
        path = Path(self.root, ".lambdad/build/manifest.json")
        found: dict[str, Any] = json.loads(path.read_bytes())["functions"]
        return found

    def code(self, name: str) -> bytes:
        """What the zip under the function's name does."""
        with zipfile.ZipFile(Path(self.root, f".lambdad/build/{name}.zip")) as archive:
            return archive.read("app.py")

    def evil(self, name: str = "One") -> Artifact:
        """A zip of theirs that lies where the function's does."""
        path = Path(self.root, self.output.zip(name))
        path.unlink(missing_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("app.py", "evil")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        immutable = self.output.artifact(sha256)
        shutil.copyfile(path, Path(self.root, immutable))
        size = path.stat().st_size
        return Artifact(
            path=self.output.zip(name),
            immutable_path=immutable,
            sha256=sha256,
            size=size,
            unzipped_size=4,
        )

    def forged(self, name: str = "One") -> Record:
        """A record of a build that made their zip, which nothing ever makes stale."""
        (function,) = (each for each in self.project.functions if each.name == name)
        return Record(
            request=record.canonical(request_of(self.project, function)),
            inputs=NOTHING,
            succeeded=True,
            artifact=self.evil(name),
            made={},
            diagnostics=(),
            reasons=(),
            duration_s=0.1,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path)
    made.output.prepare()
    return made


def with_their_key(clone: Clone) -> None:
    record.save(clone.state(clone.theirs).record("One"), clone.forged())


def with_their_key_and_inputs(clone: Clone) -> None:
    """Those of a build of theirs, in this very folder."""
    clone.build(environ=clone.theirs)
    place = clone.state(clone.theirs).record("One")
    known = record.load(place)
    assert known is not None
    forged = clone.forged()
    record.save(
        place,
        Record(
            request=known.request,
            inputs=known.inputs,
            succeeded=True,
            artifact=forged.artifact,
            made={},
            diagnostics=(),
            reasons=(),
            duration_s=0.1,
        ),
    )


def with_no_key(clone: Clone) -> None:
    """As records were sealed before there were keys."""
    place = clone.state(clone.theirs).record("One")
    record.save(place, clone.forged())
    _seal, _, body = place.file.read().partition(b"\n")
    place.file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def with_another_functions_record(clone: Clone) -> None:
    """Of the user's own."""
    clone.build()
    state = clone.state(clone.ours)
    shutil.copyfile(state.record("Two").path, state.record("One").path)
    clone.evil()


@pytest.mark.parametrize(
    "forge",
    [with_their_key, with_their_key_and_inputs, with_no_key, with_another_functions_record],
)
def test_a_forged_record(clone: Clone, forge: Callable[[Clone], None]) -> None:
    """It is a miss: the function is built, and its zip is made of its sources."""
    forge(clone)
    assert clone.code("One") == b"evil"
    made = clone.build()["One"]
    assert not made.cached
    assert made.reasons == ("never built",)
    assert b"honest one" in clone.code("One")
    assert made.artifact is not None
    assert clone.manifest()["One"]["sha256"] == made.artifact.sha256


def test_a_record_of_ours_without_inputs(clone: Clone) -> None:
    """No build writes one, and none believes one."""
    record.save(clone.state(clone.ours).record("One"), clone.forged())
    assert not clone.build()["One"].cached
    assert b"honest one" in clone.code("One")


def test_a_build_of_ours_is_remembered(clone: Clone) -> None:
    """What was built as this user is believed, until somebody else builds."""
    clone.build()
    assert all(made.cached for made in clone.build().values())
    clone.build(environ=clone.theirs)
    assert not any(made.cached for made in clone.build().values())


def test_a_forged_manifest(clone: Clone) -> None:
    """A build of one function does not hand on what it says of the others."""
    (two,) = (each for each in clone.project.functions if each.name == "Two")
    entry = manifest_entry(two, clone.evil("Two"))
    path = Path(clone.root, ".lambdad/build/manifest.json")
    text = json.dumps({"schema": 1, "functions": {"Two": entry}}, indent=2) + "\n"
    path.write_text(text)
    clone.state(clone.theirs).manifest().write(hashlib.sha256(text.encode()).hexdigest())
    clone.build("One")
    assert set(clone.manifest()) == {"One"}
    made = clone.build("Two")["Two"]
    assert made.artifact is not None
    assert clone.manifest()["Two"]["sha256"] == made.artifact.sha256
    assert set(clone.manifest()) == {"One", "Two"}


@pytest.mark.parametrize("damage", ['{"schema": 1, "functions": {}}', "", "[]", "{"])
def test_a_damaged_manifest(clone: Clone, damage: str) -> None:
    """It is mended from what is recorded, by a build of any function."""
    clone.build()
    before = clone.manifest()
    Path(clone.root, ".lambdad/build/manifest.json").write_text(damage)
    clone.build("One")
    assert clone.manifest() == before
    Path(clone.state(clone.ours).manifest().path).unlink()
    clone.build("One")
    assert clone.manifest() == before


def test_forged_sizes(clone: Clone) -> None:
    """What takes the room is told of our zips alone."""
    clone.build(environ=clone.theirs)
    state = clone.state(clone.theirs)
    assert zip_sources.load(state, "One") is not None
    assert zip_sources.load(clone.state(clone.ours), "One") is None
    assert zip_sources.load_former(clone.state(clone.ours), "One") is None
    with Path(clone.root, ".lambdad/build/One.zip").open("rb") as file:
        assert sizes.of_zip(file).files


# --- where there is no place for a key ------------------------------------------------------------


def lambdad(clone: Clone, *arguments: str, state: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lambdad", *arguments],
        cwd=clone.root,
        env={**clone.ours, "XDG_STATE_HOME": state, "LAMBDAD_CACHE_DIR": str(clone.store.root)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["build", "list", "why One", "lint"])
def test_nothing_is_remembered(clone: Clone, command: str) -> None:
    """Where the state folder can't be used, every run builds anew, and one line says so."""
    state = f"{clone.root}/home"
    first = lambdad(clone, "build", state=state)
    assert first.returncode == 0
    done = lambdad(clone, *command.split(), state=state)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "not-remembered" in line)
    assert line.startswith("warning[not-remembered]: nothing is remembered between runs: ")
    assert "is inside the project" in line
    assert "unchanged" not in done.stdout
    assert not Path(state).exists()
    assert "not-remembered" not in lambdad(clone, "list", state=f"{clone.root}.state").stderr
