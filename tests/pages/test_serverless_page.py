"""docs/formats.md says of the Serverless Framework what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lambdad.bundler.config import files
from lambdad.bundler.config.find import read_project
from lambdad.bundler.config.serverless import esbuild, function, python, service, variables
from lambdad.bundler.esbuild.options import OPTIONS
from lambdad.bundler.model import Failed
from tests.conftest import write_tree
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "formats.md"
ROW = re.compile(r"\| (\w+) \| (`.+?`) \| (\w+) \|.*\|")

VALUES: dict[str, object] = {
    "bundle.externals": ["a"],
    "bundle.sourcemaps": True,
    "esbuild.exclude": ["a"],
    "esbuild.external": ["a"],
    "esbuild.outputFileExtension": ".cjs",
    "esbuild.sourcemap": "inline",
    "pythonRequirements.noDeploy": ["boto3"],
    "pythonRequirements.poetryWithGroups": ["web"],
    "pythonRequirements.usePipenv": False,
    "pythonRequirements.usePoetry": False,
    "webpack.includeModules": {"forceInclude": ["a"]},
}
"""What a setting is tried with; any other with a text."""

TABLES = {
    "esbuild": ("custom.esbuild", "serverless-esbuild"),
    "webpack": ("custom.webpack", "serverless-webpack"),
    "bundle": ("custom.bundle", "serverless-bundle"),
    "pythonRequirements": ("custom.pythonRequirements", "serverless-python-requirements"),
}


def rows() -> list[tuple[str, str, str]]:
    """Each setting with the table it is in, and what becomes of it."""
    section = PAGE.read_text().split("## Serverless Framework")[1].split("\n## ")[0]
    return [
        (where, setting, becomes)
        for where, names, becomes in ROW.findall(section)
        for setting in re.findall(r"`([^`]+)`", names)
    ]


def listed(where: str, *becomes: str) -> set[str]:
    return {name for place, name, what in rows() if place == where and what in becomes}


def test_no_setting_is_there_twice() -> None:
    """One place, one word."""
    places = [(where, name) for where, name, _ in rows()]
    assert len(places) == len(set(places)) > 100
    assert {what for _, _, what in rows()} == {"read", "mapped", "ignored", "named", "refused"}


def test_lists_of_the_code() -> None:
    """What the code has in tables is in the page's, all of it and no more."""
    assert listed("file", "read") == set(files.SERVERLESS)
    code = {name for name in files.AWAITED if name.startswith("serverless.")}
    assert listed("file", "refused") == code
    assert listed("variable", "read") == variables.SOURCES.keys()
    assert listed("variable", "refused") == variables.DEPLOYED.keys()
    plugins = {*esbuild.PLUGINS, python.PLUGIN}
    assert listed("plugin", "mapped") == plugins
    assert listed("handler", "refused") == function.INJECTED.keys()
    assert listed("provider", "read") >= service.INHERITED
    ignored = esbuild.WITHOUT_EFFECT - listed("esbuild", "mapped")
    assert listed("esbuild", "ignored") == ignored
    assert listed("pythonRequirements", "ignored") == python.WITHOUT_EFFECT
    assert listed("pythonRequirements", "mapped") == python.READ
    assert listed("esbuild", "named") >= esbuild.OVERRULED
    own = esbuild.OWN | esbuild.OVERRULED
    told = {name for where, name, _ in rows() if where == "esbuild"}
    assert own - {"bundle"} <= told
    assert told.isdisjoint(OPTIONS.keys() - own)


@pytest.mark.parametrize(
    ("where", "setting", "becomes"), [row for row in rows() if row[0] in TABLES]
)
def test_settings_of_plugins(where: str, setting: str, becomes: str, tmp_path: Path) -> None:
    """A setting is named in a warning, refused, or taken without a word, as the page has it."""
    table, plugin = TABLES[where]
    value = VALUES.get(f"{where}.{setting}", "x")
    service = {
        "service": "x",
        "frameworkVersion": "3",
        "plugins": [plugin],
        "provider": {"name": "aws", "runtime": "nodejs22.x"},
        "custom": {table.split(".")[1]: {setting: value}},
        "functions": {
            "script": {"handler": "a.handler"},
            "snake": {"handler": "a.handler", "runtime": "python3.12"},
        },
    }
    write_tree(tmp_path, {"serverless.json": json.dumps(service), "a.js": "", "a.py": ""})
    project = read_project(str(tmp_path), {})
    warned = [each.message for each in project.diagnostics if each.code == "ignored-setting"]
    named = any(setting in message or "webpack's own" in message for message in warned)
    if becomes == "named":
        assert named
    else:
        assert not any(setting in message for message in warned)
    failed = {each.name for each in project.not_built if isinstance(each.outcome, Failed)}
    assert failed == ({"script"} if becomes == "refused" else set())


@pytest.mark.parametrize(
    ("where", "setting"),
    [row[:2] for row in rows() if row[0] in ("service", "package") and row[2] == "ignored"],
)
def test_ignored_settings(where: str, setting: str, tmp_path: Path) -> None:
    """What the page calls ignored changes no function; the rest is looked at by the cases."""
    service: dict[str, object] = {
        "service": "x",
        "provider": {"name": "aws", "runtime": "nodejs22.x"},
        "functions": {"a": {"handler": "a.handler"}},
    }
    write_tree(tmp_path, {"serverless.json": json.dumps(service), "a.js": ""})
    before = read_project(str(tmp_path), {})
    if where == "service":
        service[setting] = "y"
    else:
        service[where] = {setting: "y"}
    (tmp_path / "serverless.json").write_text(json.dumps(service))
    after = read_project(str(tmp_path), {})
    assert after.functions == before.functions
    assert after.diagnostics == ()
