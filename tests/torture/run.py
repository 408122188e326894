"""The torture: a project changes under three clients and a daemon that is not spared.

`python -m tests.torture.run --seed 1 --operations 10000 [--mutant no-ctime]` runs one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdad.bundler import build
from lambdad.bundler.config.find import read_project
from lambdad.bundler.esbuild import binary
from lambdad.bundler.model import BuildResult, Want
from lambdad.bundler.report.render import status
from lambdad.bundler.store.project_folder import FOLDER
from lambdad.bundler.store.store import Store
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.client import asking
from lambdad.daemon.life import control
from lambdad.daemon.wire.address import NoDaemon
from tests.conftest import workshop_at
from tests.support.paths import ROOT
from tests.support.python_index import offline_environ
from tests.torture import host
from tests.torture.clients import CLIENTS, HANG_S, Clients, Wrong
from tests.torture.disturbances import Disturber
from tests.torture.judge import Judge
from tests.torture.operations import operate
from tests.torture.world import World

CLEAN_EVERY = 250
"""Operations between two comparisons with a build that starts from nothing."""
TOLD_EVERY = 500
"""Operations between two signs of life, where they are wanted."""
LOGGED = 25


@dataclass(slots=True)
class Torture:
    """One run, on one project."""

    world: World
    clients: Clients
    disturber: Disturber
    store: Path
    clean: int = 0

    def ask_ahead(self, function: str = "") -> bool:
        """Nobody waits for the answer. What is drawn does not depend on who is busy."""
        names, want = _names(self.world), _want(self.world)
        names = [function] if function else names
        if self.clients.waiting >= CLIENTS:
            return False
        self.clients.ask(names, want)
        return True

    def one(self, judge: Judge, *, disturbed: bool) -> None:
        """An operation, and who asks before, amid and after it."""
        world, chance = self.world, self.world.random
        if disturbed:
            self.disturber.disturb()
        if chance.random() < 0.3:
            self.ask_ahead()  # so that its build runs while the files change
            world.pause()
        operate(world)
        names, want, asks = _names(world), _want(world), chance.random() < 0.75
        if asks and self.clients.waiting < CLIENTS:
            self.clients.hear(judge, self.clients.ask(names, want))
        else:
            self.clients.hear(judge)

    # --- the same as clean ---

    def compare(self, judge: Judge) -> None:
        """What the daemon made is what a build of a copy makes that starts from nothing."""
        self.clients.hear(judge, all_=True)
        world = self.world
        names = [name for name in world.functions if name not in ("Six", "Seven")]
        told = {want: self._told(names, want) for want in Want}
        with tempfile.TemporaryDirectory(dir=world.place) as folder:
            root = world.copy(Path(folder))
            project = read_project(root, self.clients.environ)
            workshop = workshop_of(root, str(folder), self.store, self.clients.environ)
            functions = [one for one in project.functions if one.name in names]
            for want in Want:
                for made in build.build(functions, workshop, Upkeep(project), want=want):
                    _same(told[want][made.name], made, want)
        self.clean += 1

    def _told(self, names: list[str], want: Want) -> dict[str, dict[str, Any]]:
        """What is told of the functions, by name; of zips the manifest tells the same."""
        body = {"functions": names, "want": want.value}
        root = self.world.root
        _status, answer = asking.request(
            root, "POST", "/v1/fresh", body, HANG_S, environ=self.clients.environ
        )
        told = {found["name"]: found for found in answer["functions"]}
        if want is Want.ZIP:
            manifest = json.loads(Path(root, FOLDER, "build/manifest.json").read_bytes())
            for name, found in told.items():
                if found["status"] == "built":
                    noted = manifest["functions"][name]
                    if noted["sha256"] != found["artifact"]["sha256"]:
                        raise Wrong(f"the manifest has another {name}")
        return told


def _same(told: dict[str, Any], made: BuildResult, want: Want) -> None:
    if told["status"] != status(made):
        raise Wrong(f"{made.name} is {told['status']}, clean {status(made)}")
    if status(made) != "built":
        return
    if want is Want.ZIP:
        assert made.artifact
        same = told["artifact"]["sha256"] == made.artifact.sha256
    else:
        assert made.live
        same = told["live"]["digest"] == made.live.digest
    if not same:
        raise Wrong(f"{made.name}'s {want.value} is not as a clean build's")


def workshop_of(root: str, repository: str, store: Path, environ: dict[str, str]) -> Workshop:
    """A clean build's, with nothing remembered."""
    return Workshop(
        root=root,
        repository=os.path.realpath(repository),
        store=Store(store),
        environ=environ,
        memory=None,
    )


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run without a fault did."""

    operations: int
    steps: int
    answers: int
    certain: int
    failures: int
    clean: int
    restarts: int
    overflows: int
    limit: str
    seconds: float


def prime(store: Path) -> None:
    """esbuild is in the store: what runs offline later finds it there."""
    with tempfile.TemporaryDirectory() as folder:
        binary.find(workshop_at(Path(folder), Store(store)))


def run(
    seed: int,
    operations: int,
    store: Path,
    *,
    mutant: str = "",
    disturbed: bool = True,
    telling: bool = False,
) -> Tally:
    """Raises Wrong, which tells the seed, the operation and the last ones before it."""
    place = Path(os.path.realpath(tempfile.mkdtemp(prefix="lambdad-torture-")))
    # Below `place` a socket's path could be too long.
    runtime = tempfile.mkdtemp(prefix="ld-")
    world = World(place, seed)
    environ = {
        **offline_environ(world.index),
        "XDG_RUNTIME_DIR": runtime,
        "LAMBDAD_CACHE_DIR": str(store),
        "XDG_STATE_HOME": f"{runtime}/state",
        "LAMBDAD_IDLE_S": "120",  # should we be killed
        "PYTHONPATH": str(ROOT),  # the daemon runs a module of the tests
        host.FILE: f"{runtime}/host",
    }
    clients, disturber = Clients(world, environ), Disturber(world, environ, mutant)
    torture = Torture(world, clients, disturber, store)
    world.asks = torture.ask_ahead
    world.heard = clients.has_heard
    disturber.tell_host("well")
    began_s = time.monotonic()
    count = 0
    kept = True
    try:
        judge = Judge(world)
        with _daemon_of(world.root, environ), clients.at_work():
            for count in range(1, operations + 1):
                torture.one(judge, disturbed=disturbed)
                if count % CLEAN_EVERY == 0:
                    torture.compare(judge)
                if telling and count % TOLD_EVERY == 0:
                    _tell(seed, count, judge, time.monotonic() - began_s)
            clients.hear(judge, all_=True)
            disturber.note_limit()
            kept = False
    except Wrong as fault:
        shutil.copytree(runtime, place / "runtime", ignore=shutil.ignore_patterns("*.sock*"))
        log = "\n".join(world.log[-LOGGED:])
        raise Wrong(
            f"seed {seed}, operation {count} of {operations}"
            f"{f', mutant {mutant}' if mutant else ''}: {fault}\n{log}\nkept in {place}"
        ) from fault
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
        if not kept or mutant:
            shutil.rmtree(place, ignore_errors=True)
    return Tally(
        operations=operations,
        steps=world.done,
        answers=judge.answers,
        certain=judge.certain,
        failures=judge.failures,
        clean=torture.clean,
        restarts=disturber.restarts,
        overflows=disturber.overflows,
        limit=disturber.limit,
        seconds=time.monotonic() - began_s,
    )


def _tell(seed: int, count: int, judge: Judge, seconds: float) -> None:
    sys.stdout.write(
        f"seed {seed}: {count} operations, {judge.answers} answers, "
        f"{1000 * seconds / count:.1f} ms for each operation\n"
    )
    sys.stdout.flush()


def _names(world: World) -> list[str]:
    return world.random.sample(world.functions, world.random.choice((1, 1, 1, 2, 3)))


def _want(world: World) -> str:
    return "zip" if world.random.random() < 0.15 else "live"


@contextlib.contextmanager
def _daemon_of(root: str, environ: dict[str, str]) -> Iterator[None]:
    """The daemon that clients start is host.py; none is left."""
    before, control.MODULE = control.MODULE, "tests.torture.host"
    try:
        yield
    finally:
        with contextlib.suppress(NoDaemon):
            control.stop(root, environ)
        control.MODULE = before


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--mutant", default="")
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    store = given.store or Path(tempfile.mkdtemp(prefix="lambdad-store-"))
    prime(store)
    try:
        tally = run(given.seed, given.operations, store, mutant=given.mutant, telling=True)
    except Wrong as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    sys.stdout.write(f"{tally}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
