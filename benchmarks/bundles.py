"""Twenty TypeScript functions with five shared modules each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Claim, Cost, in_turn, run
from benchmarks.peers import LAMBDAD, SAM_ENVIRON, sam
from lambdad.bundler.esbuild import binary
from lambdad.bundler.store.store import Store
from lambdad.bundler.toolchain import ESBUILD
from lambdad.bundler.workshop import Workshop

FUNCTIONS = 20
OPTIONS = "--bundle --platform=node --target=node22 --minify --sourcemap"
RUNS = 7


def claims(folder: Path) -> list[Claim]:
    app, store = folder / "app", folder / "store"
    write_app(app)
    environ = {"LAMBDAD_CACHE_DIR": str(store)}
    esbuild = binary.find(
        Workshop(root=str(app), repository=str(app), store=Store(store), environ=environ)
    )
    entries = [f"src/f{number}.ts" for number in range(FUNCTIONS)]

    def bare() -> Cost:
        out = folder / "bare"
        shutil.rmtree(out, ignore_errors=True)
        return run(
            [esbuild, *entries, *OPTIONS.split(), f"--outdir={out}"],
            app,
        )

    def cold() -> Cost:
        shutil.rmtree(app / ".lambdad", ignore_errors=True)
        return run([LAMBDAD, "build"], app, environ)

    def unchanged() -> Cost:
        return run([LAMBDAD, "build"], app, environ)

    def interpreter() -> Cost:
        return run([sys.executable, "-c", "pass"], app)

    ours_cold, bare_cost = in_turn(RUNS, cold, bare)
    for _ in range(3):  # so that what was written in the clock tick of a build is seen to hold
        unchanged()
    ours_unchanged, start = in_turn(RUNS, unchanged, interpreter)
    run([LAMBDAD, "daemon", "start"], app, environ)
    with_daemon = in_turn(RUNS, unchanged)[0]
    run([LAMBDAD, "daemon", "stop"], app, environ)
    found = [
        Claim(
            what="cold build of 20 functions",
            ours=ours_cold.wall_s,
            yardstick="one esbuild process given the 20 entries",
            theirs=bare_cost.wall_s,
            limit=3 * bare_cost.wall_s + 0.25,
            promise="at most 3 times that and 0.25 s",
        ),
    ]
    found += [
        Claim(
            what=f"nothing changed, 20 functions, processor time, {which} a daemon",
            ours=cost.cpu_s,
            yardstick="the bare interpreter's start",
            theirs=start.cpu_s,
            limit=0.06,
            promise="at most 0.06 s",
        )
        for which, cost in (("without", ours_unchanged), ("with", with_daemon))
    ]
    peer = sam_costs(app)
    yardstick, theirs = (
        ("sam build --cached", peer[1].wall_s) if peer else ("esbuild", bare_cost.wall_s)
    )
    found.append(
        Claim(
            what="nothing changed, 20 functions",
            ours=ours_unchanged.wall_s,
            yardstick=yardstick,
            theirs=theirs,
            limit=0.3,
            promise="at most 0.3 s",
        )
    )
    if peer:
        found.append(
            Claim(
                what="cold build of 20 functions",
                ours=ours_cold.wall_s,
                yardstick="sam build, cold",
                theirs=peer[0].wall_s,
                limit=peer[0].wall_s,
                promise="less than that",
            )
        )
    return found


def sam_costs(app: Path) -> tuple[Cost, Cost] | None:
    """SAM's cold build and its build with nothing changed; it wants esbuild in the project."""
    program = sam()
    if program is None:
        return None
    subprocess.run(
        ["npm", "install", "--no-save", "--silent", f"esbuild@{ESBUILD}"], cwd=app, check=True
    )
    environ = {**SAM_ENVIRON, "PATH": f"{app}/node_modules/.bin:{SAM_ENVIRON['PATH']}"}
    return (
        run([program, "build", "--cached"], app, environ),
        run([program, "build", "--cached"], app, environ),
    )


def write_app(app: Path) -> None:
    (app / "src").mkdir(parents=True)
    (app / "package.json").write_text('{"name": "bench", "version": "1.0.0", "private": true}\n')
    for number in range(5):
        lines = "\n".join(
            f"export function m{number}f{line}(value: string): string {{\n"
            f"  return `{number}.{line}: ${{value.padStart({line})}}`;\n}}"
            for line in range(40)
        )
        (app / f"src/shared{number}.ts").write_text(lines + "\n")
    resources = []
    for number in range(FUNCTIONS):
        imports = "\n".join(
            f'import {{ m{module}f{number} }} from "./shared{module}";' for module in range(5)
        )
        calls = ", ".join(f'm{module}f{number}("x")' for module in range(5))
        (app / f"src/f{number}.ts").write_text(
            f"{imports}\n\nexport const handler = async (): Promise<string[]> => [{calls}];\n"
        )
        resources.append(
            f"  F{number}:\n"
            "    Type: AWS::Serverless::Function\n"
            "    Metadata:\n"
            "      BuildMethod: esbuild\n"
            "      BuildProperties:\n"
            "        Minify: true\n"
            "        Sourcemap: true\n"
            "        Target: node22\n"
            f"        EntryPoints: [src/f{number}.ts]\n"
            "    Properties:\n"
            f"      Handler: f{number}.handler\n"
            "      Runtime: nodejs22.x\n"
            "      CodeUri: .\n"
        )
    head = "AWSTemplateFormatVersion: '2010-09-09'\nTransform: AWS::Serverless-2016-10-31\n"
    (app / "template.yaml").write_text(f"{head}Resources:\n{''.join(resources)}")
