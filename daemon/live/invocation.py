"""What a live request asks of a function, and everything that it can come to.

The interface between those who receive requests (HTTP routes, Lambda's API) and those who run them.
All of it is frozen, but for the chunks of a streamed answer, which are read once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from lambdad.bundler.model import Diagnostic, Function

VERSION: Final = "$LATEST"
"""The version that every function on this machine has."""

PRELUDE_TYPE: Final = "application/vnd.awslambda.http-integration-response"
"""The content type of a streamed answer that begins with a prelude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A request to a function."""

    function: str
    """Its name in the project, or another name of it."""
    payload: bytes
    """The event, as JSON."""
    request_id: str
    """A UUID. The handler, the log lines and the answer name it."""
    client_context: str | None = None
    """JSON, as the client sent it (decoded from base64)."""
    trace_id: str | None = None
    """An X-Ray trace header; None: one is made."""
    is_async: bool = False
    """The caller does not wait for the outcome (`InvocationType: Event`)."""
    streams: bool = False
    """The caller takes a StreamedAnswer. One who does not gets a streamed answer as a whole."""
    label: str = "Invoke"
    """What people read in the terminal: `GET /notes/1`, `Invoke`, `Event`."""


# --- what it comes to ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The handler returned."""

    payload: bytes
    """JSON of what it returned; of a streamed answer all of its bytes."""
    log: bytes = b""
    """The end of what this request logged, at most 4 KB."""
    content_type: str = "application/json"
    """PRELUDE_TYPE where the payload begins with a prelude, 8 NUL bytes and then the body."""
    version: str = VERSION


class AnswerStream(Protocol):
    """A streamed answer's bytes, as the function writes them, to be iterated once.

    A prelude is part of the bytes: JSON, then 8 NUL bytes, then the body.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None:
        """The caller has gone: what comes is thrown away. It may be called at any time."""

    @property
    def fault(self) -> FunctionFault | None:
        """Once the iteration ended: what failed after the first byte, or None."""

    @property
    def log(self) -> bytes:
        """Once the iteration ended: the end of what this request logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedAnswer:
    """The handler has begun to write its answer."""

    content_type: str
    """As the function set it; PRELUDE_TYPE where the stream begins with a prelude."""
    chunks: AnswerStream
    version: str = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFailed:
    """The handler raised, or its module could not be loaded."""

    error: bytes
    """AWS's error object as JSON: errorType, errorMessage, and stackTrace or trace."""
    kind: str = "Unhandled"
    """What X-Amz-Function-Error says."""
    log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The function's time was up, and its worker was ended (Sandbox.Timedout)."""

    error: bytes
    timeout_s: float
    log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The worker's process ended before it answered (Runtime.ExitError)."""

    error: bytes
    log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLarge:
    """The answer is larger than Lambda takes (Function.ResponseSizeTooLarge)."""

    error: bytes
    log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailed:
    """The function can't be run as its files are now. No old code answers in its place."""

    diagnostics: tuple[Diagnostic, ...]
    machine_fault: bool = False
    """It is no fault of the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchFunction:
    """No function has that name."""

    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Throttled:
    """As many requests run and wait as there may be (TooManyRequestsException)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotRun:
    """This machine can't run it: the reason is for people. Or `start` is about to end."""

    message: str
    hint: str | None = None


FunctionFault = FunctionFailed | TimedOut | Exited | TooLarge
"""Faults of the function itself: Lambda's API answers them with 200 and X-Amz-Function-Error."""

InvocationOutcome = (
    Answered | StreamedAnswer | FunctionFault | BuildFailed | NoSuchFunction | Throttled | CannotRun
)


# --- who runs it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionConfig:
    """A function as the configuration has it now."""

    name: str
    function: Function
    aliases: tuple[str, ...] = ()
    """Other names of it."""
    timeout_s: float = 3.0
    memory_mb: int = 128
    environment: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    unresolved: Mapping[str, Diagnostic] = field(default_factory=dict)
    """Variables that are not known before a deploy, each with a warning."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings about its other settings."""


class Invoker(Protocol):
    """Runs functions as their files are when the request arrives."""

    async def invoke(self, invocation: Invocation) -> InvocationOutcome:
        """Builds what is stale, runs it once, and returns what it came to.

        A cancelled call no longer waits; a handler that runs already is not interrupted.
        """

    def functions(self) -> tuple[FunctionConfig, ...]:
        """The functions of the project as its configuration says now, sorted by name."""
