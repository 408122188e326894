"""A save in a project of fifty functions: by the command that editors run, and by the server."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Claim, Cost, run
from benchmarks.peers import BIN, LAMBDAD
from benchmarks.rebuilds import FLAGS, timed
from lambdad.bundler.esbuild import binary
from lambdad.bundler.esbuild.engine import EsbuildJob
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.store.store import cache_folder, store_of
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.client import asking
from lambdad.daemon.life import control

FUNCTIONS: Final = 50
RUNS: Final = 21
WARM: Final = 4
PYTHON: Final = "def handler(event, context):\n    return {}\n"
SCRIPT: Final = 'import {{ word }} from "./word";\nexport const handler = async () => word + {};\n'


def claims(folder: Path) -> list[Claim]:
    environ = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_STATE_HOME": str(folder / "state"),  # nothing here is trusted
        "LAMBDAD_CACHE_DIR": str(cache_folder(dict(os.environ))),
    }
    (folder / "run").mkdir(mode=0o700)
    root = Path(os.path.realpath(folder)) / "app"
    write_project(root)
    try:
        body = {"functions": "all"}
        status, answer = asking.request(str(root), "POST", "/v1/fresh", body, environ=environ)
        assert status == 200
        assert answer["ok"], answer
        return [
            _python(root, environ),
            _script(root, environ),
            asyncio.run(_server(root, environ)),
        ]
    finally:
        control.stop(str(root), environ)


def write_project(root: Path) -> None:
    """Half Python, half TypeScript; each function has a folder of its own."""
    tables = []
    for number in range(FUNCTIONS):
        home = root / f"f{number}"
        home.mkdir(parents=True)
        if number % 2:
            (home / "app.ts").write_text(SCRIPT.format(number))
            (home / "word.ts").write_text('export const word = "word";\n')
        else:
            (home / "app.py").write_text(PYTHON.format(number))
        runtime = "nodejs22.x" if number % 2 else "python3.12"
        tables.append(
            f'[functions.F{number}]\nhandler = "app.handler"\nruntime = "{runtime}"\n'
            f'code = "f{number}"\n'
        )
    (root / "lambdad.toml").write_text("\n".join(tables))


def _medians(*measures: Callable[[], Cost]) -> list[float]:
    """Of the walls, one of each in turn: drift hits all alike."""
    walls: list[list[float]] = [[] for _ in measures]
    for turn in range(WARM + RUNS):
        for index, measure in enumerate(measures):
            cost = measure()
            if turn >= WARM:
                walls[index].append(cost.wall_s)
    return [statistics.median(series) for series in walls]


def _editor(path: Path, content: str) -> Callable[[], None]:
    """Each call saves other content."""
    numbers = itertools.count(1000)

    def edit() -> None:
        path.write_text(content.format(next(numbers)))

    return edit


def _python(root: Path, environ: Mapping[str, str]) -> Claim:
    path = root / "f0/app.py"
    edit = _editor(path, PYTHON)
    ruff: list[str | Path] = [BIN / "ruff", "check", "--quiet", path]

    def ours() -> Cost:
        edit()
        return run([LAMBDAD, "save", path], root, environ)

    def theirs() -> Cost:
        edit()
        return run(ruff, root, environ)

    saved, checked, bare = _medians(ours, theirs, lambda: _bare(root))
    return Claim(
        what=f"lambdad save of a Python file, {FUNCTIONS} functions, whole process",
        ours=saved,
        yardstick="ruff check of that file by itself, and the interpreter's bare start",
        theirs=checked + bare,
        limit=2.5 * (checked + bare) + 0.010,
        promise="at most 2.5 times that and 10 ms",
    )


def _bare(root: Path) -> Cost:
    return run([sys.executable, "-c", "pass"], root)


def _script(root: Path, environ: Mapping[str, str]) -> Claim:
    path = root / "f1/app.ts"
    edit = _editor(path, SCRIPT)
    workshop = Workshop(
        root=str(root),
        repository=str(root),
        store=store_of(os.environ, str(root)),
        environ=environ,
    )
    service = EsbuildService(binary.find(workshop), binary.VERSION)
    entries = (("app", str(path)),)
    context = service.context(
        EsbuildJob(entries=entries, flags=FLAGS, folder=str(root), out_folder=str(root))
    )

    def ours() -> Cost:
        edit()
        return run([LAMBDAD, "save", path], root, environ)

    def theirs() -> Cost:
        edit()
        return timed(context.rebuild)

    saved, rebuilt, bare = _medians(ours, theirs, lambda: _bare(root))
    service.close()
    return Claim(
        what=f"lambdad save of a TypeScript file, {FUNCTIONS} functions, whole process",
        ours=saved,
        yardstick="esbuild's rebuild of that function, and the interpreter's bare start",
        theirs=rebuilt + bare,
        limit=rebuilt + bare + 0.020,
        promise="at most 20 ms more than that",
    )


async def _server(root: Path, environ: Mapping[str, str]) -> Claim:
    from lsprotocol import types as lsp
    from pygls.lsp.client import LanguageClient

    from lambdad.daemon.lsp.session import uri_of

    path = root / "f0/app.py"
    faulty = _editor(path, PYTHON.replace("{}", "missing{}"))
    ruff: list[str | Path] = [BIN / "ruff", "check", "--quiet", "--exit-zero", path]
    editor = LanguageClient("bench", "1")
    news: asyncio.Queue[str] = asyncio.Queue()

    async def published(params: Any) -> None:
        news.put_nowait(" ".join(each.message for each in params.diagnostics))

    editor.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(published)
    await editor.start_io(str(LAMBDAD), "lsp", env={**os.environ, **environ}, cwd=root)
    folders = [lsp.WorkspaceFolder(uri_of(str(root)), "app")]
    await editor.initialize_async(
        lsp.InitializeParams(capabilities=lsp.ClientCapabilities(), workspace_folders=folders)
    )
    editor.initialized(lsp.InitializedParams())
    document = lsp.TextDocumentIdentifier(uri_of(str(path)))
    item = lsp.TextDocumentItem(document.uri, "python", 1, path.read_text())
    editor.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    async def save() -> float:
        faulty()
        wanted = path.read_text().split()[-1]
        started_s = time.perf_counter()
        editor.text_document_did_save(lsp.DidSaveTextDocumentParams(document))
        while wanted not in await asyncio.wait_for(news.get(), 60):
            continue
        return time.perf_counter() - started_s

    walls: list[float] = []
    alone: list[float] = []
    for turn in range(WARM + RUNS):
        told_s, checked_s = await save(), run(ruff, root, environ).wall_s
        if turn >= WARM:
            walls.append(told_s)
            alone.append(checked_s)
    await editor.shutdown_async(None)
    editor.exit(None)
    await editor.stop()  # type: ignore[no-untyped-call]
    checked = statistics.median(alone)
    return Claim(
        what=f"lambdad lsp, didSave of a Python file to diagnostics, {FUNCTIONS} functions",
        ours=statistics.median(walls),
        yardstick="ruff check of that file by itself",
        theirs=checked,
        limit=checked + 0.030,
        promise="at most 30 ms more than that",
    )
