"""What a save gets of lint: quick tools at once, slow ones from the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from lambdad.bundler.lint.tool import Batch, Findings, Tool, merged
from lambdad.bundler.model import Built, Diagnostic, Function, Location, Outcome, Project, RelPath
from lambdad.bundler.report.render import diagnostic_json
from lambdad.bundler.trust import is_trusted
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.linting.background_lint import Lints, Publish, strict

log = logging.getLogger("lambdad")


@dataclass(frozen=True, slots=True)
class _Told:
    quick: Findings = field(default_factory=Findings)
    slow: Findings = field(default_factory=Findings)
    """Of the background, as far as it still holds."""
    left: tuple[Tool, ...] = ()
    """What has to be asked in the background."""


class Linting:
    """One project's linters, for as long as the daemon lives. Of the loop's thread."""

    def __init__(
        self,
        root: str,
        environ: Mapping[str, str],
        workshop: Callable[[Project], Workshop],
        publish: Publish,
    ) -> None:
        self._root = root
        self._environ = environ
        self._workshop = workshop
        self._publish = publish
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="lint-save")
        self._lints: Lints | None = None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._lints is not None:
            self._lints.close()

    def begin(
        self, project: Project, holders: Mapping[RelPath, tuple[Function, ...]], *, trusted: bool
    ) -> SaveLint | None:
        """Quick tools begin with the saved files; None if there is nothing to lint."""
        batch = batch_of(holders, trusted=trusted or is_trusted(self._root, self._environ))
        if batch is None:
            return None
        if self._lints is None:
            self._lints = Lints(_slow, self._publish)
        return SaveLint(self._lints, self._pool, batch, self._workshop(project))


def batch_of(holders: Mapping[RelPath, tuple[Function, ...]], *, trusted: bool) -> Batch | None:
    """Saved files as far as functions that hold them want lint; None if there are none."""
    wanted: dict[RelPath, tuple[Function, ...]] = {}
    for path, functions in holders.items():
        if some := tuple(each for each in functions if each.lint != "off"):
            wanted[path] = some
    formatting = (path for path, some in wanted.items() if any(each.format for each in some))
    if not wanted:
        return None
    return Batch(
        files=tuple(sorted(wanted)),
        holders=wanted,
        trusted=trusted,
        formatting=frozenset(formatting),
    )


def _slow() -> Sequence[Tool]:
    """In a worker: to load them takes a while."""
    from lambdad.bundler.lint import run

    return [tool for tool in run.tools() if tool.is_slow]


def quick(batch: Batch, workshop: Workshop) -> Findings:
    """What is found at once. esbuild's messages come with the functions that were built."""
    found = (tool.lint(batch, workshop) for tool in _quick())
    return strict(batch, merged(found))


def _quick() -> Sequence[Tool]:
    from lambdad.bundler.lint import builds, run

    return [tool for tool in run.tools() if not tool.is_slow and tool is not builds.TOOL]


def _told(lints: Lints, batch: Batch, workshop: Workshop) -> _Told:
    """In a worker."""
    try:
        known, left = lints.known(batch, workshop)
        found = quick(batch, workshop)
    except Exception:
        log.exception("lint failed")  # our bug, and no reason to have no answer
        return _Told()
    return _Told(found, known, left)


def _told_again(told: _Told, batch: Batch, workshop: Workshop) -> _Told:
    """In a worker: what quick tools say now."""
    try:
        return replace(told, quick=quick(batch, workshop))
    except Exception:
        log.exception("lint failed")
        return told


class SaveLint:
    """The lint of one save, which begins at once."""

    def __init__(
        self, lints: Lints, pool: ThreadPoolExecutor, batch: Batch, workshop: Workshop
    ) -> None:
        self._lints = lints
        self._pool = pool
        self._batch = batch
        self._workshop = workshop
        self._loop = asyncio.get_running_loop()
        self._coming = self._loop.run_in_executor(pool, _told, lints, batch, workshop)

    async def told(self, outcomes: Iterable[Outcome], limit_s: float | None) -> dict[str, Any]:
        """What is added to the answer, when the quick tools are done, or the time is up."""
        told = await self._within(self._coming, limit_s)
        built = {outcome.name for outcome in outcomes if isinstance(outcome, Built)}
        if told is not None and told.quick.pending & built:
            # It began with the build, and what that found out is news to it.
            again = self._loop.run_in_executor(
                self._pool, _told_again, told, self._batch, self._workshop
            )
            told = await self._within(again, limit_s)
        if told is None:
            return {"linting": sorted(tool.name for tool in _quick())}
        answer = findings_json(merged([told.slow, told.quick]), outcomes)
        if told.left:
            answer["linting"] = sorted(tool.name for tool in told.left)
        return answer

    async def _within(self, coming: asyncio.Future[_Told], limit_s: float | None) -> _Told | None:
        """None: the time was up, and it goes on."""
        timeout = None if limit_s is None else max(limit_s - self._loop.time(), 0)
        await asyncio.wait([coming], timeout=timeout)
        return coming.result() if coming.done() else None

    def end(self) -> None:
        """The answer is made: now slow tools may begin."""
        self._coming.add_done_callback(self._ask)

    def _ask(self, coming: asyncio.Future[_Told]) -> None:
        if not coming.cancelled() and coming.exception() is None:
            self._lints.ask(coming.result().left, self._batch, self._workshop)


def findings_json(findings: Findings, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """What is added to the answer: findings beside those of its outcomes."""
    known = {_key(item) for outcome in outcomes for item in outcome.diagnostics}
    items = [item for item in _flat(findings) if _key(item) not in known]
    answer: dict[str, Any] = {}
    if items:
        answer["findings"] = [diagnostic_json(item) for item in items]
    if findings.machine_fault:
        answer["machine_fault"] = True
    return answer


def _flat(findings: Findings) -> list[Diagnostic]:
    several = (*findings.files.values(), *findings.functions.values(), findings.failed)
    items = dict.fromkeys(item for some in several for item in some)
    return sorted(items, key=_place)


def _place(item: Diagnostic) -> tuple[str, int, int, str, str]:
    where = item.where or Location("")
    return where.file, where.line or 0, where.column or 0, item.code, item.message


def _key(item: Diagnostic) -> tuple[str, Location | None]:
    return item.code, item.where
