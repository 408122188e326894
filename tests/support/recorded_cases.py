"""Projects of each kind: by configuration, by lock, and by what becomes of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.conftest import store_at, write_tree
from tests.support.paths import ROOT
from tests.support.python_index import source_tree
from tests.support.rawzip import build, distribution

Files = Mapping[str, str | bytes]

_NEVER: Final = {"fails": ["zip", "live"]}
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "member of a workspace": {"start": "packages/api"},
    "member of a uv workspace": {"start": "packages/api"},
    **dict.fromkeys(
        (
            *("no handler", "broken syntax", "missing requirements", "broken lock"),
            *("unresolved", "no source"),
        ),
        _NEVER,
    ),
    "not installed": {"fails": ["zip"]},
}
"""Of some cases: where in the repository the project lies, and which builds fail."""

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


PNPM: Final = """lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      dep:
        specifier: '1'
        version: 1.0.0
packages:
  dep@1.0.0: {resolution: {integrity: sha512-AA==}}
snapshots:
  dep@1.0.0: {}
"""
YARN_1: Final = """# yarn lockfile v1


dep@1:
  version "1.0.0"
"""
YARN_4: Final = """__metadata:
  version: 8

"app@workspace:.":
  version: 0.0.0-use.local
  resolution: "app@workspace:."
  dependencies:
    dep: "npm:1"
  languageName: unknown
  linkType: soft

"dep@npm:1":
  version: 1.0.0
  resolution: "dep@npm:1.0.0"
  languageName: node
  linkType: hard
"""
BUN: Final = """{
  "lockfileVersion": 1,
  "workspaces": {"": {"name": "app", "dependencies": {"dep": "1"}}},
  "packages": {"dep": ["dep@1.0.0", "", {}, "sha512-AA=="]},
}
"""
LOCKS: Final[Mapping[str, Files]] = {
    "pnpm": {"pnpm-lock.yaml": PNPM, "pnpm-workspace.yaml": "packages: []\n"},
    "Yarn 1": {"yarn.lock": YARN_1},
    "Yarn 4": {"yarn.lock": YARN_4, ".yarnrc.yml": "nodeLinker: node-modules\n"},
    "Bun": {"bun.lock": BUN},
}

MEMBERS: Final = {
    "package.json": '{"name": "all", "private": true, "workspaces": ["packages/*"]}',
    "tsconfig.base.json": '{"compilerOptions": {"baseUrl": ".", "paths": {"~*": ["packages/*"]}}}',
    "packages/api/package.json": '{"name": "api", "dependencies": {"lib": "*", "dep": "1"}}',
    "packages/api/tsconfig.json": '{"extends": "../../tsconfig.base.json"}',
    "packages/api/src/app.ts": 'import { lib } from "lib";\nimport { more } from "~lib/more";\n'
    "export const handler = async () => [lib, more];\n",
    "packages/api/src/plain.js": 'exports.handler = async () => require("dep");\n',
    "packages/lib/package.json": '{"name": "lib", "version": "1.0.0", "main": "lib.js"}',
    "packages/lib/lib.js": 'exports.lib = require("dep");\n',
    "packages/lib/more.ts": "export const more = 1;\n",
    "node_modules/lib": "-> ../packages/lib",
    "node_modules/api": "-> ../packages/api",
    "node_modules/dep/package.json": '{"name": "dep", "version": "1.0.0", "main": "i.js"}',
    "node_modules/dep/i.js": "module.exports = 1;\n",
}


def members() -> dict[str, str]:
    """The configuration of a workspace's two functions, one bundled and one as it is."""
    both = toml("app.handler", "nodejs22.x", bundle=True)["lambdad.toml"]
    return {
        "lambdad.toml": f"{both}[functions.Plain]\nhandler = "
        '"src/plain.handler"\nruntime = "nodejs22.x"\ncode = "."\nbundle = false\n'
    }


def cdk() -> Files:
    """An app and its assembly, written with --no-staging: an asset is its source."""
    template = {
        "Resources": {
            "One": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Handler": "app.handler",
                    "Runtime": "python3.12",
                    "Code": {
                        "S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}"},
                        "S3Key": "one.zip",
                    },
                },
                "Metadata": {
                    "aws:cdk:path": "Main/One/Resource",
                    "aws:asset:path": "../src",
                    "aws:asset:property": "Code",
                },
            }
        }
    }
    manifest = {
        "version": "38.0.0",
        "artifacts": {
            "Main": {
                "type": "aws:cloudformation:stack",
                "environment": "aws://unknown-account/unknown-region",
                "properties": {"templateFile": "Main.template.json"},
            }
        },
    }
    return {
        "cdk.json": '{"app": "node app.js"}',
        "cdk.out/cdk.out": '{"version": "38.0.0"}',
        "cdk.out/manifest.json": json.dumps(manifest),
        "cdk.out/Main.template.json": json.dumps(template),
        "src/app.py": PY["src/app.py"],
        "src/words.py": PY_MORE["src/words.py"],
    }


def sst() -> Files:
    """What SST writes of a function that it bundles."""
    options = {
        "id": "One", "handler": "src/app.handler", "runtime": "nodejs18.x", "srcPath": ".",
        "bundle": {}, "root": ".",
    }  # fmt: skip
    return {
        "sst.json": '{"name": "app"}',
        ".sst/functions.jsonl": json.dumps(options) + "\n",
        **TS,
        **DEP,
    }


def serverless_with(plugin: str, settings: str = "") -> Files:
    """A service whose functions a plugin bundles or installs packages for."""
    runtime = "python3.12" if "python" in plugin else "nodejs22.x"
    text = serverless("src/app.handler", runtime)["serverless.yml"]
    assert isinstance(text, str)
    return {"serverless.yml": f"{text}plugins: [{plugin}]\n{settings}"}


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
    local = {f"libs/shared/{name}": text for name, text in source_tree("shared").items()}
    uv_members: Files = {
        "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
        "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n[manifest]\n'
        'members = ["api", "shared"]\n[[package]]\nname = "api"\nversion = "1"\n'
        'source = { virtual = "packages/api" }\n'
        'dependencies = [{ name = "shared" }]\n[package.metadata]\n'
        'requires-dist = [{ name = "shared", editable = "packages/shared" }]\n[[package]]\n'
        'name = "shared"\nversion = "1.0"\nsource = { editable = "packages/shared" }\n',
        "packages/api/pyproject.toml": '[project]\nname = "api"\nversion = "1"\n'
        'requires-python = ">=3.11"\ndependencies = ["shared"]\n[tool.uv.sources]\n'
        "shared = { workspace = true }\n",
        "packages/api/lambdad.toml": '[functions.One]\nhandler = "app.handler"\n'
        'runtime = "python3.12"\ncode = "."\n',
        "packages/api/app.py": PY["src/app.py"],
        **{f"packages/shared/{name}": text for name, text in source_tree("shared").items()},
    }
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
        "CDK": cdk(),
        "SST": sst(),
        "serverless-esbuild": {
            **serverless_with("serverless-esbuild", "custom: {esbuild: {bundle: true}}\n"),
            **TS, **DEP,
        },
        "serverless-python-requirements": {
            **serverless_with("serverless-python-requirements"),
            **own, **given, "requirements.txt": hashed.replace("../", ""),
        },
        **{
            f"installed beside, by {name}": {
                **toml("app.handler", "nodejs22.x", bundle=True, install=["dep"]),
                **TS, **DEP, **lock,
            }
            for name, lock in LOCKS.items()
        },
        **{
            f"packaged, by {name}": {
                **node, **JS, **{f"src/{path}": text for path, text in lock.items()},
            }
            for name, lock in LOCKS.items()
        },
        "workspace": {
            **MEMBERS,
            "lambdad.toml": members()["lambdad.toml"]
            .replace('"src"', '"packages/api/src"').replace('"."', '"packages/api"'),
        },
        "member of a workspace": {
            **MEMBERS, ".git/HEAD": "", "packages/api/lambdad.toml": members()["lambdad.toml"],
        },
        "local package": {**python, **own, **local, "src/requirements.txt": "../libs/shared\n"},
        "editable local package": {
            **python, **own, **local, "src/requirements.txt": "-e ../libs/shared\n",
        },
        "member of a uv workspace": {**uv_members, ".git/HEAD": ""},
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
