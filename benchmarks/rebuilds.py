"""Rebuilds inside one process that keeps what the daemon keeps: an edit at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import vendoring
from benchmarks.measure import Claim, Cost, in_turn
from lambdad.bundler import build
from lambdad.bundler.build import look
from lambdad.bundler.config.find import read_project
from lambdad.bundler.esbuild import binary
from lambdad.bundler.esbuild.engine import EsbuildJob
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.javascript import bundled
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import BuildResult, Project, Snapshot
from lambdad.bundler.report.render import status
from lambdad.bundler.store import record_cache
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.store import Store, store_of
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents

MODULES: Final = 588
"""As many as a client of the AWS SDK has."""
FUNCTIONS: Final = 200
RUNS: Final = 15
WARM: Final = 4
"""Rebuilds before any is measured: the first of them makes the context."""
FLAGS: Final = ("--bundle", "--platform=node", "--target=node22", "--sourcemap")


def claims(folder: Path) -> list[Claim]:
    return [
        one_edit(folder / "large", MODULES, slack_s=0.0),
        one_edit(folder / "small", 6, slack_s=0.005),
        shared_edit(folder / "shared"),
        python_edit(folder / "python"),
    ]


class App:
    """A project, and what a daemon has of it."""

    def __init__(self, root: Path, store: Store | None = None) -> None:
        environ = dict(os.environ)
        self.memory = Memory()
        self._left: list[Callable[[], None]] = []
        self.project: Project = read_project(os.path.realpath(root), environ)
        self.workshop = Workshop(
            root=self.project.root,
            repository=self.project.repository,
            store=store or store_of(environ, self.project.root),
            environ=environ,
            memory=self.memory,
            later=self._left.append,
        )
        self.output = Output(self.project.root)
        self.output.prepare()
        self.requests = [request_of(self.project, function) for function in self.project.functions]

    def close(self) -> None:
        self.memory.close()

    def after_the_answer(self) -> None:
        """What a daemon does once nobody waits any more."""
        while self._left:
            self._left.pop()()

    def produce(self) -> list[BuildResult]:
        """The build of all, from the moment it is known what is stale."""
        jobs = []
        view, state = snapshot.view(self.output.read_clock()), self.workshop.state()
        for request in self.requests:
            known = record_cache.of(self.memory).get(
                state.record(request.function.name, request.want)
            )
            found = look(self.output, request, known, once=view.look)
            if isinstance(found, BuildResult):
                raise SystemExit(f"{found.name} is fresh after an edit")
            jobs.append(found)
        made: list[BuildResult] = []
        build.produce(jobs, self.workshop, self.output, made.append, view)
        if faults := [one.diagnostics for one in made if status(one) != "built"]:
            raise SystemExit(str(faults[0]))
        return made


def timed(work: Callable[[], object]) -> Cost:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def measured(*measures: Callable[[], Cost]) -> list[Cost]:
    for measure in measures * WARM:
        measure()
    return in_turn(RUNS, *measures)


# --- bundles ---


def one_edit(root: Path, modules: int, slack_s: float) -> Claim:
    """pack, and the look at all inputs before and after it, against a bare context's rebuild."""
    write_modules(root, modules)
    app = App(root)
    root = Path(app.project.root)
    service = EsbuildService(binary.find(app.workshop), binary.VERSION)
    context = service.context(
        EsbuildJob(
            entries=(("app", f"{root}/app.ts"),),
            flags=FLAGS,
            folder=str(root),
            out_folder=str(root),
        )
    )
    edit = editor(root / "app.ts")

    def bare() -> Cost:
        edit()
        return timed(context.rebuild)

    before: Snapshot | None = None

    def ours() -> Cost:
        edit()
        return timed(whole)

    def whole() -> None:
        nonlocal before
        clock = app.output.read_clock()
        workshop = replace(app.workshop, look=Look())
        if before is not None:
            known = snapshot.inputs_of(before)
            before = snapshot.observe(workshop.root, known, known=before, look=workshop.look)
        seen = Seen(workshop.root, workshop.repository)
        (packed,) = bundled.packed(app.requests, workshop, {"App": seen})
        if not isinstance(packed["App"], Contents):
            raise SystemExit(str(packed["App"]))
        before = snapshot.observe(workshop.root, seen.inputs(), since=clock, known=before)

    mine, theirs = measured(ours, bare)
    service.close()
    app.close()
    return Claim(
        what=f"one-file edit of a function of {modules} modules, to its contents",
        ours=mine.wall_s,
        yardstick="a bare esbuild context's rebuild",
        theirs=theirs.wall_s,
        limit=1.25 * theirs.wall_s + slack_s,
        promise="at most 1.25 times that" + (" and 5 ms" if slack_s else ""),
    )


def shared_edit(root: Path) -> Claim:
    """All functions stale by one edit, to finished zips and records."""
    write_functions(root, FUNCTIONS)
    app = App(root)
    esbuild = binary.find(app.workshop)
    edit = editor(root / "src/shared0.ts")
    entries = [f"src/f{number}.ts" for number in range(FUNCTIONS)]
    out = root.parent / "bare"

    def bare() -> Cost:
        app.after_the_answer()
        edit()
        shutil.rmtree(out, ignore_errors=True)
        command = [esbuild, *entries, *FLAGS, f"--outdir={out}", "--log-level=error"]
        return timed(lambda: subprocess.run(command, cwd=root, check=True))

    def ours() -> Cost:
        app.after_the_answer()
        edit()
        return timed(app.produce)

    mine, theirs = in_turn(5, ours, bare)
    app.close()
    return Claim(
        what=f"a module shared by {FUNCTIONS} functions edited, all of them to zips",
        ours=mine.wall_s,
        yardstick=f"one esbuild process given the {FUNCTIONS} entries",
        theirs=theirs.wall_s,
        limit=1.25 * theirs.wall_s,
        promise="at most 1.25 times that",
    )


def editor(path: Path) -> Callable[[], None]:
    """Saves the file with another number in place of its 0000 each time."""
    text = path.read_text()
    numbers = iter(range(1000, 10_000))

    def edit() -> None:
        path.write_text(text.replace("0000", str(next(numbers)), 1))

    return edit


def write_modules(root: Path, modules: int) -> None:
    """Packages of up to 60 modules in node_modules, each of the size that SDK clients' have."""
    names: list[str] = []
    count = 0
    while count < modules - 1:
        inside = min(60, modules - 1 - count)
        name = f"@bench/part-{len(names)}"
        names.append(name)
        home = root / "node_modules" / name
        (home / "dist-es").mkdir(parents=True)
        (home / "package.json").write_text(
            f'{{"name": "{name}", "version": "1.0.0", "main": "./dist-es/index.js", '
            '"sideEffects": false}\n'
        )
        for number in range(inside):
            last = number == inside - 1
            file = home / "dist-es" / ("index.js" if last else f"command{number}.js")
            exports = [f'export * from "./command{other}";' for other in range(inside - 1)]
            file.write_text("\n".join(exports) + "\n" if last else module(len(names), number))
        count += inside
    imports = [f'import * as part{index} from "{name}";' for index, name in enumerate(names)]
    parts = ", ".join(f"part{index}" for index in range(len(names)))
    root.mkdir(exist_ok=True)
    (root / "app.ts").write_text(
        "\n".join(imports) + f"\nexport const handler = async () => ['0000', {parts}];\n"
    )
    (root / "package.json").write_text('{"name": "bench", "private": true}\n')
    (root / "template.yaml").write_text(template({"App": "app.ts"}))


def module(package: int, number: int) -> str:
    name = f"Command{package}x{number}"
    before = f'import {{ Command{package}x{number - 1} }} from "./command{number - 1}";\n'
    lines = [
        f"  field{line}(input, context) {{\n"
        f"    if (input.value{line} !== undefined) context.set({line}, `${{input.value{line}}}`);\n"
        "    return { ...input, next: context.get('x') ?? null };\n  }"
        for line in range(9)
    ]
    base = f" extends Command{package}x{number - 1}" if number else ""
    return (
        (before if number else "") + f"export class {name}{base} {{\n" + "\n".join(lines) + "\n}\n"
    )


def write_functions(root: Path, functions: int) -> None:
    (root / "src").mkdir(parents=True)
    for number in range(5):
        lines = [
            f"export const m{number}f{line} = (text: string): string => "
            f"`{number}.{line} 0000 ${{text.padStart({line})}}`;"
            for line in range(functions)
        ]
        (root / f"src/shared{number}.ts").write_text("\n".join(lines) + "\n")
    for number in range(functions):
        imports = [f'import {{ m{m}f{number} }} from "./shared{m}";' for m in range(5)]
        calls = ", ".join(f'm{m}f{number}("x")' for m in range(5))
        (root / f"src/f{number}.ts").write_text(
            "\n".join(imports) + f"\nexport const handler = async () => [{calls}];\n"
        )
    (root / "package.json").write_text('{"name": "bench", "private": true}\n')
    entries = {f"F{number}": f"src/f{number}.ts" for number in range(functions)}
    (root / "template.yaml").write_text(template(entries))


def template(entries: dict[str, str]) -> str:
    head = "AWSTemplateFormatVersion: '2010-09-09'\nTransform: AWS::Serverless-2016-10-31\n"
    resources = [
        f"  {name}:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Metadata:\n"
        "      BuildMethod: esbuild\n"
        "      BuildProperties:\n"
        "        Minify: false\n"
        "        Sourcemap: true\n"
        "        Target: node22\n"
        f"        EntryPoints: [{path}]\n"
        "    Properties:\n"
        f"      Handler: {Path(path).stem}.handler\n"
        "      Runtime: nodejs22.x\n"
        "      CodeUri: .\n"
        for name, path in entries.items()
    ]
    return f"{head}Resources:\n{''.join(resources)}"


# --- Python ---


def python_edit(folder: Path) -> Claim:
    """A one-line edit with 37 MB of dependencies, to the finished, hashed zip and its record."""
    vendoring.write_app(folder)
    app = App(folder, Store(folder.parent / "store"))
    made = app.produce()
    code = folder / "src" / "app.py"
    code.write_text(code.read_text().replace("EDIT = 0", "EDIT = 0000"))
    edit = editor(code)

    def ours() -> Cost:
        edit()
        return timed(produce)

    def produce() -> None:
        nonlocal made
        made = app.produce()

    def copied() -> Cost:
        artifact = made[0].artifact
        assert artifact is not None
        source, target = f"{app.project.root}/{artifact.immutable_path}", folder / "copy.zip"
        cost = timed(lambda: subprocess.run(["cp", source, target], check=True))
        target.unlink()
        return cost

    mine, theirs = measured(ours, copied)
    return Claim(
        what="one-line edit of a Python function with 37 MB of dependencies, to its zip",
        ours=mine.wall_s,
        yardstick="cp of that zip",
        theirs=theirs.wall_s,
        limit=1.5 * theirs.wall_s + 0.005,
        promise="at most 1.5 times that and 5 ms",
    )
