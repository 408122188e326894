"""What a client gets, whatever the daemon does: an answer, or the reason why it builds itself."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.config.find import FORMATS, project_folder
from lambdad.bundler.model import Artifact, BundlerError, Diagnostic, Failed, Location, Severity
from lambdad.bundler.report.render import outcome_json
from lambdad.daemon.cli.fresh import command
from lambdad.daemon.client import asking, finding, fresh
from lambdad.daemon.life import control, lock
from lambdad.daemon.terminal import answer
from lambdad.daemon.wire import exchange
from lambdad.daemon.wire.address import NoDaemon, prepare
from tests.conftest import write_tree
from tests.support import daemons
from tests.support.daemons import APP, Site, ends, lives, processes


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project of one function."""
    with daemons.site(tmp_path / "app") as place:
        write_tree(Path(place.root), APP)
        yield place


@pytest.fixture
def fake(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The same; what is started there is tests/support/fake_daemon.py."""
    monkeypatch.setattr(control, "MODULE", "tests.support.fake_daemon")
    return site


# --- which project -----------------------------------------------------------------------------

TEMPLATE = "Transform: AWS::Serverless-2016-10-31\nResources: {}\n"
SAMCONFIG = '[default.build.parameters]\ntemplate_file = "deep/app.yaml"\n'
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "nothing": {"a/b/file": ""},
    "own file": {"lambdad.toml": "", "a/b/file": ""},
    "own file, broken": {"lambdad.toml": "[", "a/b/file": ""},
    "own file is a folder": {"lambdad.toml/x": "", "a/b/file": ""},
    "own file leads nowhere": {"a/lambdad.toml": "-> gone", "a/b/file": ""},
    "own file leads to itself": {"a/lambdad.toml": "-> lambdad.toml", "a/b/file": ""},
    "nearest wins": {"lambdad.toml": "", "a/template.yaml": TEMPLATE, "a/b/file": ""},
    "yml": {"template.yml": TEMPLATE, "a/b/file": ""},
    "json": {"a/b/template.json": "{}"},
    "template is a folder": {"template.yaml/x": "", "a/b/file": ""},
    "template by a symlink": {"template.yaml": "-> t", "t": TEMPLATE, "a/b/file": ""},
    "pyproject says": {"pyproject.toml": "[tool.lambdad]\n", "a/b/file": ""},
    "pyproject says otherwise": {"pyproject.toml": "tool = {lambdad = {}}\n", "a/b/file": ""},
    "pyproject only depends": {
        "lambdad.toml": "",
        "a/pyproject.toml": '[project]\ndependencies = ["lambdad"]\n',
        "a/b/file": "",
    },
    "pyproject is another's": {"a/pyproject.toml": "[project]\n", "a/b/file": ""},
    "pyproject broken": {"pyproject.toml": "lambdad [", "a/b/file": ""},
    "pyproject is a folder": {"pyproject.toml/x": "", "a/b/file": ""},
    "samconfig names": {"samconfig.toml": SAMCONFIG, "deep/app.yaml": TEMPLATE, "a/b/file": ""},
    "samconfig names in yaml": {
        "samconfig.yaml": "default: {global: {parameters: {template: x.yaml}}}",
        "a/b/file": "",
    },
    "samconfig names nothing": {"samconfig.toml": "version = 0.1\n# template\n", "a/b/file": ""},
    "samconfig of a folder below": {"lambdad.toml": "", "a/samconfig.toml": "", "a/b/file": ""},
    "repository ends the search": {"lambdad.toml": "", "a/.git/HEAD": "", "a/b/file": ""},
    "a worktree's, too": {"lambdad.toml": "", "a/.git": "gitdir: x", "a/b/file": ""},
    "in the repository's root": {"a/lambdad.toml": "", "a/.git/HEAD": "", "a/b/file": ""},
    "only its own folder": {".lambdad/state/x": "", "a/b/file": ""},
    "of another framework": {"serverless.yml": "", "a/b/file": ""},
    "sst with a list": {"a/sst.json": "{}", "a/.sst/functions.jsonl": "", "a/b/file": ""},
    "sst without a list": {
        "lambdad.toml": "",
        "a/sst.json": "{}",
        "a/template.yaml": TEMPLATE,
        "a/b/file": "",
    },
    "cdk names its output": {
        "a/cdk.json": '{"output": "made"}',
        "a/made/manifest.json": "{}",
        "lambdad.toml": "",
        "a/b/file": "",
    },
    "cdk names what is not there": {"a/cdk.json": '{"output": "x"}', "a/b/file": ""},
    "cdk without an assembly": {"lambdad.toml": "", "a/cdk.json": "{}", "a/b/file": ""},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("start", [".", "a", "a/b"])
def test_finds_the_project_that_the_readers_find(tmp_path: Path, layout: str, start: str) -> None:
    """The client's quick look and the configuration's readers never disagree."""
    root = tmp_path / "root"
    write_tree(root, {".hg/x": "", **LAYOUTS[layout]})
    place = root / start
    place.mkdir(parents=True, exist_ok=True)
    try:
        expected: str | None = project_folder(str(place))
    except BundlerError:
        expected = None
    assert finding.find_project(str(place)) == expected


@pytest.mark.parametrize("name", [name for form in FORMATS for name in form.files])
def test_finds_every_format(tmp_path: Path, name: str) -> None:
    """Whatever file describes a project to the readers does so to the client, at no more cost."""
    root = tmp_path / "app"
    write_tree(root, {name: "", "a/b/file": ""})
    assert finding.find_project(str(root / "a/b")) == os.path.realpath(root)
    assert finding._is_described(str(root))
    assert project_folder(str(root / "a/b")) == os.path.realpath(root)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe under the name of a configuration file has no writer; nobody waits for one."""
    for name in ("lambdad.toml", "pyproject.toml", "samconfig.toml", "template.yaml"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        os.mkfifo(folder / name)
        finding.find_project(str(folder))
    assert finding.find_project(str(tmp_path / "gone")) is None


# --- what is imported --------------------------------------------------------------------------


def test_a_fresh_function_costs_few_imports(site: Site) -> None:
    """No argument parser, HTTP library, event loop or model: each would cost as much as Python."""
    assert site.run("fresh", "One").returncode == 0
    code = (
        "import sys\nfrom lambdad.daemon.client import fresh\n"
        "assert fresh.main(['One', '--want', 'live']) == 0\nprint(*sys.modules)"
    )
    done = site.python(code)
    names = {name.partition(".")[0] for name in done.stdout.split()[3:]}
    heavy = {
        "argparse", "asyncio", "click", "dataclasses", "http", "inspect", "logging", "pathlib",
        "rich", "shutil", "subprocess", "tempfile", "threading", "typing", "urllib",
    }  # fmt: skip
    assert done.returncode == 0
    assert names & heavy == set()
    assert "lambdad.bundler.model" not in done.stdout
    assert "lambdad.daemon.life.control" not in done.stdout


# --- options -----------------------------------------------------------------------------------

WORDS = (
    *("One", "--json", "--want", "--want=zip", "live", "--project=.", "--timeout", "2", "-v"),
    *("--locked", "--", "--no-daemon", "--nonsense", "--want=tar", "--timeout=-1", "--help"),
)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_options_mean_what_click_says(count: int, tmp_path: Path) -> None:
    """Of every command line, the quick parser takes the same as click does, or leaves it to it."""
    taken = 0
    with contextlib.chdir(tmp_path):
        for words in itertools.product(WORDS, repeat=count):
            quick = fresh.parse(words)
            if quick is None:
                continue
            taken += 1
            context = command.make_context("fresh", list(words))
            given = context.params
            assert (
                quick.named,
                quick.project,
                quick.want,
                quick.timeout_s,
                quick.locked,
                quick.as_json,
                quick.verbose,
            ) == (
                list(given["functions"]),
                given["project"],
                given["want"],
                given["timeout_s"],
                given["locked"],
                given["as_json"],
                given["verbose"],
            )
            assert not given["no_daemon"]
    assert taken


# --- HTTP --------------------------------------------------------------------------------------

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: a\r\ncontent-length: 11\r\n\r\n{"ok":true}'


@contextlib.contextmanager
def listener(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket whose every connection is handed to `talk`, one after the other."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer, contextlib.suppress(OSError):
                        talk(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield str(path)
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with daemons.site(tmp_path_factory.mktemp("short")) as place:
        yield Path(place.environ["XDG_RUNTIME_DIR"])


def test_a_torn_answer_is_none(folder: Path) -> None:
    """Cut anywhere, the daemon has died on the way; only the whole answer is one."""
    cuts = iter(range(len(ANSWER) + 1))

    def talk(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(ANSWER[: next(cuts)])

    with listener(folder / "s", talk) as path:
        for _ in range(len(ANSWER)):
            with pytest.raises(exchange.Gone):
                exchange.ask(path, "GET", "/")
        assert exchange.ask(path, "GET", "/") == (200, {"ok": True})


def test_an_answer_in_pieces_is_whole(folder: Path) -> None:
    """However its bytes arrive."""

    def talk(peer: socket.socket) -> None:
        peer.recv(65536)
        for byte in ANSWER:
            peer.send(bytes([byte]))

    with listener(folder / "s", talk) as path:
        assert exchange.ask(path, "GET", "/") == (200, {"ok": True})


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        b"x" * 100_000,
    ],
)
def test_what_is_no_answer_is_none(folder: Path, said: bytes) -> None:
    """Foreign bytes, or a daemon about to leave: as if nobody had been there."""

    def talk(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(said)

    with listener(folder / "s", talk) as path, pytest.raises(exchange.Gone):
        exchange.ask(path, "POST", "/", {"a": 1})


def test_nobody_there_is_refused(folder: Path) -> None:
    """Neither a missing socket nor one that nobody listens on is worth a retry of its own."""
    with pytest.raises(exchange.NotListening):
        exchange.ask(str(folder / "gone"), "GET", "/")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "dead"))
    with pytest.raises(exchange.NotListening):
        exchange.ask(str(folder / "dead"), "GET", "/")


def test_a_long_build_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is no reason to give up while the daemon's loop turns; once it stands, it is."""
    monkeypatch.setattr(exchange, "SILENCE_S", 0.05)
    monkeypatch.setattr(exchange, "ALIVE_S", 0.2)
    looks = []
    done = threading.Event()
    waiting: list[socket.socket] = []

    def talk(peer: socket.socket) -> None:
        if b"/v1/alive" not in peer.recv(65536):
            waiting.append(peer.dup())  # answered later, when it was asked after three times
            return
        looks.append(1)
        if len(looks) <= 3:
            peer.sendall(ANSWER)
        else:
            done.wait(20)
        if len(looks) == 3 and not hangs:
            waiting[0].sendall(ANSWER)

    hangs = False
    with listener(folder / "s", talk) as path:
        assert exchange.ask(path, "GET", "/long") == (200, {"ok": True})
    hangs = True
    looks.clear()
    waiting.pop().close()
    with listener(folder / "t", talk) as path:
        with pytest.raises(exchange.Gone, match="does not answer any more"):
            exchange.ask(path, "GET", "/long")
        done.set()
    waiting.pop().close()


def test_time_is_up(folder: Path) -> None:
    """With a time-out the client gives up on a daemon that never answers."""
    held: list[socket.socket] = []
    with (
        listener(folder / "s", lambda peer: held.append(peer.dup())) as path,
        pytest.raises(exchange.Gone, match="in time"),
    ):
        exchange.ask(path, "GET", "/", timeout_s=0.1)
    held.pop().close()


# --- requests ----------------------------------------------------------------------------------


def test_a_request_starts_the_daemon(fake: Site) -> None:
    """The first starts it, the next one finds it; without `start` none is started."""
    with pytest.raises(NoDaemon):
        asking.request(fake.root, "GET", "/v1/status", environ=fake.environ, start=False)
    assert not processes(fake.root)
    _status, first = asking.request(fake.root, "GET", "/v1/status", environ=fake.environ)
    _status, second = asking.request(fake.root, "GET", "/v1/status", environ=fake.environ)
    assert first["pid"] == second["pid"] == fake.pid
    answer = asking.request(fake.root, "GET", "/v1/status", environ=fake.environ, start=False)
    assert answer[1]["pid"] == fake.pid


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("mood", ["once", "mortal"])
def test_a_daemon_that_dies_is_asked_once_more(fake: Site, mood: str, running: bool) -> None:
    """The client asks the next daemon; if that one dies, too, it is told."""
    environ = {**fake.environ, "FAKE": mood}
    first = fake.started(FAKE=mood) if running else None

    def request() -> tuple[int, dict[str, Any]]:
        return asking.request(fake.root, "POST", "/v1/fresh", {}, environ=environ)

    if mood == "mortal":
        with pytest.raises(exchange.Gone):
            request()
    else:
        assert request()[0] == 200
        assert lives(fake.pid)
    assert first is None or ends(first)
    deaths = Path(fake.root, "died").read_text()
    assert len(deaths) == (1 if mood == "once" else 2)


def test_a_killed_daemon_costs_no_retry(fake: Site) -> None:
    """What it left behind is no daemon: the one started for the request may still die once."""
    fake.started(FAKE="once")
    os.kill(fake.pid, signal.SIGKILL)
    assert ends(fake.pid)
    environ = {**fake.environ, "FAKE": "once"}
    assert asking.request(fake.root, "POST", "/v1/fresh", {}, environ=environ)[0] == 200
    assert Path(fake.root, "died").read_text() == "x"


def test_a_leaving_daemon_is_waited_for(fake: Site) -> None:
    """It is asked while it stops: the answer is the next one's, once the first is gone."""
    environ = {**fake.environ, "FAKE": "slow"}
    first = fake.started(FAKE="slow")
    exchange.ask(fake.where.socket, "POST", "/v1/stop")
    _status, answer = asking.request(fake.root, "GET", "/v1/status", environ=environ)
    assert answer["pid"] != first
    assert ends(first, 0)


# --- lambdad fresh -----------------------------------------------------------------------------


def test_fresh_says_what_build_says(site: Site) -> None:
    """Through the daemon, by `build` and in its own process: one document, and the same bytes."""

    def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        for function in document["functions"]:
            for name in ("duration_ms", "cached", "reasons"):
                del function[name]
        return document

    by_daemon = told(site.run("fresh", "One", "--want", "zip", "--json"))
    assert processes(site.root)
    here = told(site.run("fresh", "One", "--want", "zip", "--json", "--no-daemon"))
    built = told(site.run("build", "One", "--json"))
    assert by_daemon == here == built
    line = site.run("fresh", "--want=zip").stdout
    assert line == site.run("build").stdout == site.run("fresh", "--want=zip", "--no-daemon").stdout


def test_fresh_sees_every_save(site: Site) -> None:
    """Exit code 1 and the place of a fault; 0 again once it is mended."""
    handler = Path(site.root, "src/app.py")
    assert site.run("fresh", "One").returncode == 0
    handler.write_text("def handler(:\n")
    done = site.run("fresh", "One", "--want", "zip")
    assert done.returncode == 1
    assert "failed" in done.stdout
    assert "src/app.py:1" in done.stderr
    handler.write_text("def handler(event, context):\n    return 2\n")
    done = site.run("fresh", "One", "--want", "zip", "--verbose")
    assert done.returncode == 0
    assert done.stdout.startswith("built    One")
    assert control.stop(site.root, site.environ)  # it would build ahead
    handler.write_text("def handler(event, context):\n    return 3\n")
    done = site.run("fresh", "One", "--want", "zip", "--verbose", "--no-daemon")
    assert "because src/app.py changed" in done.stderr


def test_fresh_from_below_and_from_elsewhere(site: Site, tmp_path: Path) -> None:
    """The project is found from the working directory upwards, or named."""
    assert site.run("fresh", cwd=f"{site.root}/src").returncode == 0
    assert site.run("fresh", "--project", site.root, cwd=tmp_path).returncode == 0
    done = site.run("fresh", cwd=site.environ["XDG_RUNTIME_DIR"])
    assert done.returncode == 2
    assert "error[no-project]" in done.stderr


@pytest.mark.parametrize("names", [["Two"], ["One", "Two", "Two"]])
def test_fresh_of_an_unknown_function(site: Site, names: Sequence[str]) -> None:
    """Exit code 2, and the names there are."""
    done = site.run("fresh", *names)
    assert done.returncode == 2
    assert "no function is called Two" in done.stderr
    assert "there is: One" in done.stderr


@pytest.mark.parametrize("want", ["live", "zip"])
def test_fresh_without_a_daemon(fake: Site, want: str) -> None:
    """Each daemon dies of the request: the client says so, and builds."""
    environ = {**fake.environ, "FAKE": "mortal"}
    done = fake.fake("fresh", "One", "--want", want, env=environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("built    One")
    assert "building without one" in done.stderr


def test_fresh_where_no_daemon_can_be(site: Site) -> None:
    """Another user's folder, a full disk: a request never fails only because of the daemon."""
    prepare(site.where)
    Path(site.where.folder).chmod(0o755)
    done = site.run("fresh", "One", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]
    assert "others may enter" in done.stderr
    assert not processes(site.root)


def test_interrupted(fake: Site) -> None:
    """Ctrl-C drops the wait, with exit code 130; the daemon lives on."""
    pid = fake.started(FAKE="deaf")
    told, tell = os.pipe()
    code = (
        f"{daemons.FAKE}import os\nfrom lambdad.daemon import entry\n"
        "from lambdad.daemon.wire import exchange\n"
        "real = exchange._receive\n"
        f"def receive(*given):\n    os.write({tell}, b'x')\n    return real(*given)\n"
        "exchange._receive = receive\nentry.main()"
    )
    command = [sys.executable, "-c", code, "fresh", "One"]
    with subprocess.Popen(
        command, cwd=fake.root, env=fake.environ, pass_fds=[tell], stderr=-1, text=True
    ) as process:
        os.close(tell)
        assert os.read(told, 1) == b"x"
        os.close(told)
        process.send_signal(signal.SIGINT)
        _out, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert lives(pid)


def test_nobody_reads(site: Site) -> None:
    """Whoever read our output has left: no traceback."""
    assert site.run("fresh").returncode == 0
    read, write = os.pipe()
    os.close(read)
    for arguments in (["fresh"], ["fresh", "--json"]):
        done = site.run(*arguments, capture_output=False, stdout=write, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, "")
    os.close(write)


# --- what is shown -----------------------------------------------------------------------------

ARTIFACT = Artifact(path="z", immutable_path="i", sha256="00", size=1, unzipped_size=1)
FAULT = Diagnostic(
    code="bad", severity=Severity.ERROR, message="is bad", where=Location("f", 1, 2), hint="do"
)


def test_diagnostics_arrive_whole() -> None:
    """What is read from an answer is what was written into it."""
    bare = Diagnostic(code="bad", severity=Severity.INFO, message="is")
    for item in (FAULT, bare):
        outcome = Failed(name="One", diagnostics=(item,))
        (told,) = json.loads(json.dumps(outcome_json(outcome)))["diagnostics"]
        assert answer.diagnostic_of(told) == item


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """0 ok, 1 the project is at fault, 2 time was up or the machine is to blame."""
    document: dict[str, Any] = {"schema": 1, "ok": True, "diagnostics": [], "functions": []}
    machine = outcome_json(Failed(name="One", machine_fault=True))
    for more, code in (
        ({}, 0),
        ({"ok": False}, 1),
        ({"ok": False, "building": ["One"]}, 2),
        ({"ok": False, "functions": [machine]}, 2),
    ):
        for as_json in (False, True):
            results = answer.Results("/", as_json=as_json, verbose=False)
            assert results.end({**document, **more}) == code
            shown = capsys.readouterr().out
            assert not as_json or json.loads(shown) == {**document, **more}
    assert "building One  time is up" in _shown(capsys, {**document, "building": ["One"]})


def _shown(capsys: pytest.CaptureFixture[str], document: Mapping[str, Any]) -> str:
    answer.Results("/", as_json=False, verbose=False).end(document)
    return capsys.readouterr().out


# --- lambdad daemon ----------------------------------------------------------------------------


def test_the_command_of_the_daemon(site: Site) -> None:
    """start, address, status, restart, stop, logs: exit codes and streams as documented."""
    none = site.run("daemon", "status", "--json")
    assert (none.returncode, json.loads(none.stdout)) == (1, {"schema": 1, "running": False})
    assert site.run("daemon", "status").returncode == 1
    address = site.run("daemon", "address")
    assert (address.returncode, address.stdout) == (1, "")
    assert site.run("daemon", "stop").returncode == 0

    done = site.run("daemon", "start")  # its pipes are freed, or this would not return
    assert (done.returncode, done.stdout) == (0, "")
    pid = site.pid
    assert site.run("daemon", "start").returncode == 0
    assert processes(site.root) == [pid]
    address = site.run("daemon", "address", "--project", site.root, cwd="/")
    assert (address.returncode, address.stdout) == (0, f"{site.where.socket}\n")
    told = site.run("daemon", "status", "--json")
    status = json.loads(told.stdout)
    assert told.returncode == 0
    assert (status["schema"], status["running"], status["pid"]) == (1, True, pid)
    assert status["socket"] == site.where.socket
    assert "One" in status["functions"]
    assert f"pid {pid}" in site.run("daemon", "status").stdout

    assert site.run("daemon", "restart").returncode == 0
    assert site.pid != pid
    assert ends(pid, 0)
    assert site.run("daemon", "stop").returncode == 0
    assert not processes(site.root)
    assert not lock.is_held(site.where.lock)
    assert site.run("daemon", "logs").stdout.count("lambdad") >= 2


def test_a_daemon_can_be_stopped_when_its_project_is_not_one_any_more(site: Site) -> None:
    """Its configuration is gone; named by its folder, it is found."""
    pid = site.started()
    Path(site.root, "lambdad.toml").unlink()
    assert site.run("daemon", "stop", "--project", site.root).returncode == 0
    assert ends(pid, 0)
    assert site.run("daemon", "stop").returncode == 2


def test_a_daemon_that_does_not_answer_is_told(fake: Site) -> None:
    """Exit code 2: it is there, and something is wrong with it."""
    prepare(fake.where)
    held = lock.take(fake.where.lock, 0)
    assert held is not None
    done = fake.run("daemon", "status", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["running"] is True
    assert json.loads(done.stdout)["fault"]
    lock.release(fake.where.lock, held)


def test_faults_of_starting_are_told(site: Site) -> None:
    """What keeps a daemon from starting is a fault of the machine, with a code."""
    prepare(site.where)
    Path(site.where.folder).chmod(0o755)
    done = site.run("daemon", "start")
    assert done.returncode == 2
    assert "error[no-daemon]" in done.stderr


def test_logs_are_followed(site: Site) -> None:
    """What is written while it follows is shown, over the turn to a new file."""
    prepare(site.where)
    log = Path(site.where.log)
    log.write_text("one\n")
    code = "from lambdad.daemon import entry\nfrom lambdad.daemon.cli import daemon\n"
    code += "daemon.FOLLOW_S = 0.01\nentry.main()"
    command = [sys.executable, "-c", code, "daemon", "logs", "--follow"]
    with subprocess.Popen(
        command, cwd=site.root, env=site.environ, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        with log.open("a") as file:
            file.write("two\n")
        assert process.stdout.readline() == "two\n"
        log.rename(f"{log}.1")
        log.write_text("three\n")
        assert process.stdout.readline() == "three\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        process.communicate()
