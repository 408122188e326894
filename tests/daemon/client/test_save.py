"""Saves with lint: what the answer tells at once, what comes later, and the command for editors."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.trust import trust
from lambdad.daemon.client import save
from tests.daemon.serving.test_server import codes
from tests.support.daemons import ends
from tests.support.lint_tools import ANSWER, ESLINT, fake, of_npm, runs
from tests.support.served import APP, Served, served
from tests.support.unixhttp import Connection

FAULTY = "import os\n\n\ndef handler(event, context):\n    return nothing\n"
WORD = 'export const word: string = "bad"; // bad\n'


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    """The project has a fake eslint of its own, and is trusted."""
    with served(tmp_path, {**APP, "eslint.config.js": "", "web/word.ts": WORD}) as found:
        fake(found.root, "eslint", "eslint", ESLINT + ANSWER)
        trust(str(found.root), found.site.environ)
        yield found


def findings(answer: Any) -> list[tuple[str, str, str, int]]:
    return [
        (item["code"], item["severity"], item["where"]["file"], item["where"]["line"])
        for item in answer.get("findings", ())
    ]


class Events:
    """What the daemon tells to who listens."""

    def __init__(self, app: Served) -> None:
        self._connection = Connection(app.socket)
        self._connection.request("GET", "/v1/events")
        self._lines = self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()

    def linted(self, tool: str = "eslint") -> Any:
        """The next that is told of that tool."""
        kind = ""
        for line in self._lines:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == "linted":
                data = json.loads(value)
                if data["tool"] == tool:
                    return data
        raise AssertionError("the daemon left")


@pytest.fixture
def events(app: Served) -> Iterator[Events]:
    app.fresh()
    found = Events(app)
    yield found
    found.close()


# --- the answer ----------------------------------------------------------------------------------


def test_quick_findings_come_with_the_answer(app: Served) -> None:
    """ruff's, and what would fail on Lambda. They are no fault of the function's build."""
    app.lay({"one/app.py": FAULTY})
    answer = app.save("one/app.py")
    assert answer["ok"]
    assert answer["functions"][0]["status"] == "built"
    assert ("F821", "error", "one/app.py", 5) in findings(answer)
    assert ("F401", "warning", "one/app.py", 1) in findings(answer)
    assert "linting" not in answer
    app.lay(APP)
    assert "findings" not in app.save("one/app.py")


def test_a_syntax_error_is_told_once(app: Served) -> None:
    """By the build that fails, and not again by lint."""
    app.lay({"web/word.ts": "export const = 1;\n"})
    answer = app.save("web/word.ts")
    assert not answer["ok"]
    (function,) = answer["functions"]
    assert [item["code"] for item in function["diagnostics"]] == ["syntax-error"]
    assert findings(answer) == []


def test_what_new_requirements_bring_is_known_at_once(app: Served) -> None:
    """The first save after they were written tells what they don't bring, not the second one."""
    source = "import notpackaged\n\n\ndef handler(event, context):\n    return notpackaged\n"
    app.lay({"one/app.py": source, "one/requirements.txt": "# none yet\n"})
    told = [code for code, *_place in findings(app.save("one/requirements.txt", "one/app.py"))]
    assert told == ["missing-import"]


@pytest.mark.parametrize("level", ["off", "error"])
def test_functions_say_what_becomes_of_lint(level: str, app: Served) -> None:
    """With "off" their files are not linted; with "error" no finding is a mere warning."""
    app.lay({"one/app.py": FAULTY, "lambdad.toml": f'[functions.One]\nlint = "{level}"\n'})
    severities = {severity for _code, severity, _file, _line in findings(app.save("one/app.py"))}
    assert severities == (set() if level == "off" else {"error"})


def test_slow_findings_come_as_an_event_and_with_the_next_save(app: Served, events: Events) -> None:
    """The answer names who is still at it; nothing waits for them."""
    answer = app.save("web/word.ts")
    assert answer["linting"] == ["eslint"]
    assert findings(answer) == []
    event = events.linted()
    (file,) = event["files"]
    assert file["path"] == "web/word.ts"
    assert [item["code"] for item in file["diagnostics"]] == ["no-bad"]
    assert event["running"] == []
    answer = app.save("web/word.ts")
    assert findings(answer) == [("no-bad", "error", "web/word.ts", 1)]
    assert "linting" not in answer
    assert runs(app.root, "eslint") == 1


def test_an_outdated_finding_is_never_shown(app: Served, events: Events) -> None:
    """Neither of the file that changed, nor one that may have come from it."""
    app.save("web/word.ts")
    events.linted()
    app.lay({"web/web.ts": f"{APP['web/web.ts']!s}// changed\n"})
    assert findings(app.save("web/word.ts")) == []
    events.linted()
    app.lay({"web/word.ts": 'export const word: string = "good";\n'})
    assert findings(app.save("web/word.ts")) == []
    (file,) = events.linted()["files"]
    assert file["diagnostics"] == []
    assert findings(app.save("web/word.ts")) == []


def test_an_edit_during_the_run(app: Served, events: Events) -> None:
    """What is told is of the file as it is at last."""
    gate = app.root / "gate"
    os.mkfifo(gate)
    waits = f"open({str(gate)!r}).read()\n"
    fake(app.root, "eslint", "eslint", ESLINT + waits + ANSWER)
    app.save("web/word.ts")
    with gate.open("w"):  # it has begun
        app.lay({"web/word.ts": "// bad\n" + WORD})
    app.save("web/word.ts")
    with gate.open("w"):
        pass
    (file,) = events.linted()["files"]
    assert [item["where"]["line"] for item in file["diagnostics"]] == [1, 2]


def test_an_untrusted_project(tmp_path: Path) -> None:
    """Its tools don't run until a person has run lambdad there, or the caller vouches."""
    with served(tmp_path, {**APP, "eslint.config.js": "", "web/word.ts": WORD}) as app:
        fake(app.root, "eslint", "eslint", ESLINT + ANSWER)
        answer = app.save("web/word.ts")
        assert [item["code"] for item in answer["findings"]] == ["lint-untrusted"]
        assert runs(app.root, "eslint") == 0
        done = lambdad(app, "web/word.ts")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith("info[lint-untrusted] ")
        assert "hint: run `lambdad lint` once" in done.stderr
        body = {"files": ["web/word.ts"], "trusted": True}
        assert app.call("POST", "/v1/save", body).json["linting"] == ["eslint"]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("web/word.ts", "deleted"),
        ("web/new.ts", "new"),
        ("template.yaml", "saved"),
        ("one/requirements.txt", "new"),
        ("package-lock.json", "new"),
        ("one", "a folder"),
    ],
)
def test_whatever_is_saved(path: str, change: str, app: Served) -> None:
    """A file that is gone or new, a template, a lock, a folder: there is an answer."""
    app.fresh()
    if change == "deleted":  # and what imported it was mended
        app.lay({"web/web.ts": "export const handler = async () => 1;\n"})
        (app.root / path).unlink()
    elif change == "new":
        app.lay({path: "\n"})
    reply = app.call("POST", "/v1/save", {"files": [path]})
    assert reply.status == 200
    assert codes(reply.json) == []


BROKEN: Mapping[str, bytes] = {
    "binary": bytes(range(256)),
    "not UTF-8": "# café\ndef handler(e, c): pass\n".encode("latin-1"),
    "huge": b"x = 1\n" * 10_000 + b'y = "' + b"y" * 600_000 + b'"\n',
    "empty": b"",
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_are_no_sources(case: str, app: Served) -> None:
    """There are diagnostics or none, and always an answer."""
    app.lay({"one/app.py": BROKEN[case], "web/word.ts": BROKEN[case]})
    assert app.call("POST", "/v1/save", {"files": ["one/app.py", "web/word.ts"]}).status == 200


def test_a_linter_that_hangs_holds_nothing_up(app: Served) -> None:
    """Fresh answers and other saves come as ever; when the daemon leaves, so does it."""
    pids = app.root / "pids"
    hanging = f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    fake(app.root, "eslint", "eslint", hanging + "import signal\nsignal.pause()\n")
    os.mkfifo(app.root / "begun")
    script = app.root / "node_modules/.bin/eslint"
    script.write_text(
        script.read_text()
        .replace("import signal", f"open({str(app.root / 'begun')!r}, 'w')")
        .replace("signal.pause", "time.sleep(600) or print")
    )
    assert app.save("web/word.ts")["linting"] == ["eslint"]
    (app.root / "begun").open().close()
    app.lay({"one/app.py": FAULTY})
    assert app.one("One")["status"] == "built"
    assert findings(app.save("one/app.py"))
    assert app.save("web/word.ts")["linting"] == ["eslint"]
    pid = int(pids.read_text().split()[0])
    daemon = app.site.pid
    assert app.site.run("daemon", "stop").returncode == 0
    assert ends(daemon)
    assert ends(pid)
    assert len(pids.read_text().split()) == 1


def test_many_saves_at_once(app: Served) -> None:
    """Each has its answer; of the linter there is one run at a time, and few of them."""
    app.fresh()
    busy = app.root / "busy"
    alone = (
        f"os.mkdir({str(busy)!r})\nimport atexit\natexit.register(os.rmdir, {str(busy)!r})\n"
        "time.sleep(0.2)\n"
    )
    fake(app.root, "eslint", "eslint", ESLINT + alone + ANSWER)
    found = Events(app)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _number: app.save("web/word.ts"), range(32)))
    assert all(answer["ok"] for answer in answers)
    event = found.linted()
    assert [item["code"] for item in event["files"][0]["diagnostics"]] == ["no-bad"]
    assert event["diagnostics"] == []
    found.close()
    assert runs(app.root, "eslint") <= 4


def test_a_real_eslint(tmp_path: Path, tools: Path) -> None:
    """From the project's own node_modules, in the background, by a real daemon."""
    config = 'export default [{ files: ["**/*.mjs"], rules: { "no-debugger": "error" } }];\n'
    files = {**APP, "eslint.config.mjs": config, "web/web.ts": "export * from './a.mjs';\n"}
    script = "debugger;\nexport const handler = async () => 1;\n"
    with served(tmp_path, {**files, "web/a.mjs": script}) as app:
        (app.root / "node_modules").symlink_to(of_npm("eslint@9.39.5", tools))
        app.fresh()
        found = Events(app)
        answer = app.call("POST", "/v1/save", {"files": ["web/a.mjs"], "trusted": True}).json
        assert answer["linting"] == ["eslint"]
        (file,) = found.linted()["files"]
        found.close()
        assert [item["code"] for item in file["diagnostics"]] == ["no-debugger"]


# --- zips pass lint -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", [[], ["--no-daemon"], ["--timeout", "60"]])
def test_a_fresh_zip_passes_lint_as_a_build_does(way: list[str], app: Served) -> None:
    """With `lint = "error"` a finding keeps its function from being built, others are; with "warn"
    the findings are told. Something to load on this machine is never held back."""
    says = '[functions.One]\nlint = "error"\n\n[functions.Web]\nlint = "warn"\n'
    app.lay({"one/app.py": FAULTY, "lambdad.toml": says, "eslint.config.js": ""})
    done = app.site.run("fresh", "--want", "zip", "--json", *way)
    assert done.returncode == 1, done.stderr
    functions = {item["name"]: item for item in json.loads(done.stdout)["functions"]}
    assert {name: item["status"] for name, item in functions.items()} == {
        name: "failed" if name == "One" else "built" for name in functions
    }
    assert "F821" in [item["code"] for item in functions["One"]["diagnostics"]]
    assert "no-bad" in [item["code"] for item in functions["Web"]["diagnostics"]]
    assert not (app.root / ".lambdad/build/One.zip").exists()
    assert (app.root / ".lambdad/build/Web.zip").exists()
    assert app.site.run("fresh", "One", *way).returncode == 0


# --- lambdad save --------------------------------------------------------------------------------


def lambdad(app: Served, *arguments: str, cwd: Path | None = None) -> Any:
    return app.site.run("save", *arguments, cwd=str(cwd or app.root))


def test_a_line_for_each_finding(app: Served) -> None:
    """On stdout; an error among them is exit code 1. Where nothing is wrong, nothing is said."""
    app.lay({"one/app.py": FAULTY})
    done = lambdad(app, "one/app.py")
    assert done.returncode == 1
    assert "one/app.py:5:12: error[F821] Undefined name `nothing`\n" in done.stdout
    assert "one/app.py:1:8: warning[F401] " in done.stdout
    assert done.stderr == ""
    app.lay({"one/app.py": "import os\n\n\ndef handler(event, context):\n    return 1\n"})
    done = lambdad(app, "one/app.py")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    app.lay(APP)
    done = lambdad(app, "one/app.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failed_build_is_told_as_well(app: Served) -> None:
    """With the place that its compiler names."""
    app.lay({"web/word.ts": "export const = 1;\n"})
    done = lambdad(app, "web/word.ts")
    assert done.returncode == 1
    assert done.stdout.startswith("web/word.ts:1:14: error[syntax-error] ")
    assert done.stdout.count("\n") == 1


def test_warnings_of_other_files_are_not_repeated(app: Served) -> None:
    """They are no news of what was saved; errors are, wherever they stand."""
    app.fresh()
    old = str(APP["template.yaml"]).replace("python3.12", "python3.8")
    app.lay({"template.yaml": old})
    assert "warning[deprecated-runtime]" in lambdad(app, "template.yaml").stdout
    assert lambdad(app, "one/app.py").stdout == ""
    app.lay({"template.yaml": old.replace("app.handler", "app.missing")})
    done = lambdad(app, "one/app.py")
    assert done.returncode == 1
    assert done.stdout.startswith("template.yaml:")
    assert "error[missing-export]" in done.stdout


def test_paths_start_where_the_editor_does(app: Served, tmp_path: Path) -> None:
    """The project is found from the file; a symlink to it is as good."""
    app.lay({"one/app.py": FAULTY})
    (tmp_path / "alias").symlink_to(app.root)
    for path in (str(app.root / "one/app.py"), "alias/one/app.py"):
        done = lambdad(app, path, cwd=tmp_path)
        assert done.returncode == 1
        assert "app/one/app.py:5:12: error[F821]" in done.stdout


def test_files_that_nobody_holds(app: Served, tmp_path: Path) -> None:
    """Silence, and exit code 0, inside of the project or out."""
    app.lay({"notes.txt": "import os\n", "loose.py": "import os\n"})
    outside = tmp_path / "elsewhere" / "b.py"
    for path in ("notes.txt", "loose.py", "gone/for/ever.py", str(outside), "/etc/hostname"):
        done = lambdad(app, path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), path
    assert json.loads(lambdad(app, "--json", str(outside)).stdout) == {
        "schema": 1,
        "ok": True,
        "diagnostics": [],
        "functions": [],
    }


def test_one_answer_with_a_daemon_and_without(app: Served) -> None:
    """Every code and place, and the exit code."""
    app.lay({"one/app.py": FAULTY, "web/word.ts": "import './gone';\n"})
    files = ("one/app.py", "web/word.ts", "template.yaml")
    told = [lambdad(app, "--json", *options, *files) for options in ((), ("--no-daemon",))]
    assert [done.returncode for done in told] == [1, 1]
    with_daemon, without = (json.loads(done.stdout) for done in told)
    assert findings(with_daemon) == findings(without)
    assert codes(with_daemon) == codes(without)
    assert len(with_daemon["functions"]) == len(without["functions"]) == 2
    lines = [lambdad(app, *options, *files).stdout for options in ((), ("--no-daemon",))]
    assert sorted(lines[0].splitlines()) == sorted(lines[1].splitlines())


def test_the_daemon_is_started(tmp_path: Path) -> None:
    """By the first save."""
    with served(tmp_path, {**APP, "one/app.py": FAULTY}, start=False) as app:
        assert lambdad(app, "one/app.py").returncode == 1
        assert app.site.pid


def test_several_projects(tmp_path: Path) -> None:
    """Each file goes to its own, and there is one document."""
    with served(tmp_path, APP, start=False) as app:
        nested = {f"sub/{name}": text for name, text in APP.items()}
        app.lay({**nested, "one/app.py": FAULTY, "sub/one/app.py": FAULTY})
        done = lambdad(app, "--no-daemon", "--json", "one/app.py", "sub/one/app.py")
        answer = json.loads(done.stdout)
        assert len(answer["functions"]) == 2
        assert findings(answer).count(("F821", "error", "one/app.py", 5)) == 2
        roots = [str(app.root), str(app.root / "sub")]
        assert sorted(item["project"] for item in answer["functions"]) == roots
        assert {item["project"] for item in answer["findings"]} == set(roots)
        done = lambdad(app, "--no-daemon", "one/app.py", "sub/one/app.py")
        assert "\nsub/one/app.py:5:12: error[F821]" in f"\n{done.stdout}"
        assert "\none/app.py:5:12: error[F821]" in f"\n{done.stdout}"


def test_time_is_up(app: Served) -> None:
    """Exit code 2: nothing is known of the project then."""
    app.lay({"one/app.py": f"{APP['one/app.py']!s}# changed\n"})
    done = lambdad(app, "--timeout", "0", "one/app.py")
    assert done.returncode == 2
    assert "time is up" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["--no-such"], ["--timeout", "soon", "a"], ["--project", "/no/such", "a"]]
)
def test_wrong_arguments(arguments: list[str], app: Served) -> None:
    """Exit code 2, with what is wrong on stderr."""
    done: subprocess.CompletedProcess[str] = lambdad(app, *arguments)
    assert done.returncode == 2
    assert done.stderr


def test_arguments_are_read_as_click_reads_them() -> None:
    """The quick parser takes the plain ones and leaves the others to click."""
    found = save.parse(["--json", "--timeout=2", "a", "--trust", "--", "-b"])
    assert found is not None
    assert (found.named, found.as_json, found.timeout_s, found.trusted) == (
        ["a", "-b"],
        True,
        2.0,
        True,
    )
    for arguments in ([], ["--json"], ["--help"], ["-x", "a"], ["--timeout=-1", "a"]):
        assert save.parse(arguments) is None


def test_the_quick_way_loads_little(app: Served) -> None:
    """No library, no model, no renderer: the editor waits for every import."""
    lambdad(app, "one/app.py")
    code = (
        "import sys; from lambdad.daemon.client import save; save.main(['one/app.py']); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} "
        "& {'click', 'rich', 'msgspec', 'aiohttp', 'asyncio', 'dataclasses', 'typing'}), "
        "sorted(name for name in sys.modules if name.startswith('lambdad.') and "
        "(name.count('.') > 2 or name == 'lambdad.bundler.version')))"
    )
    told = app.site.python(code).stdout
    modules = ["client.asking", "client.finding", "client.plain", "client.save"]
    modules += ["wire.address", "wire.exchange", "wire.quick"]
    own = [
        "lambdad.bundler.inputs.reading",
        "lambdad.bundler.version",
        *(f"lambdad.daemon.{name}" for name in modules),
    ]
    assert told == f"[] {own}\n"
