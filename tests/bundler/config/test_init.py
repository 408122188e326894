from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lambdad.bundler.config.find import read_project
from lambdad.bundler.config.init import propose
from tests.conftest import write_tree
from tests.support.config_cases import CASES, NAMES, lay_out

PYTHON = "def lambda_handler(event, context):\n    return {}\n"
ESM = "export const handler = async (event: unknown) => ({});\n"
MAIN = "export const main = wrapped(async (event) => ({}));\n"
CJS = "exports.handler = async (event) => ({});\n"


def built(root: Path) -> dict[str, str]:
    """Each function of what is proposed, with its handler and code."""
    (root / "lambdad.toml").write_text(propose(str(root)))
    project = read_project(str(root), {})
    assert project.diagnostics == () or not project.functions
    assert project.not_built == ()
    return {each.name: f"{each.handler.text} in {each.code}" for each in project.functions}


@pytest.mark.parametrize(
    ("files", "functions"),
    [
        ({"src/list.ts": ESM}, {"list": "src/list.handler in ."}),
        ({"index.js": CJS}, {"index": "index.handler in ."}),
        ({"a/index.mjs": "export async function handler() {}"}, {"a": "a/index.handler in ."}),
        ({"a/app.py": PYTHON}, {"a": "app.lambda_handler in a"}),
        (
            {"a/app.py": PYTHON, "b/app.py": PYTHON, "A/app.py": PYTHON},
            {
                "A": "app.lambda_handler in A",
                "a-2": "app.lambda_handler in a",
                "b": "app.lambda_handler in b",
            },
        ),
        (
            {"pkg/__init__.py": "", "pkg/api/__init__.py": "", "pkg/api/get.py": PYTHON},
            {"get": "pkg.api.get.lambda_handler in ."},
        ),
        (
            {"x/list.ts": ESM, "y/list.ts": ESM},
            {"list": "x/list.handler in .", "y-list": "y/list.handler in ."},
        ),
        ({"sp ace/lïst.ts": ESM}, {"l-st": "sp ace/lïst.handler in ."}),
        (
            {"apps/a/src/main.ts": ESM, "src/app.py": PYTHON},
            {"a": "apps/a/src/main.handler in .", "src": "app.lambda_handler in src"},
        ),
        ({"a.py": "handler = Mangum(app)\n"}, {"a": "a.handler in ."}),
        ({"a.py": "handler = 3\n"}, {}),
        ({"a.py": "def handler(event):\n  pass\n"}, {}),
        ({"a.py": "def handler(event, context:\n"}, {}),
        ({"a.test.ts": ESM, "a.d.ts": ESM, "test_a.py": PYTHON}, {}),
        ({"node_modules/a/index.js": CJS, ".venv/a.py": PYTHON, "tests/a.py": PYTHON}, {}),
        ({"src/list.ts": MAIN}, {}),
        ({"src/list.ts": MAIN, "sst.config.ts": ""}, {"list": "src/list.main in ."}),
        ({"src/list.ts": MAIN, "serverless.ts": ""}, {"list": "src/list.main in ."}),
        ({"a..b/x.ts": ESM, "-.ts": ESM}, None),
        ({}, {}),
    ],
)
def test_handlers_are_found(
    files: dict[str, str], functions: dict[str, str] | None, tmp_path: Path
) -> None:
    """Where nothing describes the functions, files that look like handlers do."""
    write_tree(tmp_path, {".git/HEAD": "", **files})
    found = built(tmp_path)
    if functions is None:
        assert len(found) == len(files)
    else:
        assert found == functions


POETRY = '[tool.poetry]\n[tool.poetry.dependencies]\npython = "{}"\n'


@pytest.mark.parametrize(
    ("files", "runtime", "requirements"),
    [
        ({}, "python3.14", None),
        ({"one/src/lib/__init__.py": ""}, "python3.14", None),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.11,<3.13"\n'}, "python3.12", None),
        ({"one/pyproject.toml": POETRY.format("~3.13")}, "python3.13", "one/pyproject.toml"),
        ({"one/pyproject.toml": POETRY.format("^3.9")}, "python3.14", "one/pyproject.toml"),
        ({"one/pyproject.toml": "[tool.ruff]\n"}, "python3.14", None),
        ({"one/pyproject.toml": "[project\n"}, "python3.14", None),
        ({"one/pyproject.toml": POETRY.format("x y")}, "python3.14", "one/pyproject.toml"),
        (
            {"one/Pipfile": '[packages]\na = "*"\n[requires]\npython_version = "3.12"\n'},
            "python3.12",
            "one/Pipfile",
        ),
        (
            {".python-version": "3.13.2\n", "one/src/pyproject.toml": "[project]\n"},
            "python3.13",
            None,
        ),
        (
            {".python-version": "3.13\n", "one/pyproject.toml": POETRY.format(">=3.11")},
            "python3.13",
            "one/pyproject.toml",
        ),
        ({".python-version": "pypy3.10\n"}, "python3.14", None),
        ({".python-version": "2.7\n"}, "python3.14", None),
    ],
)
def test_what_a_python_project_says(
    files: dict[str, str], runtime: str, requirements: str | None, tmp_path: Path
) -> None:
    """Its Python decides the runtime, and its file the dependencies of the code that is its src."""
    write_tree(tmp_path, {".git/HEAD": "", "one/src/app.py": PYTHON, **files})
    built(tmp_path)
    (function,) = read_project(str(tmp_path), {}).functions
    assert (function.runtime.name, function.requirements) == (runtime, requirements)


TEMPLATES = [
    name
    for name in NAMES
    if (CASES / name / "template.yaml").exists() and not (CASES / name / "lambdad.toml").exists()
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_beside_a_template_nothing_changes(name: str, tmp_path: Path) -> None:
    """Beside a template the proposal changes nothing, and names every function in a comment."""
    lay_out(name, tmp_path / "a" / "b" / "c")
    root = tmp_path / "a" / "b" / "c"
    before = read_project(str(root), {})
    (root / "lambdad.toml").write_text(propose(str(root)))
    after = read_project(str(root), {})
    assert (after.functions, after.not_built) == (before.functions, before.not_built)
    assert {d.code for d in after.diagnostics} <= {d.code for d in before.diagnostics}


def test_comments_are_settings(tmp_path: Path) -> None:
    """A table of the proposal is in force once its comment signs are taken away."""
    template = "Resources:\n  Api:\n    Type: AWS::Serverless::Function\n    Properties:\n"
    template += "      Handler: app.handler\n      Runtime: python3.12\n"
    write_tree(tmp_path, {"template.yaml": template, "app.py": ""})
    text = propose(str(tmp_path))
    assert tomllib.loads(text) == {}
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# [")]
    assert set(tomllib.loads("\n".join(lines))) == {"defaults", "functions"}
    assert "[functions.Api]    # app.handler" in text


def test_the_template_above_is_not_this_folder(tmp_path: Path) -> None:
    """init describes the folder it is asked for, not the project around it."""
    write_tree(tmp_path, {"template.yaml": "Resources: {}\n", "sub/list.ts": ESM})
    assert "[functions.list]" in propose(str(tmp_path / "sub"))
