from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.bundler.config.files import AWAITED
from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs.snapshot import changes, observe
from lambdad.bundler.model import BundlerError, Function, Project
from tests.conftest import write_tree

TEMPLATE = """Parameters:
  Runtime: {Type: String, Default: python3.12}
Resources:
  Api:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.handler, Runtime: !Ref Runtime}
"""

OWN = '[functions.own]\nhandler = "app.handler"\nruntime = "python3.12"\n'


def names(project: Project) -> list[str]:
    return [function.name for function in project.functions]


def only(project: Project) -> Function:
    (function,) = project.functions
    return function


@pytest.mark.parametrize(
    ("files", "start", "root", "functions"),
    [
        ({"template.yaml": TEMPLATE}, ".", ".", ["Api"]),
        ({"template.yml": TEMPLATE}, ".", ".", ["Api"]),
        ({"template.json": TEMPLATE.replace("Api:", "Json:")}, ".", ".", None),
        ({"template.yaml": TEMPLATE, "src/deep/x.py": ""}, "src/deep", ".", ["Api"]),
        ({"lambdad.toml": OWN, "sub/template.yaml": TEMPLATE}, "sub", "sub", ["Api"]),
        ({"lambdad.toml": OWN, "sub/x.py": ""}, "sub", ".", ["own"]),
        ({"lambdad.toml": OWN, "template.yaml": TEMPLATE}, ".", ".", ["Api", "own"]),
        ({"lambdad.toml": "templates = []\n" + OWN, "template.yaml": TEMPLATE}, ".", ".", ["own"]),
        ({"pyproject.toml": "[tool.ruff]\n", "template.yaml": TEMPLATE}, ".", ".", ["Api"]),
        (
            {"pyproject.toml": OWN.replace("[", "[tool.lambdad."), "lambdad.toml": ""},
            ".",
            ".",
            [],
        ),
    ],
)
def test_which_files_describe_it(
    files: dict[str, str], start: str, root: str, functions: list[str] | None, tmp_path: Path
) -> None:
    """The nearest folder upwards that something describes is the project."""
    write_tree(tmp_path, {".git/HEAD": "", "app.py": "", "sub/app.py": "", **files})
    project = read_project(str(tmp_path / start), {})
    assert project.root == str(tmp_path / root)
    assert project.repository == str(tmp_path)
    if functions is None:
        assert [d.code for d in project.diagnostics] == ["broken-config"]
    else:
        assert names(project) == functions


def test_search_ends_at_the_repository(tmp_path: Path) -> None:
    """What lies above the repository's root does not describe it."""
    write_tree(tmp_path, {"template.yaml": TEMPLATE, "repo/.git": "gitdir: x", "repo/a/b.py": ""})
    with pytest.raises(BundlerError) as caught:
        read_project(str(tmp_path / "repo/a"), {})
    assert caught.value.code == "no-project"
    assert "lambdad init" in (caught.value.hint or "")


@pytest.mark.parametrize("name", AWAITED)
def test_what_is_not_there_yet(name: str, tmp_path: Path) -> None:
    """A project that another tool describes is told so, and what is to do, not called empty."""
    write_tree(tmp_path, {".git/HEAD": "", name: ""})
    with pytest.raises(BundlerError, match=f"^{name} is .+: it") as caught:
        read_project(str(tmp_path), {})
    assert caught.value.code == "no-project"
    assert caught.value.hint == AWAITED[name][2]


def test_no_such_folder(tmp_path: Path) -> None:
    """A start that is no folder is a fault of the call."""
    with pytest.raises(BundlerError, match="there is no folder"):
        read_project(str(tmp_path / "gone"), {})


@pytest.mark.parametrize(
    ("template", "found"), [("infra/app.yaml", True), ("./infra/../infra/app.yaml", True)]
)
def test_given_template(template: str, found: bool, tmp_path: Path) -> None:
    """--template describes the project instead of what lies there, once however often given."""
    files = {"infra/app.yaml": TEMPLATE, "infra/app.py": "", "template.yaml": "{"}
    write_tree(tmp_path, files)
    absolute = str(tmp_path / "infra" / "app.yaml")
    project = read_project(str(tmp_path), {}, templates=[template, absolute])
    assert (project.root, project.diagnostics) == (str(tmp_path), ())
    assert only(project).code == "infra"


def test_given_template_is_gone(tmp_path: Path) -> None:
    """A template that is not there is a fault with its name, and watched for."""
    write_tree(tmp_path, {"lambdad.toml": OWN, "app.py": ""})
    project = read_project(str(tmp_path), {}, templates=["gone.yaml"])
    assert [d.code for d in project.diagnostics] == ["missing-template"]
    assert "gone.yaml" in project.inputs.files
    assert names(project) == ["own"]


def test_given_parameters(tmp_path: Path) -> None:
    """The caller's parameters go before lambdad.toml's, and those before samconfig's."""
    files = {"template.yaml": TEMPLATE, "app.py": ""}
    files["samconfig.toml"] = (
        '[default.build.parameters]\nparameter_overrides = "Runtime=python3.11"\n'
    )
    write_tree(tmp_path, files)
    assert only(read_project(str(tmp_path), {})).runtime.name == "python3.11"

    write_tree(tmp_path, {"lambdad.toml": '[parameters]\nRuntime = "python3.13"\n'})
    assert only(read_project(str(tmp_path), {})).runtime.name == "python3.13"

    project = read_project(str(tmp_path), {}, parameters={"Runtime": "python3.14", "Rutnime": "x"})
    assert only(project).runtime.name == "python3.14"
    (warning,) = project.diagnostics
    assert (warning.code, warning.hint) == ("unknown-parameter", "did you mean Runtime?")


def test_symlinked_folder(tmp_path: Path) -> None:
    """A project reached by a symlink is the one it leads to."""
    write_tree(tmp_path, {"real/template.yaml": TEMPLATE, "real/app.py": "", "link": "-> real"})
    assert read_project(str(tmp_path / "link"), {}).root == str(tmp_path / "real")


def test_code_outside_is_allowed_by_name(tmp_path: Path) -> None:
    """Code outside of the repository is a fault, unless `allow` names its folder."""
    outside = '[functions.own]\nhandler = "app.handler"\nruntime = "python3.12"\ncode = "../x/y"\n'
    write_tree(tmp_path, {"p/.git/HEAD": "", "p/lambdad.toml": outside, "x/y/app.py": ""})
    (failed,) = read_project(str(tmp_path / "p"), {}).not_built
    assert [d.code for d in failed.diagnostics] == ["outside-code"]

    write_tree(tmp_path, {"p/lambdad.toml": 'allow = ["../x"]\n' + outside})
    function = only(read_project(str(tmp_path / "p"), {}))
    assert (function.code, function.allow) == ("../x/y", ("../x",))


def test_code_through_a_symlink(tmp_path: Path) -> None:
    """A code folder that a symlink takes out of the repository is a fault too."""
    own = OWN + 'code = "src"\n'
    write_tree(tmp_path, {"p/.git/HEAD": "", "p/lambdad.toml": own, "x/app.py": ""})
    (tmp_path / "p" / "src").symlink_to(tmp_path / "x")
    (failed,) = read_project(str(tmp_path / "p"), {}).not_built
    assert [d.code for d in failed.diagnostics] == ["outside-code"]


def test_samconfig_faults_are_told(tmp_path: Path) -> None:
    """A broken samconfig.toml is a fault even where it alone could name the template."""
    write_tree(tmp_path, {"samconfig.toml": "[default", ".git/HEAD": ""})
    (fault,) = read_project(str(tmp_path), {}).diagnostics
    assert (fault.code, fault.where and fault.where.file) == ("broken-config", "samconfig.toml")


def test_changed_answers_are_among_the_inputs(tmp_path: Path) -> None:
    """Whatever file changes what is read, by coming or going, is an input."""
    write_tree(tmp_path, {"template.yaml": TEMPLATE.replace("python3.12", "nodejs22.x")})
    for made in ("app.ts", "app.js", "app.handler", "samconfig.toml", "pyproject.toml"):
        inputs = read_project(str(tmp_path), {}).inputs.files
        assert made in inputs
        (tmp_path / made).touch()
    assert "lambdad.toml" in inputs


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """Reading a template takes no library but YAML's, and reading lambdad.toml not even that."""
    heavy = ["jsonschema", "yaml", "packaging", "pathspec", "rich", "click", "difflib"]
    code = (
        "import sys; from lambdad.bundler.config.find import read_project\n"
        f"heavy = {heavy!r}\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
        "assert read_project(sys.argv[1], {}).functions\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    write_tree(tmp_path, {"t/template.yaml": TEMPLATE, "t/app.py": "", "own/lambdad.toml": OWN})
    loaded = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / folder)],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": f"{os.getcwd()}/src"},
        ).stdout.split()
        for folder in ("t", "own")
    ]
    assert loaded == [["yaml"], []]


def test_version_control_that_begins_is_noticed(tmp_path: Path) -> None:
    """Where the repository begins decides what may be read: its mark is an input, there or not."""
    write_tree(tmp_path, {"app/lambdad.toml": "", "app/.hg/x": ""})
    root = str(tmp_path / "app")
    project = read_project(root, {})
    assert project.repository == os.path.realpath(root)
    before = observe(root, project.inputs)
    (tmp_path / "app/.git").mkdir()
    assert list(changes(root, before)) == [".git appeared"]


def test_a_nearer_project_is_noticed(tmp_path: Path) -> None:
    """Started in a folder below, a file that would describe that folder is an input."""
    write_tree(tmp_path, {"lambdad.toml": "", "below/x": ""})
    project = read_project(str(tmp_path / "below"), {})
    assert project.root == os.path.realpath(tmp_path)
    assert {"below/lambdad.toml", "below/template.yaml"} <= project.inputs.files
