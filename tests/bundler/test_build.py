"""The build's flow: fresh or stale, superseded, failed, kept, published."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler import build, packers
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import (
    BuildRequest,
    BuildResult,
    Built,
    BundlerError,
    Failed,
    Function,
    InputSet,
    Method,
    Project,
    ProjectError,
    Want,
    error,
    warning,
)
from lambdad.bundler.packers import Made, Maker
from lambdad.bundler.report.render import status
from lambdad.bundler.store.store import Store
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.conftest import Tree
from tests.support.samples import function

Lay = Callable[[Tree], None]

APP = {"src/app.py": "from words import WORD\n\ndef handler(event, context): return WORD\n"}
APP |= {"src/words.py": "WORD = 'one'\n"}


def project(workshop: Workshop, *functions: Function) -> Project:
    return Project(
        root=workshop.root,
        repository=workshop.repository,
        functions=functions,
        inputs=InputSet(),
    )


def run(workshop: Workshop, *functions: Function) -> tuple[BuildResult, ...]:
    # Nothing here is about saves in the tick of a build: test_snapshot.py is.
    wait_for_tick(workshop.root)
    return build.build(functions, workshop, Upkeep(project(workshop, *functions)))


def built(workshop: Workshop, name: str = "Sample") -> dict[str, bytes]:
    """What the zip under the function's name holds."""
    with zipfile.ZipFile(Path(workshop.root, ".lambdad/build", f"{name}.zip")) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


def test_built_once(workshop: Workshop, lay: Lay) -> None:
    """The second build does nothing and tells the same artifact."""
    lay(APP)
    (first,) = run(workshop, function())
    (second,) = run(workshop, function())
    assert (status(first), first.cached, first.reasons) == ("built", False, ("never built",))
    assert (status(second), second.cached, second.reasons) == ("built", True, ())
    assert second.artifact == first.artifact
    assert built(workshop)["words.py"] == b"WORD = 'one'\n"


def test_an_edit_rebuilds_with_its_reason(workshop: Workshop, lay: Lay) -> None:
    """The zip holds the new text, and the outcome says which file moved."""
    lay(APP)
    run(workshop, function())
    lay({"src/words.py": "WORD = 'two'\n"})
    (outcome,) = run(workshop, function())
    assert outcome.reasons == ("src/words.py changed",)
    assert built(workshop)["words.py"] == b"WORD = 'two'\n"


def test_a_failure_keeps_the_last_good_zip(workshop: Workshop, lay: Lay) -> None:
    """A failed build is told again without building, and mending it is picked up."""
    lay(APP)
    (good,) = run(workshop, function())
    os.rename(Path(workshop.root, "src/app.py"), Path(workshop.root, "app.py"))
    (failed,) = run(workshop, function())
    (again,) = run(workshop, function())
    assert (status(failed), failed.cached) == ("failed", False)
    assert (status(again), again.cached) == ("failed", True)
    assert failed.artifact == again.artifact == good.artifact
    assert again.diagnostics == failed.diagnostics
    assert "app.py" in built(workshop)
    os.rename(Path(workshop.root, "app.py"), Path(workshop.root, "src/app.py"))
    (mended,) = run(workshop, function())
    assert (status(mended), mended.cached, mended.artifact) == ("built", False, good.artifact)


def test_a_failed_first_build_leaves_no_zip(workshop: Workshop, lay: Lay) -> None:
    """There is nothing under the name of a function that was never built."""
    lay({"src/other.py": ""})
    (outcome,) = run(workshop, function())
    assert (status(outcome), outcome.artifact) == ("failed", None)
    assert os.listdir(Path(workshop.root, ".lambdad/build")) == ["manifest.json"]
    lay(APP)
    assert status(run(workshop, function())[0]) == "built"


@pytest.mark.parametrize("harm", ["build", "artifacts", "edited"])
def test_a_harmed_zip_is_made_again(workshop: Workshop, lay: Lay, harm: str) -> None:
    """A zip that was deleted or written into by another hand is not believed."""
    lay(APP)
    (first,) = run(workshop, function())
    assert first.artifact
    whole = built(workshop)
    if harm == "edited":
        os.chmod(Path(workshop.root, first.artifact.path), 0o644)
        with open(Path(workshop.root, first.artifact.path), "ab") as file:
            file.write(b"x")
    else:
        shutil.rmtree(Path(workshop.root, ".lambdad", harm))
    (second,) = run(workshop, function())
    assert not second.cached
    assert second.artifact == first.artifact
    assert built(workshop) == whole
    assert run(workshop, function())[0].cached


def test_functions_that_share_a_zip(workshop: Workshop, lay: Lay) -> None:
    """Equal bytes are one artifact, and neither function makes the other stale."""
    lay(APP)
    one, two = function("One"), function("Two")
    first, second = run(workshop, one, two)
    assert first.artifact
    assert second.artifact
    assert first.artifact.sha256 == second.artifact.sha256
    assert [outcome.cached for outcome in run(workshop, one, two)] == [True, True]
    lay({"src/words.py": "WORD = 'two'\n"})
    run(workshop, one)
    lay({"src/words.py": "WORD = 'one'\n"})
    run(workshop, one, two)
    assert [outcome.cached for outcome in run(workshop, one, two)] == [True, True]


def test_a_deploy_may_still_read_the_older_artifact(workshop: Workshop, lay: Lay) -> None:
    """The file under the digest stays when the name moves on to a newer build."""
    lay(APP)
    (first,) = run(workshop, function())
    assert first.artifact
    before = Path(workshop.root, first.artifact.immutable_path).read_bytes()
    lay({"src/words.py": "WORD = 'two'\n"})
    run(workshop, function())
    assert Path(workshop.root, first.artifact.immutable_path).read_bytes() == before


def test_publishing_the_same_zip_again(workshop: Workshop, lay: Lay) -> None:
    """A build that gives the bytes that are there already leaves no second link behind."""
    lay(APP)
    run(workshop, function())
    shutil.rmtree(Path(workshop.root, ".lambdad/state"))
    run(workshop, function())
    names = sorted(os.listdir(Path(workshop.root, ".lambdad/build")))
    assert names == ["Sample.zip", "manifest.json"]


def test_changed_settings_rebuild(workshop: Workshop, lay: Lay) -> None:
    """The configuration is in every closure, through what it says of the function."""
    lay({**APP, "src/notes.md": ""})
    run(workshop, function())
    (outcome,) = run(workshop, function(exclude=("*.md",)))
    assert outcome.reasons == ('exclude changed: [] -> ["*.md"]',)
    assert "notes.md" not in built(workshop)


@pytest.mark.parametrize("first", [True, False])
def test_locked_is_insisted_on(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """A build of unlocked dependencies does not answer --locked, nor its refusal a plain build."""
    lay(APP)
    real = packers.LANGUAGES[Method.PYTHON].zip

    def pack(
        requests: Sequence[BuildRequest], workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterable[Some]:
        packed = whole(real(requests, workshop, seen))
        for request in requests:
            contents = packed[request.function.name]
            assert isinstance(contents, Contents)
            packed[request.function.name] = (
                ProjectError(error("unlocked", "x"))
                if request.locked
                else replace(contents, diagnostics=(warning("unlocked", "x"),))
            )
        return [packed]

    make_zips_by(monkeypatch, Method.PYTHON, pack)
    for locked in (first, not first, not first, first):
        wait_for_tick(workshop.root)
        (outcome,) = build.build(
            [function()], workshop, Upkeep(project(workshop, function())), locked=locked
        )
        assert status(outcome) == ("failed" if locked else "built")
    assert not outcome.cached


def test_the_manifest_names_what_there_is(workshop: Workshop, lay: Lay) -> None:
    """Programs find each function's zip; a function that left the project leaves it, too."""
    lay(APP)
    run(workshop, function("One"), function("a/b"))
    path = Path(workshop.root, ".lambdad/build/manifest.json")
    entries = json.loads(path.read_text())["functions"]
    assert entries["a/b"]["path"] == ".lambdad/build/a-b.zip"
    assert entries["One"]["handler"] == "app.handler"
    lay({"src/words.py": "WORD = 'two'\n"})
    run(workshop, function("One"))
    assert list(json.loads(path.read_text())["functions"]) == ["One"]


def test_git_ignores_the_folder(workshop: Workshop, lay: Lay) -> None:
    """.lambdad never shows up in a project's version control."""
    lay(APP)
    subprocess.run(["git", "init", "-q"], cwd=workshop.root, check=True)
    run(workshop, function())
    told = subprocess.run(
        ["git", "status", "--porcelain"], cwd=workshop.root, capture_output=True, check=True
    )
    assert b".lambdad" not in told.stdout


# --- what happens meanwhile ------------------------------------------------------------------


def meddle(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> list[int]:
    """Calls `act` with the build's number after each packing; returns the numbers so far."""
    real = packers.LANGUAGES[Method.PYTHON].zip
    numbers: list[int] = []

    def pack(
        requests: Sequence[BuildRequest], workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterable[Some]:
        packed = whole(real(requests, workshop, seen))
        numbers.append(len(numbers))
        act(numbers[-1])
        return [packed]

    make_zips_by(monkeypatch, Method.PYTHON, pack)
    return numbers


def test_edited_while_it_is_built(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known input that moves during the build makes it build again, with the new text."""
    lay(APP)
    run(workshop, function())
    lay({"src/words.py": "WORD = 'two'\n"})

    def edit(number: int) -> None:
        if number == 0:
            lay({"src/words.py": "WORD = 'three'\n"})

    numbers = meddle(monkeypatch, edit)
    (outcome,) = run(workshop, function())
    assert status(outcome) == "built"
    assert numbers == [0, 1]
    assert "src/words.py changed during the build" in outcome.reasons
    assert built(workshop)["words.py"] == b"WORD = 'three'\n"


def test_edited_while_it_is_built_for_the_first_time(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path first met counts as moved if it changed after the build began."""
    lay(APP)

    def edit(number: int) -> None:
        if number == 0:
            wait_for_tick(workshop.root)
            lay({"src/words.py": "WORD = 'three'\n"})

    numbers = meddle(monkeypatch, edit)
    run(workshop, function())
    assert numbers == [0, 1]
    assert built(workshop)["words.py"] == b"WORD = 'three'\n"


@pytest.mark.parametrize("moved", ["src/more", "src"])
def test_a_folder_that_was_away_while_it_was_built(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """Another in its place may have been read, though all is as it was before."""
    lay({**APP, "src/more/list.py": "LIST = 'its own'\n"})
    run(workshop, function())
    lay({"src/words.py": "WORD = 'two'\n"})
    folder, away = Path(workshop.root, moved), Path(workshop.root, "away")

    def move(source: Path, target: Path) -> None:
        wait_for_tick(workshop.root)
        source.rename(target)

    real = packers.LANGUAGES[Method.PYTHON].zip
    first = iter([True])

    def pack(
        requests: Sequence[BuildRequest], workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterable[Some]:
        if not next(first, False):
            return real(requests, workshop, seen)
        move(folder, away)
        lay({**APP, "src/more/list.py": "LIST = 'a guest'\n"})
        packed = whole(real(requests, workshop, seen))
        shutil.rmtree(folder)
        move(away, folder)
        return [packed]

    make_zips_by(monkeypatch, Method.PYTHON, pack)
    (outcome,) = run(workshop, function())
    assert f"{moved} changed during the build" in outcome.reasons
    assert built(workshop)["more/list.py"] == b"LIST = 'its own'\n"


def test_sources_that_never_hold_still(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five superseded builds the function fails, says why, and keeps its last good zip."""
    lay(APP)
    (good,) = run(workshop, function())
    lay({"src/words.py": "WORD = ''\n"})
    numbers = meddle(monkeypatch, lambda number: lay({"src/words.py": f"WORD = {number:09}\n"}))
    (outcome,) = run(workshop, function())
    assert len(numbers) == build.ROUNDS
    assert [item.code for item in outcome.diagnostics] == ["restless-sources"]
    assert outcome.artifact == good.artifact


def test_a_fault_of_the_machine_is_not_remembered(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the network refused once is tried again, and the other functions are built."""
    lay(APP)

    def refuse(
        requests: Sequence[BuildRequest], _workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterable[Some]:
        return [{item.function.name: BundlerError("offline", "no network")} for item in requests]

    make_zips_by(monkeypatch, Method.NODE, refuse)
    node = function("Node", method=Method.NODE)
    broken, well = run(workshop, node, function("Well"))
    assert isinstance(broken, Failed)
    assert broken.machine_fault
    assert status(well) == "built"
    assert not run(workshop, node)[0].cached


def test_a_failures_closure_never_shrinks(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last build looked at still counts, however little the failed one got to see."""
    lay(APP)
    run(workshop, function())
    lay({"src/app.py": "def handler(event, context): return 2\n"})

    def fail(
        requests: Sequence[BuildRequest], _workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterable[Some]:
        for one in seen.values():
            one.file("src/app.py")
        return [{item.function.name: ProjectError(error("x", "y"))} for item in requests]

    make_zips_by(monkeypatch, Method.PYTHON, fail)
    assert status(run(workshop, function())[0]) == "failed"
    monkeypatch.undo()
    assert run(workshop, function())[0].cached
    lay({"src/words.py": "WORD = 'two'\n"})
    assert run(workshop, function())[0].reasons == ("src/words.py changed",)


def test_a_failure_without_inputs_is_not_remembered(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would ever make it stale, so it is tried again each time."""
    lay(APP)

    def fail(
        requests: Sequence[BuildRequest], _workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterable[Some]:
        return [{item.function.name: ProjectError(error("x", "y"))} for item in requests]

    make_zips_by(monkeypatch, Method.PYTHON, fail)
    assert status(run(workshop, function())[0]) == "failed"
    monkeypatch.undo()
    assert status(run(workshop, function())[0]) == "built"


def test_a_store_that_can_not_be_made(workshop: Workshop, lay: Lay, tmp_path: Path) -> None:
    """A fault of the machine, told with its next step; what needs no store is built."""
    lay(APP | {"lib/pyproject.toml": "", "src/requirements.txt": "../lib\n"})
    lay({"own/app.py": APP["src/app.py"], "own/words.py": APP["src/words.py"]})
    (tmp_path / "file").touch()
    closed = replace(workshop, store=Store(tmp_path / "file" / "store"))
    needy, own = run(closed, function(), function(name="Own", code="own"))
    assert isinstance(needy, Failed)
    assert needy.machine_fault
    assert status(own) == "built"
    [fault] = needy.diagnostics
    assert fault.code == "not-writable"
    assert "LAMBDAD_CACHE_DIR" in str(fault.hint)


Some = Mapping[str, Made]


def whole(made: Iterable[Some]) -> dict[str, Made]:
    return {name: one for some in made for name, one in some.items()}


def make_zips_by(monkeypatch: pytest.MonkeyPatch, method: Method, maker: Maker) -> None:
    """From now on `maker` makes the zips of that method's functions."""
    changed = replace(packers.LANGUAGES[method], zip=maker)
    monkeypatch.setattr(packers, "LANGUAGES", {**packers.LANGUAGES, method: changed})


@pytest.mark.parametrize("lost", ["artifacts", "build"])
def test_a_last_good_zip_that_is_gone(workshop: Workshop, lay: Lay, lost: str) -> None:
    """An answer of a failure names the last good zip as long as it is there as it was made, when
    the failure is found and when it is reported again."""
    lay(APP)
    (good,) = run(workshop, function())
    assert isinstance(good, Built)
    Path(workshop.root, "src/app.py").write_text("def handler(:\n")
    for _ in range(2):
        (failed,) = run(workshop, function())
        assert isinstance(failed, Failed)
        assert failed.artifact == good.artifact
    assert failed.cached
    for path in Path(workshop.root, ".lambdad", lost).glob("*.zip"):
        path.unlink()
    (again,) = run(workshop, function())
    assert isinstance(again, Failed)
    assert again.artifact is None
    Path(workshop.root, "src/app.py").write_text("def handler(::\n")
    (anew,) = run(workshop, function())
    assert isinstance(anew, Failed)
    assert anew.artifact is None


def test_a_full_disk(workshop: Workshop, small_disk: Path) -> None:
    """The last good zip stays whole, nothing half-written is left, and the next build works."""
    narrow = replace(
        workshop, root=os.path.realpath(small_disk), repository=os.path.realpath(small_disk)
    )
    source = small_disk / "src"
    source.mkdir()
    (source / "app.py").write_text("def handler(event, context): return 1\n")
    (good,) = run(narrow, function())
    whole = built(narrow)
    (source / "noise.bin").write_bytes(os.urandom(150_000))
    (outcome,) = run(narrow, function())
    assert isinstance(outcome, Failed)
    assert outcome.machine_fault
    assert [item.code for item in outcome.diagnostics] == ["disk-full"]
    assert f"{narrow.root}/.lambdad/artifacts" in outcome.diagnostics[0].message
    assert outcome.artifact == good.artifact
    assert built(narrow) == whole
    left = [name for _, _, names in os.walk(small_disk / ".lambdad") for name in names]
    assert not [name for name in left if name.startswith(".tmp-")]
    (source / "noise.bin").unlink()
    assert status(run(narrow, function())[0]) == "built"


# --- who is told when --------------------------------------------------------------------------


@pytest.mark.parametrize("want", Want)
def test_shown_at_once_and_settled_once_in_place(workshop: Workshop, lay: Lay, want: Want) -> None:
    """Who is told that a zip has settled finds it in the manifest; each is told of exactly once."""
    lay(APP)
    functions = (function("One"), function("Two"), function("Gone", code="nowhere"))
    upkeep = Upkeep(project(workshop, *functions))
    manifest = Path(workshop.root, ".lambdad/build/manifest.json")
    heard: list[tuple[str, str]] = []

    def settled(outcome: BuildResult) -> None:
        heard.append(("settled", outcome.name))
        if outcome.artifact is not None:
            assert outcome.name in json.loads(manifest.read_text())["functions"]

    def shown(outcome: BuildResult) -> None:
        heard.append(("shown", outcome.name))

    for _ in range(2):
        heard.clear()
        build.build(functions, workshop, upkeep, want=want, shown=shown, settled=settled)
        assert sorted(heard) == sorted(
            (how, one.name) for how in ("shown", "settled") for one in functions
        )
        for one in functions:
            assert heard.index(("shown", one.name)) < heard.index(("settled", one.name))
