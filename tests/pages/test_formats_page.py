"""docs/formats.md says of the AWS CDK's assemblies and of SST's lists what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lambdad.bundler.config import files, find
from lambdad.bundler.config.find import read_project
from lambdad.bundler.config.sst import bundle
from lambdad.bundler.model import Project
from tests.conftest import write_tree
from tests.support.config_cases import lay_out
from tests.support.paths import ROOT

PAGE: Final = ROOT / "docs" / "formats.md"
ROW: Final = re.compile(r"\| (\w+) \| (`.+?`) \| (\w+) \|.*\|")

FILES: Final = {"src/a.ts": "", "src/b.txt": "", "src/a.py": ""}
VALUES: Final[Mapping[str, Any]] = {
    "banner": "//",
    "commandHooks": {},
    "copyFiles": [{"from": "b.txt"}],
    "esbuildConfig": {"keepNames": True},
    "externalModules": ["a"],
    "format": "esm",
    "installCommands": ["x"],
    "loader": {".txt": "text"},
    "minify": True,
    "nodeModules": ["a"],
    "sourcemap": True,
}
"""What an option of SST's `bundle` is tried with."""


def rows(section: str) -> list[tuple[str, str, str]]:
    """Each setting with where it stands, and what becomes of it."""
    text = PAGE.read_text("utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    return [
        (where, setting, becomes)
        for where, names, becomes in ROW.findall(text)
        for setting in re.findall(r"`([^`]+)`", names)
    ]


CDK: Final = rows("AWS CDK")
SST: Final = rows("SST")


def listed(table: list[tuple[str, str, str]], where: str, *becomes: str) -> set[str]:
    return {name for place, name, what in table if place == where and what in becomes}


@pytest.mark.parametrize("table", [CDK, SST], ids=["cdk", "sst"])
def test_no_setting_is_there_twice(table: list[tuple[str, str, str]]) -> None:
    """One place, one word."""
    places = [(where, name) for where, name, _ in table]
    assert len(places) == len(set(places)) > 15
    assert {what for _, _, what in table} <= {"read", "mapped", "ignored", "refused"}


def test_files() -> None:
    """The files that are read, and those that are told to be none yet, are the code's."""
    read = {name for form in find.FORMATS for name in form.files}
    for table in (CDK, SST):
        assert listed(table, "file", "read") <= read
        assert listed(table, "file", "refused") <= files.AWAITED.keys()
    told = listed(CDK, "file", "refused") | listed(SST, "file", "refused")
    assert {name for name in files.AWAITED if name.startswith(("cdk.json", "sst."))} <= told


# --- SST -----------------------------------------------------------------------------------------


def sst(root: Path, /, **function: Any) -> Project:
    said = {"id": "f", "handler": "a.handler", "srcPath": "src", "runtime": "nodejs22.x"}
    write_tree(root, {**FILES, ".sst/functions.jsonl": json.dumps({**said, **function})})
    return read_project(str(root), {})


def test_options_of_sst() -> None:
    """Every option of `bundle` that the code knows has its row, and no other."""
    assert (
        listed(SST, "node", "mapped", "refused")
        == bundle.NODE.keys()
        == {name for where, name, _ in SST if where == "node"}
    )
    assert listed(SST, "python", "mapped", "refused") == bundle.OTHERS.keys()


@pytest.mark.parametrize(
    ("where", "option", "becomes"), [row for row in SST if row[0] in ("node", "python")]
)
def test_option_of_sst(where: str, option: str, becomes: str, tmp_path: Path) -> None:
    """An option that is mapped changes the build; one that is refused leaves none."""
    runtime = {"node": "nodejs22.x", "python": "python3.12"}[where]
    (plain,) = sst(tmp_path, runtime=runtime, bundle={}).functions
    project = sst(tmp_path, runtime=runtime, bundle={option: VALUES[option]})
    if becomes == "refused":
        (refused,) = project.not_built
        assert [item.code for item in refused.diagnostics] == ["command-hooks"]
    else:
        assert project.functions[0] != plain


@pytest.mark.parametrize(
    ("_where", "name", "becomes"), [row for row in SST if row[0] == "function"]
)
def test_field_of_sst(_where: str, name: str, becomes: str, tmp_path: Path) -> None:
    """A field that is read decides; one that is ignored may hold anything."""
    before = sst(tmp_path)
    after = sst(tmp_path, **{name: "other"})
    same = (before.functions, before.not_built) == (after.functions, after.not_built)
    assert same is (becomes == "ignored")


# --- the AWS CDK ---------------------------------------------------------------------------------


def cdk(root: Path) -> Any:
    """The recorded assembly: its manifest, to be changed."""
    lay_out("cdk-bare", root)
    return json.loads((root / "cdk.out/manifest.json").read_text())


def told(root: Path) -> object:
    project = read_project(str(root), {})
    return project.functions, project.not_built, project.diagnostics


@pytest.mark.parametrize(
    ("_where", "kind", "becomes"), [row for row in CDK if row[0] == "artifact"]
)
def test_artifact_of_the_cdk(_where: str, kind: str, becomes: str, tmp_path: Path) -> None:
    """Without artifacts that are read the functions are others; without the rest the same."""
    manifest = cdk(tmp_path)
    odd = {"type": "cdk:feature-flag-report", "properties": {"file": 7}}
    manifest["artifacts"]["Odd"] = odd
    (tmp_path / "cdk.out/manifest.json").write_text(json.dumps(manifest))
    before = told(tmp_path)
    artifacts = manifest["artifacts"]
    kept = {name: item for name, item in artifacts.items() if item["type"] != kind}
    assert len(kept) < len(artifacts)
    (tmp_path / "cdk.out/manifest.json").write_text(json.dumps({"artifacts": kept}))
    assert (told(tmp_path) == before) is (becomes == "ignored")


@pytest.mark.parametrize(
    ("where", "key", "becomes"),
    [row for row in CDK if row[0] in ("metadata", "property", "resource")],
)
def test_template_of_the_cdk(where: str, key: str, becomes: str, tmp_path: Path) -> None:
    """What is read of a template decides; what is ignored may be anything."""
    function: dict[str, Any] = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Handler": "a.handler",
            "Runtime": "python3.12",
            "Code": {"S3Bucket": "b", "S3Key": "1.zip"},
        },
        "Metadata": {"aws:cdk:path": "Main/F/Resource", "aws:asset:path": "../src"},
    }
    artifact = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}
    nested = {"Resources": {"Inner": function}}
    write_tree(
        tmp_path,
        {
            **FILES,
            "other/a.py": "",
            "cdk.out/manifest.json": json.dumps({"artifacts": {"Main": artifact}}),
            "cdk.out/nested.json": json.dumps(nested),
            "cdk.out/t.json": json.dumps({"Resources": {"F": function}}),
        },
    )
    before = told(tmp_path)
    resources: dict[str, Any] = {"F": function}
    if where == "metadata":
        value: object = "Main/G/Resource" if key == "aws:cdk:path" else "../other"
        function["Metadata"][key] = True if key == "aws:asset:is-bundled" else value
    elif where == "property":
        others = {"Architectures": ["arm64"], "Layers": ["arn"], "Code": {"ZipFile": "x"}}
        function["Properties"][key] = others.get(key, "nodejs22.x")
    else:
        resources["G"] = {"Type": key, "Metadata": {"aws:asset:path": "nested.json"}}
    (tmp_path / "cdk.out/t.json").write_text(json.dumps({"Resources": resources}))
    assert (told(tmp_path) == before) is (becomes == "ignored")
