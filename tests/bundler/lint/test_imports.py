"""Imports and dependencies: what the last build tells of them, and what nobody can know."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.bundler import build
from lambdad.bundler.config.find import read_project
from lambdad.bundler.lint import gate
from lambdad.bundler.lint.run import lint
from lambdad.bundler.model import Severity, Want
from lambdad.bundler.report.render import status
from lambdad.bundler.store.upkeep import Upkeep
from tests.support.python_index import Project, project

__all__ = ["project"]

TOML = '[functions.One]\nhandler = "app.handler"\nruntime = "python3.12"\ncode = "src"\n'
APP = (
    "import alpha.deep\nimport beta\nimport gamma\n\n\n"
    "def handler(event, context):\n    return alpha, beta, gamma\n"
)


@pytest.fixture
def app(project: Project) -> Project:
    """Needs alpha, which needs beta; imports both, and gamma."""
    project.index.wheel("alpha", requires=["beta"])
    project.index.wheel("beta")
    project.lay(
        {
            "lambdad.toml": TOML,
            "ruff.toml": '[lint]\nselect = ["F"]\n',
            "src/app.py": APP,
            "src/requirements.txt": "alpha\n",
        }
    )
    return project


def made(app: Project, want: Want = Want.ZIP) -> None:
    read = read_project(str(app.root), {})
    (outcome,) = build.build(read.functions, app.workshop, Upkeep(read), want=want)
    assert status(outcome) == "built", outcome.diagnostics


def told(app: Project) -> list[tuple[str, str]]:
    """The code and the first words of each finding."""
    read = read_project(str(app.root), {})
    report = lint(read, read.functions, app.workshop, trusted=True)
    return [(item.code, item.message.partition(":")[0]) for item in report.findings]


GAMMA = ("missing-import", "nothing brings gamma")
UNKNOWN = ("imports-unchecked", "its dependencies are not known before its first build")


@pytest.mark.parametrize("want", Want)
def test_dependencies_of_the_last_build(app: Project, want: Want) -> None:
    """What a build installed can be imported, and nothing else; before one, nobody knows."""
    assert told(app) == [UNKNOWN]
    made(app, want)
    assert told(app) == [GAMMA]


def test_only_while_they_hold(app: Project) -> None:
    """Once the requirements changed, no import is judged by what they were."""
    made(app)
    app.lay({"src/requirements.txt": "beta\n"})
    assert told(app) == [UNKNOWN]
    made(app)
    assert told(app) == [("missing-import", "nothing brings alpha.deep"), GAMMA]


def test_an_edit_does_not_unlearn_them(app: Project) -> None:
    """Edits of own code leave the dependencies known; a module that went is missed."""
    app.lay({"src/gamma.py": ""})
    made(app)
    assert told(app) == []
    (app.root / "src/gamma.py").unlink()
    assert told(app) == [GAMMA]


def test_without_any(project: Project) -> None:
    """Where nothing can declare dependencies there are none: nobody has to build first."""
    project.lay({"lambdad.toml": TOML, "src/app.py": "import gamma" + APP.partition("gamma")[2]})
    assert GAMMA in told(project)


def test_a_build_finds_them_out(app: Project) -> None:
    """With lint in a build, dependencies are known at the first one."""
    app.lay({"lambdad.toml": TOML + 'lint = "error"\n'})
    read = read_project(str(app.root), {})
    found = gate.findings(read.functions, app.workshop).by_function
    assert [item.code for item in found["One"]] == ["missing-import"]
    assert gate.refuses(found["One"])


def test_a_build_tells_what_it_can_t_resolve(app: Project) -> None:
    """A requirement that leads nowhere is the build's to tell, not lint's."""
    app.lay({"lambdad.toml": TOML + 'lint = "error"\n', "src/requirements.txt": "nowhere\n"})
    read = read_project(str(app.root), {})
    assert gate.findings(read.functions, app.workshop).by_function == {"One": ()}


def test_offline_gate(app: Project) -> None:
    """A machine that can't fetch gives no finding."""
    app.lay({"lambdad.toml": TOML + 'lint = "warn"\n'})
    for wheel in app.index.folder.iterdir():
        wheel.unlink()
    read = read_project(str(app.root), {})
    assert gate.findings(read.functions, app.workshop).by_function == {"One": ()}


def test_unused_dependencies(app: Project) -> None:
    """A hint for a requirement that the code does not name: not for what others need, what offers
    itself by entry points, what a text names, or what has no modules."""
    files = {
        "plugin": {
            "plugin.py": b"",
            "plugin-1.0.dist-info/entry_points.txt": b"[pytest11]\na = plugin\n",
        },
        "tool": {
            "tool.py": b"",
            "tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\nt = tool:m\n",
        },
        "driver": {"driver/__init__.py": b""},
        "data": {"data-1.0.data/data/x.txt": b""},
    }
    for name, content in files.items():
        app.index.wheel(name, files=content)
    app.lay(
        {
            "src/requirements.txt": "alpha\nbeta\nplugin\ntool\ndriver\ndata\n",
            "src/app.py": "URL = 'sql+driver://'\nimport alpha\n\n\ndef handler(event, context):\n"
            "    return alpha, URL\n",
        }
    )
    made(app)
    assert [each for each in told(app) if each[0] != "E402"] == [
        ("unused-dependency", "nothing in the code names tool")
    ]


def test_hints_have_their_place(app: Project) -> None:
    """It is told where the requirement stands, and is no fault."""
    app.lay({"src/app.py": "def handler(event, context):\n    return 1\n"})
    made(app)
    read = read_project(str(app.root), {})
    report = lint(read, read.functions, app.workshop, trusted=True)
    (item,) = report.findings
    assert item.severity is Severity.INFO
    assert item.where is not None
    assert (item.where.file, item.where.line) == ("src/requirements.txt", 1)
    assert report.ok


def test_newer_syntax_than_this_python_s(project: Project) -> None:
    """What is newer than this Python is not read; ruff tells what it leads to."""
    project.lay(
        {
            "lambdad.toml": TOML.replace("3.12", "3.14"),
            "src/app.py": "import led\n\n\ndef handler(event, context):\n"
            "    return t'{event}', led\n",
            "src/led.py": "import sys\n\nsys.path.append('x')\n",
        }
    )
    assert told(project) == []


def test_a_function_of_one_file(project: Project) -> None:
    """A single source file is all of the code."""
    project.lay(
        {
            "lambdad.toml": TOML.replace('"src"', '"src/app.py"'),
            "src/app.py": "import other\n\n\ndef handler(event, context):\n    return other\n",
            "src/other.py": "",
        }
    )
    assert told(project) == [("missing-import", "nothing brings other")]


def test_shared_folders(project: Project) -> None:
    """Modules of shared folders are own code."""
    project.lay(
        {
            "lambdad.toml": TOML + 'shared = ["common"]\n',
            "src/app.py": "import ours\n\n\ndef handler(event, context):\n    return ours\n",
            "common/ours.py": "import missing\n\nused = missing\n",
        }
    )
    read = read_project(str(project.root), {})
    report = lint(read, read.functions, project.workshop, trusted=True)
    (item,) = report.findings
    assert item.where is not None
    assert item.where.file == "common/ours.py"


def test_code_through_a_symlink(project: Project) -> None:
    """A linked folder's modules are told by the names they are walked under."""
    project.lay(
        {
            "lambdad.toml": TOML,
            "elsewhere/__init__.py": "import missing\n\nused = missing\n",
            "src/app.py": "import linked\n\n\ndef handler(event, context):\n    return linked\n",
        }
    )
    os.symlink("../elsewhere", Path(project.root, "src/linked"))
    read = read_project(str(project.root), {})
    report = lint(read, read.functions, project.workshop, trusted=True)
    assert [item.where.file for item in report.findings if item.where] == ["src/linked/__init__.py"]
