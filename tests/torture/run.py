"""The torture: a project changes under three clients and a daemon that is not spared.

`python -m tests.torture.run --seed 1 --operations 10000 [--mutant no-ctime]` runs one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bundler import build
from bundler.config.find import read_project
from bundler.esbuild import binary
from bundler.model import Want
from bundler.store import Store
from bundler.workshop import Workshop
from daemon import client, control, process
from daemon.address import NoDaemon, address, read_note
from tests.conftest import workshop_at
from tests.python_index import offline_environ
from tests.torture import host
from tests.torture.judge import Answer, Judge, tokens_of
from tests.torture.operations import operate
from tests.torture.world import World

CLIENTS = 3
HANG_S = 60.0
"""No answer takes so long: three clients, a daemon's start, a package built by pip."""
CLEAN_EVERY = 250
"""Operations between two comparisons with a build that starts from nothing."""
LOGGED = 25


class Wrong(AssertionError):  # noqa: N818 -- an answer is wrong, not the torture
    """An answer that is stale, fails without cause, or never comes."""


@dataclass(frozen=True, slots=True)
class Question:
    names: tuple[str, ...]
    want: str
    number: int


@dataclass(slots=True)
class Torture:
    """One run, on one project."""

    world: World
    environ: dict[str, str]
    store: Path
    mutant: str = ""
    asked: queue.Queue[Question | None] = field(default_factory=queue.Queue)
    heard: queue.Queue[Answer | BaseException] = field(default_factory=queue.Queue)
    waiting: int = 0
    number: int = 0
    clean: int = 0
    restarts: int = 0

    # --- clients ---

    def serve_questions(self) -> None:
        """A client's thread."""
        while (question := self.asked.get()) is not None:
            try:
                self.heard.put(self._ask(question))
            except BaseException as fault:  # told in the thread that judges
                self.heard.put(fault)

    def _ask(self, question: Question) -> Answer:
        world = self.world
        body = {"functions": list(question.names), "want": question.want}
        for left in (1, 0):
            low, kills = world.done, world.kills
            status, answer = client.request(
                world.root, "POST", "/v1/fresh", body, HANG_S, environ=self.environ
            )
            high = world.begun
            try:
                tokens = {
                    told["name"]: tokens_of(world.root, told, question.want)
                    for told in answer.get("functions", ())
                    if told["status"] == "built"
                }
                break
            except OSError:
                # Another hand may have removed what was named, or the project was elsewhere.
                blurred = any(n in world.blurred for n in range(low + 1, world.begun + 1))
                if not left or not blurred:
                    raise
        return Answer(
            names=question.names,
            want=question.want,
            low=low,
            high=high,
            status=status,
            body=answer,
            tokens=tokens,
            kills=world.kills - kills,
            number=question.number,
        )

    def ask(self, names: list[str], want: str) -> int:
        self.number += 1
        self.waiting += 1
        self.asked.put(Question(tuple(names), want, self.number))
        return self.number

    def ask_ahead(self, function: str = "") -> None:
        """Nobody waits for the answer. What is drawn does not depend on who is busy."""
        names, want = _names(self.world), _want(self.world)
        names = [function] if function else names
        if self.waiting < CLIENTS:
            self.ask(names, want)

    def hear(self, judge: Judge, number: int | None = None, *, all_: bool = False) -> None:
        """Judges what came; with a number waits for that answer, with `all_` for every one."""
        while self.waiting:
            try:
                blocks = all_ or number is not None
                answer = self.heard.get(timeout=2 * HANG_S) if blocks else self.heard.get_nowait()
            except queue.Empty:
                if blocks:
                    raise Wrong("no answer came") from None
                return
            self.waiting -= 1
            if isinstance(answer, BaseException):
                raise Wrong(f"{type(answer).__name__}: {answer}") from answer
            if fault := judge.verdict(answer):
                raise Wrong(
                    f"{answer.want} asked after step {answer.low}, heard at {answer.high}: {fault}"
                )
            if answer.number == number:
                number = None

    # --- faults ---

    def disturb(self) -> None:
        """Now and then the watcher's mood changes, or a process is killed."""
        chance = self.world.random.random()
        if chance < 0.01:
            mood = self.world.random.choice(host.MOODS)
            self.world.log.append(f"{self.world.done} watcher: {mood}")
            self.tell_host(mood)
        elif chance < 0.015:
            self.world.log.append(f"{self.world.done} esbuild is killed")
            self._kill_esbuild()
        elif chance < 0.0165:
            self.world.log.append(f"{self.world.done} the daemon is killed")
            self._kill_daemon()

    def tell_host(self, mood: str) -> None:
        path = Path(self.environ[host.FILE])
        temporary = path.with_suffix(".new")
        temporary.write_text(f"{self.mutant} {mood}")
        os.replace(temporary, path)

    def _daemon(self) -> int | None:
        note = read_note(address(self.world.root, self.environ))
        return int(note["pid"]) if note else None

    def _kill_esbuild(self) -> None:
        pid = self._daemon()
        for child in process.children(pid) if pid else ():
            if child.name == "esbuild":
                self.world.kills += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)

    def _kill_daemon(self) -> None:
        pid = self._daemon()
        if pid is not None:
            self.restarts += 1
            self.world.kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- the same as clean ---

    def compare(self, judge: Judge) -> None:
        """What the daemon made is what a build of a copy makes that starts from nothing."""
        self.hear(judge, all_=True)
        world = self.world
        names = [name for name in world.functions if name not in ("Six", "Seven")]
        told = {}
        for want in Want:
            _status, body = client.request(
                world.root,
                "POST",
                "/v1/fresh",
                {"functions": names, "want": want.value},
                HANG_S,
                environ=self.environ,
            )
            told[want] = {found["name"]: found for found in body["functions"]}
        with tempfile.TemporaryDirectory(dir=world.place) as folder:
            root = world.copy(Path(folder))
            project = read_project(root, self.environ)
            workshop = workshop_of(root, str(folder), self.store, self.environ)
            functions = [one for one in project.functions if one.name in names]
            for want in Want:
                for made in build.build(project, functions, workshop, want=want):
                    found = told[want][made.name]
                    if found["status"] != made.status:
                        raise Wrong(f"{made.name} is {found['status']}, clean {made.status}")
                    if made.status != "built":
                        continue
                    if want is Want.ZIP:
                        assert made.artifact
                        same = found["artifact"]["sha256"] == made.artifact.sha256
                    else:
                        assert made.live
                        same = found["live"]["digest"] == made.live.digest
                    if not same:
                        raise Wrong(f"{made.name}'s {want.value} is not as a clean build's")
        self.clean += 1


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
    seconds: float


def prime(store: Path) -> None:
    """esbuild is in the store: what runs offline later finds it there."""
    with tempfile.TemporaryDirectory() as folder:
        binary.find(workshop_at(Path(folder), Store(store)))


def run(
    seed: int, operations: int, store: Path, *, mutant: str = "", disturbed: bool = True
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
        "LAMBDAD_IDLE_S": "120",  # should we be killed
        host.FILE: f"{runtime}/host",
    }
    torture = Torture(world, environ, store, mutant)
    world.asks = torture.ask_ahead
    world.heard = lambda: not torture.heard.empty()
    torture.tell_host("well")
    began_s = time.monotonic()
    count = 0
    kept = True
    try:
        judge = Judge(world)
        with _daemon_of(torture):
            for count in range(1, operations + 1):
                _one(torture, judge, disturbed=disturbed)
                if count % CLEAN_EVERY == 0:
                    torture.compare(judge)
            torture.hear(judge, all_=True)
            kept = False
    except Wrong as fault:
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
        restarts=torture.restarts,
        seconds=time.monotonic() - began_s,
    )


def _one(torture: Torture, judge: Judge, *, disturbed: bool) -> None:
    """An operation, and who asks before, amid and after it."""
    world = torture.world
    chance = world.random
    if disturbed:
        torture.disturb()
    if chance.random() < 0.3:
        torture.ask_ahead()  # so that its build runs while the files change
        world.pause()
    operate(world)
    names, want, asks = _names(world), _want(world), chance.random() < 0.75
    if asks and torture.waiting < CLIENTS:
        torture.hear(judge, torture.ask(names, want))
    else:
        torture.hear(judge)


def _names(world: World) -> list[str]:
    return world.random.sample(world.functions, world.random.choice((1, 1, 1, 2, 3)))


def _want(world: World) -> str:
    return "zip" if world.random.random() < 0.15 else "live"


@contextlib.contextmanager
def _daemon_of(torture: Torture) -> Iterator[None]:
    """Clients run, and the daemon that they start is host.py; none is left."""
    before, control.MODULE = control.MODULE, "tests.torture.host"
    threads = [
        threading.Thread(target=torture.serve_questions, daemon=True) for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for _ in threads:
            torture.asked.put(None)
        with contextlib.suppress(NoDaemon):
            control.stop(torture.world.root, torture.environ)
        for thread in threads:
            thread.join(HANG_S)
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
        tally = run(given.seed, given.operations, store, mutant=given.mutant)
    except Wrong as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    sys.stdout.write(f"{tally}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
