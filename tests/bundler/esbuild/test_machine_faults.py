"""What the system does to esbuild is the machine's fault: it is not recorded, and tried again."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.esbuild import service, start
from lambdad.bundler.esbuild.contexts import Contexts
from lambdad.bundler.esbuild.engine import EsbuildGone, Message, check_system
from lambdad.bundler.esbuild.oneshot import OneShot
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.javascript import bundled
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import Built, BundlerError, Failed, Handler, Method, Want
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.workshop import Workshop
from tests.conftest import write_tree
from tests.support.daemons import ends
from tests.support.esbuild_cases import binary_path
from tests.support.samples import function

FUNCTION = function(
    runtime=RUNTIMES["nodejs22.x"],
    handler=Handler("app.handler", "app", "handler"),
    method=Method.ESBUILD,
)
WANTS = pytest.mark.parametrize("want", Want)


@pytest.fixture
def warm(workshop: Workshop) -> Iterator[Workshop]:
    """A project in a daemon, with an esbuild that is warm."""
    write_tree(
        Path(workshop.root),
        {"src/app.ts": 'import { one } from "./one"\nexport const handler = async () => one\n',
         "src/one.ts": "export const one = 1\n"},
    )  # fmt: skip
    found = replace(workshop, memory=Memory())
    yield found
    assert found.memory is not None
    found.memory.close()


def engine(workshop: Workshop) -> Contexts:
    assert workshop.memory is not None
    found = workshop.memory.engine(lambda: Contexts(lambda limit: start.start(workshop)))
    assert isinstance(found, Contexts)
    return found


def fails(workshop: Workshop, want: Want) -> tuple[str, str]:
    """The code and words of a build that fails by the machine, and leaves no record."""
    (outcome,) = build.build([FUNCTION], workshop, want=want)
    assert isinstance(outcome, Failed), outcome
    assert outcome.machine_fault
    assert build.recorded(workshop.state(), FUNCTION.name, want, workshop.memory) is None
    (item,) = outcome.diagnostics
    return item.code, f"{item.message} {item.hint}"


def builds(workshop: Workshop, want: Want) -> None:
    (outcome,) = build.build([FUNCTION], workshop, want=want)
    assert isinstance(outcome, Built), outcome


class Ended(EsbuildService):
    """An esbuild to which something happens before each build."""

    happens: Callable[[int], None]

    def _put(self, request: Any) -> Any:
        type(self).happens(self.pid)
        return super()._put(request)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    def by(happens: Callable[[int], None]) -> None:
        monkeypatch.setattr(Ended, "happens", staticmethod(happens), raising=False)
        for module in (start, service):
            monkeypatch.setattr(module, "EsbuildService", Ended)
        monkeypatch.setattr(start, "prove", lambda _service: None)

    return by


def wait_for_end(pid: int, number: int) -> None:
    os.kill(pid, number)
    ends(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("want", Want)
def test_killed_by_the_system(
    warm: Workshop, want: Want, number: int, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice, whether it is kept warm or started for one build: the signal is named."""
    ended(lambda pid: wait_for_end(pid, number))
    for place in (warm, replace(warm, memory=None)):
        code, words = fails(place, want)
        assert code == "tool-killed"
        assert signal.Signals(number).name in words
    monkeypatch.undo()
    builds(warm, want)


def test_too_little_memory(warm: Workshop, ended: Any, monkeypatch: Any) -> None:
    """Go's runtime ends a program that gets none, and says so."""
    text = ",".join(f'"{number}"' for number in range(200_000))
    write_tree(Path(warm.root), {"src/one.ts": f"export const one = [{text}]\n"})
    ended(lambda pid: resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20)))
    code, _words = fails(warm, Want.ZIP)
    assert code in ("out-of-memory", "tool-killed")
    monkeypatch.undo()
    builds(warm, Want.ZIP)


def test_no_more_open_files(warm: Workshop) -> None:
    """A file that esbuild can't open for that is no fault of the file."""
    esbuild = engine(warm)
    builds(warm, Want.ZIP)
    Path(warm.root, "src/one.ts").write_text("export const one = 2\n")
    assert esbuild.pid is not None
    resource.prlimit(esbuild.pid, resource.RLIMIT_NOFILE, (3, 3))
    (outcome,) = build.build([FUNCTION], warm)
    assert isinstance(outcome, Failed)
    assert outcome.machine_fault
    assert [item.code for item in outcome.diagnostics] == ["system-limit"]
    assert "Cannot read" in outcome.diagnostics[0].message
    esbuild.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EMFILE, "system-limit"),
        (errno.EAGAIN, "system-limit"),
        (errno.ENOMEM, "out-of-memory"),
        (errno.EACCES, "tool-missing"),
    ],
)
@WANTS
def test_no_process_can_be_started(
    workshop: Workshop, want: Want, number: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what the system said, of both ways to run esbuild."""
    write_tree(Path(workshop.root), {"src/app.ts": "export const handler = async () => 1\n"})

    def refused(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refused)
        found, words = fails(workshop, want)
    assert found == code
    assert os.strerror(number) in words
    builds(workshop, want)


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that was started already is ended."""
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(subprocess, "Popen", Noted)
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(EsbuildGone) as caught:
        EsbuildService(binary_path(), "0")
    assert caught.value.fault is not None
    assert caught.value.fault.code == "system-limit"
    assert started[0].returncode is not None


def test_without_the_right_to_execute(warm: Workshop) -> None:
    """An esbuild in the store that lost its mode is put there again."""
    builds(warm, Want.ZIP)
    (binary,) = warm.store.root.glob("esbuild/*/esbuild")
    binary.unlink()
    binary.write_bytes(Path(binary_path()).read_bytes())
    binary.chmod(0o644)
    write_tree(Path(warm.root), {"src/app.ts": "export const handler = async () => 2\n"})
    modules = Path(warm.root, "node_modules/@esbuild", binary.parent.name.partition("-")[2], "bin")
    modules.mkdir(parents=True)
    (modules / "esbuild").write_bytes(Path(binary_path()).read_bytes())
    builds(replace(warm, memory=None), Want.ZIP)
    assert os.access(binary, os.X_OK)


def test_no_space_for_outputs(
    warm: Workshop, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """esbuild as a command writes its outputs to the folder for temporary files."""
    text = os.urandom(200_000).hex()
    write_tree(Path(warm.root), {"src/one.ts": f'export const one = "{text}"\n'})
    monkeypatch.setattr(bundled, "start", lambda _workshop: OneShot(binary_path(), os.environ))
    cold = replace(warm, memory=None)
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(small_disk))
        code, words = fails(cold, Want.ZIP)
    assert code == "disk-full"
    assert str(small_disk) in words
    builds(cold, Want.ZIP)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('Cannot read file "x.ts": input/output error', "not-writable"),
        ('Cannot read directory "x": too many open files', "system-limit"),
        ("Could not read from file: /p/x.ts: cannot allocate memory", "out-of-memory"),
        ('Cannot read file "x.ts": permission denied', None),
        ('Could not resolve "./too many open files"', None),
    ],
)
def test_what_could_not_be_read(text: str, code: str | None) -> None:
    """The project's own words, a name for one, are not taken for the system's."""
    with pytest.raises(BundlerError) if code else contextlib.nullcontext() as caught:
        check_system([Message("", text, None)])
    assert (caught.value.code if caught else None) == code
