"""`copy`, `install`, `include`, `shared` and `env` in lambdad.toml: read, merged, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import Copy, Function, Method, Project
from tests.conftest import write_tree

SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Web:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: esbuild}
    Properties: {Handler: app.handler, Runtime: nodejs22.x, CodeUri: web}
  Plain:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.handler, Runtime: nodejs22.x, CodeUri: plain}
  Job:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.handler, Runtime: python3.13, CodeUri: job}
"""
CODE = {
    "web/app.ts": "",
    "plain/app.js": "",
    "job/app.py": "",
    "template.yaml": SAM,
    ".git/HEAD": "",
}


def read(root: Path, toml: str, **files: str) -> Project:
    write_tree(root, {**CODE, **files, "lambdad.toml": toml})
    return read_project(str(root), {}, (), {})


def functions(project: Project) -> Mapping[str, Function]:
    return {one.name: one for one in project.functions}


def faults(project: Project) -> list[tuple[str, str, int | None]]:
    """Of the functions that are not built and of the project: name, code, line."""
    each = [(one.name, one.diagnostics) for one in project.not_built]
    return [
        (name, fault.code, fault.where.line if fault.where else None)
        for name, some in [*each, ("", project.diagnostics)]
        for fault in some
    ]


def test_beside_a_template(tmp_path: Path) -> None:
    """Functions of a template take their options from lambdad.toml beside it; of the defaults each
    function takes what means something for it."""
    found = read(
        tmp_path,
        """
        [defaults]
        include = ["*.graphql"]
        copy = [{ from = "certs/*.pem", to = "certs" }, { from = "./LICENSE" }]
        install = ["sharp"]
        env = { STAGE = "dev", REGION = "here" }
        shared = ["common"]

        [functions.Web]
        copy = []
        install = ["@prisma/client", "sharp"]
        env.STAGE = "prod"

        [functions.Job]
        shared = ["lib", "./more/"]
        include = []
        """,
    )
    assert faults(found) == []
    by_name = functions(found)
    default = (Copy("certs/*.pem", "certs"), Copy("LICENSE", ""))
    web, plain, job = (by_name[name] for name in ("Web", "Plain", "Job"))
    assert (web.method, plain.method) == (Method.ESBUILD, Method.NODE)
    assert (web.copy, plain.copy, job.copy) == ((), default, default)
    assert (web.install, plain.install) == (("@prisma/client", "sharp"), ())
    assert (web.env, plain.env, job.env) == ((("REGION", "here"), ("STAGE", "prod")), (), ())
    assert (web.include, job.include) == (("*.graphql",), ())
    assert (web.shared, plain.shared, job.shared) == ((), (), ("lib", "more"))


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    """Absolute paths and those above the project are kept as paths from the project."""
    found = read(
        tmp_path / "a",
        f"""
        [functions.Job]
        copy = [{{ from = "{tmp_path}/a/x/y.txt" }}, {{ from = "../up/*.txt", to = "up/" }}]
        shared = ["{tmp_path}/a/lib", "../common"]
        """,
    )
    job = functions(found)["Job"]
    assert job.copy == (Copy("x/y.txt", ""), Copy("../up/*.txt", "up/"))
    assert job.shared == ("lib", "../common")


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [
        ("Job", 'install = ["sharp"]', "misplaced-option"),
        ("Job", "env = { A = 'b' }", "misplaced-option"),
        ("Web", 'shared = ["lib"]', "misplaced-option"),
        ("Plain", 'install = ["sharp"]', "misplaced-option"),
        ("Plain", "env = { A = 'b' }", "misplaced-option"),
        ("Web", 'install = ["sharp@1.0.0"]', "bad-value"),
        ("Web", 'install = ["./local"]', "bad-value"),
        ("Web", 'install = ["a/b"]', "bad-value"),
        ("Web", 'install = [""]', "bad-value"),
        ("Web", 'install = ["a", "a"]', "bad-value"),
        ("Web", "env = { 'A-B' = 'c' }", "bad-value"),
        ("Web", "env = { 'A=B' = 'c' }", "bad-value"),
        ("Web", "env = { '' = 'c' }", "bad-value"),
        ("Web", "env = { A = 1 }", "bad-value"),
        ("Web", 'copy = ["a"]', "bad-value"),
        ("Web", 'copy = [{ to = "a" }]', "bad-value"),
        ("Web", 'copy = [{ from = "a", to = "" }]', "bad-value"),
        ("Web", 'copy = [{ form = "a", from = "b" }]', "unknown-key"),
        ("Web", 'include = "a"', "bad-value"),
        ("Job", 'shared = [1]', "bad-value"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, name: str, said: str, code: str) -> None:
    """What means nothing is told where it stands, and the other functions still build."""
    found = read(tmp_path, f"\n[functions.{name}]\n{said}\n")
    assert faults(found) == [(name, code, 3)]
    assert set(functions(found)) == {"Web", "Plain", "Job"} - {name}


def test_bundled_after_all(tmp_path: Path) -> None:
    """`bundle` decides whether a setting of bundles means something."""
    found = read(tmp_path, '[functions.Plain]\nbundle = true\ninstall = ["sharp"]\n')
    assert functions(found)["Plain"].install == ("sharp",)


names = st.text(max_size=6)
options = st.fixed_dictionaries(
    {},
    optional={
        "copy": st.lists(st.tuples(names, names), max_size=2),
        "install": st.lists(names, max_size=2),
        "include": st.lists(names, max_size=2),
        "shared": st.lists(names, max_size=2),
        "env": st.dictionaries(names, names, max_size=2),
    },
)


def quoted(text: str) -> str:
    inner = "".join(f"\\U{ord(c):08x}" if ord(c) < 0xD800 or ord(c) > 0xDFFF else "" for c in text)
    return f'"{inner}"'


@given(said=options)
def test_any_value(tmp_path_factory: pytest.TempPathFactory, said: Mapping[str, object]) -> None:
    """Whatever texts the options hold, there is a function or a diagnostic."""
    lines = ["[functions.Web]", "[functions.Job]"]
    for option, value in said.items():
        match value:
            case dict():
                shown = ", ".join(
                    f"{quoted(name)} = {quoted(text)}" for name, text in value.items()
                )
                text = f"{option} = {{ {shown} }}"
            case list() if option == "copy":
                shown = ", ".join(
                    f"{{ from = {quoted(source)}, to = {quoted(to)} }}" for source, to in value
                )
                text = f"{option} = [{shown}]"
            case list():
                text = f"{option} = [{', '.join(map(quoted, value))}]"
        lines.insert(2 if option == "shared" else 1, text)
    found = read(tmp_path_factory.mktemp("any"), "\n".join(lines))
    for name in ("Web", "Job"):
        assert (name in functions(found)) != any(one[0] == name for one in faults(found))
