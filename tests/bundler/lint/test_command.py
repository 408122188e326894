"""`lambdad lint`, and lint within `lambdad build`, as they are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.lint.ruff_binary import ours
from tests.conftest import write_tree
from tests.support.paths import ROOT

ONE = '[functions.One]\nhandler = "app.handler"\nruntime = "python3.12"\ncode = "one"\n'
TWO = '[functions.Two]\nhandler = "app.handler"\nruntime = "python3.12"\ncode = "two"\n'
GOOD = "def handler(event, context):\n    return 1\n"
APP = {
    "lambdad.toml": ONE + TWO,
    "ruff.toml": '[lint]\nselect = ["F"]\n',
    "one/app.py": GOOD,
    "one/late.py": "import os\n",
    "two/app.py": "def handler(event):\n    return undefined\n",
    "loose.py": "import os\n",
}
LATE = "one/late.py:1:8: warning[F401] `os` imported but unused"
TWO_FAULTS = [
    "two/app.py:1:1: error[handler-signature] handler takes 1 argument",
    "two/app.py:2:12: error[F821] Undefined name `undefined`",
]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    write_tree(root, APP)
    return root


def environ(app: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name != "VIRTUAL_ENV"}
    root = str(ROOT)
    return {**kept, "LAMBDAD_CACHE_DIR": str(app.parent / "cache"), "PYTHONPATH": root}


def lambdad(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lambdad", *arguments]
    return subprocess.run(
        command, cwd=app, env=environ(app), capture_output=True, text=True, check=False
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The findings' lines."""
    return [line for line in done.stdout.splitlines() if not line.startswith("    hint: ")]


def test_all_functions(app: Path) -> None:
    """Without names all functions are linted: an error among the findings is exit code 1."""
    done = lambdad(app, "lint")
    assert said(done) == [LATE, *TWO_FAULTS]
    assert done.stderr == "2 errors, 1 warning in 3 files\n"
    assert done.returncode == 1


def test_what_is_named(app: Path) -> None:
    """Functions by name, files and folders by path from where one stands: those alone."""
    cases: list[tuple[list[str], list[str], int]] = [
        (["One"], [LATE], 0),
        (["two/app.py"], TWO_FAULTS, 1),
        (["one"], [LATE], 0),
        (["loose.py"], ["loose.py:1:8: warning[F401] `os` imported but unused"], 0),
        (["One", "two/app.py"], [LATE, *TWO_FAULTS], 1),
        (["lambdad.toml"], [], 0),
    ]
    for what, lines, code in cases:
        done = lambdad(app, "lint", *what)
        assert (said(done), done.returncode) == (lines, code), what
    assert said(lambdad(app / "one", "lint", "late.py")) == [LATE]


def test_a_folder_that_no_function_holds(app: Path) -> None:
    """Nothing was linted, and that is what the summary says."""
    (app / "docs").mkdir()
    assert lambdad(app, "lint", "docs").stderr == "no findings in 0 files\n"


def test_what_no_zip_can_hold(app: Path) -> None:
    """It is told, and the files beside it are linted all the same."""
    os.mkfifo(app / "two/pipe.py")
    (app / "two/gone.py").symlink_to("nowhere")
    (app / "two/bytes.py").write_bytes(bytes(range(128, 256)))
    lines = said(lambdad(app, "lint", "Two"))
    assert TWO_FAULTS[-1] in lines
    told = {line.partition(": ")[0].partition(":")[0]: line for line in lines}
    assert "error[special-file]" in told["two/pipe.py"]
    assert "warning[dangling-symlink]" in told["two/gone.py"]
    assert "two/bytes.py" in told


def test_notes_of_the_declaration(app: Path) -> None:
    """What builds say of it is said by lint, of Python functions too, and is a warning always."""
    write_tree(app, {"lambdad.toml": ONE.replace("python3.12", "python3.8") + 'lint = "error"\n'})
    (note,) = (line for line in said(lambdad(app, "lint")) if "deprecated-runtime" in line)
    assert note.startswith("lambdad.toml:")
    assert "warning[deprecated-runtime]" in note


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Three"], "neither a function nor a file"),
        (["--json", "--output", "sarif"], "exclude each other"),
        (["--output", "xml"], "Invalid value"),
    ],
)
def test_wrong_usage(app: Path, arguments: list[str], told: str) -> None:
    """What can't be meant is exit code 2, and nothing on stdout."""
    done = lambdad(app, "lint", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_json(app: Path) -> None:
    """One document: findings at their functions, those of nobody's files at the top."""
    done = lambdad(app, "lint", "--json", "loose.py", "Two")
    whole = json.loads(done.stdout)
    assert done.returncode == 1
    assert (whole["schema"], whole["ok"]) == (1, False)
    assert [item["where"]["file"] for item in whole["diagnostics"]] == ["loose.py"]
    (two,) = whole["functions"]
    assert (two["name"], two["status"]) == ("Two", "linted")
    assert [item["code"] for item in two["diagnostics"]] == ["handler-signature", "F821"]


@pytest.mark.parametrize("output", ["github", "sarif", "junit", "errorformat"])
def test_outputs(app: Path, output: str) -> None:
    """Each format is all of stdout, and stderr is silent."""
    done = lambdad(app, "lint", "--output", output)
    assert done.returncode == 1
    assert "F821" in done.stdout
    assert done.stderr == ""


def test_a_declaration_at_fault(app: Path) -> None:
    """A function that can't be built as declared is an error; the others are linted."""
    write_tree(app, {"lambdad.toml": ONE + TWO.replace("app.handler", "app")})
    done = lambdad(app, "lint")
    assert [line.partition("]")[0] for line in said(done)] == [
        "lambdad.toml:6:11: error[bad-handler",
        LATE.partition("]")[0],
    ]
    assert done.returncode == 1


def test_off(app: Path) -> None:
    """A function that says so is passed over, its files too, and that is told."""
    write_tree(app, {"lambdad.toml": ONE + TWO + 'lint = "off"\n'})
    for what in ([], ["two/app.py", "one/late.py"]):
        done = lambdad(app, "lint", *what)
        shut = 'lambdad.toml:5:1: info[told-to-skip] lint = "off" skips it'
        assert [line.replace(":5:12:", ":5:1:") for line in said(done)] == [shut, LATE]
        assert done.returncode == 0


def test_error_makes_all_errors(app: Path) -> None:
    """With `lint = "error"` a warning is an error, for that function."""
    write_tree(app, {"lambdad.toml": ONE + 'lint = "error"\n' + TWO})
    done = lambdad(app, "lint", "One")
    assert said(done) == [LATE.replace("warning", "error")]
    assert done.returncode == 1


def test_format(app: Path) -> None:
    """Formatting is told with --format, or where lambdad.toml says so."""
    write_tree(app, {"one/app.py": GOOD.replace("1", "(1)  ")})
    assert said(lambdad(app, "lint", "One")) == [LATE]
    unformatted = "one/app.py:2:12: warning[unformatted] ruff would format the file otherwise"
    assert said(lambdad(app, "lint", "One", "--format")) == [unformatted, LATE]
    write_tree(app, {"lambdad.toml": "[defaults]\nformat = true\n" + ONE})
    assert said(lambdad(app, "lint")) == [unformatted, LATE]


# --- trust ---------------------------------------------------------------------------------------


def own_ruff(app: Path) -> Path:
    """The project's own ruff, which notes that it ran."""
    binary = app / ".venv/bin/ruff"
    binary.parent.mkdir(parents=True)
    binary.write_text(f'#!/bin/sh\ntouch {app}/ran\nexec {ours()} "$@"\n')
    binary.chmod(0o755)
    return app / "ran"


def test_own_tools(app: Path) -> None:
    """Who gives the command has the project's own tools run, unless they say otherwise."""
    ran = own_ruff(app)
    done = lambdad(app, "lint", "One", "--no-trust")
    assert "info[lint-untrusted]" in done.stdout
    assert said(done)[1:] == [LATE]
    assert not ran.exists()
    assert said(lambdad(app, "lint", "One")) == [LATE]
    assert ran.exists()


# --- in a build ----------------------------------------------------------------------------------


def built(app: Path, *arguments: str) -> dict[str, Any]:
    done = lambdad(app, "build", "--json", *arguments)
    whole: dict[str, Any] = json.loads(done.stdout)
    assert whole["ok"] is all(item["status"] == "built" for item in whole["functions"])
    assert done.returncode == (0 if whole["ok"] else 1)
    return {
        item["name"]: (
            item["status"],
            [f"{d['severity']} {d['code']}" for d in item["diagnostics"]],
        )
        for item in whole["functions"]
    }


def test_a_build_lints_nothing_by_itself(app: Path) -> None:
    """Unless lambdad.toml says so, no module of lint is even loaded."""
    assert built(app) == {"One": ("built", []), "Two": ("built", [])}
    script = "import sys; sys.argv = ['x', 'build']\n"
    script += "from lambdad.daemon.cli.main import run; run(['build'])\n"
    script += "print([name for name in sys.modules if name.startswith('lambdad.bundler.lint.')])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=app,
        env=environ(app),
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(done.stdout.splitlines()[-1].replace("'", '"'))) <= {
        "lambdad.bundler.trust"
    }


def test_warn(app: Path) -> None:
    """The findings are warnings, and the function is built."""
    write_tree(app, {"lambdad.toml": '[defaults]\nlint = "warn"\n' + ONE + TWO})
    assert built(app) == {
        "One": ("built", ["warning F401"]),
        "Two": ("built", ["warning F821", "warning handler-signature"]),
    }
    assert "warning[F821]" in lambdad(app, "build").stderr


def test_error(app: Path) -> None:
    """A finding keeps its function from being built, others are; mended, it is."""
    write_tree(app, {"lambdad.toml": ONE + TWO + 'lint = "error"\n'})
    assert built(app) == {
        "One": ("built", []),
        "Two": ("failed", ["error F821", "error handler-signature"]),
    }
    assert not (app / ".lambdad/build/Two.zip").exists()
    assert built(app, "Two")["Two"][0] == "failed"
    shown = lambdad(app, "build", "Two")
    assert shown.stdout.startswith("failed")
    assert "error[F821] Two: Undefined name" in shown.stderr
    write_tree(app, {"two/app.py": GOOD})
    assert built(app)["Two"] == ("built", [])
    write_tree(app, {"two/app.py": APP["two/app.py"]})
    assert built(app)["Two"][0] == "failed"
    assert (app / ".lambdad/build/Two.zip").exists()
