"""One worker: its process and its Runtime API, and the request that it runs."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from lambdad.bundler.model import BundlerError
from lambdad.daemon.live.invocation import (
    Answered,
    CannotRun,
    Exited,
    FunctionFailed,
    FunctionFault,
    Invocation,
    InvocationOutcome,
    StreamedAnswer,
    TimedOut,
    TooLarge,
)
from lambdad.daemon.live.workers import errors, log, runtime_api
from lambdad.daemon.live.workers.launch import Launch, Load
from lambdad.daemon.live.workers.log import Tail
from lambdad.daemon.live.workers.process import WorkerProcess
from lambdad.daemon.live.workers.runtime_api import (
    Began,
    Imported,
    Oversized,
    Raised,
    Ready,
    Returned,
    RuntimeApi,
)

INIT_S: Final = 10.0
"""Lambda lets code load so long before the function's own time begins."""


class LogReader(Protocol):
    """Hears what workers log."""

    def logged(self, function: str, request_id: str | None, piece: bytes) -> None: ...


@dataclass(slots=True, kw_only=True)
class RunningRequest:
    """A request that a worker runs."""

    invocation: Invocation
    arn: str
    outcome: asyncio.Future[InvocationOutcome]
    tail: Tail = field(default_factory=Tail)
    began_s: float = 0.0
    duration_ms: float = 0.0
    init_ms: float | None = None
    used_mb: int | None = None
    stream: WorkerStream | None = None
    timer: asyncio.TimerHandle | None = None

    def settle(self, outcome: InvocationOutcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class WorkerStream:
    """An AnswerStream of a worker."""

    def __init__(self, began: Began, gone: Callable[[], None]) -> None:
        self._began = began
        self._gone = gone
        self._broken: asyncio.Future[FunctionFault] = asyncio.get_running_loop().create_future()
        self._finished = asyncio.Event()
        self.fault: FunctionFault | None = None
        self.log = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._piece()) is not None:
            yield piece
        await self._finished.wait()

    async def _piece(self) -> bytes | None:
        if self._began.pieces.empty():
            waiting = asyncio.ensure_future(self._began.pieces.get())
            try:
                await asyncio.wait((waiting, self._broken), return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    return None
                item = waiting.result()
            finally:
                waiting.cancel()
        else:
            item = self._began.pieces.get_nowait()
        if isinstance(item, Raised):
            self.fault = FunctionFailed(error=item.error)
            return None
        return item

    async def close(self) -> None:
        self._gone()

    def fail(self, fault: FunctionFault) -> None:
        """The worker has ended."""
        self.fault = self.fault or fault
        if not self._broken.done():
            self._broken.set_result(fault)

    def finish(self, log_tail: bytes) -> None:
        self.log = log_tail
        self._finished.set()


class Worker:
    """Runs one request at a time. It belongs to the event loop that made it."""

    def __init__(
        self,
        function: str,
        launch: Launch,
        *,
        free: Callable[[], None],
        lost: Callable[[], None],
        reader: LogReader,
        imported: Callable[[tuple[str, ...]], None],
        preload: Sequence[str] = (),
    ) -> None:
        """`free` is called when it can run a request, `lost` when its process has ended,
        `imported` with modules of dependencies that it has imported. `preload` are those that it
        imports before it is assigned anything."""
        self._imported = imported
        self._function = function
        self._launch = launch
        self._free = free
        self._lost = lost
        self._reader = reader
        self._token = secrets.token_hex(16)
        ahead: dict[str, object] = {
            "modules": list(preload),
            "folders": list(launch.dependencies),
            "root": launch.cwd,
        }
        self._api = RuntimeApi(self._report, self._token, ahead if preload else None)
        self._process: WorkerProcess | None = None
        self._running: RunningRequest | None = None
        self._load: Load | None = None
        self._loads_for: str | None = None
        self._began_s = time.monotonic()
        self._init_ms: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None
        self._is_lost = False
        self.is_outdated = False
        self._early = Tail()
        self._fault: Callable[[str], InvocationOutcome] | None = None
        self._confirm: Callable[[], Awaitable[bool]] | None = None

    def fault(self, request_id: str) -> InvocationOutcome:
        """What it comes to for a request that it was lost before it ran anything."""
        if self._fault is None:
            return CannotRun(message="the worker was ended")
        return self._fault(request_id)

    # --- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to start it; `lost` is called if it can't be started."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        address = await self._api.start()
        environ = {
            **dict(self._launch.environ),
            "AWS_LAMBDA_RUNTIME_API": address,
            "_LAMBDAD_TOKEN": self._token,
        }
        if self._is_lost:
            return
        try:
            self._process = WorkerProcess(
                self._launch.command, cwd=self._launch.cwd, environ=environ, heard=self._heard
            )
        except BundlerError as fault:
            found = CannotRun(message=fault.message, hint=fault.hint)
            self._fault = lambda _request: found
            self._end()
            return
        self._process.ended.add_done_callback(self._ended)

    def name(self, function: str) -> None:
        """Whose code it is going to load."""
        self._function = function

    async def booted(self) -> None:
        """Returns once it waits for what to load, with all that it imports ahead."""
        await self._api.waits.wait()

    def assign(
        self, load: Load, request_id: str | None, confirm: Callable[[], Awaitable[bool]] | None
    ) -> None:
        """What it loads, once. Its log belongs to that request until it is free. `confirm` says,
        after it has loaded, whether the files are still what they were."""
        self._load = load
        self._loads_for = request_id
        self._confirm = confirm if load.is_mutable else None
        self._began_s = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(
            INIT_S + load.timeout_s, self._init_timed_out
        )
        self._assigning = asyncio.get_running_loop().create_task(self._assign(load))

    async def _assign(self, load: Load) -> None:
        if self._starting is not None:
            await self._starting
        if not self._is_lost:
            self._api.assign(load.assignment)

    def kill(self) -> None:
        """Ends it at once, whatever it does."""
        if self._process is not None:
            self._process.kill()
        elif not self._is_lost:
            self._end()

    async def wait_closed(self) -> None:
        """Until its process has ended."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._process is not None:
            self._process.kill()
            await asyncio.wait([self._process.ended])
        await self._api.close()

    # --- requests ------------------------------------------------------------------------------

    def run(self, running: RunningRequest) -> None:
        """Runs the request; its future has the outcome. The worker must be free."""
        assert self._load is not None  # noqa: S101 -- it was free
        invocation = running.invocation
        self._running = running
        self._loads_for = invocation.request_id
        running.tail.add(self._early.value())
        self._early = Tail()
        running.init_ms, self._init_ms = self._init_ms, None
        running.began_s = time.monotonic()
        timeout_s = self._load.timeout_s
        loop = asyncio.get_running_loop()
        running.timer = loop.call_later(timeout_s, self._timed_out, timeout_s)
        self._say(log.start_line(invocation.request_id))
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + timeout_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": running.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id or _trace_id(),
        }
        if invocation.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        self._api.give(
            runtime_api.RuntimeTask(
                request_id=invocation.request_id, payload=invocation.payload, headers=headers
            )
        )

    def _report(self, report: runtime_api.WorkerReport) -> None:
        if self._process is not None:
            self._process.drain()  # what it wrote before it said this
        match report:
            case Imported(modules):
                self._imported(modules)
            case Ready():
                self._ready()
            case Raised(error, True):
                failed = FunctionFailed(error=error, log=self._early.value())
                self._fault = lambda _request: failed
            case Returned(payload, content_type):
                self._finish(
                    lambda tail: Answered(payload=payload, content_type=content_type, log=tail)
                )
            case Raised(error):
                kind = errors.error_type(error)
                self._finish(
                    lambda tail: FunctionFailed(error=error, log=tail),
                    status=f"error\tError Type: {kind}",
                )
            case Oversized(size):
                error = errors.too_large(size)
                self._finish(
                    lambda tail: TooLarge(error=error, log=tail),
                    status="error\tError Type: Function.ResponseSizeTooLarge",
                )
            case Began():
                self._begin_stream(report)

    def _ready(self) -> None:
        running = self._running
        if running is not None and running.stream is not None:  # a streamed answer is whole
            stream = running.stream
            self._finish(None)
            stream.finish(running.tail.value())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._init_ms = (time.monotonic() - self._began_s) * 1000
            if self._confirm is not None:
                self._confirming = asyncio.get_running_loop().create_task(self._confirmed())
                return
        self._free()

    async def _confirmed(self) -> None:
        assert self._confirm is not None  # noqa: S101
        if await self._confirm():
            self._free()
        else:
            self.is_outdated = True
            self.kill()

    def _begin_stream(self, began: Began) -> None:
        running = self._running
        if running is None:
            self._api.abandon()
            return
        running.stream = WorkerStream(began, self._api.abandon)
        if running.invocation.streams:
            running.settle(StreamedAnswer(content_type=began.content_type, chunks=running.stream))
        else:
            self._collecting = asyncio.get_running_loop().create_task(
                _collect(running, running.stream, began.content_type)
            )

    def _finish(
        self, outcome: Callable[[bytes], InvocationOutcome] | None, *, status: str | None = None
    ) -> None:
        """The request is over: its last lines, then its outcome."""
        running = self._running
        if running is None:
            return
        assert self._load is not None  # noqa: S101
        if running.timer is not None:
            running.timer.cancel()
        running.duration_ms = (time.monotonic() - running.began_s) * 1000
        request_id = running.invocation.request_id
        running.used_mb = None if self._process is None else log.memory_used(self._process.pid)
        self._say(log.end_line(request_id))
        self._say(
            log.report_line(
                request_id,
                duration_ms=running.duration_ms,
                memory_mb=self._load.memory_mb,
                used_mb=running.used_mb,
                init_ms=running.init_ms,
                status=status,
            )
        )
        self._running = None
        if outcome is not None:
            running.settle(outcome(running.tail.value()))

    # --- faults --------------------------------------------------------------------------------

    def _timed_out(self, timeout_s: float) -> None:
        running = self._running
        if running is None:
            return
        request_id = running.invocation.request_id
        error = errors.timed_out(request_id, timeout_s)
        if self._process is not None:
            self._process.drain()
        self._say(log.stamped(request_id, errors.timed_out_line(timeout_s)))
        self._break(
            lambda tail: TimedOut(error=error, timeout_s=timeout_s, log=tail), status="timeout"
        )
        self.kill()

    def _init_timed_out(self) -> None:
        assert self._load is not None  # noqa: S101
        timeout_s = self._load.timeout_s
        self._fault = lambda request_id: TimedOut(
            error=errors.timed_out(request_id, timeout_s),
            timeout_s=timeout_s,
            log=self._early.value(),
        )
        self.kill()

    def _ended(self, ended: asyncio.Future[int]) -> None:
        code = ended.result()
        running = self._running
        if running is not None:
            request_id = running.invocation.request_id
            self._say(f"RequestId: {request_id} Error: {errors.exit_line(code)}\n")
            self._say("Runtime.ExitError\n")
            error = errors.exited(request_id, code)
            self._break(
                lambda tail: Exited(error=error, log=tail),
                status="error\tError Type: Runtime.ExitError",
            )
        if self._fault is None:
            self._fault = lambda request_id: Exited(
                error=errors.exited(request_id, code), log=self._early.value()
            )
        self._end()

    def _break(self, outcome: Callable[[bytes], FunctionFault], *, status: str) -> None:
        """The request failed though the handler did not say so."""
        running = self._running
        assert running is not None  # noqa: S101
        stream = running.stream
        self._finish(None if stream is not None else outcome, status=status)
        if stream is not None:
            stream.fail(outcome(running.tail.value()))
            stream.finish(running.tail.value())

    def _end(self) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._closing = asyncio.get_running_loop().create_task(self._api.close())
        self._lost()

    # --- logs ----------------------------------------------------------------------------------

    def _heard(self, piece: bytes) -> None:
        running = self._running
        if running is not None:
            running.tail.add(piece)
            request_id: str | None = running.invocation.request_id
        else:
            self._early.add(piece)
            request_id = self._loads_for
        if self._function:  # what a spare one writes is in its first request's log
            self._reader.logged(self._function, request_id, piece)

    def _say(self, line: str) -> None:
        self._heard(line.encode())


async def _collect(running: RunningRequest, stream: WorkerStream, content_type: str) -> None:
    """A streamed answer for a caller who takes it as a whole."""
    pieces, size = [], 0
    async for piece in stream:
        size += len(piece)
        if size <= errors.MOST_ANSWER:
            pieces.append(piece)
    outcome: InvocationOutcome
    if stream.fault is not None:
        outcome = stream.fault
    elif size > errors.MOST_ANSWER:
        outcome = TooLarge(error=errors.too_large(size), log=stream.log)
    else:
        outcome = Answered(payload=b"".join(pieces), content_type=content_type, log=stream.log)
    running.settle(outcome)


def _trace_id() -> str:
    root = f"1-{int(time.time()):08x}-{os.urandom(12).hex()}"
    return f"Root={root};Parent={os.urandom(8).hex()};Sampled=0"
