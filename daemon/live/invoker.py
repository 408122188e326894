"""Runs a request against code that is fresh for it: the flow of every live request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

from lambdad.bundler.model import BundlerError, Diagnostic, error
from lambdad.daemon.live.building import FreshCode, FreshSource
from lambdad.daemon.live.invocation import (
    BuildFailed,
    CannotRun,
    FunctionConfig,
    Invocation,
    InvocationOutcome,
    NoSuchFunction,
)
from lambdad.daemon.live.project import LiveConfig, LiveProject, lacks, overridden
from lambdad.daemon.live.workers import launch as launches
from lambdad.daemon.live.workers.crew import Crew, Order, Outdated
from lambdad.daemon.live.workers.launch import Surroundings
from lambdad.daemon.live.workers.pool import CodeTarget
from lambdad.daemon.live.workers.worker import LogReader, RunningRequest

PATIENCE_S: Final = 60.0
"""So long a request asks again what is fresh while the files change under its workers."""


class RequestWatcher(LogReader, Protocol):
    """Hears of every request, for the terminal."""

    def began(self, invocation: Invocation) -> None: ...

    def built(
        self, invocation: Invocation, code: FreshCode, lacking: tuple[Diagnostic, ...]
    ) -> None:
        """`lacking` says which of the function's settings are not known."""

    def finished(
        self, invocation: Invocation, outcome: InvocationOutcome, running: RunningRequest | None
    ) -> None: ...


class LiveInvoker:
    """The Invoker of `lambdad start`."""

    def __init__(
        self,
        project: LiveProject,
        source: FreshSource,
        crew: Crew,
        around: Callable[[], Surroundings],
        watcher: RequestWatcher,
    ) -> None:
        self._project = project
        self._source = source
        self._crew = crew
        self._around = around
        self._watcher = watcher
        self._last: LiveConfig | None = None

    def functions(self) -> tuple[FunctionConfig, ...]:
        try:
            self._last = self._project.now()
        except BundlerError:
            if self._last is None:
                return ()
        return tuple(self._last.functions.values())

    async def invoke(self, invocation: Invocation) -> InvocationOutcome:
        self._watcher.began(invocation)
        outcome: InvocationOutcome
        running = None
        try:
            outcome, running = await self._invoke(invocation)
        except BundlerError as fault:
            outcome = CannotRun(message=fault.message, hint=fault.hint)
        self._watcher.finished(invocation, outcome, running)
        return outcome

    async def _invoke(
        self, invocation: Invocation
    ) -> tuple[InvocationOutcome, RunningRequest | None]:
        ends_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_s:
            config = await asyncio.to_thread(self._project.now)
            function = config.named(invocation.function)
            if function is None and not config.is_declared(invocation.function):
                broken = config.project.diagnostics
                if broken and not config.functions:
                    return BuildFailed(diagnostics=broken), None
                return NoSuchFunction(known=config.known()), None
            name = config.aliases.get(invocation.function, invocation.function)
            code = await self._source.fresh(name)
            if not isinstance(code, FreshCode):
                return code, None
            if function is None:
                continue  # it was declared otherwise a moment ago
            lacking = lacks(function, overridden(config, function))
            self._watcher.built(invocation, code, lacking)
            order = self._order(invocation, config, function, code)
            outcome, running = await self._crew.run(order)
            if not isinstance(outcome, Outdated):
                return outcome, running
        moving = error(
            "superseded", f"{invocation.function} changed faster than it could be loaded"
        )
        return BuildFailed(diagnostics=(moving,)), None

    def _order(
        self,
        invocation: Invocation,
        config: LiveConfig,
        function: FunctionConfig,
        code: FreshCode,
    ) -> Order:
        """Raises BundlerError."""
        around = self._around_with(config, function)
        launch, load = launches.prepare(function, code.live, code.handler, around)
        key = launches.code_key(launch, load, code.live.digest)
        return Order(
            invocation=invocation,
            arn=launches.arn(function.name, around),
            target=CodeTarget(function.name, key, launch.key),
            launch=launch,
            load=load,
            confirm=self._confirm(code),
        )

    def _around_with(self, config: LiveConfig, function: FunctionConfig) -> Surroundings:
        return replace(self._around(), overrides=overridden(config, function))

    def _confirm(self, code: FreshCode) -> Callable[[], Awaitable[bool]]:
        async def confirm() -> bool:
            again = await self._source.fresh(code.name)
            return isinstance(again, FreshCode) and again.live.digest == code.live.digest

        return confirm
