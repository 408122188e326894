from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambdad.bundler.esbuild import start as starting
from lambdad.bundler.esbuild.binary import VERSION
from lambdad.bundler.esbuild.engine import EsbuildGone, EsbuildJob, EsbuildOutput, ModuleRequest
from lambdad.bundler.esbuild.oneshot import OneShot, parse_messages
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.esbuild.start import prove, start
from tests.support.esbuild_cases import binary_path, engine, oneshot, workshop_of
from tests.support.paths import ROOT


@pytest.fixture
def own() -> Iterator[EsbuildService]:
    """A process that the test may treat as badly as it likes."""
    service = EsbuildService(binary_path(), VERSION)
    yield service
    service.close()


def job(folder: Path, text: str, *flags: str) -> EsbuildJob:
    (folder / "index.ts").write_text(text)
    return job_of(folder, *flags)


def job_of(folder: Path, *flags: str) -> EsbuildJob:
    real = os.path.realpath(folder)
    return EsbuildJob(
        entries=(("out/index", f"{real}/index.ts"),),
        flags=("--bundle", *flags),
        folder=real,
        out_folder=real,
    )


def bundle_of(output: EsbuildOutput) -> bytes:
    assert not output.errors
    return output.files["out/index.js"]


@pytest.mark.parametrize("name", ["service", "oneshot"])
def test_golden_build(name: str) -> None:
    """Both ways of running esbuild give the one known output."""
    assert prove(engine(name)) is None


@pytest.mark.parametrize("name", ["service", "oneshot"])
def test_output(name: str, tmp_path: Path) -> None:
    """An output is named relative to where it would lie, and nothing is written."""
    output = engine(name).build(job(tmp_path, "console.log(1)", "--sourcemap"))
    assert sorted(output.files) == ["out/index.js", "out/index.js.map"]
    assert sorted(output.metafile["outputs"]) == ["out/index.js", "out/index.js.map"]
    assert os.listdir(tmp_path) == ["index.ts"]


@pytest.mark.parametrize("name", ["service", "oneshot"])
def test_bad_flags_are_errors(name: str, tmp_path: Path) -> None:
    """A flag that esbuild refuses is an error of that build, and the next one works."""
    esbuild = engine(name)
    assert esbuild.build(job(tmp_path, "1", "--no-such-flag")).errors
    assert esbuild.context(job(tmp_path, "1", "--no-such-flag")).rebuild().errors
    assert bundle_of(esbuild.build(job(tmp_path, "console.log(2)")))


@pytest.mark.parametrize("name", ["service", "oneshot"])
def test_messages(name: str, tmp_path: Path) -> None:
    """Errors and warnings have text, id and place, the same from both ways."""
    text = (
        'export const a = 1\n/* ü */ x = typeof a === "fooo"; import b from "absent"; b()\nlet a\n'
    )
    output = engine(name).build(job(tmp_path, text))
    assert {(e.text, e.place and (e.place.file, e.place.line)) for e in output.errors} == {
        ('The symbol "a" has already been declared', ("index.ts", 3)),
        ('Could not resolve "absent"', ("index.ts", 2)),
    }
    output = engine(name).build(job(tmp_path, text.replace("let a", "")))
    assert [(e.text, e.place and e.place.column) for e in output.errors] == [
        ('Could not resolve "absent"', 48)
    ]
    assert [(w.id, w.place and w.place.column) for w in output.warnings] == [
        ("impossible-typeof", 26)
    ]


def test_trace(own: EsbuildService, tmp_path: Path) -> None:
    """A trace of a failed build lists what was asked for and what was loaded."""
    (tmp_path / "there.ts").write_text('import "./gone"; import "pkg/sub"')
    trace = own.trace(job(tmp_path, 'import "./there"; let = ='))
    folder = os.path.realpath(tmp_path)
    assert trace.files == {f"{folder}/index.ts"}
    trace = own.trace(job(tmp_path, 'import "./there"'))
    assert trace.files == {f"{folder}/index.ts", f"{folder}/there.ts"}
    wanted = {ModuleRequest(folder, name) for name in ("./there", "./gone", "pkg/sub")}
    assert wanted <= trace.imports


@pytest.mark.parametrize("name", ["service", "oneshot"])
def test_context_follows_edits(name: str, tmp_path: Path) -> None:
    """Each rebuild shows the sources as they are; errors come and go."""
    context = engine(name).context(job(tmp_path, "console.log(1)"))
    try:
        assert b"log(1)" in bundle_of(context.rebuild())
        for number in range(2, 12):
            job(tmp_path, f"console.log({number})")
            assert b"log(%d)" % number in bundle_of(context.rebuild())
        job(tmp_path, "let = = 1")
        assert context.rebuild().errors
        job(tmp_path, "console.log(99)")
        assert b"log(99)" in bundle_of(context.rebuild())
    finally:
        context.dispose()
        context.dispose()


def test_no_rebuild_answers_with_an_older_build(own: EsbuildService, tmp_path: Path) -> None:
    """However many threads ask, a rebuild that starts after a save shows that save."""
    context = own.context(job(tmp_path, "console.log(0)"))
    last = 0
    guard = threading.Lock()

    def save_and_rebuild(_: int) -> None:
        nonlocal last
        with guard:
            last += 1
            mine = last
            (tmp_path / "next").write_text(f"console.log({mine})")
            os.replace(tmp_path / "next", tmp_path / "index.ts")
        found = bundle_of(context.rebuild()).decode()
        assert int(found.split("log(")[1].split(")")[0]) >= mine

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save_and_rebuild, range(60)))
    context.dispose()


def test_many_builds_at_once(own: EsbuildService, tmp_path: Path) -> None:
    """Builds in many threads get their own answers, large ones included."""
    jobs = []
    for number in range(24):
        folder = tmp_path / str(number)
        folder.mkdir()
        filler = "x" * (200_000 if number % 3 == 0 else 10)
        jobs.append(job(folder, f'console.log({number}, "{filler}")'))
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(own.build, jobs))
    for number, output in enumerate(outputs):
        assert b"log(%d" % number in bundle_of(output)


def test_a_killed_process_is_gone(own: EsbuildService, tmp_path: Path) -> None:
    """Whoever waits when esbuild dies gets EsbuildGone, and so does every later question."""
    wanted = job(tmp_path, "console.log(1)")
    context = own.context(wanted)
    os.killpg(own.pid, signal.SIGKILL)
    with pytest.raises(EsbuildGone):
        context.rebuild()
    with pytest.raises(EsbuildGone):
        own.build(wanted)
    context.dispose()


def test_killed_during_builds(tmp_path: Path) -> None:
    """A death in the middle of builds is an answer to each of them, never a hang."""
    service = EsbuildService(binary_path(), VERSION)
    jobs = []
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        jobs.append(job(folder, f"console.log([{'1,' * 200_000}])"))
    ended: list[object] = []

    def build(one: EsbuildJob) -> None:
        try:
            ended.append(service.build(one))
        except EsbuildGone as fault:
            ended.append(fault)

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(build, one) for one in jobs]
        os.killpg(service.pid, signal.SIGKILL)
        for one in running:
            one.result(timeout=30)
    assert len(ended) == len(jobs)
    service.close()


def test_close_leaves_nothing(tmp_path: Path) -> None:
    """Closing with live contexts ends the process at once, its threads and descriptors too."""
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    threads = threading.active_count()
    service = EsbuildService(binary_path(), VERSION)
    contexts = [service.context(job(tmp_path, "1")) for _ in range(3)]
    contexts[0].rebuild()
    pid = service.pid
    service.close()
    service.close()
    assert service._process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert threading.active_count() == threads
    if before:
        assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    """esbuild is gone once its parent was killed, though a sibling still holds its stdin open."""
    script = textwrap.dedent(
        """
        import os, subprocess, sys
        from lambdad.bundler.esbuild.service import EsbuildService
        service = EsbuildService(sys.argv[1], sys.argv[2])
        pipe = service._process.stdin.fileno()
        sibling = subprocess.Popen(
            ["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[pipe]
        )
        print(service.pid, sibling.pid, flush=True)
        os.kill(os.getpid(), 9)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, binary_path(), VERSION],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    pid, sibling = map(int, done.stdout.split())
    try:
        process = os.pidfd_open(pid)
        assert select.select([process], [], [], 10.0)[0], "esbuild outlived its parent"
        os.close(process)
    except ProcessLookupError:
        pass
    finally:
        os.kill(sibling, signal.SIGKILL)


def test_another_version_is_refused() -> None:
    """The handshake insists on the exact version."""
    with pytest.raises(EsbuildGone, match=r"0\.0\.1"):
        EsbuildService(binary_path(), "0.0.1")


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat", "/nonexistent/esbuild"])
def test_what_is_no_esbuild_is_refused(program: str) -> None:
    """A program that does not speak the protocol is EsbuildGone, not a hang or a traceback."""
    with pytest.raises(EsbuildGone):
        EsbuildService(program, VERSION)


def test_start_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the golden build is not as expected, builds go on by the command, with a note."""
    notes: list[str] = []
    workshop = workshop_of(tmp_path)
    object.__setattr__(workshop, "say", notes.append)
    monkeypatch.setattr(starting, "_GOLDEN", b"something else")
    esbuild = start(workshop)
    assert isinstance(esbuild, OneShot)
    assert "another output" in notes[-1]
    monkeypatch.undo()
    found = start(workshop)
    assert isinstance(found, EsbuildService)
    found.close()


def test_the_commands_text_is_read() -> None:
    """Messages of the command are told from its other output, wrapped notes and all."""
    text = (
        'noise\n✘ [ERROR] No matching export in "a.ts" for import "b"\n\n'
        '    src/x y.ts:3:9:\n      3 │ import { b } from "./a"\n        ╵          ^\n\n'
        "  A first note that goes\n  on here\n\n    other.ts:1:0:\n      1 │ x\n        ╵ ^\n\n"
        "▲ [WARNING] Odd [some-id]\n\n1 warning and 1 error\n"
    )
    errors, warnings = parse_messages(text)
    assert errors[0].text == 'No matching export in "a.ts" for import "b"'
    assert errors[0].place is not None
    assert (errors[0].place.file, errors[0].place.line, errors[0].place.column) == (
        "src/x y.ts", 3, 9
    )  # fmt: skip
    assert errors[0].notes == ("A first note that goes on here",)
    assert [(w.id, w.text, w.place) for w in warnings] == [("some-id", "Odd", None)]


def test_a_broken_command_is_gone(tmp_path: Path) -> None:
    """A command that fails without a message, or can't be run, is EsbuildGone."""
    for program in ("/bin/false", "/nonexistent/esbuild"):
        with pytest.raises(EsbuildGone):
            OneShot(program, os.environ).build(job(tmp_path, "1"))
    assert bundle_of(oneshot().build(job(tmp_path, "console.log(1)")))
