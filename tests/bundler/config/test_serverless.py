"""serverless.yml as projects have it: the cases in fixtures/serverless, and what is around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.bundler.config.find import project_folder, read_project
from lambdad.bundler.config.serverless import env
from lambdad.bundler.config.serverless.version import newest_major
from lambdad.bundler.inputs.snapshot import changes, observe
from lambdad.bundler.model import BundlerError, Function, Project
from lambdad.daemon.client import finding
from tests.conftest import write_tree
from tests.support.config_cases import read_case, told
from tests.support.paths import ROOT

CASES = ROOT / "fixtures" / "serverless"
NAMES = sorted(path.name for path in CASES.iterdir())

SERVICE = """service: notes
provider: {name: aws, runtime: "${env:RUNTIME, 'nodejs22.x'}", stage: "${opt:stage, 'dev'}"}
functions:
  list: {handler: "src/${sls:stage}.handler"}
"""
FILES = {".git/HEAD": "", "src/dev.js": "", "src/prod.js": ""}


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, tmp_path: Path) -> None:
    """A service is read as its case says: functions, faults with their places, inputs."""
    # Three folders down, so that a case may point above its repository.
    project = read_case(f"../serverless/{name}", tmp_path / "a" / "b" / "c")

    expected = json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))
    assert told(project) == expected


def only(project: Project) -> Function:
    (function,) = project.functions
    return function


@pytest.mark.parametrize("file", ["serverless.yml", "serverless.yaml", "serverless.json"])
def test_found_from_below(file: str, tmp_path: Path) -> None:
    """The file makes its folder a project, for readers and for the quick client alike."""
    text = '{"functions": {"a": {"handler": "a.b"}}}' if file.endswith("json") else SERVICE
    write_tree(tmp_path, {**FILES, file: text, "deep/down/x": ""})
    place = str(tmp_path / "deep" / "down")
    assert project_folder(place) == finding.find_project(place) == str(tmp_path)


@pytest.mark.parametrize("ending", ["ts", "js", "mjs", "cjs"])
def test_code_is_refused_with_a_word(ending: str, tmp_path: Path) -> None:
    """A configuration that is code is not run; what to do instead is said."""
    write_tree(tmp_path, {".git/HEAD": "", f"serverless.{ending}": "module.exports = {}"})
    with pytest.raises(BundlerError, match="is code") as caught:
        read_project(str(tmp_path), {})
    assert "serverless print" in (caught.value.hint or "")


def test_options_and_environment(tmp_path: Path) -> None:
    """--stage and the environment decide, and the project knows which variables it asked for."""
    write_tree(tmp_path, {**FILES, "serverless.yml": SERVICE})
    assert only(read_project(str(tmp_path), {})).handler.module == "src/dev"
    project = read_project(str(tmp_path), {"RUNTIME": "nodejs24.x"}, options={"stage": "prod"})
    function = only(project)
    assert (function.handler.module, function.runtime.name) == ("src/prod", "nodejs24.x")
    assert project.environ == {"RUNTIME"}


def test_options_without_a_service(tmp_path: Path) -> None:
    """--stage beside a SAM template changes nothing, which is said."""
    write_tree(tmp_path, {"template.yaml": "Resources: {}\n"})
    (fault,) = read_project(str(tmp_path), {}, options={"stage": "x"}).diagnostics
    assert fault.code == "unknown-parameter"
    assert "--stage" in fault.message


INCLUDED = {
    "serverless.yml": "service: x\nuseDotenv: true\nframeworkVersion: '3'\n"
    "provider: {name: aws, runtime: '${file(provider.yml):runtime}'}\n"
    "custom: ${file(custom.json), file(custom.yml)}\n"
    "functions:\n  a: {handler: 'a.handler', architecture: '${env:ARCH}'}\n"
    "  b: {handler: '${self:custom.handler}'}\n",
    "provider.yml": "runtime: nodejs20.x\n",
    "custom.yml": "handler: a.first\n",
    ".env": "ARCH=x86_64\n",
    "a.js": "",
}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("provider.yml", "runtime: nodejs22.x\n"),
        ("custom.yml", "handler: a.other\n"),
        ("custom.json", '{"handler": "a.json"}'),
        (".env", "ARCH=arm64\n"),
        (".env.dev", "ARCH=arm64\n"),
        ("package.json", '{"scripts": {}}'),
    ],
)
def test_included_files_are_inputs(file: str, content: str, tmp_path: Path) -> None:
    """Every file that decides what is read is watched for, those that are not there yet too."""
    root = os.path.realpath(tmp_path)
    write_tree(tmp_path, INCLUDED)
    before = read_project(root, {})
    seen = observe(root, before.inputs)
    assert len(before.functions) == 2
    assert next(changes(root, seen), None) is None
    (tmp_path / file).write_text(content)
    assert next(changes(root, seen), None) is not None
    after = read_project(root, {})
    assert (after.functions == before.functions) == (file == "package.json")


def test_text_from_outside_is_no_variable(tmp_path: Path) -> None:
    """What the environment holds is taken as it is, however often its value is asked for."""
    text = (
        "service: x\nplugins: [serverless-plugin-typescript]\n"
        "provider: {name: aws, runtime: nodejs22.x}\nfunctions: {a: {handler: a.b}}\n"
        "custom: {serverlessPluginTypescript: {tsConfigFileLocation: '${env:CONFIG}'}}\n"
    )
    write_tree(tmp_path, {"serverless.yml": text, "a.ts": ""})
    function = only(read_project(str(tmp_path), {"CONFIG": "${self:service}"}))
    assert dict(function.esbuild)["tsconfig"] == "${self:service}"


@pytest.mark.parametrize("said", ["config: c.js", "plugins: p.js", "nodeExternals: {a: b}"])
@pytest.mark.parametrize("table", ["defaults", "functions.a"])
def test_options_in_place_of_code(said: str, table: str, tmp_path: Path) -> None:
    """Where code decides esbuild's options the function is refused; options in lambdad.toml go in
    its place, and a warning tells so."""
    text = (
        "service: x\nplugins: [serverless-esbuild]\nprovider: {name: aws, runtime: nodejs22.x}\n"
        f"custom: {{esbuild: {{minify: true, {said}}}}}\nfunctions: {{a: {{handler: a.b}}}}\n"
    )
    write_tree(tmp_path, {"serverless.yml": text, "a.ts": ""})
    (not_built,) = read_project(str(tmp_path), {}).not_built
    assert [told.code for told in not_built.diagnostics] == ["unsupported-option"]
    assert "[defaults.esbuild]" in (not_built.diagnostics[0].hint or "")

    write_tree(tmp_path, {"lambdad.toml": f"[{table}.esbuild]\nkeepNames = true\n"})
    function = only(read_project(str(tmp_path), {}))
    assert dict(function.esbuild) == {"minify": True, "keepNames": True}
    assert [(told.code, told.where) for told in function.notes] == [
        ("ignored-setting", not_built.diagnostics[0].where)
    ]


@pytest.mark.parametrize("plugins", ["[p, serverless-vite]", "{modules: [p, serverless-vite]}"])
def test_the_place_of_a_plugin(plugins: str, tmp_path: Path) -> None:
    """What is told of a plugin points at it, wherever among the others it stands."""
    text = f"service: x\nplugins: {plugins}\nfunctions: {{a: {{handler: a.b}}}}\n"
    write_tree(tmp_path, {"serverless.yml": text, "a.ts": ""})
    (told,) = read_project(str(tmp_path), {}).diagnostics
    assert told.where is not None
    assert told.where.line == 2
    assert text.splitlines()[1][(told.where.column or 0) - 1 :].startswith("serverless-vite")


def test_a_file_that_is_not_needed_is_no_fault(tmp_path: Path) -> None:
    """What no function needs may stay unknown."""
    text = SERVICE + "custom:\n  a: ${file(secret.js):x}\n  b: ${ssm:/x}\nresources: ${s3:a/b}\n"
    write_tree(tmp_path, {**FILES, "serverless.yml": text})
    assert read_project(str(tmp_path), {}).diagnostics == ()


@pytest.mark.parametrize(
    ("ranges", "major"),
    [
        ("3", 3),
        ("^3.0.0", 3),
        ("~3.38", 3),
        (">=2.0.0 <4.0.0", 3),
        (">=2 <3.0.0", 2),
        ("2 || 3", 3),
        ("1.0.0 - 2.9.9", 2),
        ("3.x", 3),
        ("*", 4),
        (">=3", 4),
        ("<4", 3),
        ("v4.1.0", 4),
        ("latest", None),
        ("0.5", None),
        (">=5 <4", None),
    ],
)
def test_versions_of_the_framework(ranges: str, major: int | None) -> None:
    """A range stands for the newest major version that it leaves."""
    assert newest_major(ranges) == major


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\nexport B = two words  # not\nC: yes\n", {"A": "1", "B": "two words", "C": "yes"}),
        ("A='$B'\nB=\"x\\ny\"\nC=`#`\nD=\n", {"A": "", "B": "x\ny", "C": "#", "D": ""}),
        ("A=${HOME}/x\nB=$A-${NO:-d}\nC=\\$A\n", {"A": "/h/x", "B": "/h/x-d", "C": "$A"}),
        ('M="one\ntwo"\nnot a line\n=x\n', {"M": "one\ntwo"}),
    ],
)
def test_env_files(text: str, values: dict[str, str]) -> None:
    """.env files are read as dotenv has them."""
    assert env.parse(text, {"HOME": "/h"}) == values


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """Reading a service takes no library but YAML's."""
    heavy = [
        "jsonschema",
        "packaging",
        "pathspec",
        "rich",
        "click",
        "difflib",
        "lambdad.bundler.inputs.globs",
    ]
    code = (
        "import sys; from lambdad.bundler.config.find import read_project\n"
        "assert read_project(sys.argv[1], {}).functions\n"
        f"print(*[name for name in {heavy[:-1]!r} if name in sys.modules])"
    )
    write_tree(tmp_path, {**FILES, "serverless.yml": SERVICE})
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{os.getcwd()}/src"},
    )
    assert done.stdout.split() == []
