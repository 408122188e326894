"""The daemon: answers with nothing changed, the command's start, a warm start, an idle minute."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.measure import Claim, run
from benchmarks.peers import LAMBDAD
from lambdad.bundler.model import Want
from lambdad.bundler.store import project_state, record
from lambdad.daemon.client import asking
from lambdad.daemon.life import control
from lambdad.daemon.wire.address import address, read_note

MODULES = 600
MANY = 1000
FILES = 10
IDLE_S = 60.0


def claims(folder: Path) -> list[Claim]:
    environ = {
        **os.environ,
        "LAMBDAD_CACHE_DIR": str(folder / "store"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
    }
    (folder / "run").mkdir(mode=0o700)
    one, many = folder / "one", folder / "many"
    write_one(one)
    write_many(many)
    try:
        return [*_fresh(one, environ), _warm_start(many, environ), _idle(many, environ)]
    finally:
        for root in (one, many):
            control.stop(str(root), environ)


def _fresh(root: Path, environ: Mapping[str, str]) -> list[Claim]:
    def ask() -> None:
        status, answer = asking.request(
            str(root), "POST", "/v1/fresh", {"functions": ["One"]}, environ=environ
        )
        assert status == 200
        assert answer["ok"], answer

    ask()
    ask()  # what was written in the tick of the first build is looked at again
    known = record.load(project_state.of(str(root), environ).record("One", Want.LIVE))
    assert known is not None
    inputs = [f"{root}/{path}" for path in (*known.inputs.files, *known.inputs.listings)]

    def stat_pass() -> None:
        for path in inputs:
            try:
                os.stat(path)
            except OSError:
                continue

    asked, passed = _in_turn(200, ask, stat_pass)
    command: list[str | Path] = [LAMBDAD, "fresh", "One", "--project", root]
    walls: list[float] = []
    bare: list[float] = []
    for _ in range(21):
        walls.append(run(command, root, environ).wall_s)
        bare.append(run([sys.executable, "-c", "pass"], root).wall_s)
    return [
        Claim(
            what=f"nothing changed, {len(known.inputs.files)} input files, an answer",
            ours=asked,
            yardstick=f"a stat of each of the {len(inputs)} inputs",
            theirs=passed,
            limit=1.5 * passed + 0.001,
            promise="at most 1.5 times that and 1 ms",
        ),
        Claim(
            what="lambdad fresh, nothing changed, whole process",
            ours=statistics.median(walls),
            yardstick="the bare interpreter's start",
            theirs=statistics.median(bare),
            limit=3 * statistics.median(bare),
            promise="at most 3 times that",
        ),
    ]


def _warm_start(root: Path, environ: Mapping[str, str]) -> Claim:
    def ask() -> float:
        started_s = time.perf_counter()
        status, answer = asking.request(
            str(root), "POST", "/v1/fresh", {"functions": "all"}, environ=environ
        )
        took_s = time.perf_counter() - started_s
        assert status == 200
        assert answer["ok"], answer["diagnostics"]
        assert len(answer["functions"]) == MANY
        return took_s

    cold_s = ask()
    ask()
    control.restart(str(root), environ)
    return Claim(
        what=f"warm start, {MANY} functions of {FILES} files each, nothing changed",
        ours=ask(),
        yardstick="its cold build",
        theirs=cold_s,
        limit=1.0,
        promise="at most 1 s",
    )


def _idle(root: Path, environ: Mapping[str, str]) -> Claim:
    note = read_note(address(str(root), environ))
    assert note is not None
    pids = [note["pid"], *_children(note["pid"])]
    before_s = sum(map(_cpu_s, pids))
    time.sleep(IDLE_S)
    return Claim(
        what=f"CPU of the idle daemon and its esbuild over {IDLE_S:.0f} s",
        ours=max(sum(map(_cpu_s, pids)) - before_s, 0.001),
        yardstick="those seconds",
        theirs=IDLE_S,
        limit=IDLE_S * 0.005,
        promise="at most 0.5%",
    )


def _in_turn(times: int, *measures: Callable[[], None]) -> list[float]:
    """The median of each, in seconds."""
    walls: list[list[float]] = [[] for _ in measures]
    for _ in range(times):
        for index, measure in enumerate(measures):
            started_s = time.perf_counter()
            measure()
            walls[index].append(time.perf_counter() - started_s)
    return [statistics.median(series) for series in walls]


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_one(root: Path) -> None:
    """A function of about 600 modules in 200 folders."""
    imports = []
    for number in range(MODULES):
        folder = root / f"src/p{number % 200}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"m{number}.ts").write_text(f"export const v{number} = {number};\n")
        imports.append(f'import {{ v{number} }} from "./p{number % 200}/m{number}";')
    total = " + ".join(f"v{number}" for number in range(MODULES))
    body = f"\nexport const handler = async (): Promise<number> => {total};\n"
    (root / "src/one.ts").write_text("\n".join(imports) + body)
    (root / "lambdad.toml").write_text(_table("One", "src/one.handler"))


def write_many(root: Path) -> None:
    """Functions of ten files each."""
    tables = []
    for number in range(MANY):
        folder = root / f"f{number}"
        folder.mkdir(parents=True)
        names = [f"m{file}" for file in range(FILES - 1)]
        for name in names:
            (folder / f"{name}.ts").write_text(f"export const {name} = {number};\n")
        imports = "\n".join(f'import {{ {name} }} from "./{name}";' for name in names)
        body = f"\nexport const handler = async (): Promise<number> => {' + '.join(names)};\n"
        (folder / "index.ts").write_text(imports + body)
        tables.append(_table(f"F{number}", f"f{number}/index.handler"))
    (root / "lambdad.toml").write_text("\n".join(tables))


def _table(name: str, handler: str) -> str:
    return f'[functions.{name}]\nhandler = "{handler}"\nruntime = "nodejs22.x"\n'
