"""A project of each kind, with one function: configuration, lock, and what becomes of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.conftest import store_at, write_tree
from tests.support.paths import ROOT
from tests.support.rawzip import build, distribution

Files = Mapping[str, str | bytes]

WHEEL: Final = "given-1.0-py3-none-any.whl"

PY: Final = {"src/app.py": "import words\n\ndef handler(event, context):\n    return 1\n"}
PY_MORE: Final = {"src/words.py": "WORD = 1\n", "src/pkg/__init__.py": "", "src/notes.md": "x"}
TS: Final = {
    "src/app.ts": 'import { one } from "./lib/one";\nexport const handler = async () => one;\n',
    "src/lib/one.ts": "export const one: number = 1;\n",
    "package.json": '{"name": "app", "dependencies": {"dep": "1"}}',
    "tsconfig.json": '{"compilerOptions": {"strict": true}}',
}
JS: Final = {
    "src/app.js": 'const dep = require("dep");\nexports.handler = async () => dep;\n',
    "src/package.json": '{"name": "app", "version": "1.0.0", "dependencies": {"dep": "1"}}',
    "src/node_modules/dep/package.json": '{"name": "dep", "version": "1.0.0", "main": "i.js"}',
    "src/node_modules/dep/i.js": "module.exports = 1;\n",
}
DEP: Final = {
    "node_modules/dep/package.json": '{"name": "dep", "version": "1.0.0", "main": "i.js"}',
    "node_modules/dep/i.js": "module.exports = 1;\n",
}


def toml(handler: str, runtime: str, **more: object) -> dict[str, str]:
    lines = [f'handler = "{handler}"', f'runtime = "{runtime}"', 'code = "src"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return {"lambdad.toml": "[functions.One]\n" + "\n".join(lines) + "\n"}


def sam(handler: str, runtime: str) -> dict[str, str | bytes]:
    return {
        "template.yaml": "Transform: AWS::Serverless-2016-10-31\nResources:\n  One:\n"
        "    Type: AWS::Serverless::Function\n    Properties:\n"
        f"      CodeUri: src\n      Handler: {handler}\n      Runtime: {runtime}\n"
    }


def serverless(handler: str, runtime: str) -> dict[str, str | bytes]:
    return {
        "serverless.yml": "service: app\nframeworkVersion: '3'\nprovider:\n  name: aws\n"
        f"  runtime: {runtime}\nfunctions:\n  one:\n    handler: {handler}\n"
    }


def cases() -> dict[str, Files]:
    """By name. Nothing is fetched: what is to be installed lies in the project."""
    python = toml("app.handler", "python3.12")
    wheel = build(distribution({"given/__init__.py": b"x = 1\n"}, name="given"))
    digest = hashlib.sha256(wheel).hexdigest()
    given: Files = {f"wheels/{WHEEL}": wheel}
    hashed = f"../wheels/{WHEEL} --hash=sha256:{digest}\n"
    pylock = (
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "given"\n'
        f'version = "1.0"\narchive = {{ path = "../wheels/{WHEEL}", '
        f'hashes = {{ sha256 = "{digest}" }} }}\n'
    )
    poetry = (
        '[[package]]\nname = "given"\nversion = "1.0"\noptional = false\n'
        f'python-versions = "*"\nfiles = [{{file = "{WHEEL}", hash = "sha256:{digest}"}}]\n'
        f'[package.source]\ntype = "file"\nurl = "../wheels/{WHEEL}"\n'
        '[metadata]\nlock-version = "2.0"\npython-versions = "*"\ncontent-hash = ""\n'
    )
    poetry_project = (
        '[tool.poetry]\nname = "app"\nversion = "1"\n[tool.poetry.dependencies]\n'
        f'given = {{ path = "../wheels/{WHEEL}" }}\n'
    )
    pipenv = json.dumps(
        {
            "_meta": {"hash": {}, "pipfile-spec": 6, "requires": {}, "sources": []},
            "default": {"given": {"file": f"../wheels/{WHEEL}", "hashes": [f"sha256:{digest}"]}},
            "develop": {},
        }
    )
    uv_project = (
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["given"]\n[tool.uv.sources]\ngiven = {{ path = "../wheels/{WHEEL}" }}\n'
    )
    uv = (
        'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "app"\nversion = "1"\n'
        'source = { virtual = "." }\ndependencies = [{ name = "given" }]\n[package.metadata]\n'
        f'requires-dist = [{{ name = "given", path = "../wheels/{WHEEL}" }}]\n[[package]]\n'
        f'name = "given"\nversion = "1.0"\nsource = {{ path = "../wheels/{WHEEL}" }}\n'
        f'wheels = [{{ filename = "{WHEEL}", hash = "sha256:{digest}" }}]\n'
    )
    own = {**PY, **PY_MORE}
    locked = {**python, **own, **given}
    node = toml("app.handler", "nodejs22.x", bundle=False)
    bundle = toml("app.handler", "nodejs22.x", bundle=True)
    return {
        "toml": {**python, **own},
        "sam": {**sam("app.handler", "python3.12"), **own},
        "serverless": {**serverless("src/app.handler", "python3.12"), **own},
        "hashed": {**locked, "src/requirements.txt": hashed},
        "included": {**locked, "src/requirements.txt": "-r ../more.txt\n", "more.txt": hashed[1:]},
        "pylock": {**locked, "src/pylock.toml": pylock},
        "poetry": {**locked, "src/pyproject.toml": poetry_project, "src/poetry.lock": poetry},
        "pipenv": {
            **locked,
            "src/Pipfile": f'[packages]\ngiven = {{ file = "../wheels/{WHEEL}" }}\n',
            "src/Pipfile.lock": pipenv,
        },
        "uv": {**locked, "src/pyproject.toml": uv_project, "src/uv.lock": uv},
        "shared and copied": {
            "lambdad.toml": toml("app.handler", "python3.12", shared=["common"])["lambdad.toml"]
            + 'copy = [{ from = "a.txt" }]\n',
            **own, "common/c.py": "", "a.txt": "a",
        },
        "linked": {**python, **own, "src/more": "-> ../far", "far": "-> near", "near/x.py": ""},
        "bundled": {**bundle, **TS, **DEP},
        "bundled by SAM": {**sam("app.handler", "nodejs22.x"), **TS, **DEP},
        "installed beside": {
            **toml("app.handler", "nodejs22.x", bundle=True, install=["dep"]), **TS, **DEP,
            "package-lock.json": json.dumps({
                "lockfileVersion": 3,
                "packages": {
                    "": {"dependencies": {"dep": "1"}}, "node_modules/dep": {"version": "1.0.0"},
                },
            }),
        },
        "packaged": {**node, **JS},
        "no handler": {**python, "src/other.py": ""},
        "broken syntax": {**python, "src/app.py": "def handler(:\n"},
        "missing requirements": {**python, **own, "src/requirements.txt": "-r gone.txt\n"},
        "broken lock": {**locked, "src/pylock.toml": "[["},
        "unresolved": {**bundle, "src/app.ts": 'import "./gone"; import "gone";'},
        "no source": {**bundle, "src/other.ts": ""},
        "not installed": {**node, "src/app.js": JS["src/app.js"],
                          "src/package.json": JS["src/package.json"]},
    }  # fmt: skip


def lay_out(name: str, tmp_path: Path) -> tuple[str, str, dict[str, str]]:
    """The case's project, a store, and the environment to build it in."""
    root, store = tmp_path / "project", tmp_path / "store"
    write_tree(root, cases()[name])
    store_at(store)
    kept = {key: text for key, text in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    environ = kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PYTHONPATH": str(ROOT)}
    environ |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    return os.path.realpath(root), str(store), environ
