"""Whatever the text of a configuration, reading it ends in functions and diagnostics."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import Project, Severity
from tests.support import mutations
from tests.support.config_cases import lay_out, told
from tests.support.mutations import Edit

SWEPT = [
    ("intrinsics", "template.yaml"),
    ("yaml-ways", "template.yaml"),
    ("cloudformation", "template.json"),
    ("toml-faults", "lambdad.toml"),
    ("pyproject", "pyproject.toml"),
    ("samconfig", "samconfig.toml"),
    ("samconfig", "infra/samconfig.yaml"),
    ("cdk-faults", "cdk.out/manifest.json"),
    ("cdk-faults", "cdk.out/Good.template.json"),
    ("cdk-faults", "cdk.out/Good.assets.json"),
    ("sst-0", ".build/lambda-handlers.json"),
    ("sst-1", ".sst/functions.jsonl"),
]

MUTATED = [*SWEPT, ("build-methods", "template.yaml"), ("toml-only", "lambdad.toml")]
MUTATED += [("cdk", f"cdk.out/{name}") for name in ("manifest.json", "Main.template.json")]
MUTATED += [("cdk-bare", f"cdk.out/{name}") for name in ("Main.metadata.json", "tree.json")]
MUTATED += [("nested", "billing/template.yaml"), ("unresolved", "template.yaml")]

TOKENS = [
    *(":", " ", "\n", "\t", "-", "- ", "[", "]", "{", "}", ",", "'", '"', "'''", '"""', "#", "|"),
    *("&a ", "*a", "<<: *a", "!Ref ", "!Sub ", "!If ", "!GetAtt ", "${", "}", "\\", "\\ud800"),
    *("\0", "\x85", "\u2028", "\ufeff", "..", "/", "=", ".", "[[a]]", "null", "true", "1e999"),
    *("9" * 30, "Fn::If", "Ref", "AWS::NoValue", "../" * 9, "é", "\N{PILE OF POO}"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Path]]:
    """Each case laid out once; a test writes its file anew."""
    top = tmp_path_factory.mktemp("faults")
    laid: dict[tuple[str, str], Path] = {}
    for name, file in MUTATED:
        laid[name, file] = top / name / file.replace("/", "-")
        lay_out(name, laid[name, file])
        if name == "samconfig":
            # What describes the project when the file names nothing any more.
            (laid[name, file] / "template.yaml").write_text("Resources: {}\n")
    yield laid
    shutil.rmtree(top)


def read(folder: Path, file: str, content: bytes) -> Project:
    (folder / file).write_bytes(content)
    project = read_project(str(folder), {})
    names = [each.name for each in project.functions]
    names += [each.name for each in project.not_built]
    assert len(names) == len(set(names))
    assert all(each.diagnostics for each in project.not_built)
    # Every message and name can be printed and sent.
    json.dumps(told(project), ensure_ascii=False).encode()
    return project


@pytest.mark.parametrize(("name", "file"), SWEPT)
def test_cut_off(name: str, file: str, places: dict[tuple[str, str], Path]) -> None:
    """A file cut off at any byte is read as far as it makes sense, or told to be broken."""
    folder = places[name, file]
    whole = (folder / file).read_bytes()
    # What makes a pyproject.toml ours, before whatever is left of it.
    head = b"[tool.lambdad]\n" if file == "pyproject.toml" else b""
    for end in range(len(whole)):
        project = read(folder, file, head + whole[:end])
        if not (project.functions or project.not_built):
            assert project.diagnostics
    (folder / file).write_bytes(whole)


@settings(
    max_examples=200, deadline=3_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=st.sampled_from(MUTATED), edits=mutations.edits(TOKENS))
@example(case=("cdk-bare", "cdk.out/Main.metadata.json"), edits=[("insert", 11, 1, "\\ud800")])
def test_mutated(
    case: tuple[str, str],
    edits: list[Edit],
    places: dict[tuple[str, str], Path],
) -> None:
    """A file edited at random gives functions or diagnostics, at places that the file has."""
    file = case[1]
    folder = places[case]
    original = (folder / file).read_bytes()
    text = mutations.edited(original.decode(), edits)
    try:
        if file == "pyproject.toml":
            text = "[tool.lambdad]\n" + text
        project = read(folder, file, text.encode(errors="surrogatepass"))
    finally:
        (folder / file).write_bytes(original)
    # YAML counts more line breaks than editors do; none of them counts fewer.
    lines = len(text.splitlines()) + 1
    faults = [*project.diagnostics, *(d for each in project.not_built for d in each.diagnostics)]
    for fault in faults:
        if fault.where and fault.where.file == file and fault.where.line:
            assert 1 <= fault.where.line <= lines
            assert fault.where.column is not None
            assert fault.where.column >= 1


@pytest.mark.parametrize(
    "section",
    [
        # Every level of Sub names its variable several times.
        "CodeUri: " + "!Sub ['${a}${a}${a}', {a: " * 25 + "x" + "}]" * 25,
        "CodeUri: !Sub ['" + "${a}" * 500_000 + "', {a: '" + "x" * 60_000 + "'}]",
        "CodeUri: !Join ['" + "x" * 60_000 + "', [" + ", ".join("a" * 10_000) + "]]",
        "CodeUri: " + "!Join ['', [" * 40 + "x" + "]]" * 40,
        "CodeUri: " + "!Select [0, [" * 40 + "x" + "]]" * 40,
        "CodeUri: !If [C400, a, b]",
        "CodeUri: !If [D40, a, b]",
    ],
)
def test_costly_intrinsics(section: str, tmp_path: Path) -> None:
    """Nested functions and chained conditions can't ask for more time or memory than there is."""
    conditions = ["  C0: !Equals [a, b]", "  D0: !Equals [a, b]"]
    conditions += [f"  C{n}: !Not [!Condition C{n - 1}]" for n in range(1, 401)]
    conditions += [f"  D{n}: !Or [!Condition D{n - 1}, !Condition D{n - 1}]" for n in range(1, 41)]
    template = "Conditions:\n" + "\n".join(conditions) + "\nResources:\n  Api:\n"
    template += "    Type: AWS::Serverless::Function\n    Properties:\n"
    template += f"      Runtime: python3.12\n      Handler: a.b\n      {section}\n"
    (tmp_path / "template.yaml").write_text(template)
    (each,) = read_project(str(tmp_path), {}).not_built
    assert {d.code for d in each.diagnostics} <= {"unresolved-value", "missing-code"}


def test_nested_without_end(tmp_path: Path) -> None:
    """Stacks that nest each other many times over are counted, and the reading ends."""
    for number in range(40):
        stacks = "".join(
            f"  S{n}:\n    Type: AWS::Serverless::Application\n"
            f"    Properties: {{Location: t{number + 1}.yaml}}\n"
            for n in range(3)
        )
        file = tmp_path / ("template.yaml" if number == 0 else f"t{number}.yaml")
        file.write_text("Resources:\n" + stacks)
    (tmp_path / "t40.yaml").write_text("Resources: {}\n")
    project = read_project(str(tmp_path), {})
    assert {d.code for d in project.diagnostics} == {"template-loop"}
    assert all(d.severity is Severity.ERROR for d in project.diagnostics)


@pytest.mark.parametrize("file", ["template.yaml", "lambdad.toml"])
def test_unreadable(file: str, tmp_path: Path) -> None:
    """A configuration file that is no file, or can't be read, is told by its name."""
    (tmp_path / "template.yaml").write_text("Resources: {}\n")
    (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / file).mkdir()
    if file == "template.yaml":
        (tmp_path / "lambdad.toml").write_text('templates = ["template.yaml"]\n')
    (fault,) = read_project(str(tmp_path), {}).diagnostics
    assert (fault.code, fault.where and fault.where.file) == ("unreadable-config", file)
