"""`lambdad list`: every function, where it is declared, and how it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lambdad.daemon.cli.main import run
from tests.conftest import Tree, write_tree

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.12}}
Resources:
  Fresh:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: fresh, Handler: app.handler, Architectures: [arm64]}
  Stale:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: stale, Handler: app.handler}
  Failed:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: failed, Handler: app.nothing}
  Never:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: fresh, Handler: app.handler, Runtime: nodejs22.x}
  Inline:
    Type: AWS::Serverless::Function
    Properties: {InlineCode: "x = 1", Handler: app.handler}
  Image:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Image}
"""
HANDLER = "def handler(event, context):\n    return 1\n"
APP: Tree = {
    "template.yaml": TEMPLATE,
    "fresh/app.py": HANDLER,
    "fresh/app.js": "exports.handler = async () => 1;\n",
    "stale/app.py": HANDLER,
    "failed/app.py": HANDLER,
}


class App:
    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def say(self, *arguments: str, code: int = 0) -> str:
        self._capsys.readouterr()
        found = run([*arguments, "--project", str(self.root)])
        out, self.errors = self._capsys.readouterr()
        assert found == code, (out, self.errors)
        return out

    def listed(self, code: int = 0) -> dict[str, dict[str, Any]]:
        answer = json.loads(self.say("list", "--json", code=code))
        return {item["name"]: item for item in answer["functions"]}


@pytest.fixture
def app(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> App:
    """An app with a function in every state."""
    monkeypatch.setenv("NO_COLOR", "1")
    root = tmp_path / "app"
    write_tree(root, APP)
    made = App(root, capsys)
    made.say("build", "Fresh", "Stale", "Failed", code=1)
    (root / "stale/app.py").write_text(HANDLER * 2)
    (root / "stale/more.py").write_text("")
    return made


def test_every_state(app: App) -> None:
    """Fresh, stale, failed, never built, skipped and refused are told apart, with the reason."""
    listed = app.listed()
    assert {name: item["state"] for name, item in listed.items()} == {
        "Fresh": "fresh",
        "Stale": "stale",
        "Failed": "failed",
        "Never": "never-built",
        "Inline": "skipped",
        "Image": "refused",
    }
    assert set(listed["Stale"]["reasons"]) == {"stale/app.py changed", "stale/more.py appeared"}
    assert listed["Failed"]["diagnostics"][0]["code"] == "missing-export"
    assert listed["Image"]["diagnostics"]
    assert "artifact" not in listed["Never"]
    for name in ("Fresh", "Stale"):
        path = app.root / listed[name]["artifact"]["path"]
        assert listed[name]["artifact"]["size"] == path.stat().st_size


def test_what_each_is_built_with(app: App) -> None:
    """Method, runtime and architecture, and where it was declared."""
    fresh, never = app.listed()["Fresh"], app.listed()["Never"]
    told = ("method", "runtime", "architecture", "handler", "code")
    assert [fresh[key] for key in told] == [
        *("python", "python3.12", "arm64", "app.handler", "fresh"),
    ]
    assert [never[key] for key in told[:3]] == ["node", "nodejs22.x", "x86_64"]
    assert fresh["where"]["file"] == "template.yaml"
    assert TEMPLATE.splitlines()[fresh["where"]["line"] - 1].strip() == "Fresh:"


def test_a_line_each(app: App) -> None:
    """In the order of their declaration, with the first reason alone."""
    header, *lines = app.say("list").splitlines()
    assert header.split("  ")[0] == "FUNCTION"
    assert [line.split()[0] for line in lines] == [
        *("Fresh", "Stale", "Failed", "Never", "Inline", "Image"),
    ]
    stale = lines[1]
    assert "template.yaml:7" in stale
    assert ("stale/app.py changed" in stale) != ("stale/more.py appeared" in stale)
    assert "never built" in lines[3]
    assert lines[2].endswith("failed/app.py does not define 'nothing'")


def test_nothing_is_built(app: App) -> None:
    """Looking changes nothing, and looks the same again."""
    before = {path: path.stat() for path in app.root.rglob("*")}
    first = app.say("list")
    assert app.say("list") == first
    assert {path: path.stat() for path in app.root.rglob("*")} == before


def test_a_function_mended_is_stale(app: App) -> None:
    """A failure holds as long as what it looked at does."""
    (app.root / "failed/app.py").write_text(HANDLER + "nothing = handler\n")
    assert app.listed()["Failed"]["state"] == "stale"


def test_damaged_memory_is_never_built(app: App) -> None:
    """What was remembered and can't be read counts as nothing."""
    (app.root / ".lambdad/state/Fresh.json").write_bytes(b"torn")
    assert app.listed()["Fresh"]["state"] == "never-built"


def test_a_broken_configuration(app: App) -> None:
    """Its fault is told with exit code 1, in JSON within the document."""
    (app.root / "template.yaml").write_text("Resources: {")
    answer = json.loads(app.say("list", "--json", code=1))
    assert answer["ok"] is False
    assert answer["diagnostics"]
    assert app.say("list", code=1) == ""
    assert "template.yaml:" in app.errors


def test_a_frameworks_own_functions(app: App) -> None:
    """Nobody wrote them, and there can be many: --verbose and JSON have them."""
    (app.root / "template.yaml").unlink()
    source = "lib/node_modules/@serverless-stack/resources/own"
    lines = [
        {"id": "Mine", "handler": "app.handler", "runtime": "python3.12", "srcPath": "fresh"},
        {"id": "Theirs", "handler": "own.handler", "runtime": "nodejs22.x", "srcPath": source},
    ]
    write_tree(app.root, {".sst/functions.jsonl": "".join(f"{json.dumps(one)}\n" for one in lines)})
    assert "Theirs" not in app.say("list")
    assert "Theirs" in app.say("list", "--verbose")
    assert app.listed()["Theirs"]["state"] == "skipped"
