"""One request without servers: what `lambdad invoke` does."""

from __future__ import annotations

import asyncio
import secrets
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import assert_never

from lambdad.bundler.model import BundlerError
from lambdad.daemon.live.building import FreshSource
from lambdad.daemon.live.invocation import (
    Answered,
    BuildFailed,
    CannotRun,
    Exited,
    FunctionFailed,
    Invocation,
    InvocationOutcome,
    NoSuchFunction,
    StreamedAnswer,
    Throttled,
    TimedOut,
    TooLarge,
)
from lambdad.daemon.live.invoker import LiveInvoker
from lambdad.daemon.live.project import LiveProject
from lambdad.daemon.live.session import StartOptions
from lambdad.daemon.live.terminal import RequestLines
from lambdad.daemon.live.workers.crew import Crew
from lambdad.daemon.live.workers.launch import Surroundings
from lambdad.daemon.live.workers.pool import PoolLimits


def run_once(
    options: StartOptions, environ: Mapping[str, str], function: str, payload: bytes
) -> tuple[int, bytes | None]:
    """The exit code, and what is to be printed: the answer, or the error object.

    What the function logs is on stderr. Raises BundlerError.
    """
    outcome = asyncio.run(_run(options, environ, function, payload))
    match outcome:
        case Answered(payload=answer):
            return 0, answer
        case FunctionFailed() | TimedOut() | Exited() | TooLarge():
            return 1, outcome.error
        case BuildFailed():
            return 1, None  # the diagnostics were shown
        case NoSuchFunction(known=known):
            hint = f"there {'is' if len(known) == 1 else 'are'}: {', '.join(known) or 'none'}"
            raise BundlerError("unknown-function", f"no function is called {function}", hint)
        case CannotRun(message=message, hint=hint_or_none):
            raise BundlerError("not-run", message, hint_or_none)
        case StreamedAnswer() | Throttled():
            raise AssertionError("one request that takes no stream")
        case _:
            assert_never(outcome)


async def _run(
    options: StartOptions, environ: Mapping[str, str], function: str, payload: bytes
) -> InvocationOutcome:
    around = Surroundings(
        root=options.root,
        environ=dict(environ),
        overrides={},
        session=f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}",
        profile=options.profile,
        region=options.region,
    )
    lines = RequestLines(options.root, as_json=False, out=sys.stderr)
    crew = Crew(lines, PoolLimits(spares=0))
    source = FreshSource(options.root, environ)
    project = LiveProject(options.root, options.read, options.env_files)
    invoker = LiveInvoker(project, source, crew, lambda: around, lines)
    try:
        return await invoker.invoke(
            Invocation(function=function, payload=payload, request_id=str(uuid.uuid4()))
        )
    finally:
        await crew.close()
        await source.close()
