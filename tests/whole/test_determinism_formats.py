"""The same inputs give the same bytes everywhere, whatever describes, locks and installs an app."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import uv

from tests.conftest import write_tree
from tests.support import npm_apps, npm_managers, npm_workspace, python_served
from tests.support.cdk import NO_STAGING, Synthesiser, cdk
from tests.support.npm_apps import Registry
from tests.support.npm_managers import LAYOUTS, PLUG_AND_PLAY, Layout
from tests.support.python_index import Project, project, source_tree
from tests.support.python_served import pipenv_bin, poetry_bin
from tests.support.worlds import World, differences, files_below

__all__ = ["cdk", "pipenv_bin", "poetry_bin", "project"]

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")

PYTHON: Final = f"python3.{sys.version_info.minor}"
"""Of every Python function: pipenv locks for the Python that it runs under."""

CODE: Final = {
    "app.ts": 'import { word } from "./lib/word";\nexport const handler = async () => word;\n',
    "lib/word.ts": 'export const word: string = "a";\n',
    "plain.js": 'exports.handler = async () => require("./lib/names.js").names;\n',
    "lib/names.js": 'exports.names = ["a", "b"];\n',
    "job.py": "from lib import value\n\n\ndef handler(event, context):\n    return value\n",
    "lib/__init__.py": "value = 1\n",
    "lib/B.py": "",
    "lib/a.py": "",
    "run.sh": "#!/bin/sh\nexec true\n",
}
"""A function bundled from app.ts, one with the folder as it is, one of Python."""

NODE: Final = "nodejs22.x"


# --- each format -----------------------------------------------------------------------------


def sam() -> dict[str, str]:
    function = "Type: AWS::Serverless::Function"
    return {
        "template.yaml": f"""
Transform: AWS::Serverless-2016-10-31
Globals: {{Function: {{Runtime: {NODE}, CodeUri: src}}}}
Resources:
  SamWeb:
    {function}
    Metadata: {{BuildMethod: esbuild, BuildProperties: {{Minify: true, Sourcemap: true}}}}
    Properties: {{Handler: app.handler}}
  SamPlain: {{{function}, Properties: {{Handler: plain.handler}}}}
  SamJob: {{{function}, Properties: {{Handler: job.handler, Runtime: {PYTHON}}}}}
"""
    }


def cloudformation() -> dict[str, str]:
    def resource(handler: str, runtime: str) -> dict[str, Any]:
        properties = {"Code": "src", "Handler": handler, "Runtime": runtime}
        return {"Type": "AWS::Lambda::Function", "Properties": properties}

    resources = {
        "CfnWeb": resource("app.handler", NODE),
        "CfnPlain": resource("plain.handler", NODE),
        "CfnJob": resource("job.handler", PYTHON),
    }
    return {"template.json": json.dumps({"Resources": resources})}


def serverless(name: str, prefix: str) -> dict[str, str]:
    service = {
        "service": "notes",
        "frameworkVersion": "3",
        "plugins": ["serverless-esbuild", "serverless-python-requirements"],
        "provider": {"name": "aws", "runtime": NODE},
        "package": {"individually": True, "patterns": ["!src/lib/B.py"]},
        "custom": {
            "esbuild": {"sourcemap": "inline"},
            "pythonRequirements": {"fileName": "src/requirements.txt"},
        },
        "functions": {
            f"{prefix}-web": {"handler": "src/app.handler", "package": {"patterns": ["src/*.sh"]}},
            f"{prefix}-plain": {"handler": "src/plain.handler", "skipEsbuild": True},
            f"{prefix}-job": {"handler": "src/job.handler", "runtime": PYTHON},
        },
    }
    return {name: json.dumps(service)}  # which is YAML, too


def sst_0() -> dict[str, str]:
    handlers = [
        {"srcPath": "sst0", "handler": "app.handler", "runtime": NODE, "bundle": True},
        {"srcPath": "sst0", "handler": "plain.handler", "runtime": NODE, "bundle": False},
        {"srcPath": "sst0", "handler": "job.handler", "runtime": PYTHON},
    ]
    return {".build/lambda-handlers.json": json.dumps(handlers)}


def sst_1() -> dict[str, str]:
    bundle = {"copyFiles": [{"from": "lib"}, {"from": "run.sh", "to": "bin/run.sh"}]}
    handlers: list[dict[str, Any]] = [
        {"id": "sst1-web", "handler": "app.handler", "runtime": NODE, "bundle": bundle},
        {"id": "sst1-plain", "handler": "plain.handler", "runtime": NODE, "bundle": False},
        {"id": "sst1-job", "handler": "job.handler", "runtime": PYTHON},
    ]
    lines = [json.dumps({**one, "srcPath": "src", "root": "/home/user/app"}) for one in handlers]
    return {".sst/functions.jsonl": "\n".join(lines) + "\n"}


def own(prefix: str, code: str, table: str = "") -> str:
    """lambdad's own tables, in a pyproject.toml below a table of its."""
    return "".join(
        f'[{table}functions.{prefix}-{kind}]\ncode = "{code}"\nhandler = "{handler}.handler"\n'
        f'runtime = "{runtime}"\n{more}\n'
        for kind, handler, runtime, more in (
            ("web", "app", NODE, "esbuild = { sourcemap = true }"),
            ("plain", "plain", NODE, "bundle = false"),
            ("job", "job", PYTHON, ""),
        )
    )


CDK_APP: Final = f"""
const cdk = require("aws-cdk-lib");
const lambda = require("aws-cdk-lib/aws-lambda");
const stack = new cdk.Stack(new cdk.App({{ context: JSON.parse(process.env.CONTEXT) }}), "Cdk");
const code = lambda.Code.fromAsset("src");
for (const [name, handler, runtime] of [
  ["Web", "app", "{NODE}"], ["Plain", "plain", "{NODE}"], ["Job", "job", "{PYTHON}"],
])
  new lambda.Function(stack, name, {{
    code, handler: `${{handler}}.handler`, runtime: new lambda.Runtime(runtime),
  }});
"""
"""Its assembly is written anew in each world, with that world's absolute paths."""

FORMATS: Final[Mapping[str, Mapping[str, str]]] = {
    "sam": sam(),
    "cfn": cloudformation(),
    "sls-yml": serverless("serverless.yml", "sls-yml"),
    "sls-json": serverless("serverless.json", "sls-json"),
    "sst0": sst_0(),
    "sst1": sst_1(),
    "cdk": {"app.js": CDK_APP},
    "pyproject": {"pyproject.toml": own("pyproject", "src", "tool.lambdad.")},
    "toml": {},
}
"""By the folder of its app, the files that describe it. What describes the last is at the top."""

TEMPLATES: Final = (
    *(
        f"{folder}/{file}"
        for folder in ("sam", "cfn", "sls-yml", "sls-json", "sst0", "sst1")
        for file in FORMATS[folder]
    ),
    "cdk/cdk.out/manifest.json",
)

OF_FORMATS: Final = {
    *("SamWeb", "SamPlain", "SamJob"),
    *("CfnWeb", "CfnPlain", "CfnJob"),
    *("sls-yml-web", "sls-yml-plain", "sls-yml-job"),
    *("sls-json-web", "sls-json-plain", "sls-json-job"),
    *("sst0-app.handler", "sst0-plain.handler", "sst0-job.handler"),
    *("sst1-web", "sst1-plain", "sst1-job"),
    *("Cdk/Web", "Cdk/Plain", "Cdk/Job"),
    *("pyproject-web", "pyproject-plain", "pyproject-job"),
    *("toml-web", "toml-plain", "toml-job"),
}


# --- each lock of Python ---------------------------------------------------------------------

LOCKS: Final = (
    *("requirements-hashed", "requirements-open", "requirements-sdist"),
    *("pylock", "uv", "uv-workspace", "uv-path", "poetry", "pipenv", "options-python"),
)
"""A function each."""

JOB: Final = "def handler(event, context):\n    return 1\n"


def write_locks(project: Project, index: str, poetry: str, pipenv: str) -> None:
    """Folders of functions whose locks are written by their own tools."""
    alpha = project.index.wheel("alpha", requires=["beta"])
    beta = project.index.wheel("beta", files={"beta/b.py": b"b = 1\n", "beta/A.py": b"a = 1\n"})
    project.index.sdist("grown")
    hashed = f"alpha==1.0 --hash=sha256:{alpha}\nbeta==1.0 --hash=sha256:{beta}\n"
    named = '[project]\nname = "app"\nversion = "0.1"\nrequires-python = ">=3.11"\n'
    uv_index = f'[[tool.uv.index]]\nname = "ours"\nurl = "{index}"\ndefault = true\n'
    source = f'name = "ours"\nurl = "{index}"\n'
    near = {f"near/{path}": text for path, text in source_tree("near", requires=["beta"]).items()}
    files = {
        **{f"{name}/app.py": JOB for name in LOCKS if name != "uv-workspace"},
        "requirements-hashed/requirements.txt": hashed,
        "requirements-open/requirements.txt": "alpha\n../near\n",
        "requirements-sdist/requirements.txt": "grown\n",
        "pylock/requirements.in": "alpha\n",
        "uv/pyproject.toml": f'{named}dependencies = ["alpha"]\n{uv_index}',
        "uv-path/pyproject.toml": f'{named}dependencies = ["near"]\n{uv_index}'
        '[tool.uv.sources]\nnear = { path = "../near", editable = true }\n',
        "uv-workspace/pyproject.toml": f"{named}dependencies = []\n{uv_index}"
        '[tool.uv.workspace]\nmembers = ["api", "shared"]\n',
        "uv-workspace/api/pyproject.toml": named.replace("app", "api")
        + 'dependencies = ["shared"]\n[tool.uv.sources]\nshared = { workspace = true }\n',
        "uv-workspace/api/app.py": JOB,
        "poetry/pyproject.toml": '[tool.poetry]\nname = "app"\nversion = "0.1"\n'
        'package-mode = false\n[tool.poetry.dependencies]\npython = ">=3.11"\nalpha = "*"\n'
        f'near = {{ path = "../near" }}\n[[tool.poetry.source]]\n{source}priority = "primary"\n',
        "pipenv/Pipfile": f'[[source]]\n{source}verify_ssl = false\n[packages]\nalpha = "*"\n',
        "options-python/requirements.txt": hashed,
        "common/one/__init__.py": "",
        "common/two.py": "",
        "assets/B.txt": "b",
        "assets/a/c.txt": "c",
        "assets/run.sh": "#!/bin/sh\n",
        "options-python/dist/kept.txt": "kept",
        "options-python/__pycache__/odd.txt": "odd",
        **near,
        **{
            f"uv-workspace/shared/{path}": text
            for path, text in source_tree("shared", requires=["beta"]).items()
        },
    }
    project.lay({f"python/{name}": text for name, text in files.items()})
    compiled = [uv.find_uv_bin(), "pip", "compile", "-q", "--format", "pylock.toml"]
    with ThreadPoolExecutor() as pool:
        done: list[Future[Any]] = [
            pool.submit(python_served.pipenv_lock, project, pipenv, "python/pipenv"),
            pool.submit(python_served.poetry_lock, project, poetry, "python/poetry"),
            *(
                pool.submit(python_served.uv_lock, project, f"python/{name}")
                for name in ("uv", "uv-path", "uv-workspace")
            ),
            pool.submit(
                python_served.run,
                [*compiled, "--index-url", index, "-o", "pylock.toml", "requirements.in"],
                project.root / "python/pylock",
                python_served.networked(project).environ,
            ),
        ]
    for one in done:
        one.result()


OPTIONS: Final = """
include = ["/dist/", "*.pyc", "__pycache__/"]
exclude = ["dist/"]
shared = ["python/common"]
copy = [
  { from = "python/assets/**/*.txt", to = "views" },
  { from = "python/assets/run.sh", to = "bin/" },
]
"""


def locked_functions() -> str:
    return "".join(
        f'[functions.{name}]\ncode = "python/{name}{"/api" if name == "uv-workspace" else ""}"\n'
        f'handler = "app.handler"\nruntime = "{PYTHON}"\n'
        f"{OPTIONS if name == 'options-python' else ''}"
        for name in LOCKS
    )


def test_formats_and_locks(  # noqa: PLR0917 - fixtures
    worlds: tuple[World, World],
    project: Project,
    cdk: Synthesiser,
    poetry_bin: str,
    pipenv_bin: str,
    tmp_path: Path,
) -> None:
    """Functions of every format, of the CDK with an assembly that names each world's own paths;
    and with every lock of Python."""
    pinned = f"gamma==1.0 --hash=sha256:{project.index.wheel('gamma')}\n"
    for name, files in FORMATS.items():
        code = "sst0" if name == "sst0" else "src"
        write_tree(project.root / name, files)
        write_tree(project.root / name / code, {**CODE, "requirements.txt": pinned})
    with python_served.served(project.index.folder) as index:
        write_locks(project, index, poetry_bin, pipenv_bin)
        toml = f"templates = {json.dumps(TEMPLATES)}\n{own('toml', 'toml/src')}{locked_functions()}"
        project.lay({"lambdad.toml": toml})
        laid = files_below(project.root)

        def build(world: World) -> dict[str, bytes]:
            world.lay(laid)
            synthesise(world, cdk)
            return {
                name: zipped
                for folder in (".", "pyproject")
                for name, zipped in world.build(folder, **pip_settings(index)).items()
            }

        one, other = in_both(worlds, build)
    assert {*one} == OF_FORMATS | {*LOCKS}
    assert differences(one, other, tmp_path) == {}


def synthesise(world: World, cdk: Synthesiser) -> None:
    app = world.root / "cdk"
    (app / "node_modules").symlink_to(cdk.library)
    cdk.synth(app, NO_STAGING)
    assert str(world.root) in (app / "cdk.out/Cdk.template.json").read_text()


def pip_settings(index: str) -> dict[str, str]:
    """Of a machine whose index is the tests' own."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index}


def in_both(
    worlds: tuple[World, World], build: Callable[[World], dict[str, bytes]]
) -> list[dict[str, bytes]]:
    """What is built in each world, both at a time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(build, worlds))


# --- each package manager --------------------------------------------------------------------

PNP: Final = "yarn-4-pnp"

USUAL: Final[Mapping[str, Layout]] = {
    **{name: LAYOUTS[name] for name in ("npm", "pnpm-9", "yarn-1", "yarn-4")},
    PNP: PLUG_AND_PLAY,
}
"""Those of managers that other tests that always run fetch, too."""

OTHERS: Final = {name: layout for name, layout in LAYOUTS.items() if name not in USUAL}

INSTALL: Final = """
import { id } from "shared/id";
import plugin from "plugin/id";
export const handler = async () => [id, plugin.id, process.env.STAGE];
"""

BUNDLED_OPTIONS: Final = """
[functions.NAME-options]
code = "NAME/ts"
handler = "install.handler"
install = ["plugin"]
env = { STAGE = "prod" }
include = ["views/"]
copy = [{ from = "NAME/lib/", to = "lib" }]
esbuild = { minify = true, sourcemap = true, sourcesContent = false, format = "esm" }
"""


def functions_of(name: str, folder: str) -> str:
    """The workspace's own functions, of Plug'n'Play those that can be built; and one with options
    of what goes along."""
    bundled = 'code = "{0}/ts"\nhandler = "{1}.handler"\nesbuild = {{ sourcemap = "inline" }}\n'
    packaged = 'code = "{0}/{1}"\nhandler = "app.handler"\nbundle = false\n'
    tables = [("Bundled", bundled, "app"), ("Alone", bundled, "alone")]
    if name != PNP:
        tables += [("Plain", packaged, "src"), ("Apart", packaged, "apart")]
    text = "".join(
        f"[functions.{name}-{function}]\n{table.format(folder, what)}"
        for function, table, what in tables
    )
    return text if name == PNP else text + BUNDLED_OPTIONS.replace("NAME", name)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with npm_apps.serving(npm_workspace.registry()) as registry:
        yield registry


@pytest.mark.parametrize(
    "layouts",
    [
        pytest.param(USUAL, id="usual"),
        pytest.param(OTHERS, id="others", marks=pytest.mark.matrix),
    ],
)
def test_package_managers(
    layouts: Mapping[str, Layout],
    worlds: tuple[World, World],
    registry: Registry,
    tools: Path,
    tmp_path: Path,
) -> None:
    """Workspaces as each package manager lays them out, installed anew in each world."""
    files = {
        f"{name}/{path}": text if isinstance(text, str) else json.dumps(text)
        for name, layout in layouts.items()
        for path, text in {
            **npm_workspace.files_of(layout),
            "ts/install.ts": INSTALL,
            "ts/views/B.html": "b",
            "ts/views/a.html": "a",
        }.items()
        if path != "lambdad.toml"
    }
    settings = f'[defaults]\nruntime = "{NODE}"\n'
    together = [name for name in layouts if name != PNP]
    files["lambdad.toml"] = settings + "".join(functions_of(name, name) for name in together)
    # esbuild looks for .pnp.cjs from the project's folder upwards, so this is a project of its own.
    folders = [".", *({PNP} & {*layouts})]
    if PNP in layouts:
        files[f"{PNP}/lambdad.toml"] = settings + functions_of(PNP, ".")
    laid = {name: text.encode() for name, text in files.items()}
    commands = {name: npm_managers.command(layout.tool, tools) for name, layout in layouts.items()}

    def build(world: World) -> dict[str, bytes]:
        world.lay(laid)
        home = world.root.with_name(f"{world.root.name}-home")
        for name, layout in layouts.items():
            command = [*commands[name], *layout.install]
            folder = world.root / name
            npm_apps.run(folder, registry, *command, home=home / name, umask=world.umask)
        return {name: zipped for folder in folders for name, zipped in world.build(folder).items()}

    one, other = in_both(worlds, build)
    expected = {
        f"{name}-{function}"
        for name in layouts
        for function in ("Bundled", "Alone", "Plain", "Apart", "options")
        if name != PNP or function in {"Bundled", "Alone"}
    }
    assert {*one} == expected
    assert differences(one, other, tmp_path) == {}
