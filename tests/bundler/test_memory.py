"""What is kept between builds: it spares work, and never outlives what it came from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.build import Job
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.memory import Memory, Shelf, Slot
from lambdad.bundler.model import BuildResult, Built, BundlerError, Location, ProjectError
from lambdad.bundler.npm import vendored as npm_vendored
from lambdad.bundler.python import dependencies, fetch
from lambdad.bundler.python.wheels import splice
from lambdad.bundler.store import kept_files
from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import archive
from lambdad.bundler.zips.member import Contents, Segment
from tests.conftest import write_tree
from tests.support import npm_apps
from tests.support.python_index import APP, Project, installed, project, warnings_of
from tests.support.settled import settle

__all__ = ["project"]


def remembering(workshop: Workshop) -> Workshop:
    Output(workshop.root).prepare()
    return replace(workshop, memory=Memory())


def kept_by(workshop: Workshop) -> Memory:
    assert workshop.memory is not None
    return workshop.memory


# --- shelves ---


def test_a_shelf_is_bounded() -> None:
    """Of too many the least lately used goes."""
    shelf: Shelf[int] = Shelf(2)
    shelf.put("a", 1)
    shelf.put("b", 2)
    assert shelf.get("a") == 1
    shelf.put("c", 3)
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (1, None, 3)
    assert len(shelf) == 2
    assert (shelf.once("a", lambda: 5), shelf.once("d", lambda: 4)) == (1, 4)


def test_a_memory_has_a_shelf_for_each_slot() -> None:
    """The same shelf whenever it is asked for; slots are told apart by identity."""
    numbers, others = Slot[int]("numbers", most=2), Slot[int]("numbers", most=3)
    memory = Memory()
    memory.shelf(numbers).put("key", 1)
    assert memory.shelf(numbers).get("key") == 1
    assert memory.shelf(others).get("key") is None
    assert Memory().shelf(numbers).get("key") is None
    for number in range(5):
        memory.shelf(numbers).put(number, number)
        memory.shelf(others).put(number, number)
    assert (len(memory.shelf(numbers)), len(memory.shelf(others))) == (2, 3)


class Running:
    """An engine that counts how often it was ended."""

    def __init__(self) -> None:
        self.pid: int | None = 1
        self.count = 0
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_memory_has_one_engine() -> None:
    """Made by the first who needs it, and ended once."""
    memory = Memory()
    before = memory.running
    engine = memory.engine(Running)
    assert memory.engine(Running) is engine
    assert (before, memory.running) == (None, engine)
    memory.close()
    memory.close()
    assert engine.closed == 1
    assert memory.running is None


# --- Python ---


class Kept:
    """A Python function with two locked dependencies, packed with a memory and without."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.workshop = remembering(project.workshop)
        self.versions = {"alpha": "1.0", "beta": "1.0"}
        self.digests = {
            (name, version): project.index.wheel(
                name, version, files={f"{name}/__init__.py": os.urandom(3000) + version.encode()}
            )
            for name in self.versions
            for version in ("1.0", "2.0")
        }
        self.lock()

    def lock(self, **versions: str) -> None:
        self.versions |= versions
        lines = (
            f"{name}=={version} --hash=sha256:{self.digests[name, version]}\n"
            for name, version in self.versions.items()
        )
        self.project.lay({"beside": "".join(lines)})
        os.replace(self.project.root / "beside", self.project.root / "src/requirements.txt")

    def pack(self, **changes: Any) -> Contents:
        """The same with a memory, with what is left on disk, and with neither, to the last byte."""
        settle(self.workshop)
        workshop = replace(self.workshop, look=Look())
        found = self.project.pack(workshop, **changes)
        made = zipped(found, kept_by(workshop))
        without = replace(self.workshop, memory=None)
        assert found == self.project.pack(without, **changes)
        plain = self.project.pack(replace(without, recall=False), **changes)
        assert found == plain
        assert made == zipped(plain)
        return found

    def on_disk(self) -> list[Path]:
        """What is left for other processes."""
        return list((self.workshop.store.root / kept_files.KIND).glob("python-*.json"))

    def forbid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module, name in ((dependencies, "dependencies"), (splice, "install_plan")):
            monkeypatch.setattr(module, name, forbidden(name))


def forbidden(name: str) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise AssertionError(f"{name} was called")

    return call


def zipped(contents: Contents, kept: Memory | None = None) -> bytes:
    out = io.BytesIO()
    prefix = None
    if kept is not None and contents.dependencies is not None:
        prefix = archive.prefix_of(contents.dependencies, kept)
    summary = archive.write(out, contents, prefix)
    assert summary.sha256 == hashlib.sha256(out.getvalue()).hexdigest()
    return out.getvalue()


@pytest.fixture
def kept(project: Project) -> Kept:
    return Kept(project)


def test_an_edit_of_own_code_looks_for_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its requirements as they were, nothing is read, judged or laid out again."""
    kept.pack()
    kept.project.lay({"src/app.py": APP + "# edited\n", "src/more.py": "x = 1\n"})
    settle(kept.workshop)
    kept.forbid(monkeypatch)
    for memory_ in (kept.workshop.memory, None):
        found = kept.project.pack(replace(kept.workshop, look=Look(), memory=memory_))
        assert installed(found) == ["alpha-1.0", "beta-1.0"]
        assert len(found.own) == 3
    with pytest.raises(AssertionError, match="dependencies was called"):
        kept.project.pack(replace(kept.workshop, memory=None, recall=False))


def test_another_lock_is_seen(kept: Kept) -> None:
    """A pin that changed, with whatever the lock's mtime says, changes what is installed."""
    assert installed(kept.pack()) == ["alpha-1.0", "beta-1.0"]
    path = kept.project.root / "src/requirements.txt"
    before = path.stat()
    kept.lock(beta="2.0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert installed(kept.pack()) == ["alpha-1.0", "beta-2.0"]
    kept.lock(beta="1.0")
    assert installed(kept.pack()) == ["alpha-1.0", "beta-1.0"]


@pytest.mark.parametrize("at", [0, 70, -1, None])
def test_damage_to_what_is_left_on_disk(kept: Kept, at: int | None) -> None:
    """A byte of it changed, or half of it lost, costs time and no more."""
    found = kept.pack()
    (path,) = kept.on_disk()
    data = bytearray(path.read_bytes())
    if at is None:
        del data[len(data) // 2 :]
    else:
        data[at] ^= 1
    path.write_bytes(data)
    assert kept.pack() == found


def test_what_no_lock_pins_is_not_left_on_disk(kept: Kept) -> None:
    """The next process may see other indexes: it asks again."""
    kept.project.lay({"src/requirements.txt": "alpha\n"})
    assert warnings_of(kept.pack()) == ["unlocked"]
    assert kept.on_disk() == []
    kept.lock()
    kept.pack()
    assert len(kept.on_disk()) == 1


def test_other_settings_are_seen(kept: Kept) -> None:
    """What was kept of a request answers no other, and one that moved in its file is told so."""
    kept.pack()
    assert installed(kept.pack(without=("beta",))) == ["alpha-1.0"]
    assert installed(kept.pack()) == ["alpha-1.0", "beta-1.0"]
    kept.project.lay({"src/requirements.txt": "alpha==1.0\n", "src/uv.lock": "version = 1\n"})
    for line in (3, 4):
        kept.pack(where=Location("lambdad.toml", line))


def test_an_included_file_is_seen(kept: Kept) -> None:
    """So does a change in a file that the requirements include."""
    kept.project.lay({"src/requirements.txt": "-r ../base.txt\n", "base.txt": "alpha==1.0\n"})
    assert installed(kept.pack()) == ["alpha-1.0"]
    kept.project.lay({"base.txt": "alpha==2.0\n"})
    assert installed(kept.pack()) == ["alpha-2.0"]


def test_another_source_of_requirements_is_seen(kept: Kept) -> None:
    """A file that was looked for and absent appears."""
    kept.pack()
    kept.project.lay({"src/requirements.in": "gamma\n"})
    settle(kept.workshop)
    with pytest.raises(ProjectError) as caught:
        kept.project.pack(replace(kept.workshop, look=Look()))
    assert "lock-outdated" in [found.code for found in caught.value.diagnostics]


def test_a_local_package_is_seen(kept: Kept, project: Project) -> None:
    """An edit of a local package's source is an edit of the dependencies."""
    from tests.support.python_index import source_tree

    for path, text in source_tree("mine", code="value = 1\n").items():
        project.lay({f"mine/{path}": text})
    project.lay({"src/requirements.txt": "../mine\n"})
    first = kept.pack()
    project.lay({"mine/mine/__init__.py": "value = 2\n"})
    assert kept.pack().dependencies != first.dependencies


def test_own_code_over_a_dependency(kept: Kept) -> None:
    """Own files that take a dependency's place decide the segment, back and forth."""
    first = kept.pack()
    assert warnings_of(first) == []
    kept.project.lay({"src/alpha/__init__.py": "mine = 1\n"})
    assert warnings_of(kept.pack()) == ["own-over-dependency"]
    shutil.rmtree(kept.project.root / "src/alpha")
    assert kept.pack() == first


def test_locked_is_another_question(kept: Kept) -> None:
    """What was kept for a plain build does not answer one that insists on a lock."""
    kept.project.lay({"src/requirements.txt": "alpha\n"})
    kept.pack()
    with pytest.raises(ProjectError) as caught:
        kept.project.pack(kept.workshop, locked=True)
    assert [found.code for found in caught.value.diagnostics] == ["unlocked"]


def segment_path(contents: Contents) -> Path:
    assert contents.dependencies is not None
    return Path(contents.dependencies.path)


def test_a_segment_that_went_is_made_again(kept: Kept) -> None:
    """Emptying the store costs a build, with the wheels at hand or without."""
    for lost in ("segments", "wheels", None):
        path = segment_path(kept.pack())
        shutil.rmtree(kept.workshop.store.root / lost if lost else kept.workshop.store.root)
        kept.pack()
        assert path.exists()


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_damaged_segment_is_never_used(kept: Kept, at: int) -> None:
    """A byte changed in place, with size and mtime as they were: told, removed, made again."""
    found = kept.pack()
    path = segment_path(found)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BundlerError) as caught:
        zipped(found, kept_by(kept.workshop))
    assert caught.value.code == "store-damaged"
    assert zipped(kept.pack()) == zipped(found)


def test_a_damaged_wheel_is_never_spliced(kept: Kept) -> None:
    """A wheel changed since it was proved is told and fetched again."""
    found = kept.pack()
    (wheel,) = (kept.workshop.store.root / "wheels").glob("*/alpha-1.0*.whl")
    good = wheel.read_bytes()
    wheel.write_bytes(good[:-30] + bytes(30))
    segment_path(found).unlink()
    with pytest.raises(BundlerError):
        kept.project.pack(replace(kept.workshop, look=Look()))
    assert kept.pack() == found
    assert wheel.read_bytes() == good


def test_functions_share_what_is_large(kept: Kept) -> None:
    """The wheels, names and segments of many functions with one lock are the same objects."""
    memory_ = kept_by(kept.workshop)
    settle(kept.workshop)
    found = [kept.project.pack(kept.workshop, name=f"F{number}") for number in range(3)]
    assert len({id(one.dependencies) for one in found}) == 1
    assert len(memory_.shelf(splice.SPLICES)) == 1
    shelf = memory_.shelf(dependencies.DEPENDENCIES)
    wheels = {id(kept.value.wheels) for kept in shelf._values.values()}
    assert len(wheels) == 1


def produce(workshop: Workshop, **changes: Any) -> str:
    """The artifact's path after a build as build.py runs it."""
    from lambdad.bundler.model import BuildRequest
    from lambdad.bundler.toolchain import current_toolchain
    from tests.support.samples import function

    request = BuildRequest(function=function(**changes), toolchain=current_toolchain())
    found: list[BuildResult] = []
    output = Output(workshop.root)
    build.produce([Job(request=request, record=None, reasons=())], workshop, output, found.append)
    (outcome,) = found
    assert isinstance(outcome, Built), outcome
    assert outcome.artifact is not None
    return f"{workshop.root}/{outcome.artifact.immutable_path}"


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="needs Linux")
def test_no_dependency_byte_is_read(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first build an edit has the kernel copy the segment, and hashes own code alone."""
    first = produce(kept.workshop)
    kept.project.lay({"src/app.py": APP + "# edited\n"})
    settle(kept.workshop)
    copied: list[int] = []
    real = os.copy_file_range

    def copy(source: int, target: int, count: int) -> int:
        done = real(source, target, count)
        copied.append(done)
        return done

    monkeypatch.setattr(os, "copy_file_range", copy)
    monkeypatch.setattr(archive, "_read_prefix", forbidden("_read_prefix"))
    second = produce(kept.workshop)
    (segment,) = (kept.workshop.store.root / "segments").glob("*.zipseg")
    assert sum(copied) == segment.stat().st_size
    assert second != first
    assert hashlib.sha256(Path(second).read_bytes()).hexdigest() == Path(second).stem


def test_a_build_heals_a_damaged_store(kept: Kept) -> None:
    """The build that meets a damaged segment gives the right zip by itself."""
    first = Path(produce(kept.workshop))
    expected = first.read_bytes()
    (segment,) = (kept.workshop.store.root / "segments").glob("*.zipseg")
    with open(segment, "r+b") as file:
        file.write(b"damaged")
    first.unlink()
    assert Path(produce(kept.workshop)).read_bytes() == expected


def test_a_segment_is_marked_as_used(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an hour, so that pruning takes others first; its bytes are then proved again."""
    found = kept.pack()
    path = segment_path(found)
    records = path.with_suffix(".json")
    for file in (path, records):
        os.utime(file, (1, 1))
    reads: list[str] = []
    real = archive._read_prefix

    def read(source: io.FileIO, segment: Segment) -> archive.Prefix:
        reads.append(segment.path)
        return real(source, segment)

    monkeypatch.setattr(archive, "_read_prefix", read)
    kept.pack()
    assert path.stat().st_mtime > 1
    assert records.stat().st_mtime > 1
    assert reads
    zipped(found, kept_by(kept.workshop))
    reads.clear()
    zipped(found, kept_by(kept.workshop))
    assert not reads, "and then no more"


def test_many_threads_share_a_memory(kept: Kept) -> None:
    """Functions built at the same time, while the lock changes, get what belongs together."""
    faults: list[BaseException] = []

    def pack(name: str) -> None:
        try:
            for _ in range(10):
                found = kept.project.pack(replace(kept.workshop, look=Look()), name=name)
                assert installed(found)[0].startswith("alpha-")
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=pack, args=(f"F{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(6):
        kept.lock(alpha=f"{turn % 2 + 1}.0")
    for thread in threads:
        thread.join()
    assert not faults
    assert installed(kept.pack()) == ["alpha-2.0", "beta-1.0"]


# --- npm ---


@pytest.fixture
def node_app(workshop: Workshop) -> Workshop:
    """One package in node_modules, as npm leaves it."""
    files = {
        "src/app.js": 'const dep = require("dep"); exports.handler = () => dep;',
        "src/package.json": json.dumps({"name": "app", "dependencies": {"dep": "^1.0.0"}}),
        "src/node_modules/dep/package.json": json.dumps({"name": "dep", "version": "1.0.0"}),
        "src/node_modules/dep/index.js": "module.exports = 1",
    }
    write_tree(Path(workshop.root), files)
    return remembering(workshop)


def same(workshop: Workshop) -> Contents:
    settle(workshop)
    found = npm_apps.pack(replace(workshop, look=Look()))
    made = zipped(found, kept_by(workshop))
    assert found == npm_apps.pack(replace(workshop, memory=None))
    assert made == zipped(found)
    return found


def test_node_modules_are_not_looked_through_again(
    node_app: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of own code finds the packages as they were."""
    first = same(node_app)
    Path(node_app.root, "src/app.js").write_text('exports.handler = require("dep")')
    settle(node_app)
    monkeypatch.setattr(npm_vendored, "vendor", forbidden("vendor"))
    again = npm_apps.pack(replace(node_app, look=Look()))
    assert again.dependencies is first.dependencies
    assert again.own != first.own


def test_an_installation_is_seen(node_app: Workshop) -> None:
    """A package installed anew, one that is added, and one that goes."""
    first = same(node_app)
    root = Path(node_app.root, "src")
    manifest = {"name": "dep", "version": "1.0.1"}
    (root / "node_modules/dep/package.json").write_text(json.dumps(manifest))
    (root / "node_modules/dep/index.js").write_text("module.exports = 2")
    second = same(node_app)
    assert second.dependencies != first.dependencies
    write_tree(root, {"node_modules/more/package.json": '{"name": "more", "version": "1.0.0"}'})
    assert same(node_app) == second
    declared = {"name": "app", "dependencies": {"dep": "*", "more": "*"}}
    (root / "package.json").write_text(json.dumps(declared))
    third = same(node_app)
    assert len(npm_apps.names(third)) > len(npm_apps.names(second))
    shutil.rmtree(root / "node_modules/more")
    settle(node_app)
    with pytest.raises(ProjectError):
        npm_apps.pack(replace(node_app, look=Look()))


def test_a_lost_npm_segment_is_made_again(node_app: Workshop) -> None:
    """Emptying the store costs a build."""
    path = segment_path(same(node_app))
    shutil.rmtree(node_app.store.root)
    same(node_app)
    assert path.exists()


def test_the_sets_are_bounded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of dependencies that were not met for long are let go."""
    monkeypatch.setattr(splice, "SPLICES", Slot[splice.Splice]("splices", most=2))
    monkeypatch.setattr(archive, "PREFIXES", Slot[archive.Prefix]("prefixes", most=2))
    workshop = replace(kept.workshop, memory=Memory())
    for versions in ({"alpha": "1.0"}, {"alpha": "2.0"}, {"beta": "2.0"}, {"alpha": "1.0"}):
        kept.lock(**versions)
        settle(workshop)
        zipped(kept.project.pack(workshop), kept_by(workshop))
    assert len(kept_by(workshop).shelf(splice.SPLICES)) == 2
    assert len(kept_by(workshop).shelf(archive.PREFIXES)) == 2


def test_wheels_are_loaded_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit of own code asks the store for no wheel."""
    kept.pack()
    monkeypatch.setattr(fetch, "wheels", forbidden("wheels"))
    kept.project.lay({"src/app.py": APP + "# edited\n"})
    settle(kept.workshop)
    assert installed(kept.project.pack(kept.workshop)) == ["alpha-1.0", "beta-1.0"]
