"""Asks the build daemon what is fresh, one question for each request."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from lambdad.bundler.model import Diagnostic, Live, Location, Severity
from lambdad.daemon.client import asking
from lambdad.daemon.live.invocation import BuildFailed, CannotRun, NoSuchFunction
from lambdad.daemon.serving.protocol import Answer, DiagnosticMessage, Problem
from lambdad.daemon.wire.address import NoDaemon, address

LEAVING: Final = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshCode:
    """What runs for a request that was made before it was asked for."""

    name: str
    live: Live
    handler: str
    was_built: bool
    """The build was not done before."""
    build_ms: float
    diagnostics: tuple[Diagnostic, ...]
    """No errors among them."""


class FreshSource:
    """One project's daemon, asked over a connection that stays open. It starts a daemon when none
    answers, as every client does."""

    def __init__(self, root: str, environ: Mapping[str, str] = os.environ) -> None:
        self._root = root
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None
        self._typed = all(one is not None and one.isatty() for one in (sys.stdin, sys.stderr))

    async def fresh(self, name: str) -> FreshCode | BuildFailed | NoSuchFunction | CannotRun:
        """Waits for the build, however long it takes."""
        body = {"functions": [name], "want": "live", "typed": self._typed}
        try:
            status, content = await self._ask(body)
        except NoDaemon as fault:
            hint = "`lambdad daemon status` says more"
            return CannotRun(message=f"no build daemon can be had: {fault}", hint=hint)
        try:
            if status != 200:
                return _problem(msgspec.convert(content, Problem))
            return _fresh(name, msgspec.convert(content, Answer))
        except msgspec.ValidationError as fault:
            return CannotRun(message=f"the build daemon's answer can't be read: {fault}")

    async def _ask(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Raises NoDaemon."""
        if self._session is not None:
            try:
                async with self._session.post("http://lambdad/v1/fresh", json=body) as response:
                    content = await response.json(content_type=None)
                    if response.status != LEAVING:
                        return response.status, content
            except (aiohttp.ClientError, ValueError, OSError):
                pass  # it is gone: the other way starts the next one
        found = await asyncio.to_thread(
            asking.request, self._root, "POST", "/v1/fresh", body, environ=self._environ
        )
        if self._session is None:
            connector = aiohttp.UnixConnector(address(self._root, self._environ).socket, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=None)
            )
        return found

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _fresh(name: str, answer: Answer) -> FreshCode | BuildFailed:
    found = next((one for one in answer.functions if one.name == name), None)
    if found is None:
        return BuildFailed(diagnostics=_diagnostics(answer.diagnostics))
    if found.status != "built" or found.live is None:
        every = _diagnostics([*answer.diagnostics, *found.diagnostics])
        return BuildFailed(diagnostics=every, machine_fault=found.machine_fault)
    interpreter = found.live.interpreter
    return FreshCode(
        name=found.name,
        live=Live(
            entry=found.live.entry,
            path=tuple(found.live.path),
            digest=found.live.digest,
            interpreter=None if interpreter is msgspec.UNSET else interpreter,
        ),
        handler=found.handler or "",
        was_built=not found.cached,
        build_ms=found.duration_ms,
        diagnostics=_diagnostics(found.diagnostics),
    )


def _problem(problem: Problem) -> NoSuchFunction | CannotRun:
    if problem.status == 404 and problem.known is not None:
        return NoSuchFunction(known=tuple(problem.known))
    return CannotRun(message=f"the build daemon can't: {problem.detail} ({problem.code})")


def _diagnostics(messages: list[DiagnosticMessage]) -> tuple[Diagnostic, ...]:
    return tuple(
        Diagnostic(
            code=one.code,
            severity=Severity(one.severity),
            message=one.message,
            where=None
            if one.where is None
            else Location(one.where.file, one.where.line, one.where.column),
            hint=one.hint,
        )
        for one in messages
    )
