"""A Serverless Framework app, built by the command as a user types it, unpacked, and called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.store.store import Store
from tests.conftest import write_tree
from tests.support.loading import call_node, call_python, unpack
from tests.support.paths import ROOT

APP = ROOT / "fixtures" / "apps" / "orders"


def lambdad(
    root: Path, store: Store, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "LAMBDAD_CACHE_DIR": str(store.root), "NO_COLOR": "1", **environ}
    return subprocess.run(
        [sys.executable, "-m", "lambdad", *arguments],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def build(root: Path, store: Store, *arguments: str, **environ: str) -> dict[str, dict[str, Any]]:
    done = lambdad(root, store, "build", "--json", *arguments, **environ)
    assert "Traceback" not in done.stderr, done.stderr
    functions = json.loads(done.stdout)["functions"]
    return {function["name"]: function for function in functions}


def zip_names(root: Path, function: dict[str, Any]) -> list[str]:
    assert function["status"] == "built", function
    with zipfile.ZipFile(root / function["artifact"]["path"]) as archive:
        return sorted(archive.namelist())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("apps") / "orders"
    shutil.copytree(APP, root)
    (root / ".git").mkdir()
    return root


def test_orders(app: Path, shared_store: Store, tmp_path: Path) -> None:
    """A bundle with files beside it, a folder by its patterns, and Python with its requirements;
    the files are those that the framework itself puts into its zips."""
    found = build(app, shared_store)
    assert {name: item["status"] for name, item in found.items()} == {
        "list": "built",
        "plain": "built",
        "report": "built",
        "container": "refused",
    }
    listed = unpack(app / found["list"]["artifact"]["path"], tmp_path / "list")
    assert zip_names(app, found["list"]) == ["assets/greeting.txt", "src/orders/list.js"]
    answer = call_node(listed, "src/orders/list.handler", {"prices": [1, 2]})
    assert answer == {"stage": "dev", "total": 3, "greeting": "Good day"}

    plain = unpack(app / found["plain"]["artifact"]["path"], tmp_path / "plain")
    names = ["assets/greeting.txt", "src/plain.js", "src/reports/twice.js"]
    assert zip_names(app, found["plain"]) == names
    assert call_node(plain, "src/plain.handler", {"number": 4}) == {"twice": 8}

    report = unpack(app / found["report"]["artifact"]["path"], tmp_path / "report")
    assert found["report"]["architecture"] == "x86_64"
    answer = call_python("3.12", report, "report.handler", {"host": "bücher"})
    assert answer == {"host": "xn--bcher-kva"}


def test_stage(app: Path, shared_store: Store, tmp_path: Path) -> None:
    """Another stage reads another file: ES modules, minified, and with its own name in them."""
    (listed,) = build(app, shared_store, "list", "--stage", "prod").values()
    assert zip_names(app, listed) == ["assets/greeting.txt", "src/orders/list.mjs"]
    folder = unpack(app / listed["artifact"]["path"], tmp_path / "list")
    assert call_node(folder, "src/orders/list.handler", {})["stage"] == "prod"


@pytest.mark.parametrize("given", ["stage", "=prod", ""])
def test_options_are_pairs(given: str, app: Path, shared_store: Store) -> None:
    """An option without a name or a value is told, as a fault of the command line."""
    done = lambdad(app, shared_store, "build", "--opt", given)
    assert done.returncode == 2
    assert "NAME=VALUE" in done.stderr


SERVICE = {
    ".git/HEAD": "",
    "serverless.yml": "service: x\nframeworkVersion: '3'\n"
    "provider: {name: aws, runtime: nodejs22.x}\n"
    "package: {patterns: ['!node_modules/**', 'src/**']}\n"
    "functions:\n"
    "  bare: {handler: src/app.handler, layers: [arn:a]}\n"
    "  variable: {handler: 'src/${env:WHICH}.handler'}\n",
    "package.json": '{"name": "x", "version": "1.0.0", "dependencies": {"left": "1.0.0"}}',
    "src/app.js": "exports.handler = async () => 1;\n",
    "src/__pycache__/a.pyc": "no",
    "src/other.js": "exports.handler = async () => 2;\n",
    "node_modules/left/package.json": '{"name": "left", "version": "1.0.0"}',
    "node_modules/left/index.js": "",
}


def test_packages_of_a_layer(tmp_path: Path, shared_store: Store) -> None:
    """ "!node_modules/**" leaves all packages out, and needs no installation either."""
    write_tree(tmp_path, SERVICE)
    (bare,) = build(tmp_path, shared_store, "bare").values()
    names = ["package.json", "src/app.js", "src/other.js"]
    assert zip_names(tmp_path, bare) == names


def test_environment_of_the_command(tmp_path: Path, shared_store: Store) -> None:
    """${env:NAME} is that of the command at hand, though a daemon was started in another."""
    write_tree(tmp_path, SERVICE)
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    (tmp_path / "run").mkdir(mode=0o700)
    try:
        done = lambdad(tmp_path, shared_store, "daemon", "start", WHICH="app", **runtime)
        assert done.returncode == 0, done.stderr
        (one,) = build(tmp_path, shared_store, "variable", WHICH="app", **runtime).values()
        (other,) = build(tmp_path, shared_store, "variable", WHICH="other", **runtime).values()
    finally:
        lambdad(tmp_path, shared_store, "daemon", "stop", **runtime)
    assert (one["handler"], other["handler"]) == ("src/app.handler", "src/other.handler")


def test_an_edit_beside_the_bundle(app: Path, shared_store: Store) -> None:
    """A file that a pattern takes in makes the function stale; one that it leaves out does not."""
    (before,) = build(app, shared_store, "list").values()
    (app / "assets" / "notes.md").write_text("changed\n")
    (app / "assets" / "more.md").write_text("new\n")
    (same,) = build(app, shared_store, "list").values()
    assert (same["cached"], same["artifact"]) == (True, before["artifact"])
    (app / "assets" / "more.txt").write_text("new\n")
    (after,) = build(app, shared_store, "list").values()
    assert after["cached"] is False
    assert "assets/more.txt" in zip_names(app, after)
    (app / "assets" / "more.txt").unlink()
