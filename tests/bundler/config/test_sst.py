"""SST's lists of handlers, as sst start writes them: what they declare is built, and answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import BundlerError
from lambdad.bundler.store.store import Store
from tests.conftest import write_tree
from tests.support.loading import call_node, call_python, unpack

PACKAGE = json.dumps({"name": "app", "version": "1.0.0", "dependencies": {"native": "1.0.0"}})
LOCK = json.dumps(
    {
        "name": "app",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "app", "version": "1.0.0", "dependencies": {"native": "1.0.0"}},
            "node_modules/native": {"version": "1.0.0"},
        },
    }
)

LINES: list[dict[str, Any]] = [
    {
        "id": "dev-app-Api-Lambda_GET_-notes",
        "handler": "src/notes.get",
        "runtime": "nodejs16.x",
        "srcPath": "services",
        "root": "/home/user/app",
    },
    {
        "id": "dev-app-Esm",
        "handler": "src/esm.main",
        "runtime": "nodejs16.x",
        "srcPath": "services",
        "bundle": {
            "format": "esm",
            "nodeModules": ["native"],
            "loader": {".txt": "text"},
            "copyFiles": [{"from": "words"}, {"from": "src/hello.txt", "to": "data/hi.txt"}],
            "esbuildConfig": {"define": {"STAGE": '"dev"'}},
        },
        "root": "/home/user/app",
    },
    {
        "id": "dev-app-Report",
        "handler": "report/app.handler",
        "runtime": "python3.9",
        "srcPath": "python",
        "root": "/home/user/app",
    },
]

ESM = """
import { readFileSync } from "node:fs";
import native from "native";
import hello from "./hello.txt";

export const main = async () => ({
  hello, stage: STAGE, native: native(), path: require("node:path").basename("a/b"),
  copied: ["words/a.txt", "data/hi.txt"].map((file) =>
    readFileSync(new URL(`../${file}`, import.meta.url), "utf8")),
});
"""

FILES = {
    "sst.json": "{}",
    "services/package.json": PACKAGE,
    "services/package-lock.json": LOCK,
    "services/node_modules/.package-lock.json": LOCK,
    "services/node_modules/native/package.json": '{"name": "native", "version": "1.0.0"}',
    "services/node_modules/native/index.js": "module.exports = () => __filename.split('/').at(-3);",
    "services/src/notes.ts": "export const get = async (e: { id: string }) => ({ note: e.id });",
    "services/src/esm.ts": ESM,
    "services/src/hello.txt": "hello",
    "services/words/a.txt": "a word",
    "python/report/__init__.py": "",
    "python/report/app.py": "def handler(event, context):\n    return {'got': event}\n",
}


def lines(*functions: dict[str, Any]) -> str:
    return "".join(json.dumps(function) + "\n" for function in functions)


def built(root: Path, store: Store, *names: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "lambdad", "build", "--json", *names],
        cwd=root,
        env={**os.environ, "LAMBDAD_CACHE_DIR": str(store.root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {item["name"]: item for item in json.loads(done.stdout)["functions"]}


def test_sst_1(tmp_path: Path, shared_store: Store) -> None:
    """A function a line, with the options of its bundle: what is built has them all."""
    root = tmp_path / "app"
    write_tree(root, {**FILES, ".sst/functions.jsonl": lines(*LINES)})
    functions = built(root, shared_store)
    assert {item["status"] for item in functions.values()} == {"built"}, functions

    notes = unpack(root / functions[LINES[0]["id"]]["artifact"]["path"], tmp_path / "notes")
    assert call_node(notes, "src/notes.get", {"id": "1"}) == {"note": "1"}
    esm = unpack(root / ".lambdad/build/dev-app-Esm.zip", tmp_path / "esm")
    assert call_node(esm, functions["dev-app-Esm"]["handler"], {}) == {
        "hello": "hello",
        "stage": "dev",
        "native": "node_modules",
        "path": "b",
        "copied": ["a word", "hello"],
    }
    report = unpack(root / ".lambdad/build/dev-app-Report.zip", tmp_path / "report")
    # What SST could run is past its end; the code runs on any Python.
    assert call_python("3.11", report, "report.app.handler", {"a": 1}) == {"got": {"a": 1}}


def test_sst_0(tmp_path: Path, shared_store: Store) -> None:
    """A list without runtimes is built for the one that SST of that time took; names are paths."""
    root = tmp_path / "app"
    handlers = [{"srcPath": "services/src", "handler": "notes.get"}]
    write_tree(root, {**FILES, ".build/lambda-handlers.json": json.dumps(handlers)})
    (function,) = built(root, shared_store, "services/src-notes.get").values()
    assert (function["status"], function["runtime"]) == ("built", "nodejs12.x")
    assert "deprecated-runtime" in [item["code"] for item in function["diagnostics"]]
    notes = unpack(root / ".lambdad/build/services-src-notes.get.zip", tmp_path / "notes")
    assert call_node(notes, function["handler"], {"id": "1"}) == {"note": "1"}

    (root / "lambdad.toml").write_text('[defaults]\nruntime = "nodejs22.x"\n')
    (function,) = built(root, shared_store).values()
    assert function["runtime"] == "nodejs22.x"


def test_a_list_written_anew(tmp_path: Path, shared_store: Store) -> None:
    """What sst start adds to its list or changes in it is built; what it leaves is not."""
    root = tmp_path / "app"
    write_tree(root, {**FILES, ".sst/functions.jsonl": lines(LINES[0])})
    assert set(built(root, shared_store)) == {LINES[0]["id"]}

    moved = {**LINES[2], "runtime": "python3.11"}
    (root / ".sst/functions.jsonl").write_text(lines(LINES[0], moved))
    functions = built(root, shared_store)
    assert functions[LINES[0]["id"]]["cached"]
    assert functions["dev-app-Report"]["runtime"] == "python3.11"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("sst.json", "its list of functions is not there"),
        ("sst.config.ts", "it writes no list"),
    ],
)
def test_no_list(file: str, said: str, tmp_path: Path) -> None:
    """Without a list it is told who writes one, or that lambdad.toml has to."""
    write_tree(tmp_path, {".git/HEAD": "", file: ""})
    with pytest.raises(BundlerError, match=said) as caught:
        read_project(str(tmp_path), {})
    assert caught.value.code == "no-project"
    assert "lambdad.toml" in (caught.value.hint or "")


LEFTOVER = "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {InlineCode: x}}}"


@pytest.mark.parametrize("name", ["template.yaml", "serverless.yml", "cdk.out/manifest.json"])
def test_sst_describes_its_app(name: str, tmp_path: Path) -> None:
    """A file of another format beside sst.json is not read: with a list that one is, and without
    one the error says what is missing."""
    write_tree(tmp_path, {".git/HEAD": "", "sst.json": "{}", name: LEFTOVER, "a.ts": ""})
    with pytest.raises(BundlerError, match=r"sst.json is an SST app: its list .* is not there"):
        read_project(str(tmp_path), {})

    write_tree(tmp_path, {".sst/functions.jsonl": lines({"id": "a", "handler": "a.b"})})
    project = read_project(str(tmp_path), {})
    assert [each.name for each in project.functions] == ["a"]
    assert not project.diagnostics


@pytest.mark.parametrize("said", ["esbuild.js", {"plugins": "plugins.js"}])
def test_options_in_place_of_code(said: object, tmp_path: Path) -> None:
    """esbuild's plugins are code: the function fails, unless lambdad.toml has options instead."""
    line = {"id": "a", "handler": "a.b", "bundle": {"esbuildConfig": said}}
    write_tree(tmp_path, {".git/HEAD": "", ".sst/functions.jsonl": lines(line), "a.ts": ""})
    (not_built,) = read_project(str(tmp_path), {}).not_built
    assert [told.code for told in not_built.diagnostics] == ["unsupported-option"]

    write_tree(tmp_path, {"lambdad.toml": "[defaults.esbuild]\nminify = true\n"})
    (function,) = read_project(str(tmp_path), {}).functions
    assert dict(function.esbuild) == {"minify": True}
    assert "ignored-setting" in [told.code for told in function.notes]
