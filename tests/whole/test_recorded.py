"""Whatever a build looks at is recorded: what is not can change without making the build stale."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lambdad.bundler.model import InputSet
from tests.conftest import write_tree
from tests.support import config_cases, recorded, recorded_cases
from tests.support.paths import FIXTURES, ROOT
from tests.support.recorded import Asked

CASES: Final = recorded_cases.cases()
DESCRIBED: Final = (
    *config_cases.NAMES,
    *(f"../serverless/{path.name}" for path in sorted((FIXTURES / "serverless").iterdir())),
)
"""Projects in each format, by their folder from fixtures/config on."""


def faults(calls: list[Asked], found: dict[str, InputSet], root: str) -> dict[str, list[str]]:
    by_phase = recorded.phases(calls)
    assert by_phase.keys() == found.keys()
    judged = {name: recorded.unrecorded(by_phase[name], found[name], root) for name in found}
    return {name: missed for name, missed in judged.items() if missed}


# --- what Python itself opens and lists ----------------------------------------------------------

_heard: list[Asked] | None = None


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _heard is None or event not in ("open", "os.listdir", "os.scandir"):
        return
    path = args[0]
    if isinstance(path, (str, bytes)):
        flags = args[2] if event == "open" and isinstance(args[2], int) else 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0:
            kind = "content" if event == "open" else "list"
            _heard.append(Asked(kind, os.path.abspath(os.fsdecode(path))))


@pytest.fixture(scope="module")
def heard() -> None:
    """A hook can't be removed: between tests it hears nothing."""
    sys.addaudithook(_hear)


def heard_during(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], dict[str, InputSet]], root: str
) -> dict[str, list[str]]:
    """What was heard meanwhile that is not among the inputs that `run` returns."""
    calls: list[Asked] = []
    monkeypatch.setattr(
        recorded, "mark", lambda phase: calls.append(Asked("look", f"{recorded.MARK}/{phase}"))
    )
    monkeypatch.setattr(sys.modules[__name__], "_heard", calls)
    found = run()
    monkeypatch.setattr(sys.modules[__name__], "_heard", None)
    return faults(calls, found, root)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("heard")
def test_what_python_reads_is_recorded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and folder of the project that this process opens or lists is an input."""
    root, store, environ = recorded_cases.lay_out(name, tmp_path)
    case = recorded_cases.OPTIONS.get(name, {})
    missed = heard_during(monkeypatch, lambda: recorded.build(root, store, environ, case), root)
    assert missed == {}


@pytest.mark.parametrize("folder", DESCRIBED)
@pytest.mark.usefixtures("heard")
def test_what_python_reads_of_a_description_is_recorded(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is every file from which a project's functions are read, in each format."""
    case = config_cases.lay_out(folder, tmp_path / "project")
    root = os.path.realpath(tmp_path / "project")
    missed = heard_during(monkeypatch, lambda: recorded.read(root, {}, case)[1], root)
    assert missed == {}


# --- what the system is asked, by child processes too --------------------------------------------

_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_AT = re.compile(r'^(?:AT_FDCWD|\d+)<((?:[^<>\\]|\\.)*)>, "((?:[^"\\]|\\.)*)"')
_PLAIN = re.compile(r'^"((?:[^"\\]|\\.)*)"')
_FOLDER = re.compile(r"^\d+<((?:[^<>\\]|\\.)*)>")


def traced(log: str) -> Iterator[Asked]:
    """The calls of a trace by `strace -f -y`."""
    for line in log.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        name, rest = call[1], call[2]
        if name.startswith("getdents"):
            if folder := _FOLDER.match(rest):
                yield Asked("list", _text(folder[1]))
            continue
        if at := _AT.match(rest):
            path = os.path.join(_text(at[1]), _text(at[2]))
        elif plain := _PLAIN.match(rest):
            path = _text(plain[1])
        else:
            continue
        if not path.startswith("/") or re.search(r"O_WRONLY|O_RDWR|O_CREAT", rest):
            continue
        read = name in ("open", "openat") and "O_DIRECTORY" not in rest and "O_PATH" not in rest
        yield Asked("content" if read else "look", path)


def _text(shown: str) -> str:
    return shown.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")


def missed_by_trace(
    tmp_path: Path, root: str, store: str, environ: Mapping[str, str], case: Mapping[str, Any]
) -> dict[str, list[str]]:
    """What a process of its own asked the system about and did not record, by phase."""
    log = tmp_path / "log"
    done = subprocess.run(
        [
            *("strace", "-f", "-y", "-qq", "-s", "4096", "-e", "trace=%file,getdents64"),
            *("-o", str(log), sys.executable, "-P", "-m", "tests.support.recorded_run"),
            *(root, store, json.dumps(case)),
        ],
        cwd="/",
        env=dict(environ),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    plain = pickle.loads(base64.b64decode(done.stdout))
    found = {
        phase: InputSet(files=files, links=links, listings=listings)
        for phase, (files, links, listings) in plain.items()
    }
    calls = list(traced(log.read_text(errors="surrogateescape")))
    return faults(calls, found, root)


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.mark.strace
@needs_strace
@pytest.mark.parametrize("name", CASES)
def test_what_the_system_is_asked_is_recorded(name: str, tmp_path: Path) -> None:
    """Every path of the project that is looked at, there or absent, by us or by a tool that we
    run, is an input."""
    root, store, environ = recorded_cases.lay_out(name, tmp_path)
    case = recorded_cases.OPTIONS.get(name, {})
    assert missed_by_trace(tmp_path, root, store, environ, case) == {}


@pytest.mark.strace
@needs_strace
@pytest.mark.parametrize("folder", DESCRIBED)
def test_what_the_system_is_asked_for_a_description_is_recorded(
    folder: str, tmp_path: Path
) -> None:
    case = config_cases.lay_out(folder, tmp_path / "project")
    root = os.path.realpath(tmp_path / "project")
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    assert missed_by_trace(tmp_path, root, "", environ, case) == {}


# --- the judge itself ----------------------------------------------------------------------------


def test_a_path_that_nothing_records_is_told(tmp_path: Path) -> None:
    """A file that was read, a name that was looked for and a folder that was listed."""
    root = os.path.realpath(tmp_path)
    write_tree(tmp_path, {"a/b.txt": "", "c.txt": ""})
    calls = [
        Asked("content", f"{root}/c.txt"),
        Asked("look", f"{root}/gone"),
        Asked("list", f"{root}/a"),
        Asked("look", f"{root}/.lambdad/x"),
        Asked("look", "/elsewhere"),
    ]
    told = ["content c.txt", "list a", "look gone"]
    assert recorded.unrecorded(calls, InputSet(), root) == told
    whole = InputSet(files=frozenset({"c.txt", "gone", "a/b.txt"}))
    assert recorded.unrecorded(calls, whole, root) == ["list a"]
