"""Spare Python workers that have imported a function's dependencies before an edit needs them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from lambdad.daemon.live.invocation import Answered, Invocation
from lambdad.daemon.live.workers import launch
from lambdad.daemon.live.workers.crew import Crew, Order
from lambdad.daemon.live.workers.launch import Launch, Load
from lambdad.daemon.live.workers.pool import CodeTarget, WorkerStage

DEPENDENCY = "import sys\nPATH = list(sys.path)\nNAME = 'dependency'\n"
OWN = """import dep, sys
def handler(event, context):
    return {"saved": SAVED, "name": dep.NAME, "ahead": sys.path[0] not in getattr(dep, "PATH", [])}
"""


class Silent:
    def logged(self, function: str, request_id: str | None, piece: bytes) -> None:
        pass


class Bench:
    """A function in `own`, and its dependencies; each request is for code of another digest."""

    def __init__(self, folder: Path) -> None:
        self.own = folder / "own"
        self.dependencies = folder / "store" / "trees" / ("a" * 40)
        for one in (self.own, self.dependencies):
            one.mkdir(parents=True)
        (self.dependencies / "dep.py").write_text(DEPENDENCY)
        self.launch = Launch(
            command=(sys.executable, f"{launch.HERE}/python_worker.py"),
            cwd=str(folder / "own"),
            environ=(("PYTHONDONTWRITEBYTECODE", "1"),),
            dependencies=(str(self.dependencies),),
        )
        self.crew = Crew(Silent())
        self.saved = 0

    async def ask(self) -> dict[str, object]:
        """The answer of code that was saved just now; afterwards there is a spare process."""
        self.saved += 1
        (self.own / "app.py").write_text(OWN.replace("SAVED", str(self.saved)))

        async def confirm() -> bool:
            return True

        order = Order(
            invocation=Invocation(function="F", payload=b"{}", request_id=f"id-{self.saved}"),
            arn="arn",
            target=CodeTarget("F", str(self.saved), self.launch.key),
            launch=self.launch,
            load=Load(
                assignment={
                    "path": [str(self.own), str(self.dependencies)],
                    "handler": "app.handler",
                    "environ": {},
                    "dependencies": list(self.launch.dependencies),
                },
                is_mutable=True,
                timeout_s=20,
                memory_mb=128,
            ),
            confirm=confirm,
        )
        outcome, _ = await self.crew.run(order)
        assert isinstance(outcome, Answered), outcome
        found: dict[str, object] = json.loads(outcome.payload)
        stages = [worker.stage for worker in self.crew.state.workers.values()]
        assert WorkerStage.SPARE in stages
        async with asyncio.timeout(30):
            await self.crew.spares_booted()
        return found


def answers(bench: Bench, count: int) -> list[dict[str, object]]:
    async def run() -> list[dict[str, object]]:
        try:
            return [await bench.ask() for _ in range(count)]
        finally:
            await bench.crew.close()

    return asyncio.run(run())


def answer(saved: int, name: str, *, ahead: bool) -> dict[str, object]:
    return {"saved": saved, "name": name, "ahead": ahead}


def test_dependencies_are_imported_ahead(tmp_path: Path) -> None:
    """From the second edit on; each answer is of the code that was saved."""
    assert answers(Bench(tmp_path), 3) == [
        answer(1, "dependency", ahead=False),
        answer(2, "dependency", ahead=True),
        answer(3, "dependency", ahead=True),
    ]


def test_own_code_that_shadows_a_dependency_is_loaded(tmp_path: Path) -> None:
    """A process that has imported the dependency starts anew."""
    bench = Bench(tmp_path)

    async def run() -> list[dict[str, object]]:
        try:
            first = await bench.ask()
            (bench.own / "dep.py").write_text("NAME = 'own'\n")
            second = await bench.ask()
            (bench.own / "dep.py").unlink()
            return [first, second, await bench.ask()]
        finally:
            await bench.crew.close()

    names = [one["name"] for one in asyncio.run(run())]
    assert names == ["dependency", "own", "dependency"]


def test_a_dependency_that_loads_own_code_is_not_imported_ahead(tmp_path: Path) -> None:
    """What it loaded could be old by the time that it is needed."""
    bench = Bench(tmp_path)
    settings = bench.own / "settings.py"
    settings.write_text("NAME = 1\n")
    (bench.dependencies / "dep.py").write_text(
        f"import sys\nPATH = list(sys.path)\nsys.path.append({str(bench.own)!r})\n"
        "from settings import NAME\n"
    )

    async def run() -> list[dict[str, object]]:
        try:
            found = []
            for number in (2, 3):
                found.append(await bench.ask())
                settings.write_text(f"NAME = {number}\n")
            return [*found, await bench.ask()]
        finally:
            await bench.crew.close()

    found = asyncio.run(run())
    assert [one["name"] for one in found] == [1, 2, 3]
    assert not any(one["ahead"] for one in found)


def test_a_dependency_that_ends_the_process_is_not_imported_ahead(tmp_path: Path) -> None:
    """Where it is alone; the function is loaded all the same."""
    bench = Bench(tmp_path)
    (bench.dependencies / "dep.py").write_text(
        f"import sys\nPATH = list(sys.path)\nNAME = 'dependency'\n"
        f"if {str(bench.own)!r} not in sys.path: sys.exit(3)\n"
    )
    assert [one["ahead"] for one in answers(bench, 3)] == [False, False, False]
