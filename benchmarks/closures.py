"""What a bundle looked at, worked out from its metafile: 600 modules in 229 folders."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Claim, Cost, in_turn, run
from lambdad.bundler.esbuild import binary
from lambdad.bundler.esbuild.closure import closure, from_metafile
from lambdad.bundler.esbuild.prober import Disk
from lambdad.bundler.esbuild.resolution import Settings
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop

MODULES = 600
PACKAGES = 40
RUNS = 7


def claims(folder: Path) -> list[Claim]:
    app = Path(os.path.realpath(folder)) / "closure"
    write_app(app)
    store = Store(folder / "store")
    esbuild = binary.find(Workshop(root=str(app), repository=str(app), store=store, environ={}))
    arguments = [esbuild, "index.js", "--bundle", "--platform=node", "--outfile=out.js"]

    def bundle() -> Cost:
        return run([*arguments, "--metafile=meta.json", "--log-level=error"], app)

    bundle()
    metafile = json.loads((app / "meta.json").read_bytes())

    ours, theirs = in_turn(RUNS, lambda: _timed(lambda: _closure(metafile, str(app))), bundle)
    return [
        Claim(
            what="the inputs of a bundle of 600 modules",
            ours=ours.wall_s,
            yardstick="one esbuild process that bundles them",
            theirs=theirs.wall_s,
            limit=theirs.wall_s,
            promise="less than that",
        )
    ]


def _closure(metafile: dict[str, object], root: str) -> None:
    disk = Disk()
    sources = from_metafile(metafile, ["index.js"], root, disk)
    seen = Seen(root, root)
    closure(sources, seen, settings=Settings(folder=root), disk=disk)
    assert len(seen.inputs().files) >= MODULES


def _timed(work: Callable[[], None]) -> Cost:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def write_app(app: Path) -> None:
    folders = [f"node_modules/p{i % PACKAGES}/lib/d{i}" for i in range(200)] + ["src", "src/lib"]
    lines = []
    for index in range(MODULES):
        folder = folders[index % len(folders)]
        (app / folder).mkdir(parents=True, exist_ok=True)
        imports = f'import "p{index % PACKAGES}"; ' if index % 3 == 0 else ""
        (app / folder / f"m{index}.js").write_text(f"{imports}export const v{index} = 1")
        lines.append(f'import {{ v{index} }} from "./{folder}/m{index}"; console.log(v{index});')
    for index in range(PACKAGES):
        (app / f"node_modules/p{index}/package.json").write_text('{"main": "lib/main.js"}')
        (app / f"node_modules/p{index}/lib/main.js").write_text("export {}")
    (app / "index.js").write_text("\n".join(lines))
