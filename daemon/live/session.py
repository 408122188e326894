"""One run of `lambdad start`: its two servers, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from lambdad.bundler.config.find import LiveDeclaration
from lambdad.bundler.config.routes import Apis
from lambdad.bundler.model import BundlerError, Diagnostic, Language
from lambdad.bundler.report.render import diagnostic_text
from lambdad.daemon.live.building import FreshCode, FreshSource
from lambdad.daemon.live.http.app import HttpApis, HttpSettings
from lambdad.daemon.live.http.connections import ListeningServer
from lambdad.daemon.live.http.matching import overview
from lambdad.daemon.live.http.request import Account
from lambdad.daemon.live.invoker import LiveInvoker
from lambdad.daemon.live.lambda_api import LambdaApi
from lambdad.daemon.live.project import LiveConfig, LiveProject
from lambdad.daemon.live.terminal import RequestLines
from lambdad.daemon.live.workers import launch
from lambdad.daemon.live.workers.crew import Crew
from lambdad.daemon.live.workers.launch import Surroundings

END_S: Final = 1.5
"""What requests that run are given at the end; then all is ended."""
INTERRUPTED: Final = 130
INSPECTOR: Final = 9229
"""The first port of Node.js's inspector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What `lambdad start` was asked for."""

    root: str
    read: Callable[[], LiveDeclaration]
    """Reads the configuration."""
    host: str = "127.0.0.1"
    http_port: int = 3000
    lambda_port: int = 3001
    hosts: Sequence[str] = ()
    """Names beside loopback ones that a request's Host may have."""
    origins: Sequence[str] = ()
    """Pages beside loopback ones that may call functions."""
    env_files: Sequence[str] = ()
    profile: str | None = None
    region: str | None = None
    inspect: Sequence[str] = ()
    """Node.js functions that a debugger may hold, as NAME or NAME:PORT; "" is every one."""
    as_json: bool = False


def run_session(options: StartOptions, environ: Mapping[str, str]) -> int:
    """Serves until it is interrupted; returns the exit code. Raises BundlerError."""
    return asyncio.run(_serve(options, environ))


async def _serve(options: StartOptions, environ: Mapping[str, str]) -> int:
    leave = asyncio.Event()
    _listen_for_signals(leave)
    lines = RequestLines(options.root, as_json=options.as_json)
    project = LiveProject(options.root, options.read, options.env_files)
    first = await asyncio.to_thread(project.now)
    now = datetime.now(UTC)
    around = Surroundings(
        root=options.root,
        environ=dict(environ),
        overrides={},
        session=f"{now:%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}",
        profile=options.profile,
        region=options.region,
        inspected=inspected(options.inspect, first),
    )
    crew = Crew(lines)
    source = FreshSource(options.root, environ)
    invoker = LiveInvoker(project, source, crew, lambda: around, lines)
    api = LambdaApi(
        invoker,
        lambda name: launch.arn(name, around),
        hosts=options.hosts,
        origins=options.origins,
        root=options.root,
    )
    settings = HttpSettings(
        account=Account(id=launch.ACCOUNT, region=launch.region(around)),
        hosts=options.hosts,
        origins=options.origins,
        root=options.root,
        is_patient=bool(around.inspected),
    )

    def apis() -> tuple[Apis, Sequence[Diagnostic]]:
        config = project.now()
        return config.apis, config.project.diagnostics

    http = HttpApis(invoker, apis, _digests(source), settings=settings, note=lines.note)
    listeners: list[ListeningServer] = []
    try:
        lambda_port = await _listen(
            listeners, api.application(), (options.host, options.lambda_port), "--lambda-port"
        )
        http_port = await _listen(
            listeners, http.application(), (options.host, options.http_port), "--port"
        )
        http.settings = replace(settings, port=http_port)
        shown = f"[{options.host}]" if ":" in options.host else options.host
        lines.ready(
            f"http://{shown}:{http_port}", f"http://{shown}:{lambda_port}", list(first.functions)
        )
        if not options.as_json:
            for text in overview(first.apis.apis, http_port):
                lines.note(text)
        for name, port in around.inspected.items():
            lines.note(f"{name}: a debugger attaches to 127.0.0.1:{port}")
        for fault in (*first.project.diagnostics, *first.apis.diagnostics):
            lines.note(diagnostic_text(fault, root=options.root))
        await leave.wait()
    finally:
        for listener in listeners:
            listener.refuse()
        await crew.close()
        await api.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await asyncio.gather(*(listener.close() for listener in listeners))
        await source.close()
    return INTERRUPTED


async def _listen(
    listeners: list[ListeningServer], app: web.Application, where: tuple[str, int], option: str
) -> int:
    """The port that it listens on. Raises BundlerError `port-in-use`."""
    host, port = where
    try:
        listeners.append(await ListeningServer.begin(app, host, port))
    except OSError as fault:
        hint = f"say {option} with another one, or 0 for any that is free"
        message = f"can't listen on port {port} of {host}: {fault.strerror or fault}"
        raise BundlerError("port-in-use", message, hint) from fault
    return listeners[-1].port


def inspected(asked: Sequence[str], config: LiveConfig) -> dict[str, int]:
    """The inspectors' ports, by function. Raises BundlerError `unknown-function`, `bad-inspect`."""
    known = [
        name
        for name, one in config.functions.items()
        if one.function.runtime.language is Language.JAVASCRIPT
    ]
    found: dict[str, int] = {}
    wanted = [one for text in asked for one in ([text] if text else known)]
    for text in wanted:
        name, _, port = text.partition(":")
        name = config.aliases.get(name, name)
        if name not in known:
            hint = f"there are: {', '.join(known) or 'none'}"
            raise BundlerError("unknown-function", f"no Node.js function is called {name}", hint)
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BundlerError("bad-inspect", f"{port} is no port", "say --inspect NAME:9229")
        found[name] = int(port) if port else INSPECTOR + len(found)
    return found


def _digests(source: FreshSource) -> Callable[[str], Awaitable[str | None]]:
    """What code a function has now, once it is built; None where it can't be."""

    async def digest(name: str) -> str | None:
        code = await source.fresh(name)
        return code.live.digest if isinstance(code, FreshCode) else None

    return digest


def _listen_for_signals(leave: asyncio.Event) -> None:
    """The first one ends what runs; the second ends this process at once. Workers end with it,
    however it ends (workers/process.py)."""

    def interrupted() -> None:
        if leave.is_set():
            os._exit(INTERRUPTED)
        leave.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupted)
