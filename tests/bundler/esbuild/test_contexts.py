from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.bundler.esbuild import contexts as module
from lambdad.bundler.esbuild.binary import VERSION
from lambdad.bundler.esbuild.contexts import Contexts, resident_bytes
from lambdad.bundler.esbuild.engine import BuildContext, EsbuildGone, EsbuildJob, EsbuildOutput
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import BundlerError, ProjectError
from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents
from tests.conftest import write_tree
from tests.support.esbuild_cases import (
    Packed,
    binary_path,
    files_of,
    oneshot,
    pack,
    requests,
    service,
    workshop_of,
)

OLD_NS = 1_600_000_000_000_000_000
"""An mtime that esbuild takes for settled, so that it keeps the contents."""


def new_service(soft_limit: int | None = None) -> EsbuildService:
    return EsbuildService(binary_path(), VERSION, soft_limit)


@pytest.fixture
def esbuild() -> Iterator[Contexts]:
    found = Contexts(new_service)
    yield found
    found.close()


class App:
    """A project whose functions are packed with a memory, and anew by a service that has none."""

    def __init__(self, root: Path, **functions: Any) -> None:
        self.root = root
        self.workshop = replace(workshop_of(root), memory=Memory())
        root.mkdir(exist_ok=True)
        Output(self.workshop.root).prepare()
        said = functions or {"f": {}}
        self.requests = requests(
            {"functions": [{"name": name, "handler": f"{name}.handler"} | more
                           for name, more in said.items()]}
        )  # fmt: skip

    @property
    def contexts(self) -> Contexts:
        assert self.workshop.memory is not None
        found = self.workshop.memory.engine(lambda: Contexts(new_service))
        assert isinstance(found, Contexts)
        return found

    def lay(self, files: dict[str, str], *, old: bool = True) -> None:
        write_tree(self.root, files)
        for name in files if old else ():
            if not (self.root / name).is_symlink():
                os.utime(self.root / name, ns=(OLD_NS, OLD_NS))

    def settle(self) -> None:
        """Returns when all that was laid is older than the slack that clocks are given."""
        ours_ns = time.time_ns()
        while True:
            (self.root / "tick").touch()
            if (self.root / "tick").stat().st_ctime_ns > ours_ns + 2 * module._SLACK_NS:
                return

    def slip(self, name: str, text: str) -> None:
        """Other contents of the same length in the same inode, with the same mtime."""
        path = self.root / name
        assert len(text.encode()) == path.stat().st_size
        mtime_ns = path.stat().st_mtime_ns
        with open(path, "r+b") as file:
            file.write(text.encode())
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def pack(self, *names: str) -> Packed:
        wanted = [one for one in self.requests if not names or one.function.name in names]
        return pack(wanted, replace(self.workshop, look=Look()))

    def clean(self) -> Packed:
        return pack(self.requests, replace(self.workshop, memory=None), service())

    def text(self, name: str = "f") -> str:
        files = files_of(self.pack(name)[name])
        return b"".join(files.values()).decode()

    def close(self) -> None:
        assert self.workshop.memory is not None
        self.workshop.memory.close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    found = App(tmp_path)
    found.lay({"f.ts": 'import { a } from "./a"; export const handler = () => a', "a.ts": A % 1})
    found.settle()
    yield found
    found.close()


A = "export const a = 'letter %d'"


def job(folder: Path, number: int = 0, entries: int = 1) -> EsbuildJob:
    real = os.path.realpath(folder)
    named = []
    for entry in range(entries):
        name = f"{number}-{entry}"
        Path(real, f"{name}.ts").write_text(f"console.log('job {name}')")
        named.append((name, f"{real}/{name}.ts"))
    return EsbuildJob(entries=tuple(named), flags=("--bundle",), folder=real, out_folder=real)


def build(esbuild: Contexts, one: EsbuildJob) -> EsbuildOutput:
    """As bundle.py does it: build, then tell the inputs."""
    output = esbuild.build(one)
    esbuild.reads(one, output, [path for _, path in one.entries])
    return output


# --- which contexts there are ---


def test_a_job_that_comes_again_gets_a_context(esbuild: Contexts, tmp_path: Path) -> None:
    """The first build keeps nothing; from the second on there is one context, and equal bytes."""
    one = job(tmp_path)
    first = build(esbuild, one)
    assert esbuild.count == 0
    for _ in range(3):
        again = build(esbuild, one)
        assert esbuild.count == 1
        assert (again.files, again.metafile) == (first.files, first.metafile)


def test_a_job_of_several_entries_never_gets_one(esbuild: Contexts, tmp_path: Path) -> None:
    """Built together, functions share their parsing for that one build alone."""
    one = job(tmp_path, entries=3)
    for _ in range(3):
        assert len(build(esbuild, one).files) == 3
    assert esbuild.count == 0


def test_the_least_lately_built_goes_first(tmp_path: Path) -> None:
    """There are never more than so many, and a dropped one comes back when it is built again."""
    made: list[str] = []

    class Counting(EsbuildService):
        def context(self, job: EsbuildJob) -> Any:
            made.append(job.entries[0][0])
            return super().context(job)

    esbuild = Contexts(lambda _limit: Counting(binary_path(), VERSION), most=2)
    jobs = [job(tmp_path, number) for number in range(3)]
    for number in (0, 0, 1, 1, 0, 2, 2, 0, 1, 0, 1):
        build(esbuild, jobs[number])
        assert esbuild.count <= 2
    # The last 1 came before, but its context had to make room for 2's.
    assert made == ["0-0", "1-0", "2-0", "1-0"]
    esbuild.close()


def test_room_is_for_few_large_ones(tmp_path: Path) -> None:
    """Functions that come in turn, more of them than there is room for, have no contexts; one
    that comes again at once has, however large."""
    jobs = [job(tmp_path, number) for number in range(3)]
    probe = new_service()
    sizes = [module._parsed(probe.build(one)) for one in jobs]
    probe.close()
    esbuild = Contexts(new_service, room=sum(sizes) - 1)
    for one in jobs * 3:
        build(esbuild, one)
        assert esbuild.count == 0
    for one in (jobs[1], jobs[2], jobs[1], jobs[2]):
        build(esbuild, one)
    assert esbuild.count == 2
    esbuild.close()
    narrow = Contexts(new_service, room=1)
    for one in (jobs[0], jobs[0]):
        build(narrow, one)
    assert narrow.count == 1
    narrow.close()


def test_the_soft_limit_is_for_what_fits_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a build that is large the process is replaced by one that may grow, for good."""
    limits: list[int | None] = []

    def start(limit: int | None) -> EsbuildService:
        limits.append(limit)
        return new_service(limit)

    esbuild = Contexts(start)
    build(esbuild, job(tmp_path, 0))
    monkeypatch.setattr(module, "LARGE", 1)
    for _ in range(3):
        assert build(esbuild, job(tmp_path, 1)).files
    assert limits == [module.SOFT_LIMIT, None]
    esbuild.close()


def test_large_processes_are_replaced(tmp_path: Path) -> None:
    """Above the memory cap the process goes with its contexts, and builds go on in another."""
    size = {"bytes": 0}
    esbuild = Contexts(new_service, memory_cap=100, resident=lambda _pid: size["bytes"])
    one = job(tmp_path)
    build(esbuild, one), build(esbuild, one)
    first = esbuild.pid
    assert first is not None
    size["bytes"] = 101
    for _ in range(module._LOOK_EVERY):
        assert build(esbuild, one).files
    assert esbuild.pid != first
    esbuild.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_no_build_is_lost_when_the_process_is_replaced(tmp_path: Path) -> None:
    """Builds of other threads end in the old process, which goes with the last of them."""
    pids: list[int] = []

    def start(_limit: int | None) -> EsbuildService:
        found = new_service()
        pids.append(found.pid)
        return found

    esbuild = Contexts(start, memory_cap=1)
    jobs = [job(tmp_path, number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for output in pool.map(lambda one: build(esbuild, one), jobs * 8):
            assert output.files
    esbuild.close()
    assert len(pids) > 1
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_memory_is_measured() -> None:
    """Of a living process some megabytes, of none nothing."""
    assert 1 << 20 < (resident_bytes(os.getpid()) or 0) < 1 << 34
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    assert resident_bytes(gone) is None


# --- deaths ---


@pytest.mark.parametrize("when", ["idle", "building"])
def test_a_death_is_not_noticed(esbuild: Contexts, tmp_path: Path, when: str) -> None:
    """Killed between builds or during one, esbuild is started again and the build is done."""
    one = job(tmp_path)
    expected = build(esbuild, one).files
    build(esbuild, one)
    pid = esbuild.pid
    assert pid is not None
    if when == "building":
        Path(one.entries[0][1]).write_text(f"console.log([{'1,' * 300_000}])")
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(build, esbuild, one)
            os.killpg(pid, signal.SIGKILL)
            assert len(running.result(timeout=60).files["0-0.js"]) > 300_000
    else:
        os.killpg(pid, signal.SIGKILL)
        assert build(esbuild, one).files == expected
    assert esbuild.pid not in (None, pid)


def test_two_deaths_in_a_row_are_told(tmp_path: Path) -> None:
    """An esbuild that always dies is started twice for a build, then it is the machine's fault."""
    started: list[int] = []

    class Dying(EsbuildService):
        def build(self, job: EsbuildJob, look: Any = None) -> EsbuildOutput:
            started.append(self.pid)
            raise EsbuildGone("killed")

        def context(self, job: EsbuildJob) -> Any:
            return self.build(job)

    esbuild = Contexts(lambda _limit: Dying(binary_path(), VERSION))
    with pytest.raises(EsbuildGone):
        esbuild.build(job(tmp_path))
    assert len(set(started)) == 2
    app = App(tmp_path)
    app.lay({"f.ts": "export const handler = () => 1"})
    assert app.workshop.memory is not None
    app.workshop.memory.engine(lambda: esbuild)
    with pytest.raises(BundlerError) as caught:
        app.pack()
    assert caught.value.code == "esbuild-gone"
    app.close()


def test_closing(tmp_path: Path) -> None:
    """Closing ends the process and its contexts; later builds are told so."""
    esbuild = Contexts(new_service)
    one = job(tmp_path)
    build(esbuild, one), build(esbuild, one)
    pid = esbuild.pid
    assert pid is not None
    esbuild.close()
    esbuild.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(EsbuildGone):
        build(esbuild, one)


def test_many_threads(esbuild: Contexts, tmp_path: Path) -> None:
    """Whoever builds what from which thread gets the build of what was saved before."""
    jobs = [job(tmp_path, number) for number in range(4)]
    locks = [threading.Lock() for _ in jobs]
    saved = [0] * len(jobs)

    def save_and_build(turn: int) -> None:
        which = turn % len(jobs)
        path = Path(jobs[which].entries[0][1])
        with locks[which]:
            saved[which] += 1
            mine = saved[which]
            beside = path.with_suffix(f".{mine}")
            beside.write_text(f"console.log({mine})")
            os.replace(beside, path)
        found = build(esbuild, jobs[which]).files[f"{which}-0.js"].decode()
        assert int(found.split("log(")[1].split(")")[0]) >= mine

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save_and_build, range(120)))


def test_the_command_serves_as_well(tmp_path: Path) -> None:
    """Where esbuild's protocol can't be used, the one-shot command is what is kept."""
    esbuild = Contexts(lambda _limit: oneshot())
    one = job(tmp_path)
    first = build(esbuild, one)
    assert build(esbuild, one).files == build(esbuild, one).files == first.files
    assert esbuild.pid is None
    esbuild.close()


# --- the trap: esbuild does not look at ctime ---


def test_a_context_alone_is_stale(app: App) -> None:
    """What all this is for: a bare context takes a slipped file for unchanged."""
    bare = service().context(
        EsbuildJob(
            entries=(("f", f"{app.workshop.root}/f.ts"),),
            flags=("--bundle",),
            folder=app.workshop.root,
            out_folder=app.workshop.root,
        )
    )
    bare.rebuild()
    app.slip("a.ts", A % 2)
    assert b"letter 1" in bare.rebuild().files["f.js"]
    bare.dispose()


@pytest.mark.parametrize("builds", range(1, 5))
def test_a_slipped_source_is_seen(app: App, builds: int) -> None:
    """Same inode, size and mtime: ctime alone tells, and whichever build it is, it is heard."""
    for _ in range(builds):
        assert "letter 1" in app.text()
    for number in (2, 3, 1):
        app.slip("a.ts", A % number)
        assert f"letter {number}" in app.text()


def test_slipped_settings_are_seen(tmp_path: Path) -> None:
    """So it is with what the metafile does not name: package.json, tsconfig.json and its base."""
    app = App(tmp_path)
    app.lay(
        {
            "f.ts": 'import "pkg"; import "@alias"; class A { x = 1 }; export const handler = A',
            "tsconfig.json": '{"extends": "./base.json"}',
            "base.json": '{"compilerOptions": {"paths": {"@alias": ["./one.ts"]}}}',
            "one.ts": "console.log('alias one')",
            "two.ts": "console.log('alias two')",
            "node_modules/pkg/package.json": '{"main": "./one.js"}',
            "node_modules/pkg/one.js": "console.log('package one')",
            "node_modules/pkg/two.js": "console.log('package two')",
        }
    )
    for _ in range(3):
        assert "alias one" in app.text()
    app.slip("node_modules/pkg/package.json", '{"main": "./two.js"}')
    assert "package two" in app.text()
    assert "alias one" in app.text()
    app.slip("base.json", '{"compilerOptions": {"paths": {"@alias": ["./two.ts"]}}}')
    assert "alias two" in app.text()
    app.close()


class Meddled:
    """A context during whose rebuilds something happens, after the sources have been read."""

    def __init__(self, real: BuildContext, meddle: Callable[[], None]) -> None:
        self._real = real
        self._meddle = meddle

    def rebuild(self) -> EsbuildOutput:
        output = self._real.rebuild()
        self._meddle()
        return output

    def dispose(self) -> None:
        self._real.dispose()


def meddle(app: App, *events: Callable[[], None]) -> None:
    """Each event happens during one of the next rebuilds in a context."""
    left = list(events)

    class Meddling(EsbuildService):
        def context(self, job: EsbuildJob) -> Any:
            return Meddled(super().context(job), lambda: left.pop(0)() if left else None)

    assert app.workshop.memory is not None
    app.workshop.memory.engine(lambda: Contexts(lambda _limit: Meddling(binary_path(), VERSION)))


def nothing() -> None:
    """An uneventful rebuild."""


def test_slipped_during_a_build(app: App) -> None:
    """A source that is slipped after esbuild has read it is read again by the next build."""
    meddle(app, nothing, lambda: app.slip("a.ts", A % 2))
    for _ in range(3):
        assert "letter 1" in app.text()
    assert "letter 2" in app.text()


def test_slipped_during_the_build_that_met_it(app: App) -> None:
    """So is one that was in none of the builds before."""
    app.lay({"late.ts": "export const a = 'late 1'"})
    meddle(app, nothing, lambda: app.slip("late.ts", "export const a = 'late 2'"))
    app.text(), app.text()
    app.lay({"f.ts": 'import { a } from "./late"; export const handler = () => a'}, old=False)
    assert "late 1" in app.text()
    assert "late 2" in app.text()


def test_slipped_between_two_edits_of_a_build(app: App) -> None:
    """Replaced while it is built, read, then slipped back to that state with other contents."""

    def replace_old() -> None:
        app.slip("a.ts", A % 2)
        os.utime(app.root / "a.ts", ns=(OLD_NS + 1, OLD_NS + 1))

    class Early(EsbuildService):
        def context(self, job: EsbuildJob) -> Any:
            real = super().context(job)
            turns = iter([nothing, replace_old])

            class Before:
                def rebuild(self) -> EsbuildOutput:
                    next(turns, nothing)()  # before the sources are read
                    return real.rebuild()

                def dispose(self) -> None:
                    real.dispose()

            return Before()

    assert app.workshop.memory is not None
    app.workshop.memory.engine(lambda: Contexts(lambda _limit: Early(binary_path(), VERSION)))
    for letter in (1, 1, 2):
        assert f"letter {letter}" in app.text()
    app.slip("a.ts", A % 3)
    assert "letter 3" in app.text()


def test_slipped_while_the_build_is_broken(app: App) -> None:
    """What a failing build has read, the next one reads again."""
    app.lay({"new.ts": "export const b = 'new 1'"})
    app.settle()
    app.text(), app.text()
    broken = 'import { b } from "./new"; import "./gone"; export const handler = () => b'
    for _ in range(2):
        app.lay({"f.ts": broken}, old=False)
        assert isinstance(app.pack()["f"], ProjectError)
    app.slip("new.ts", "export const b = 'new 2'")
    app.lay({"f.ts": broken.replace('import "./gone"; ', "")}, old=False)
    assert "new 2" in app.text()


def test_inputs_that_nobody_told(esbuild: Contexts, tmp_path: Path) -> None:
    """A context whose answer was not followed by its inputs is not built in again."""
    one = job(tmp_path)
    path = Path(one.entries[0][1])
    os.utime(path, ns=(OLD_NS, OLD_NS))
    esbuild.build(one), esbuild.build(one)
    path.write_text(path.read_text().replace("job", "JOB"))
    os.utime(path, ns=(OLD_NS, OLD_NS))
    assert b"JOB" in esbuild.build(one).files["0-0.js"]


def test_ordinary_edits_keep_the_context(app: App) -> None:
    """Saves in place, by rename, and of new files cost no context."""
    made: list[EsbuildJob] = []

    class Counting(EsbuildService):
        def context(self, job: EsbuildJob) -> Any:
            made.append(job)
            return super().context(job)

    assert app.workshop.memory is not None
    app.workshop.memory.engine(lambda: Contexts(lambda _limit: Counting(binary_path(), VERSION)))
    app.text(), app.text()
    for number in range(2, 9):
        if number % 3 == 0:
            app.lay({"beside": A % number}, old=False)
            os.replace(app.root / "beside", app.root / "a.ts")
        elif number % 3 == 1:
            new = f"new{number}"
            app.lay({f"{new}.ts": A % number, "a.ts": f'export {{ a }} from "./{new}"'}, old=False)
        else:
            app.lay({"a.ts": A % number}, old=False)
        assert f"letter {number}" in app.text()
    app.lay({"a.ts": "export const a ="}, old=False)
    assert isinstance(app.pack()["f"], ProjectError)
    app.lay({"a.ts": A % 9}, old=False)
    assert "letter 9" in app.text()
    assert len(made) == 2, "a failed build ends it"


# --- what is known of a bundle ---


def test_what_is_known_spares_the_work(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit that imports nothing new leads to no plan and no closure worked out again."""
    app.text(), app.text()
    before = app.pack()
    for name in ("plan", "closure", "from_metafile"):
        monkeypatch.setattr(f"lambdad.bundler.javascript.bundled.{name}", None)
    app.lay({"a.ts": A % 2}, old=False)
    after = app.pack()
    assert after.inputs("f") == before.inputs("f")
    assert files_of(after["f"]) != files_of(before["f"])


def test_packages_of_the_runtime_stay_out_at_once(tmp_path: Path) -> None:
    """A package that is nowhere is left out without asking twice, until imports or disk say
    otherwise."""
    app = App(tmp_path)
    source = 'import "@aws-sdk/signature-v4-multi-region"; export const handler = () => %d'
    built: list[EsbuildJob] = []

    class Counting(EsbuildService):
        def build(self, job: EsbuildJob, look: Any = None) -> EsbuildOutput:
            built.append(job)
            return super().build(job)

        def context(self, job: EsbuildJob) -> Any:
            built.append(job)
            return super().context(job)

    assert app.workshop.memory is not None
    app.workshop.memory.engine(lambda: Contexts(lambda _limit: Counting(binary_path(), VERSION)))
    app.lay({"f.ts": source % 1}, old=False)
    app.text()
    assert len(built) == 2
    built.clear()
    app.lay({"f.ts": source % 2}, old=False)
    assert "=> 2" in app.text()
    assert len(built) == 1
    app.lay(
        {
            "node_modules/@aws-sdk/signature-v4-multi-region/package.json": "{}",
            "node_modules/@aws-sdk/signature-v4-multi-region/index.js": "console.log('installed')",
        }
    )
    assert "installed" in app.text()
    app.close()


def test_a_package_that_only_some_find(tmp_path: Path) -> None:
    """Left out while one file asks for it in vain, bundled once only a file that has it asks."""
    app = App(tmp_path)
    package = "lib/node_modules/@aws-sdk/signature-v4-multi-region"
    app.lay(
        {
            "f.ts": 'import "@aws-sdk/signature-v4-multi-region"; export * from "./lib/handler"',
            "lib/handler.ts": 'import "@aws-sdk/signature-v4-multi-region"; '
            "export const handler = () => 1",
            f"{package}/package.json": "{}",
            f"{package}/index.js": "console.log('found')",
        }
    )
    app.settle()
    for _ in range(3):
        assert "found" not in app.text()
    app.lay({"f.ts": 'export * from "./lib/handler"'}, old=False)
    assert "found" in app.text()
    assert outcome(app.pack()) == outcome(app.clean())
    app.close()


def test_a_rival_of_an_entry_point_is_seen(tmp_path: Path) -> None:
    """An entry point named without its extension: a file that goes before it takes its place."""
    app = App(tmp_path, f={"entry_points": ["f"]})
    app.lay({"f.js": "exports.handler = () => 'js'"})
    app.settle()
    assert "'js'" in app.text() or '"js"' in app.text()
    assert "f.ts" in app.pack().inputs("f").files
    app.lay({"f.ts": "export const handler = () => 'ts'"})
    assert '"ts"' in app.text()
    app.close()


def test_large_functions_are_built_a_few_at_a_time(tmp_path: Path) -> None:
    """What one build holds is bounded, however many are wanted; small ones go together."""
    said: dict[str, Any] = {f"f{number}": {} for number in range(16)}
    app = App(tmp_path, **said)
    counts: list[int] = []

    class Counting(EsbuildService):
        def build(self, job: EsbuildJob, look: Any = None) -> EsbuildOutput:
            counts.append(len(job.entries))
            return super().build(job)

    assert app.workshop.memory is not None
    app.workshop.memory.engine(lambda: Contexts(lambda _limit: Counting(binary_path(), VERSION)))
    app.lay({f"{name}.ts": f'import "./a"; export const handler = () => "{name}"' for name in said})
    for size, expected in ((10, [4, 12]), (3 << 20, [4, 5, 5, 2])):
        app.lay({"a.ts": f"console.log({'x' * size!r})"}, old=False)
        found = app.pack()
        assert counts == expected
        assert list(found) == list(said)
        assert all(isinstance(one, Contents) for one in found.values())
        counts.clear()
    app.close()


def test_functions_with_the_same_settings(tmp_path: Path) -> None:
    """Live and zip, one and another function: each has its own."""
    app = App(tmp_path, f={}, g={"options": {"minify": True}})
    app.lay({f"{name}.ts": 'import "./a"; export const handler = () => 1' for name in "fg"})
    app.lay({"a.ts": "console.log('letter 1')"})
    for number in range(1, 5):
        app.lay({"a.ts": f"console.log('letter {number}')"}, old=False)
        for name in "fg":
            assert f"letter {number}" in app.text(name)
        assert {name: files_of(one) for name, one in app.pack().items()} == {
            name: files_of(one) for name, one in app.clean().items()
        }
    app.close()


# --- incremental equals clean ---

BASE = {
    "package.json": '{"name": "app", "dependencies": {"pkg": "1"}}',
    "tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["./lib/*"]}}}',
    "f.ts": 'import { a } from "./a"; import p from "pkg"; import "@/deep"; '
    "export const handler = () => [a, p]",
    "g.ts": 'import { a } from "./a"; export const handler = () => a',
    "a.ts": "export const a = 10",
    "lib/deep.ts": "console.log('deep')",
    "other/deep.ts": "console.log('other')",
    "node_modules/pkg/package.json": '{"main": "./one.js"}',
    "node_modules/pkg/one.js": "module.exports = 'one'",
    "node_modules/pkg/two.js": "module.exports = 'two'",
}
TEXTS = {
    "a.ts": ("export const a = 11", "export const a = 12", "export const a", 'export * from "./b"'),
    "a.js": ("export const a = 'js'",),
    "a.tsx": ("export const a = 'tsx'",),
    "b.ts": ("export const a = 'b'", "export const b = 1"),
    "f.ts": (BASE["f.ts"], BASE["f.ts"].replace("./a", "./b"), BASE["f.ts"].replace("@", "./lib")),
    "tsconfig.json": (BASE["tsconfig.json"], BASE["tsconfig.json"].replace("lib", "other"), "{}"),
    "lib/deep.ts": ("console.log('peed')",),
    "lib/deep/index.ts": ("console.log('index')",),
    "node_modules/pkg/package.json": ('{"main": "./two.js"}', '{"main": "./one.js"}'),
    "node_modules/pkg/one.js": ("module.exports = 'uno'", "module.exports = 'eno'"),
}  # fmt: skip
WRITES = [(name, text) for name, texts in TEXTS.items() for text in texts]

Edit = tuple[str, str, str]

EDITS = st.one_of(
    st.tuples(st.sampled_from(["write", "rename", "slip"]), st.sampled_from(WRITES)).map(
        lambda drawn: (drawn[0], *drawn[1])
    ),
    st.tuples(st.just("remove"), st.sampled_from(sorted(TEXTS)), st.just("")),
    st.tuples(st.just("link"), st.just("a.ts"), st.sampled_from(["b.ts", "lib/deep.ts"])),
)


def apply(root: Path, edit: Edit) -> None:
    how, name, text = edit
    path = root / name
    if how == "remove" or path.is_symlink() or how == "link":
        path.unlink(missing_ok=True)
    if how == "link":
        path.symlink_to(text)
    if how in ("remove", "link"):
        return
    path.parent.mkdir(exist_ok=True)
    if how == "rename":
        (root / "beside").write_text(text)
        os.replace(root / "beside", path)
        return
    mtime_ns = path.stat().st_mtime_ns if path.exists() else OLD_NS
    with open(path, "w") as file:  # the same inode
        file.write(text)
    if how == "slip":
        os.utime(path, ns=(mtime_ns, mtime_ns))


def outcome(results: Packed) -> dict[str, object]:
    return {
        name: (
            files_of(one) if isinstance(one, Contents) else None,
            one.diagnostics,
            results.inputs(name),
        )
        for name, one in results.items()
    }


@given(edits=st.lists(EDITS, min_size=1, max_size=8), alone=st.booleans())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_rebuild_equals_clean_build(tmp_path: Path, edits: Sequence[Edit], alone: bool) -> None:
    """After any edits a build with everything kept is what a build with nothing kept is: bytes,
    inputs and diagnostics."""
    root = tmp_path / f"app{time.monotonic_ns()}"
    app = App(root, f={}, g={})
    app.lay(BASE)
    try:
        app.pack(), app.pack("f"), app.pack("f"), app.pack("g")
        for edit in edits:
            apply(root, edit)
            parts = [app.pack("f"), app.pack("g")] if alone else [app.pack()]
            found = {name: one for part in parts for name, one in outcome(part).items()}
            assert found == outcome(app.clean()), edit
    finally:
        app.close()
        shutil.rmtree(root)


def test_workshops_without_memory(app: App) -> None:
    """One build, as the command line does it, keeps nothing and leaves no process."""
    workshop: Workshop = replace(app.workshop, memory=None)
    assert files_of(pack(app.requests, workshop)["f"]) == files_of(app.clean()["f"])
