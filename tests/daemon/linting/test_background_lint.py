"""Slow linters in the background: one run at a time, and no finding that is outdated."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.lint.tool import Batch, Findings, Tool
from lambdad.bundler.model import Location, Severity, error, warning
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.linting import background_lint
from lambdad.daemon.linting.background_lint import Lints
from tests.support.lint_tools import batch
from tests.support.samples import function

WAIT_S = 20.0


class Bench:
    """A linter that finds every line of a file, and waits where a test wants it to."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.batches: list[Batch] = []
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.is_gated = False
        self.fault: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.events: list[Mapping[str, Any]] = []
        self.tool = Tool(
            name="slow", lint=self._lint, is_slow=True, concerns=self._concerns, stamp=self._stamp
        )

    def _concerns(self, batch: Batch, _workshop: Workshop) -> bool:
        return any(path.endswith(".x") for path in batch.files)

    def _stamp(self, _batch: Batch, _workshop: Workshop) -> str:
        texts = {path.name: path.read_text() for path in sorted(self.root.glob("*.x"))}
        return repr(texts)

    def _lint(self, batch: Batch, _workshop: Workshop) -> Findings:
        self.batches.append(batch)
        if self.fault is not None:
            raise self.fault
        found = {
            path: tuple(
                warning("line", text, Location(path, number))
                for number, text in enumerate((self.root / path).read_text().split(), 1)
            )
            for path in batch.files
            if (self.root / path).exists()
        }
        self.began.release()
        if self.is_gated:
            assert self.go.acquire(timeout=WAIT_S)
        self.meanwhile()
        return Findings(files=found)

    def lay(self, **files: str) -> None:
        for name, text in files.items():
            (self.root / f"{name}.x").write_text(text)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.began.acquire, timeout=WAIT_S)

    async def told(self, count: int = 1) -> list[Mapping[str, Any]]:
        """The events, once there are so many."""
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < count:
                await asyncio.sleep(0.005)
        return self.events


def run(
    workshop: Workshop, scenario: Callable[[Bench, Lints, Workshop], Any], *, gated: bool = False
) -> Bench:
    bench = Bench(workshop.root)
    bench.is_gated = gated

    async def main() -> None:
        found = Lints(
            lambda: [bench.tool], lambda kind, data: bench.events.append({"kind": kind, **data})
        )
        try:
            await scenario(bench, found, workshop)
        finally:
            bench.go.release(100)
            found.close()

    asyncio.run(main())
    return bench


def texts(event: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        file["path"]: [item["message"] for item in file["diagnostics"]] for file in event["files"]
    }


# --- what is told --------------------------------------------------------------------------------


def test_an_event_tells_what_was_found(workshop: Workshop) -> None:
    """With the digest of what was linted, so that whoever hears of it can see whether it holds."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one two")
        found.ask([bench.tool], batch("a.x", "gone.x"), workshop)
        assert found.running == ["slow"]
        (event,) = await bench.told()
        assert event == {
            "kind": "linted",
            "tool": "slow",
            "files": [
                {
                    "path": "a.x",
                    "sha256": hashlib.sha256(b"one two").hexdigest(),
                    "diagnostics": [
                        {
                            "code": "line",
                            "severity": "warning",
                            "message": text,
                            "where": {"file": "a.x", "line": line},
                        }
                        for line, text in enumerate(("one", "two"), 1)
                    ],
                },
                {"path": "gone.x", "sha256": None, "diagnostics": []},
            ],
            "diagnostics": [],
            "running": [],
        }

    run(workshop, scenario)


def test_known_findings_are_told_while_they_hold(workshop: Workshop) -> None:
    """Until any file that decided them moves; then the tool must be asked again."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one", b="two")
        assert found.known(batch("a.x"), workshop) == (Findings(), (bench.tool,))
        found.ask([bench.tool], batch("a.x"), workshop)
        await bench.told()
        known, left = found.known(batch("a.x"), workshop)
        assert [item.message for item in known.files["a.x"]] == ["one"]
        assert not left
        assert found.known(batch("b.x"), workshop) == (Findings(), (bench.tool,))
        bench.lay(b="moved")
        assert found.known(batch("a.x"), workshop) == (Findings(), (bench.tool,))
        bench.lay(b="two")
        assert found.known(batch("a.x"), workshop) == (known, ())
        bench.lay(a="moved")
        assert found.known(batch("a.x"), workshop) == (Findings(), (bench.tool,))

    run(workshop, scenario)


def test_findings_that_hold_together_are_known_together(workshop: Workshop) -> None:
    """One save after the other, with nothing moved between them."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one", b="two")
        for number, path in enumerate(("a.x", "b.x"), 1):
            found.ask([bench.tool], batch(path), workshop)
            await bench.told(number)
        known, left = found.known(batch("a.x", "b.x"), workshop)
        assert set(known.files) == {"a.x", "b.x"}
        assert not left
        bench.lay(c="three")
        await bench.told(2)
        found.ask([bench.tool], batch("a.x"), workshop)
        await bench.told(3)
        known, left = found.known(batch("a.x", "c.x", "d.py"), workshop)
        assert set(known.files) == {"a.x"}  # and what is not known yet must be asked for
        assert left == (bench.tool,)
        found.ask([bench.tool], batch("c.x"), workshop)
        await bench.told(4)
        assert found.known(batch("a.x", "c.x", "d.py"), workshop)[1] == ()

    run(workshop, scenario)


def test_other_files_are_not_its_business(workshop: Workshop) -> None:
    """They are neither told nor asked for."""

    async def scenario(_bench: Bench, found: Lints, workshop: Workshop) -> None:
        assert found.known(batch("a.py"), workshop) == (Findings(), ())

    run(workshop, scenario)


def test_an_untrusted_project_is_told_why(workshop: Workshop) -> None:
    """The tool itself says that it may not run; it is not asked in the background."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one")
        known, left = found.known(batch("a.x", trusted=False), workshop)
        assert set(known.files) == {"a.x"}  # a real one has a diagnostic instead
        assert not left

    run(workshop, scenario)


# --- what moves meanwhile ------------------------------------------------------------------------


def test_an_outdated_finding_is_never_told(workshop: Workshop) -> None:
    """A file that is edited while the tool runs: it runs again, and only that is told."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="old")
        found.ask([bench.tool], batch("a.x"), workshop)
        await bench.has_begun()
        bench.lay(a="new")
        bench.go.release()
        await bench.has_begun()
        assert not bench.events
        bench.go.release()
        (event,) = await bench.told()
        assert texts(event) == {"a.x": ["new"]}
        assert found.known(batch("a.x"), workshop)[0].files["a.x"][0].message == "new"

    run(workshop, scenario, gated=True)


def test_saves_during_a_run_are_coalesced(workshop: Workshop) -> None:
    """However many there are, one run more tells of all of them, and of what was asked before."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one", b="two", c="three")
        found.ask([bench.tool], batch("a.x"), workshop)
        await bench.has_begun()
        for path in ("b.x", "c.x", "b.x"):
            found.ask([bench.tool], batch(path), workshop)
        assert len(bench.batches) == 1
        bench.go.release(2)
        (event,) = await bench.told()
        assert texts(event) == {"a.x": ["one"], "b.x": ["two"], "c.x": ["three"]}

    bench = run(workshop, scenario, gated=True)
    assert [one.files for one in bench.batches] == [("a.x",), ("a.x", "b.x", "c.x")]


def test_sources_that_never_hold_still(workshop: Workshop) -> None:
    """The tool is given up after some runs, and one diagnostic says so."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="x")
        bench.meanwhile = lambda: bench.lay(a="x" * (len(bench.batches) + 1))
        found.ask([bench.tool], batch("a.x"), workshop)
        (event,) = await bench.told()
        assert event["files"] == []
        assert [item["code"] for item in event["diagnostics"]] == ["lint-tool"]
        assert found.running == []
        bench.meanwhile = lambda: None
        found.ask([bench.tool], batch("a.x"), workshop)
        assert texts((await bench.told(2))[1]) == {"a.x": ["x" * (background_lint.ROUNDS + 1)]}

    bench = run(workshop, scenario)
    assert len(bench.batches) == background_lint.ROUNDS + 1


def test_a_tool_that_fails_is_our_bug_and_ends_nothing(workshop: Workshop) -> None:
    """It is given up with one diagnostic, and asked again by the next save."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one")
        bench.fault = RuntimeError("no")
        found.ask([bench.tool], batch("a.x"), workshop)
        (event,) = await bench.told()
        assert [item["code"] for item in event["diagnostics"]] == ["lint-tool"]
        bench.fault = None
        found.ask([bench.tool], batch("a.x"), workshop)
        assert texts((await bench.told(2))[1]) == {"a.x": ["one"]}

    run(workshop, scenario)


@pytest.mark.parametrize("waits", [False, True])
def test_nothing_is_told_or_begun_after_the_end(waits: bool, workshop: Workshop) -> None:
    """A run that is under way ends in silence, and what waited is not begun."""

    async def scenario(bench: Bench, found: Lints, workshop: Workshop) -> None:
        bench.lay(a="one")
        found.ask([bench.tool], batch("a.x"), workshop)
        await bench.has_begun()
        if waits:
            found.ask([bench.tool], batch("a.x"), workshop)
        found.close()
        bench.go.release(5)
        await asyncio.to_thread(found._pool.shutdown)
        found.ask([bench.tool], batch("a.x"), workshop)
        await asyncio.sleep(0)
        assert not bench.events

    bench = run(workshop, scenario, gated=True)
    assert len(bench.batches) == 1


def test_functions_that_are_strict_make_errors_of_warnings() -> None:
    """Of files that such a function holds; what the tool could not do stays what it is."""
    strict, other = function(name="Strict", lint="error"), function(name="Other")
    found = Findings(
        files={"a": (warning("w", ""),), "b": (warning("w", ""), error("e", ""))},
        functions={"Strict": (warning("w", ""),), "Other": (warning("w", ""),)},
        failed=(warning("f", ""),),
    )
    held = {"a": (strict, other), "b": (other,)}
    judged = background_lint.strict(Batch(files=("a", "b"), holders=held), found)

    def severities(items: Mapping[str, Any]) -> dict[str, list[Severity]]:
        return {name: [item.severity for item in some] for name, some in items.items()}

    assert severities(judged.files) == {
        "a": [Severity.ERROR],
        "b": [Severity.WARNING, Severity.ERROR],
    }
    assert severities(judged.functions) == {
        "Strict": [Severity.ERROR],
        "Other": [Severity.WARNING],
    }
    assert judged.failed == found.failed
