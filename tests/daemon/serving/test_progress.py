"""What is told while a request is under way, and that who builds makes no difference to a user."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.daemon.life import control
from lambdad.daemon.terminal import answer
from lambdad.daemon.wire import exchange, stream
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.support.daemons import Site, processes
from tests.support.served import APP, PYTHON, TEMPLATE, Gate, Served, gate, served, slow_app
from tests.support.unixhttp import Connection

LAMBDAD = "from lambdad.daemon.entry import main; main()"
EVENTS = {"Accept": "text/event-stream"}
EITHER = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Gate]:
    with gate(tmp_path / "gate") as found:
        yield found


@pytest.fixture
def slow(tmp_path: Path, gated: Gate) -> Iterator[Served]:
    """Two's zip is built once the gate opens."""
    with served(tmp_path, slow_app(gated)) as found:
        yield found
        gated.open(8)


# --- one exit code, whoever builds -------------------------------------------------------------

FAULTS: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "all is well": (0, {}),
    "the project is at fault": (1, {"two/app.py": "def handler(:\n"}),
    # Its wheel is built into the store, which can't be made.
    "the machine is at fault": (2, {"lib/pyproject.toml": "", "two/requirements.txt": "../lib\n"}),
    "both are": (
        2,
        {
            "lib/pyproject.toml": "",
            "two/requirements.txt": "../lib\n",
            "one/app.py": "def handler(:\n",
        },
    ),
}
COMMANDS = (["build"], ["build", "--json"], ["fresh", "--want=zip"], ["fresh", "--want=zip", "-v"])


@pytest.mark.parametrize("case", FAULTS)
def test_one_exit_code_whoever_builds(case: str, tmp_path: Path) -> None:
    """By the daemon, by `build` and by `fresh` in their own process; told from JSON as well."""
    code, files = FAULTS[case]
    two = PYTHON.format(name="One", code="one") + PYTHON.format(name="Two", code="two")
    (tmp_path / "file").touch()
    with served(tmp_path, {**APP, "template.yaml": TEMPLATE + two, **files}, start=False) as app:
        site = Site(
            app.site.root,
            {**app.site.environ, "LAMBDAD_CACHE_DIR": str(tmp_path / "file" / "store")},
        )
        for running in (False, True):
            if running:
                site.started()
            for command in COMMANDS:
                own = [] if running else ["--no-daemon"]
                done = site.run(*command, *own)
                assert done.returncode == code, (command, running, done.stdout, done.stderr)
                if "--json" not in command:
                    continue
                functions = json.loads(done.stdout)["functions"]
                told = {found["name"]: found.get("machine_fault") for found in functions}
                assert told == {"One": None, "Two": True if code == 2 else None}
            assert bool(processes(site.root)) == running


# --- the same words, whoever builds ------------------------------------------------------------

MIXED = {
    **APP,
    "template.yaml": TEMPLATE.replace("python3.12", "python3.8")
    + PYTHON.format(name="LongestOfNames", code="one")
    + PYTHON.format(name="Broken", code="two")
    + PYTHON.format(name="Alike", code="two")
    + PYTHON.format(name="Gone", code="gone")
    + PYTHON.format(name="Ready", code="x.zip")
    + "  Image: {Type: AWS::Serverless::Function, Properties: {PackageType: Image}}\n",
    "two/app.py": "def handler(:\n",
}


@pytest.mark.parametrize("arguments", [[], ["-v", "Ready", "LongestOfNames"], ["--json"]])
def test_build_says_the_same_by_a_daemon(arguments: Sequence[str], tmp_path: Path) -> None:
    """Lines, diagnostics, reasons and the sum, of a first build and of one with little to do."""
    here: list[object] = []
    there: list[object] = []
    for said, running in ((here, False), (there, True)):
        with served(tmp_path / str(running), MIXED, start=False) as app:
            for edit in (APP["one/app.py"], "def handler(event, context):\n    return 'new'\n"):
                app.lay({"one/app.py": edit})
                wait_for_tick(app.site.root)
                if running:
                    app.site.started()
                for _ in range(2):
                    said.append(_steady(app.site.run("build", *arguments), arguments))
                if running:  # it would build ahead
                    assert control.stop(app.site.root, app.site.environ)
    assert there == here
    assert "unchanged" in str(here[1]) or "--json" in arguments


def _steady(done: subprocess.CompletedProcess[str], arguments: Sequence[str]) -> tuple[Any, ...]:
    """Without what is another each time: durations, and the order of builds side by side."""
    if "--json" in arguments:
        return done.returncode, re.sub(r'"duration_ms": .*', "", done.stdout), done.stderr
    lines = re.sub(r" +[\d.]+ m?s\b", " TIME", done.stdout).splitlines()
    at_once = list(itertools.takewhile(lambda line: "TIME" not in line, lines))
    # What functions share is told of the one that was done first.
    text = re.sub(r"(?m)in [\d.]+ m?s$|(?<=\]) \w+(?=:)", "", done.stderr)
    said = text.splitlines()
    return done.returncode, at_once[:3], sorted(lines), sorted(said)


def test_build_tells_each_function_as_it_is_done(slow: Served, gated: Gate) -> None:
    """One's line comes while Two is still built, with the step that takes so long; each line once,
    the sum at the end."""
    with _lambdad(slow.site, "build", "One", "Two") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("built    One")
        assert gated.began()
        assert process.stderr.readline() == "building slow ...\n"
        gated.open()
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [line.split()[:2] for line in rest.splitlines()] == [["built", "Two"]]
    assert said.splitlines()[-1].startswith("2 built in ")


def test_json_waits_for_the_whole(slow: Served, gated: Gate) -> None:
    """With --json there is one document on stdout, and nothing on stderr."""
    with _lambdad(slow.site, "build", "--json") as process:
        assert gated.began()
        gated.open()
        out, said = process.communicate(timeout=60)
    assert [found["status"] for found in json.loads(out)["functions"]] == ["built"] * 3
    assert said == ""


@pytest.mark.parametrize("how", [[], ["--no-daemon"]])
def test_fresh_on_a_terminal_tells_what_it_waits_for(
    slow: Served, gated: Gate, how: Sequence[str]
) -> None:
    """A line on stderr that changes; each function's line as it is done."""
    master, terminal = pty.openpty()
    said = bytearray()
    seen = threading.Event()

    def listen() -> None:
        try:
            while data := os.read(master, 4096):
                said.extend(data)
                if b"building slow" in said:
                    seen.set()
        except OSError:  # nobody holds the other end any more
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    command = ["fresh", "One", "Two", "--want=zip", *how]
    environ = {**slow.site.environ, "TERM": "xterm"}
    with _lambdad(slow.site, *command, stderr=terminal, env=environ) as process:
        os.close(terminal)
        assert process.stdout
        assert process.stdout.readline().startswith("built    One")
        assert seen.wait(60)
        gated.open()
        out, _ = process.communicate(timeout=60)
    listener.join(60)
    os.close(master)
    assert process.returncode == 0
    assert [line.split()[:2] for line in out.splitlines()] == [["built", "Two"]]
    assert said.endswith(b"\x1b[?25h\r\x1b[1A\x1b[2K") or b"\x1b[?25h" in said  # the cursor is back


def test_fresh_in_a_pipe_asks_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No events, and none of what reads them: the fast way stays as it is."""
    with served(tmp_path) as app:
        assert app.site.run("fresh").returncode == 0
        code = (
            "import sys\nfrom lambdad.daemon.client import fresh\n"
            "assert fresh.main(['One']) == 0\n"
            "assert 'lambdad.daemon.wire.stream' not in sys.modules\n"
            "assert 'lambdad.daemon.terminal.screen' not in sys.modules\n"
        )
        done = app.site.python(code)
        assert (done.returncode, done.stderr) == (0, "")


def _lambdad(site: Site, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    given = {"cwd": site.root, "env": site.environ, "stdout": -1, "stderr": -1, **options}
    return subprocess.Popen([sys.executable, "-c", LAMBDAD, *arguments], text=True, **given)


# --- over HTTP ---------------------------------------------------------------------------------


def told(app: Served, body: object, accept: Mapping[str, str]) -> tuple[str, Any]:
    """The answer's type; its events, or its document."""
    reply = app.call("POST", "/v1/fresh", body, headers=accept)
    kind = reply.headers["content-type"].partition(";")[0]
    return kind, reply.json if kind == "application/json" else events(reply.content)


def events(content: bytes) -> list[tuple[str, Any]]:
    found = []
    for event in content.decode().split("\n\n")[:-1]:
        first, second = event.split("\n")
        found.append((first.removeprefix("event: "), json.loads(second.removeprefix("data: "))))
    return found


def test_a_quick_answer_is_json(slow: Served) -> None:
    """Even for who would take events, unless that is all it takes."""
    plain = {"functions": ["One"], "want": "zip"}
    slow.call("POST", "/v1/fresh", plain)
    kind, document = told(slow, plain, EITHER)
    assert (kind, document["ok"]) == ("application/json", True)
    kind, heard = told(slow, plain, EVENTS)
    assert kind == "text/event-stream"
    assert [name for name, _ in heard] == ["asked", "answer"]
    assert heard[-1][1] == document


def test_a_long_answer_comes_in_events(slow: Served, gated: Gate) -> None:
    """Who waits hears of each step and each function, then gets the answer that JSON would hold."""
    slow.fresh("One", want="zip")
    answers: list[Any] = []
    body = {"functions": ["Two", "One"], "want": "zip"}
    asking = threading.Thread(target=lambda: answers.append(told(slow, body, EITHER)))
    asking.start()
    assert gated.began()
    gated.open()
    asking.join(60)
    ((kind, heard),) = answers
    assert kind == "text/event-stream"
    assert heard[0] == ("asked", {"functions": ["Two", "One"], "building": ["Two"]})
    assert ("progress", {"text": "building slow"}) in heard
    assert [found["name"] for name, found in heard if name == "function"][:1] == ["One"]
    name, document = heard[-1]
    assert name == "answer"
    assert [found["name"] for found in document["functions"]] == ["Two", "One"]
    assert document["functions"][0]["status"] == "built"


def test_the_time_is_up_in_events(slow: Served, gated: Gate) -> None:
    """As in JSON, what is not done is named."""
    body = {"functions": ["Two"], "want": "zip", "timeout_s": 1}
    _kind, heard = told(slow, body, EVENTS)
    assert (heard[-1][0], heard[-1][1]["building"]) == ("answer", ["Two"])
    assert not heard[-1][1]["ok"]
    gated.open()


def test_a_leaving_daemon_says_so_in_events(slow: Served, gated: Gate) -> None:
    """The stream ends with the problem, whose client asks the next daemon."""
    heard: list[Any] = []
    body = {"functions": ["Two"], "want": "zip"}
    asking = threading.Thread(target=lambda: heard.extend(told(slow, body, EITHER)[1]))
    asking.start()
    assert gated.began()
    slow.call("POST", "/v1/stop")
    asking.join(60)
    assert heard[-1][0] == "problem"
    assert (heard[-1][1]["status"], heard[-1][1]["code"]) == (503, "leaving")


def test_who_goes_away_from_events_drops_its_wait_only(slow: Served, gated: Gate) -> None:
    """The build goes on, and the next one who asks gets it."""
    connection = Connection(slow.socket)
    body = json.dumps({"functions": ["Two"], "want": "zip"}).encode()
    connection.request("POST", "/v1/fresh", body, EVENTS)
    response = connection.getresponse()
    assert response.readline() == b"event: asked\n"
    assert gated.began()
    response.close()
    connection.close()
    gated.open()
    assert slow.fresh("Two", want="zip")["ok"]
    assert not gated.began(0)
    assert slow.call("GET", "/v1/status").json["waiting"] == 0


def test_steps_are_told_to_all_who_listen(slow: Served, gated: Gate) -> None:
    """/v1/events names the step and the functions that wait for it."""
    connection = Connection(slow.socket)
    connection.request("GET", "/v1/events")
    response = connection.getresponse()
    body = {"functions": ["Two"], "want": "zip"}
    asking = threading.Thread(target=lambda: slow.call("POST", "/v1/fresh", body))
    asking.start()
    assert gated.began()
    gated.open()
    asking.join(60)
    heard = b""
    while b"event: built" not in heard:
        heard += response.readline()
    connection.close()
    data = re.search(rb"event: progress\ndata: (.*)\n", heard)
    assert data
    assert json.loads(data[1]) == {"functions": ["Two"], "text": "building slow"}


# --- the client's end --------------------------------------------------------------------------

STREAM = (
    b'event: asked\ndata: {"functions": ["A"], "building": ["A"]}\n\n'
    b'event: later\ndata: {"n": 1}\n\nevent: answer\ndata: {"ok": true}\n\n'
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_in_pieces_are_whole(cuts: list[int]) -> None:
    """However they are cut; what comes after the answer does not matter."""
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in itertools.pairwise(places)]
    rest = iter(pieces[1:])
    heard: list[str] = []
    found = stream.read(pieces[0], lambda: next(rest), lambda kind, _data: heard.append(kind))
    assert found == (200, b'{"ok": true}')
    assert heard == ["asked", "later"]


@pytest.mark.parametrize("cut", range(0, len(STREAM) - 2, 5))
def test_events_that_break_off_are_no_answer(cut: int) -> None:
    """A daemon that dies at any byte has not answered."""

    def gone() -> bytes:
        raise exchange.Gone("it went away")

    with pytest.raises(exchange.Gone):
        stream.read(STREAM[:cut], gone, lambda _kind, _data: None)


def test_a_function_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Told twice, by a daemon that was asked again for one, it has one line; another end has one
    of its own."""
    built = {
        "name": "One", "status": "built", "cached": False, "reasons": [], "duration_ms": 1.0,
        "diagnostics": [], "live": {"entry": "one.js", "path": [], "digest": ""},
    }  # fmt: skip
    document = {"schema": 1, "ok": True, "diagnostics": [], "functions": [built]}
    results = answer.Results("/", as_json=False, verbose=False)
    results.hear("function", built)
    results.hear("function", {**built, "cached": True})
    assert results.end(document) == 0
    assert capsys.readouterr().out.count("One") == 1
    failed = {**built, "status": "failed", "machine_fault": True}
    assert results.end({**document, "ok": False, "functions": [failed]}) == 2
    assert capsys.readouterr().out.startswith("failed   One")


# --- lambdad fresh with a template of its own --------------------------------------------------


@pytest.mark.parametrize("want", ["live", "zip"])
def test_fresh_of_another_template(want: str, tmp_path: Path) -> None:
    """This process builds what --template and --parameter say; no daemon is asked or started."""
    other = TEMPLATE.replace("Globals:", "Parameters: {Where: {Type: String}}\nGlobals:")
    other += PYTHON.format(name="Three", code="!Ref Where")
    with served(tmp_path, {**APP, "other.yaml": other}, start=False) as app:
        arguments = ["fresh", "--template", "other.yaml", "--parameter", "Where=two"]
        done = app.site.run(*arguments, "--want", want, "--json")
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["functions"]
        assert (found["name"], found["status"]) == ("Three", "built")
        assert ("live" in found, "artifact" in found) == (want == "live", want == "zip")
        assert app.site.run(*arguments, "One").returncode == 2
        assert app.site.run("fresh", "--parameter", "Where").returncode == 2
        assert not processes(app.site.root)
