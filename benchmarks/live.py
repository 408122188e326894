"""From a save to the answer of a live request, and what a warm one costs."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Final

from benchmarks.measure import Claim, run
from lambdad.bundler.config.find import read_live
from lambdad.bundler.esbuild import binary
from lambdad.bundler.store.store import cache_folder, store_of
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.life import control
from lambdad.daemon.live.building import FreshCode, FreshSource
from lambdad.daemon.live.invocation import Answered, Invocation
from lambdad.daemon.live.invoker import LiveInvoker
from lambdad.daemon.live.project import LiveProject
from lambdad.daemon.live.workers.crew import Crew
from lambdad.daemon.live.workers.launch import Surroundings

EDITS: Final = 15
WARM: Final = 200
PYTHON: Final = f"python3.{sys.version_info.minor}"
CONFIG: Final = f"""
[defaults]
timeout = 60
[functions.Python]
handler = "app.handler"
runtime = "{PYTHON}"
code = "py"
[functions.Node]
handler = "src/list.handler"
runtime = "nodejs20.x"
"""
PYTHON_CODE: Final = (
    "import boto3, pydantic\nEDIT = {}\ndef handler(event, context):\n    return EDIT\n"
)
NODE_CODE: Final = """
import {{ DynamoDBClient }} from "@aws-sdk/client-dynamodb";
import {{ S3Client }} from "@aws-sdk/client-s3";
const clients = [new DynamoDBClient({{}}), new S3Client({{}})];
export const handler = async () => clients && {};
"""
SDK: Final = '{"dependencies": {"@aws-sdk/client-dynamodb": "3", "@aws-sdk/client-s3": "3"}}'


class Quiet:
    """A RequestWatcher that shows nothing."""

    def began(self, *_given: object) -> None: ...

    def built(self, *_given: object) -> None: ...

    def finished(self, *_given: object) -> None: ...

    def logged(self, *_given: object) -> None: ...


class Live:
    """What `lambdad start` has behind its servers."""

    def __init__(self, root: str, environ: dict[str, str]) -> None:
        around = Surroundings(root=root, environ=environ, overrides={}, session="bench")
        quiet = Quiet()
        self.crew = Crew(quiet)
        self.source = FreshSource(root, environ)
        project = LiveProject(root, lambda: read_live(root, environ))
        self.invoker = LiveInvoker(project, self.source, self.crew, lambda: around, quiet)

    async def ask(self, function: str) -> object:
        invocation = Invocation(function=function, payload=b"{}", request_id=str(uuid.uuid4()))
        outcome = await self.invoker.invoke(invocation)
        assert isinstance(outcome, Answered), outcome
        return json.loads(outcome.payload)

    async def after_edit(self, function: str, path: str, code: str) -> float:
        """Seconds from a save to its answer, where the developer takes a moment between saves."""
        series = []
        for number in range(1, EDITS + 2):
            await self.crew.spares_booted()
            Path(path).write_text(code.format(number))
            began_s = time.perf_counter()
            assert await self.ask(function) == number
            series.append(time.perf_counter() - began_s)
        return statistics.median(series[1:])

    async def warm(self, function: str) -> float:
        """Seconds of a request that finds everything as it was."""
        series = []
        for _ in range(WARM):
            began_s = time.perf_counter()
            await self.ask(function)
            series.append(time.perf_counter() - began_s)
        return statistics.median(series)

    async def close(self) -> None:
        await self.crew.close()
        await self.source.close()


def claims(folder: Path) -> list[Claim]:
    environ = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "LAMBDAD_CACHE_DIR": str(cache_folder(dict(os.environ))),
    }
    (folder / "run").mkdir(mode=0o700)
    root = os.path.realpath(folder / "app")
    for name, text in {
        "lambdad.toml": CONFIG,
        "package.json": SDK,
        "py/requirements.txt": "boto3\npydantic\n",
        "py/app.py": PYTHON_CODE.format(0),
        "src/list.ts": NODE_CODE.format(0),
    }.items():
        Path(root, name).parent.mkdir(parents=True, exist_ok=True)
        Path(root, name).write_text(text)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=root, check=True)
    try:
        return asyncio.run(_claims(root, environ))
    finally:
        control.stop(root, environ)


async def _claims(root: str, environ: dict[str, str]) -> list[Claim]:
    live = Live(root, environ)
    try:
        python = await live.after_edit("Python", f"{root}/py/app.py", PYTHON_CODE)
        node = await live.after_edit("Node", f"{root}/src/list.ts", NODE_CODE)
        warm = await live.warm("Python")
        python_code = await live.source.fresh("Python")
        node_code = await live.source.fresh("Node")
    finally:
        await live.close()
    assert isinstance(python_code, FreshCode)
    assert isinstance(node_code, FreshCode)
    new_python = _new_python(root, python_code)
    new_node = _bundled_anew(root, environ) + _new_node(root, node_code)
    return [
        Claim(
            what="save to answer, Python that imports boto3 and pydantic",
            ours=python,
            yardstick="a new interpreter that loads the function",
            theirs=new_python,
            limit=new_python / 10,
            promise="at least 10 times faster",
        ),
        Claim(
            what="save to answer, TypeScript with two clients of the AWS SDK",
            ours=node,
            yardstick="esbuild from scratch, and a new node on its bundle",
            theirs=new_node,
            limit=new_node / 2,
            promise="at least 2 times faster",
        ),
        Claim(
            what="a warm request",
            ours=warm,
            yardstick="a new interpreter that loads the function",
            theirs=new_python,
            limit=new_python / 10,
            promise="far below it",
        ),
    ]


def _median(command: list[str], root: str) -> float:
    return statistics.median(run(command, Path(root)).wall_s for _ in range(7))


def _new_python(root: str, code: FreshCode) -> float:
    path = [os.path.join(root, one) for one in code.live.path]
    script = f"import sys; sys.path[:0] = {path!r}; import app; app.handler({{}}, None)"
    return _median([code.live.interpreter or sys.executable, "-c", script], root)


def _bundled_anew(root: str, environ: dict[str, str]) -> float:
    store = store_of(environ, root)
    esbuild = binary.find(Workshop(root=root, repository=root, store=store, environ=environ))
    options = ["--bundle", "--platform=node", "--sourcemap", f"--outfile={root}/out/list.js"]
    return _median([str(esbuild), f"{root}/src/list.ts", *options], root)


def _new_node(root: str, code: FreshCode) -> float:
    script = f"import({str(Path(root, code.live.entry))!r}).then((it) => it.handler())"
    return _median(["node", "--enable-source-maps", "-e", script], root)
