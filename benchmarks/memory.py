"""Memory of the daemon and esbuild: SDK-sized functions, long hours of edits."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from benchmarks.measure import Claim, run
from benchmarks.rebuilds import editor, timed, write_modules
from lambdad.bundler.esbuild import binary
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.client import asking
from lambdad.daemon.life import control, process
from lambdad.daemon.wire.address import address, read_note

MB: Final = 1_000_000
SDK_FUNCTIONS: Final = 50
SDK_LIMIT_MB: Final = 500.0
CLIENTS: Final = ("dynamodb", "s3", "sqs", "ssm", "lambda")
VERSION: Final = "3.750.0"
"""Of the AWS SDK's clients: they are installed by npm, as a user's are."""
EDITS: Final = 2000
SETTLED: Final = 500
"""Edits after which memory is to grow no more."""
SAMPLE_S: Final = 0.02
FLAGS: Final = ("--bundle", "--platform=node", "--target=node22", "--sourcemap")


def claims(folder: Path) -> list[Claim]:
    (folder / "run").mkdir(mode=0o700)
    environ = {
        **os.environ,
        "LAMBDAD_CACHE_DIR": str(folder / "store"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
    }
    sdk, small = folder / "sdk", folder / "small"
    write_sdk(sdk)
    write_modules(small, 60)
    try:
        return [*_sdk(App(sdk, environ)), _edits(App(small, environ))]
    finally:
        for root in (sdk, small):
            control.stop(str(root), environ)


class App:
    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = environ

    def ask(self, functions: list[str] | str) -> None:
        status, answer = asking.request(
            str(self.root), "POST", "/v1/fresh", {"functions": functions}, environ=self.environ
        )
        if status != 200 or not answer["ok"]:
            raise SystemExit(str(answer))

    def status(self) -> Mapping[str, Any]:
        return asking.request(str(self.root), "GET", "/v1/status", environ=self.environ)[1]

    def resident(self) -> float:
        """Megabytes of the daemon and its children now."""
        note = read_note(address(str(self.root), self.environ))
        if note is None:
            return 0.0
        pid = int(note["pid"])
        # Between fork and exec a child seems to have all that we have.
        esbuild = sum(each.memory for each in process.children(pid) if each.name == "esbuild")
        return (process.memory(pid) + esbuild) / MB


class Peak:
    """The most that was resident while it was open."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.megabytes = 0.0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.megabytes = max(self.megabytes, self._app.resident())


def _sdk(app: App) -> list[Claim]:
    names = [f"F{number}" for number in range(SDK_FUNCTIONS)]
    touch = editor(app.root / "src/shared.ts")
    with Peak(app) as peak:
        for _ in range(3):  # a proxy asks for one at a time; from the second on contexts are made
            for name in names:
                app.ask([name])
            touch()
        app.ask("all")
    found = [
        Claim(
            what=f"{SDK_FUNCTIONS} functions with an AWS SDK client, all of them asked for: "
            "the most that was resident",
            ours=peak.megabytes,
            yardstick="half a gigabyte",
            theirs=SDK_LIMIT_MB,
            limit=SDK_LIMIT_MB,
            promise="at most that, the daemon and esbuild together",
            unit="MB",
        )
    ]
    return [*found, _dropped(app, names)]


def _dropped(app: App, names: list[str]) -> Claim:
    """Each function in turn, more of them than there is room for: none has a context left."""
    store = Store(Path(app.environ["LAMBDAD_CACHE_DIR"]))
    root = str(app.root)
    esbuild = binary.find(Workshop(root=root, repository=root, store=store, environ=app.environ))
    dropped: list[float] = []
    kept: list[float] = []
    theirs: list[float] = []

    def edited(name: str) -> float:
        source = app.root / f"src/{name.lower()}.ts"
        source.write_text(source.read_text() + "// edited\n")
        return timed(lambda: app.ask([name])).wall_s

    for name in names[:40]:
        dropped.append(edited(name))
        command: list[str | Path] = [esbuild, app.root / f"src/{name.lower()}.ts", *FLAGS]
        command += [f"--outdir={app.root / 'bare'}", "--log-level=error"]
        theirs.append(run(command, app.root).wall_s)
    for name in names[:5]:  # one of each client; the second edit makes the context
        kept += [edited(name) for _ in range(7)][2:]
    one_shot = statistics.median(theirs)
    return Claim(
        what="an edited function with an AWS SDK client, an answer: what it takes longer "
        f"({statistics.median(dropped):.3f} s) if its context was dropped",
        ours=statistics.median(dropped) - statistics.median(kept),
        yardstick="a one-shot esbuild run",
        theirs=one_shot,
        limit=one_shot,
        promise="at most that",
    )


def _edits(app: App) -> Claim:
    edit = editor(app.root / "app.ts")
    asked: Callable[[], None] = lambda: app.ask(["App"])  # noqa: E731 -- read as one line
    settled = 0.0
    last: list[float] = []
    for number in range(EDITS):
        edit()
        asked()
        if SETTLED - 100 <= number < SETTLED:
            settled = max(settled, app.resident())
        if number >= EDITS - 100:
            last.append(app.resident())
    return Claim(
        what=f"resident after {EDITS} edits of a function of 60 modules",
        ours=max(last),
        yardstick=f"the most after {SETTLED}",
        theirs=settled,
        limit=1.1 * settled,
        promise="flat: at most 1.1 times that",
        unit="MB",
    )


def write_sdk(root: Path) -> None:
    (root / "src").mkdir(parents=True)
    dependencies = ", ".join(f'"@aws-sdk/client-{name}": "{VERSION}"' for name in CLIENTS)
    (root / "package.json").write_text(
        f'{{"name": "bench", "private": true, "dependencies": {{{dependencies}}}}}\n'
    )
    print("installing AWS SDK clients ...", flush=True)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(["npm", "install", *quiet], cwd=root, check=True)
    (root / "src/shared.ts").write_text('export const shared = "0000";\n')
    tables = []
    for number in range(SDK_FUNCTIONS):
        package = f"@aws-sdk/client-{CLIENTS[number % len(CLIENTS)]}"
        (root / f"src/f{number}.ts").write_text(
            f'import * as sdk from "{package}";\nimport {{ shared }} from "./shared";\n'
            f"export const handler = async () => [shared, {number}, Object.keys(sdk).length];\n"
        )
        tables.append(
            f'[functions.F{number}]\nhandler = "src/f{number}.handler"\nruntime = "nodejs22.x"\n'
        )
    (root / "lambdad.toml").write_text("\n".join(tables))
