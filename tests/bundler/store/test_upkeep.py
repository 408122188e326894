"""What follows builds: a manifest that is true, and nothing left that no function needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.model import Artifact, Built, Function, InputSet, Project
from lambdad.bundler.store import project_state
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.upkeep import Upkeep
from tests.support.samples import function


@pytest.fixture
def output(tmp_path: Path) -> Output:
    found = Output(str(tmp_path))
    found.prepare()
    return found


def project(output: Output, *names: str) -> Project:
    return Project(
        root=output.root,
        repository=output.root,
        functions=tuple(function(name) for name in names),
        inputs=InputSet(),
    )


def zipped(output: Output, name: str, sha256: str = "00") -> Built:
    one: Function = function(name)
    artifact = Artifact(
        path=output.zip(name),
        immutable_path=output.artifact(sha256),
        sha256=sha256,
        size=1,
        unzipped_size=1,
    )
    return Built(function=one, artifact=artifact)


def state_of(output: Output) -> ProjectState:
    return project_state.of(output.root, os.environ)


def manifest(output: Output) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.manifest.read())["functions"]
    return {name: entry["sha256"] for name, entry in found.items()}


def test_the_manifest_keeps_what_others_told(output: Output) -> None:
    """Each build tells of its own functions, whoever told of the others."""
    one = project(output, "A", "B")
    Upkeep(one).tell([zipped(output, "A")], state_of(output))
    Upkeep(one).tell([zipped(output, "B", "01")], state_of(output))
    assert manifest(output) == {"A": "00", "B": "01"}


def test_what_is_not_declared_leaves_the_manifest(output: Output) -> None:
    """Whatever is told next."""
    Upkeep(project(output, "A", "B")).tell(
        [zipped(output, "A"), zipped(output, "B")], state_of(output)
    )
    Upkeep(project(output, "B")).tell([zipped(output, "B")], state_of(output))
    assert manifest(output) == {"B": "00"}


@pytest.mark.parametrize("harm", ["torn", "gone", "another's"])
def test_a_harmed_manifest_is_mended(output: Output, harm: str) -> None:
    """Though the same upkeep wrote it, and has nothing new to tell."""
    upkeep = Upkeep(project(output, "A"))
    upkeep.tell([zipped(output, "A")], state_of(output))
    if harm == "gone":
        output.manifest.remove()
    elif harm == "torn":
        os.truncate(output.manifest.path, 10)
    else:
        output.manifest.write(b'{"schema": 1, "functions": {}}')
    upkeep.tell([zipped(output, "A")], state_of(output))
    assert manifest(output) == {"A": "00"}


def test_nothing_new_writes_nothing(output: Output) -> None:
    """A thousand checks of fresh functions leave the file as it is."""
    upkeep = Upkeep(project(output, "A", "B"))
    upkeep.tell([zipped(output, "A"), zipped(output, "B")], state_of(output))
    before = output.manifest.status()
    upkeep.tell([zipped(output, "A")], state_of(output))
    assert output.manifest.status() == before


@pytest.mark.parametrize(("pause_s", "collected"), [(0.0, True), (3600.0, False)])
def test_collects_no_more_often_than_it_should(
    output: Output, pause_s: float, collected: bool
) -> None:
    """It looks at all that is kept, which is too much after every build of a daemon."""
    upkeep = Upkeep(project(output, "A"), pause_s=pause_s)
    upkeep.collect(state_of(output))
    folder = Path(output.root, ".lambdad/live/Gone", "0" * 40)
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        os.utime(path, (0, 0))
    upkeep.collect(state_of(output))
    assert folder.exists() is not collected
