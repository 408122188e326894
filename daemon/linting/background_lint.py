"""Slow linters, in the background: no request waits for them, and what they found is reported only
while it holds.

Only the loop's thread touches the turns. A worker thread runs a tool; what it found is tied to a
stamp of all that decided it, taken before and after: where the two differ, nothing was found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from lambdad.bundler.lint.tool import (
    Batch,
    Findings,
    Tool,
    as_errors,
    broken,
    content_digest,
    merged,
)
from lambdad.bundler.model import Diagnostic, Function, RelPath
from lambdad.bundler.report.render import diagnostic_json
from lambdad.bundler.workshop import Workshop

AT_ONCE: Final = 2
"""Tools that run at a time: each reads a whole project, and may use all processors."""
ROUNDS: Final = 3
"""A program may write to the sources all the time, the tool itself for one: so often it runs for
the same files, and then with the next request."""

HINT: Final = "stop the program that keeps writing to them; the daemon's log may say more"

log = logging.getLogger("lambdad")

Publish = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class ToolFindings:
    """What a tool found, and what that was decided by."""

    stamp: str
    digests: Mapping[RelPath, str | None]
    """Of the files' contents; None of one that is gone."""
    findings: Findings


@dataclass(slots=True)
class _Turn:
    """A tool that runs, and what it is to do after that."""

    batch: Batch
    queued: Batch | None = None
    rounds: int = 1


class Lints:
    """One project's slow linters: of each at most one run, and one that waits."""

    def __init__(self, tools: Callable[[], Sequence[Tool]], publish: Publish) -> None:
        self._tools = tools
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="lint")
        self._turns: dict[str, _Turn] = {}
        self._found: Mapping[str, ToolFindings] = MappingProxyType({})
        """By tool; replaced as a whole, so that any thread may read it."""
        self._is_closed = False

    def close(self) -> None:
        """No tool is started any more. Those that run are ended with all that this process runs."""
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- in any worker thread --------------------------------------------------------------------

    def known(self, batch: Batch, workshop: Workshop) -> tuple[Findings, tuple[Tool, ...]]:
        """What is known of the batch's files and still holds; and the tools that must be asked."""
        told: list[Findings] = []
        left: list[Tool] = []
        for tool in self._tools():
            if not tool.concerns(batch, workshop):
                continue
            if not batch.trusted:
                told.append(tool.lint(batch, workshop))  # it says that it may not run
                continue
            holding = _holding(self._found.get(tool.name), tool, batch, workshop)
            if holding is not None:
                told.append(holding)
            if holding is None or not _is_whole(holding, tool, batch, workshop):
                left.append(tool)
        return merged(told), tuple(left)

    # --- in the loop's thread --------------------------------------------------------------------

    def ask(self, tools: Iterable[Tool], batch: Batch, workshop: Workshop) -> None:
        """Each of the tools is run for the batch, or with its next run for others."""
        for tool in tools:
            turn = self._turns.get(tool.name)
            if turn is None:
                self._begin(tool, _Turn(batch), workshop)
            else:
                turn.queued = batch if turn.queued is None else _both(turn.queued, batch)

    @property
    def running(self) -> list[str]:
        """The tools whose findings are still to come."""
        return sorted(self._turns)

    def _begin(self, tool: Tool, turn: _Turn, workshop: Workshop) -> None:
        if self._is_closed:
            return
        self._turns[tool.name] = turn
        self._pool.submit(self._run, tool, turn.batch, workshop)

    def _run(self, tool: Tool, batch: Batch, workshop: Workshop) -> None:
        """In a thread of ours."""
        found: ToolFindings | None = None
        try:
            found = _look(tool, batch, workshop) if not self._is_closed else None
        except Exception:
            log.exception("%s failed", tool.name)
        try:
            self._loop.call_soon_threadsafe(self._done, tool, found, workshop)
        except RuntimeError:  # the loop is closed: no listener is left
            return

    def _done(self, tool: Tool, found: ToolFindings | None, workshop: Workshop) -> None:
        turn = self._turns.pop(tool.name)
        if self._is_closed:
            return
        if turn.queued is not None:  # files were saved since: what was found may be outdated
            self._begin(tool, _Turn(_both(turn.batch, turn.queued)), workshop)
        elif found is None:
            if turn.rounds < ROUNDS:
                self._begin(tool, _Turn(turn.batch, rounds=turn.rounds + 1), workshop)
            else:
                restless = broken(tool.name, f"was given up: sources moved in {ROUNDS} runs", HINT)
                self._publish("linted", _event(tool, ToolFindings("", {}, restless), self.running))
        else:
            before = self._found.get(tool.name)
            self._found = MappingProxyType({**self._found, tool.name: _added(before, found)})
            self._publish("linted", _event(tool, found, self.running))


def _look(tool: Tool, batch: Batch, workshop: Workshop) -> ToolFindings | None:
    """What the tool finds; None if what it read did not hold still."""
    before = tool.stamp(batch, workshop)
    findings = tool.lint(batch, workshop)
    paths = sorted({*batch.files, *findings.files})
    digests = {path: content_digest(workshop, path) for path in paths}
    if tool.stamp(batch, workshop) != before:
        return None
    return ToolFindings(before, digests, strict(batch, findings))


def _holding(
    found: ToolFindings | None, tool: Tool, batch: Batch, workshop: Workshop
) -> Findings | None:
    """What was found in files of the batch; None where it does not hold any more.

    The stamp is dear, and a file that was saved has most often changed: that is seen first.
    """
    known = [path for path in batch.files if found is not None and path in found.digests]
    if found is None or not known:
        return None
    if any(found.digests[path] != content_digest(workshop, path) for path in known):
        return None
    if tool.stamp(batch, workshop) != found.stamp:
        return None
    files = {path: found.findings.files.get(path, ()) for path in known}
    return replace(found.findings, files=files)


def _is_whole(holding: Findings, tool: Tool, batch: Batch, workshop: Workshop) -> bool:
    """Whether no file of the batch is left that the tool has any business with."""
    left = tuple(path for path in batch.files if path not in holding.files)
    return not left or not tool.concerns(replace(batch, files=left), workshop)


def _added(before: ToolFindings | None, now: ToolFindings) -> ToolFindings:
    """Findings that hold at the same time are kept together."""
    if before is None or before.stamp != now.stamp:
        return now
    findings = Findings(
        files={**before.findings.files, **now.findings.files},
        functions={**before.findings.functions, **now.findings.functions},
        failed=now.findings.failed,
        machine_fault=now.findings.machine_fault,
    )
    return ToolFindings(now.stamp, {**before.digests, **now.digests}, findings)


def strict(batch: Batch, findings: Findings) -> Findings:
    """As functions want them that say `lint = "error"`: warnings in their files are errors."""

    def judged(
        items: Iterable[Diagnostic], functions: Iterable[Function]
    ) -> tuple[Diagnostic, ...]:
        is_strict = any(function.lint == "error" for function in functions)
        return as_errors(items) if is_strict else tuple(items)

    named = {function.name: (function,) for function in batch.functions}
    return replace(
        findings,
        files={
            path: judged(items, batch.holders.get(path, ()))
            for path, items in findings.files.items()
        },
        functions={
            name: judged(items, named.get(name, ())) for name, items in findings.functions.items()
        },
    )


def _both(one: Batch, other: Batch) -> Batch:
    """The files of both. What the later one says of a file counts."""
    holders: dict[RelPath, tuple[Function, ...]] = {**one.holders, **other.holders}
    files = tuple(sorted({*one.files, *other.files}))
    return replace(
        other, files=files, holders=holders, formatting=one.formatting | other.formatting
    )


def _event(tool: Tool, found: ToolFindings, running: Sequence[str]) -> dict[str, Any]:
    return {
        "tool": tool.name,
        "files": [
            {
                "path": path,
                "sha256": digest,
                "diagnostics": _json(found.findings.files.get(path, ())),
            }
            for path, digest in found.digests.items()
        ],
        "diagnostics": _json(found.findings.failed),
        "running": list(running),
    }


def _json(items: Iterable[Diagnostic]) -> list[dict[str, object]]:
    return [diagnostic_json(item) for item in items]
