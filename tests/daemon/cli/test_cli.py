"""The command line as a user meets it: exit codes, streams, help, interruption."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.bundler.store.store import Store
from lambdad.daemon.cli.main import COMMANDS
from tests.conftest import write_tree
from tests.support.python_index import source_tree

APP = {
    "lambdad.toml": '[functions.One]\nhandler = "app.handler"\nruntime = "python3.12"\n'
    'code = "src"\n',
    "src/app.py": "def handler(event, context):\n    return 1\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    write_tree(root, APP)
    return root


def environ(app: Path) -> dict[str, str]:
    return {**os.environ, "LAMBDAD_CACHE_DIR": str(app.parent / "cache")}


def lambdad(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lambdad", *arguments],
        cwd=app,
        env=environ(app),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["cache", "prune"]])
def test_help_teaches(app: Path, command: list[str]) -> None:
    """Every command explains itself, and says so with exit code 0."""
    done = lambdad(app, *command, "--help")
    assert done.returncode == 0
    assert "Usage: lambdad" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_results_on_stdout_the_rest_on_stderr(app: Path) -> None:
    """A line a function on stdout, and nothing else there."""
    done = lambdad(app, "build")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("built ")
    assert line.endswith(".lambdad/build/One.zip")
    assert "unchanged" in lambdad(app, "build").stdout


def test_from_a_folder_below(app: Path) -> None:
    """The project is found from the working directory upwards."""
    done = lambdad(app / "src", "build")
    assert done.returncode == 0
    assert (app / ".lambdad/build/One.zip").exists()


def test_verbose_tells_why(app: Path) -> None:
    """The reason of each build, on stderr."""
    assert "because never built" in lambdad(app, "build", "-v").stderr


def test_json_is_one_document(app: Path) -> None:
    """stdout holds JSON alone, even when the project is at fault."""
    (app / "src/app.py").write_text("def main(event, context): return 1\n")
    done = lambdad(app, "build", "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    assert answer["functions"][0]["diagnostics"][0]["code"] == "missing-export"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["build", "Nope"], "no function is called Nope"),
        (["build", "--no-such-option"], "No such option"),
        (["build", "--parameter", "x"], "NAME=VALUE"),
        (["frobnicate"], "No such command"),
        (["bild"], "Did you mean 'build'?"),
        (["why", "Nope"], "there is: One"),
    ],
)
def test_wrong_usage(app: Path, arguments: list[str], told: str) -> None:
    """Exit code 2, a word on stderr, nothing on stdout, no traceback."""
    done = lambdad(app, *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_unknown_for_a_reason(app: Path) -> None:
    """What kept the functions from being read is told before that one is not known."""
    done = lambdad(app, "build", "Nope", "--template", "nope.yaml")
    assert done.returncode == 2
    assert done.stderr.index("missing-template") < done.stderr.index("unknown-function")


def test_no_project(tmp_path: Path) -> None:
    """Where nothing describes a project, the next step is named."""
    (tmp_path / "empty").mkdir()
    done = lambdad(tmp_path / "empty", "build")
    assert done.returncode == 2
    assert "lambdad init" in done.stderr


@pytest.mark.parametrize(
    "broken", ["", "[functions", "[functions.One]\nruntime = 3\n", "\ufeff=", "a = \x00"]
)
def test_broken_configuration(app: Path, broken: str) -> None:
    """A broken file is a diagnostic with its line, not a traceback; the last zip stays."""
    lambdad(app, "build")
    whole = (app / ".lambdad/build/One.zip").read_bytes()
    (app / "lambdad.toml").write_text(broken)
    done = lambdad(app, "build")
    assert done.returncode in ({1} if broken else {0, 1, 2})
    assert "Traceback" not in done.stderr
    if broken:
        assert "lambdad.toml:" in done.stderr
    assert (app / ".lambdad/build/One.zip").read_bytes() == whole


def test_colour_only_on_a_terminal(app: Path) -> None:
    """Pipes get plain text; FORCE_COLOR and NO_COLOR are honoured."""
    assert "\x1b" not in lambdad(app, "build").stdout
    done = subprocess.run(
        [sys.executable, "-m", "lambdad", "build"],
        cwd=app,
        env={**environ(app), "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b[32mbuilt" in done.stdout


def test_why(app: Path) -> None:
    """What the build took in, what would make it stale, and then what did."""
    lambdad(app, "build")
    told = lambdad(app, "why", "One").stdout
    assert "One is fresh" in told
    assert "src/app.py" in told
    (app / "src/new.py").write_text("")
    answer = json.loads(lambdad(app, "why", "One", "--json").stdout)
    assert answer["stale_because"] == ["src/new.py appeared"]
    (app / "src/app.py").unlink()
    lambdad(app, "build")
    assert "One is unchanged since it failed" in lambdad(app, "why", "One").stdout


def test_init_then_build(tmp_path: Path) -> None:
    """In a folder with handlers and no configuration, init is all that is needed."""
    write_tree(tmp_path / "app", {"hello.py": APP["src/app.py"]})
    app = tmp_path / "app"
    assert lambdad(app, "init").returncode == 0
    assert (app / "lambdad.toml").exists()
    assert lambdad(app, "build").returncode == 0
    again = lambdad(app, "init")
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_init_below_a_project(app: Path) -> None:
    """A second lambdad.toml would hide the first from whoever works in the folder."""
    done = lambdad(app / "src", "init")
    assert done.returncode == 2
    assert "inside-project" in done.stderr
    assert not (app / "src/lambdad.toml").exists()


def test_old_warnings_are_counted(app: Path) -> None:
    """A warning is told when its function is built, and later only counted, unless asked for."""
    config = app / "lambdad.toml"
    config.write_text(config.read_text().replace("python3.12", "python3.8"))
    assert "deprecated-runtime" in lambdad(app, "build").stderr
    told = lambdad(app, "build").stderr
    assert "deprecated-runtime" not in told
    assert "1 earlier warning" in told
    assert "deprecated-runtime" in lambdad(app, "build", "--verbose").stderr


def test_doctor_names_the_package_manager(app: Path) -> None:
    """Who installs a function's npm packages is told, once for each place, without running it."""
    for name in ("one", "two"):
        (app / name).mkdir()
        (app / name / "package.json").write_text('{"name": "x"}')
        (app / name / "index.js").write_text("exports.handler = 1")
    (app / "pnpm-workspace.yaml").write_text("packages: [one]\n")
    (app / "pnpm-lock.yaml").write_text("")
    (app / "two/bun.lock").write_text("{}")
    tables = "".join(
        f'[functions.{name}-{number}]\nruntime = "nodejs22.x"\ncode = "{name}"\n'
        'handler = "index.handler"\n'
        for name in ("one", "two")
        for number in (1, 2)
    )
    with open(app / "lambdad.toml", "a") as file:
        file.write(tables)
    answer = json.loads(lambdad(app, "doctor", "--json").stdout)
    assert [item["found"] for item in answer["findings"] if item["what"] == "packages"] == [
        "pnpm in the project's folder, as pnpm-lock.yaml says",
        "bun in two, as two/bun.lock says",
    ]


def test_doctor(app: Path) -> None:
    """Each thing it looked at is a line; the JSON says the same."""
    answer = json.loads(lambdad(app, "doctor", "--json").stdout)
    found = {finding["what"]: finding["well"] for finding in answer["findings"]}
    assert found["deflate"] is True
    assert {"node", "npm", "esbuild", "pip", "store"} <= found.keys()


def test_cache_is_shown_and_emptied(app: Path) -> None:
    """After a prune the store is empty, and the next build works."""
    lambdad(app, "build")
    assert "segments" in lambdad(app, "cache").stdout
    assert "removed" in lambdad(app, "cache", "prune").stdout
    kinds = json.loads(lambdad(app, "cache", "--json").stdout)["kinds"]
    assert {kind["bytes"] for kind in kinds.values()} == {0}
    assert lambdad(app, "build").returncode == 0


def test_two_builds_at_once(app: Path) -> None:
    """Started together on an empty store, both succeed, and what they leave is whole."""
    write_tree(
        app,
        {
            "lambdad.toml": APP["lambdad.toml"]
            + '[functions.Two]\nhandler = "two.handler"\nruntime = "nodejs22.x"\ncode = "js"\n',
            "js/two.ts": "export const handler = async (): Promise<number> => 2;\n",
            "src/requirements.txt": "../local\n",
            **{f"local/{name}": text for name, text in source_tree("local").items()},
        },
    )
    command = [sys.executable, "-m", "lambdad", "build", "--json"]
    both = [
        subprocess.Popen(
            command, cwd=app, env=environ(app), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    answers = [(process.communicate(), process.returncode) for process in both]
    assert [code for _, code in answers] == [0, 0, 0], answers
    told = [json.loads(out)["functions"] for (out, _), _ in answers]
    digests = [[function["artifact"]["sha256"] for function in one] for one in told]
    assert digests[0] == digests[1] == digests[2]
    for function in told[0]:
        content = (app / function["artifact"]["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == function["artifact"]["sha256"]
    assert all(
        one["cached"] for one in json.loads(lambdad(app, "build", "--json").stdout)["functions"]
    )


SLOW_BACKEND = """
import os, time
with open(os.environ["READY"], "w") as ready:
    ready.write("up")
time.sleep(600)
"""


def test_interrupted(app: Path) -> None:
    """Ctrl-C ends the build and its tools, with exit code 130 and nothing half-made left."""
    write_tree(
        app,
        {
            "src/requirements.txt": "../slow\n",
            "slow/pyproject.toml": '[project]\nname = "slow"\nversion = "1"\n[build-system]\n'
            'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "slow/backend.py": SLOW_BACKEND,
        },
    )
    fifo = app.parent / "ready"
    os.mkfifo(fifo)
    temporary = app.parent / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "lambdad", "build"],
        cwd=app,
        env={**environ(app), "READY": str(fifo), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert fifo.read_text() == "up"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    store = Store(app.parent / "cache")
    assert not list(store.root.glob(".tmp-*"))
    assert not list(temporary.iterdir())
    left = subprocess.run(["pgrep", "-f", str(app)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
