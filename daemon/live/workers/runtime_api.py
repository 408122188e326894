"""The Runtime API for one worker: it asks for a request, and hands in what came of it.

Sources: AWS Lambda Developer Guide, "Using the Lambda runtime API" and "Building a custom runtime,
Enabling response streaming". A worker is given one request at a time, and only the answer that
bears its id counts.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.daemon.live.workers import errors, http
from lambdad.daemon.live.workers.http import BrokenRequestError, RuntimeRequest, read_request

PREFIX: Final = "/2018-06-01/runtime"
TOKEN_HEADER: Final = "lambdad-token"  # noqa: S105 -- the header that has it
MODULES_HEADER: Final = "lambdad-modules"
ERROR_TYPE: Final = "lambda-runtime-function-error-type"
ERROR_BODY: Final = "lambda-runtime-function-error-body"
_QUEUED: Final = 8
"""Pieces of a streamed answer that wait for the caller; then the worker waits, too."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its code, or is done with a request, and asks for the next one."""


@dataclass(frozen=True, slots=True)
class Returned:
    payload: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler failed; or, with `in_init`, what it stands in could not be loaded."""

    error: bytes
    in_init: bool = False


@dataclass(frozen=True, slots=True)
class Oversized:
    size: int


@dataclass(frozen=True, slots=True)
class Began:
    """A streamed answer: its pieces come through the queue, then None or what failed."""

    content_type: str
    pieces: asyncio.Queue[bytes | Raised | None]


@dataclass(frozen=True, slots=True)
class Imported:
    """Modules of dependencies that the worker's code has imported, in their order."""

    modules: tuple[str, ...]


WorkerReport = Imported | Ready | Returned | Raised | Oversized | Began


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeTask:
    """What `next` answers."""

    request_id: str
    payload: bytes
    headers: Mapping[str, str]


class RuntimeApi:
    """Listens on loopback for one worker. Owned by the event loop that started it."""

    def __init__(
        self,
        report: Callable[[WorkerReport], None],
        token: str | None,
        preload: Mapping[str, object] | None = None,
    ) -> None:
        """`report` is called with everything the worker says, in order. Without a token, any
        process of this machine may speak. `preload` is what it may do before it is assigned."""
        self._preload = preload
        self.waits = asyncio.Event()
        """Set once the worker has nothing to do until it is assigned something."""
        self._report = report
        self._token = token
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._assignment: asyncio.Future[bytes] | None = None
        self._task: asyncio.Future[RuntimeTask] | None = None
        self._current: str | None = None
        self._taken = False
        """The streamed answer's caller has gone: its pieces are thrown away."""

    async def start(self) -> str:
        """Where it listens: host and port, as AWS_LAMBDA_RUNTIME_API has it."""
        loop = asyncio.get_running_loop()
        self._assignment = loop.create_future()
        self._task = loop.create_future()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=http.MOST_HEAD)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def assign(self, document: Mapping[str, object]) -> None:
        """What the worker is to load; once only."""
        assert self._assignment is not None  # noqa: S101 -- it was started
        self._assignment.set_result(json.dumps(document).encode())

    def give(self, task: RuntimeTask) -> None:
        """The request that the worker gets next. It must have none."""
        assert self._task is not None  # noqa: S101 -- it was started
        assert self._current is None  # noqa: S101 -- one at a time
        self._current = task.request_id
        self._task.set_result(task)

    def abandon(self) -> None:
        """No caller waits for the rest of the streamed answer."""
        self._taken = True

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        for waiting in (self._assignment, self._task):
            if waiting is not None:
                waiting.cancel()

    # --- connections ---------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while (request := await read_request(reader)) is not None:
                writer.write(await self._answer(request))
                await writer.drain()
        except (BrokenRequestError, OSError):
            pass  # the worker's end is seen by its process
        except asyncio.CancelledError:
            pass  # `start` or the worker is being ended
        finally:
            self._connections.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, request: RuntimeRequest) -> bytes:
        headers = request.headers
        given = headers.get(TOKEN_HEADER, "")
        if self._token is not None and not hmac.compare_digest(
            given.encode(), self._token.encode()
        ):
            return _refusal(403, "Forbidden", "this is the Runtime API of another process")
        path = request.path.removeprefix(PREFIX)
        words = path.strip("/").split("/")
        match request.method, words:
            case "GET", ["assignment"]:
                assert self._assignment is not None  # noqa: S101
                if self._preload is not None and not self._assignment.done():
                    preload, self._preload = self._preload, None
                    return http.response(200, json.dumps({"preload": preload}).encode())
                self.waits.set()
                return http.response(200, await asyncio.shield(self._assignment))
            case "GET", ["invocation", "next"]:
                if modules := headers.get(MODULES_HEADER):
                    self._report(Imported(tuple(modules.split(","))))
                return await self._next()
            case "POST", ["init", "error"]:
                error = await request.body()
                self._report(Raised(error, in_init=True))
                return http.response(202, b'{"status":"OK"}')
            case "POST", ["invocation", request_id, ("response" | "error") as kind]:
                return await self._settle(request, request_id, kind)
            case _:
                return _refusal(404, "NotFound", "there is no such call")

    async def _next(self) -> bytes:
        assert self._task is not None  # noqa: S101
        self._report(Ready())
        task = await asyncio.shield(self._task)
        return http.response(200, task.payload, task.headers)

    async def _settle(self, request: RuntimeRequest, request_id: str, kind: str) -> bytes:
        if request_id != self._current:
            await request.body()
            return _refusal(400, "InvalidRequestID", "no such request is running here")
        mode = request.headers.get("lambda-runtime-function-response-mode", "")
        if kind == "error":
            body = await request.body()
            self._done(Raised(body))
        elif mode.lower() == "streaming":
            return await self._stream(request, request_id)
        else:
            pieces, size = [], 0
            async for piece in request.pieces():
                size += len(piece)
                if size <= errors.MOST_ANSWER:
                    pieces.append(piece)
            if request_id != self._current:
                return _refusal(400, "InvalidRequestID", "the request is over")
            if size > errors.MOST_ANSWER:
                self._done(Oversized(size))
                return _refusal(413, "RequestEntityTooLarge", "the answer is too large")
            content_type = request.headers.get("content-type", "application/json")
            self._done(Returned(b"".join(pieces), content_type))
        return http.response(202, b'{"status":"OK"}')

    def _done(self, report: WorkerReport) -> None:
        """The request is over: the worker may have another."""
        self._renew()
        self._report(report)

    def _renew(self) -> None:
        self._current = None
        self._taken = False
        self._task = asyncio.get_running_loop().create_future()

    async def _stream(self, request: RuntimeRequest, request_id: str) -> bytes:
        content_type = request.headers.get("content-type", "application/octet-stream")
        queue: asyncio.Queue[bytes | Raised | None] = asyncio.Queue(_QUEUED)
        self._report(Began(content_type, queue))
        size = 0
        fault: Raised | None = None
        try:
            async for piece in request.pieces():
                size += len(piece)
                if size > errors.MOST_STREAM:
                    fault = fault or Raised(errors.too_large_stream())
                elif not self._taken:
                    await self._put(queue, piece)
        except BrokenRequestError:
            fault = Raised(errors.broken_stream(request_id))
        if kind := request.trailers.get(ERROR_TYPE):
            fault = Raised(_trailing_error(kind, request.trailers.get(ERROR_BODY, "")))
        await self._put(queue, fault)
        self._renew()
        return http.response(202, b'{"status":"OK"}')

    async def _put(
        self, queue: asyncio.Queue[bytes | Raised | None], item: bytes | Raised | None
    ) -> None:
        """Waits for room, unless the caller has gone meanwhile."""
        while not self._taken:
            try:
                async with asyncio.timeout(1.0):
                    await queue.put(item)
                return
            except TimeoutError:
                continue


def _trailing_error(kind: str, body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True) or _bare(kind)
    except ValueError:
        return _bare(kind)


def _bare(kind: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": ""}).encode()


def _refusal(status: int, kind: str, message: str) -> bytes:
    body = json.dumps({"errorMessage": message, "errorType": kind}).encode()
    return http.response(status, body, close=status == 403)
