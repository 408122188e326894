"""Loading a built zip's handler as Lambda would: an interpreter that sees nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.python import interpreters

PYTHON = """
import importlib, json, sys
root, module, name, event = sys.argv[1:]
sys.path.insert(0, root)
handler = getattr(importlib.import_module(module.replace("/", ".")), name)
print("answer:" + json.dumps(handler(json.loads(event), None)))
"""

NODE = """
const { pathToFileURL } = require("node:url");
const fs = require("node:fs");
const [root, module, name, event] = process.argv.slice(1);
const file = [".js", ".mjs", ".cjs"].map((e) => `${root}/${module}${e}`).find(fs.existsSync);
import(pathToFileURL(file))
  .then((loaded) => (loaded[name] ?? loaded.default[name])(JSON.parse(event)))
  .then((answer) => console.log("answer:" + JSON.stringify(answer)));
"""


def unpack(zip_path: Path, folder: Path) -> Path:
    """Unpacks with modes, as Lambda does; every file must be readable by any user."""
    with zipfile.ZipFile(zip_path) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            mode = info.external_attr >> 16 & 0o777
            assert mode in {0o644, 0o755}, info.filename
            os.chmod(archive.extract(info, folder), mode)
    return folder


def python_of(version: str) -> str:
    """An interpreter of that version, or the test is skipped."""
    major, minor = version.split(".")
    found = interpreters.find((int(major), int(minor)), dict(os.environ))
    if found is None:
        pytest.skip(f"no Python {version} on this machine")
    return found


def call_python(version: str, root: Path, handler: str, event: object) -> Any:
    """The handler's answer, from an isolated interpreter without site-packages."""
    module, _, name = handler.rpartition(".")
    command = [python_of(version), "-I", "-S", "-B", "-c", PYTHON, str(root), module, name]
    return _answer([*command, json.dumps(event)], root)


def call_node(root: Path, handler: str, event: object) -> Any:
    """The handler's answer, from a Node.js that finds no module outside the zip."""
    node = shutil.which("node")
    assert node, "Node.js is needed"
    module, _, name = handler.rpartition(".")
    return _answer([node, "-e", NODE, str(root), module, name, json.dumps(event)], root)


def _answer(command: list[str], root: Path) -> Any:
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "AWS_REGION": "eu-west-1"}
    done = subprocess.run(
        command, cwd=root, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("answer:")]
    return json.loads(answer.removeprefix("answer:"))
