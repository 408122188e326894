"""Lambda's own API on loopback, as far as it runs and lists functions: for unmodified AWS SDKs.

Sources: AWS Lambda API Reference, "Invoke", "InvokeWithResponseStream", "ListFunctions",
"GetFunction", "GetFunctionConfiguration"; "Lambda quotas".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, assert_never

from aiohttp import web

from lambdad.bundler.model import Diagnostic
from lambdad.bundler.report.render import diagnostic_json, diagnostic_text
from lambdad.daemon.live import event_stream
from lambdad.daemon.live.http.connections import timed
from lambdad.daemon.live.invocation import (
    VERSION,
    Answered,
    BuildFailed,
    CannotRun,
    Exited,
    FunctionConfig,
    FunctionFailed,
    FunctionFault,
    Invocation,
    InvocationOutcome,
    Invoker,
    NoSuchFunction,
    StreamedAnswer,
    Throttled,
    TimedOut,
    TooLarge,
)
from lambdad.daemon.serving import boundary

MOST_SYNC: Final = 6_291_456
MOST_ASYNC: Final = 1_048_576
MOST_CONTEXT: Final = 3583
"""Bytes of a client context, in base64."""
PAGE: Final = 50
"""Functions on a page of ListFunctions, unless the client asks for fewer."""

NAME: Final = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:)?(?:[a-z0-9-]+:)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)
QUALIFIER: Final = re.compile(r"\$?[a-zA-Z0-9_-]+")


class ApiError(Exception):
    """An error as AWS's API answers it."""

    def __init__(self, status: int, kind: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.document = {"Type": "User" if status < 500 else "Service", "Message": message, **more}


class LambdaApi:
    """The API in front of an Invoker."""

    def __init__(
        self,
        invoker: Invoker,
        arn: Callable[[str], str],
        *,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
        root: str | None = None,
    ) -> None:
        """`arn` gives a function's; `hosts` and `origins` are allowed beside loopback ones;
        paths of diagnostics are shown from `root` on."""
        self._invoker = invoker
        self._arn = arn
        self._hosts = hosts
        self._origins = origins
        self._root = root
        self._background: set[asyncio.Task[InvocationOutcome]] = set()

    def application(self) -> web.Application:
        app = web.Application(
            middlewares=[timed, self._guard], client_max_size=MOST_SYNC + (1 << 20)
        )
        functions = "/2015-03-31/functions"
        one = functions + "/{name}"
        app.router.add_get(functions, self._list)
        app.router.add_get(f"{functions}/", self._list)
        app.router.add_get(one, self._get)
        app.router.add_get(f"{one}/configuration", self._configuration)
        app.router.add_post(f"{one}/invocations", self._invoke)
        app.router.add_post(
            "/2021-11-15/functions/{name}/response-streaming-invocations", self._stream
        )
        return app

    async def close(self) -> None:
        """Forgets the invocations whose outcome no caller waits for."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # --- every request -------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            if not boundary.is_allowed_host(request.headers.get("Host"), self._hosts):
                raise ApiError(403, "AccessDeniedException", "this Host is not allowed")
            if not boundary.is_allowed_origin(request.headers.get("Origin"), self._origins):
                raise ApiError(403, "AccessDeniedException", "this Origin is not allowed")
            return await handler(request)
        except ApiError as fault:
            return _refusal(fault)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(_too_large(MOST_SYNC))
        except web.HTTPNotFound:
            return _refusal(ApiError(404, "UnknownOperationException", "no such operation"))
        except web.HTTPMethodNotAllowed:
            return _refusal(ApiError(405, "UnknownOperationException", "no such operation"))

    # --- invoking ------------------------------------------------------------------------------

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        kind = headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind not in ("RequestResponse", "Event", "DryRun"):
            raise ApiError(
                400, "InvalidParameterValueException", f"Unsupported invocation type {kind}"
            )
        is_async = kind == "Event"
        invocation = await self._read(request, is_async=is_async, streams=False)
        if kind == "DryRun":
            self._config(request)
            return web.Response(status=204, headers=_ids(invocation))
        if is_async:
            self._config(request)
            task = asyncio.create_task(self._invoker.invoke(invocation))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            return web.Response(status=202, headers=_ids(invocation))
        outcome = await self._invoker.invoke(invocation)
        wants_log = headers.get("X-Amz-Log-Type", "None") == "Tail"
        return self._answer(invocation, outcome, wants_log=wants_log)

    def _answer(
        self, invocation: Invocation, outcome: InvocationOutcome, *, wants_log: bool
    ) -> web.Response:
        headers = {**_ids(invocation), "X-Amz-Executed-Version": VERSION}
        match outcome:
            case Answered(payload=payload, log=log):
                body = payload
            case FunctionFailed() | TimedOut() | Exited() | TooLarge():
                body, log = outcome.error, outcome.log
                headers["X-Amz-Function-Error"] = _function_error(outcome)
            case BuildFailed():
                body, log = build_error(outcome.diagnostics, self._root), b""
                headers["X-Amz-Function-Error"] = "Unhandled"
            case StreamedAnswer():
                raise AssertionError("the invocation takes no streamed answer")
            case NoSuchFunction() | Throttled() | CannotRun():
                raise self._refused(invocation, outcome)
            case _:
                assert_never(outcome)
        if wants_log and log:
            headers["X-Amz-Log-Result"] = base64.b64encode(log).decode()
        return web.Response(body=body, headers=headers, content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        invocation = await self._read(request, is_async=False, streams=True)
        if kind == "DryRun":
            self._config(request)
            return web.Response(status=204, headers=_ids(invocation))
        outcome = await self._invoker.invoke(invocation)
        if isinstance(outcome, (NoSuchFunction, Throttled, CannotRun)):
            raise self._refused(invocation, outcome)
        wants_log = request.headers.get("X-Amz-Log-Type", "None") == "Tail"
        response = web.StreamResponse(
            headers={
                **_ids(invocation),
                "X-Amz-Executed-Version": VERSION,
                "Content-Type": event_stream.CONTENT_TYPE,
            }
        )
        await response.prepare(request)
        try:
            end = await self._write(response, outcome, wants_log=wants_log)
            await response.write(end)
            await response.write_eof()
        except ConnectionError:
            if isinstance(outcome, StreamedAnswer):
                await outcome.chunks.close()
        return response

    async def _write(
        self,
        response: web.StreamResponse,
        outcome: Answered | StreamedAnswer | FunctionFault | BuildFailed,
        *,
        wants_log: bool,
    ) -> bytes:
        """Writes the answer's chunks; returns its last event."""
        match outcome:
            case StreamedAnswer(chunks=chunks):
                async for piece in chunks:
                    await response.write(event_stream.chunk(piece))
                fault, log = chunks.fault, chunks.log
            case Answered(payload=payload, log=log):
                await response.write(event_stream.chunk(payload))
                fault = None
            case BuildFailed(diagnostics=diagnostics):
                details = build_error(diagnostics, self._root).decode()
                return event_stream.complete(code="Unhandled", details=details)
            case _:
                fault, log = outcome, outcome.log
        tail = base64.b64encode(log).decode() if wants_log and log else None
        if fault is None:
            return event_stream.complete(log_result=tail)
        details = fault.error.decode(errors="replace")
        return event_stream.complete(code=_function_error(fault), details=details, log_result=tail)

    async def _read(self, request: web.Request, *, is_async: bool, streams: bool) -> Invocation:
        """What the request asks. Raises ApiError."""
        name = _name(request)
        most = MOST_ASYNC if is_async else MOST_SYNC
        if request.content_length is not None and request.content_length > most:
            raise _too_large(most)
        payload = await request.read()
        if len(payload) > most:
            raise _too_large(most)
        if not payload:
            payload = b"{}"
        try:
            json.loads(payload)
        except (ValueError, RecursionError) as fault:
            message = f"Could not parse request body into json: {fault}"
            raise ApiError(400, "InvalidRequestContentException", message) from fault
        return Invocation(
            function=name,
            payload=payload,
            request_id=str(uuid.uuid4()),
            client_context=_client_context(request.headers.get("X-Amz-Client-Context")),
            trace_id=request.headers.get("X-Amzn-Trace-Id"),
            is_async=is_async,
            streams=streams,
            label="Event" if is_async else "Invoke",
        )

    def _refused(
        self, invocation: Invocation, outcome: NoSuchFunction | Throttled | CannotRun
    ) -> ApiError:
        match outcome:
            case NoSuchFunction():
                return self._unknown(invocation.function)
            case Throttled():
                return ApiError(
                    429,
                    "TooManyRequestsException",
                    "Rate Exceeded.",
                    Reason="ConcurrentInvocationLimitExceeded",
                )
            case CannotRun(message=message, hint=hint):
                text = message if hint is None else f"{message}; {hint}"
                return ApiError(500, "ServiceException", text)
            case _:
                assert_never(outcome)

    def _unknown(self, name: str) -> ApiError:
        message = f"Function not found: {self._arn(name)}"
        return ApiError(404, "ResourceNotFoundException", message)

    # --- what functions there are --------------------------------------------------------------

    def _config(self, request: web.Request) -> FunctionConfig:
        """Raises ApiError."""
        name = _name(request)
        for function in self._invoker.functions():
            if name == function.name or name in function.aliases:
                return function
        raise self._unknown(name)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        found = self._invoker.functions()
        try:
            begin = int(request.query.get("Marker") or "0")
            most = int(request.query.get("MaxItems") or PAGE)
        except ValueError as fault:
            raise ApiError(400, "InvalidParameterValueException", "Invalid Marker") from fault
        most = max(1, min(most, PAGE))
        document: dict[str, Any] = {
            "Functions": [self._described(one) for one in found[begin : begin + most]]
        }
        if begin + most < len(found):
            document["NextMarker"] = str(begin + most)
        return web.json_response(document)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        function = self._config(request)
        where = function.function.where.file
        return web.json_response(
            {
                "Configuration": self._described(function),
                "Code": {"RepositoryType": "local", "Location": where},
                "Tags": {},
            }
        )

    async def _configuration(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._described(self._config(request)))

    def _described(self, config: FunctionConfig) -> dict[str, Any]:
        function = config.function
        digest = hashlib.sha256(config.name.encode()).digest()
        return {
            "FunctionName": config.name,
            "FunctionArn": self._arn(config.name),
            "Runtime": function.runtime.name,
            "Role": "arn:aws:iam::012345678912:role/lambdad",
            "Handler": function.handler.text,
            "CodeSize": 0,
            "Description": config.description,
            "Timeout": round(config.timeout_s),
            "MemorySize": config.memory_mb,
            "LastModified": "1970-01-01T00:00:00.000+0000",
            "CodeSha256": base64.b64encode(digest).decode(),
            "Version": VERSION,
            "Environment": {"Variables": dict(config.environment)},
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": str(uuid.UUID(bytes=digest[:16])),
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": [function.architecture.value],
            "EphemeralStorage": {"Size": 512},
        }


def build_error(diagnostics: Collection[Diagnostic], root: str | None = None) -> bytes:
    """The error object of a function that can't be built: for people in the message, and for
    programs beside it."""
    texts = [diagnostic_text(one, root=root) for one in diagnostics]
    return json.dumps(
        {
            "errorType": "Lambdad.BuildFailed",
            "errorMessage": "\n".join(texts),
            "diagnostics": [diagnostic_json(one) for one in diagnostics],
        }
    ).encode()


def _function_error(fault: FunctionFault) -> str:
    return fault.kind if isinstance(fault, FunctionFailed) else "Unhandled"


def _name(request: web.Request) -> str:
    """Of a name, an ARN or a part of one. Every version and alias is what the files are now.

    Raises ApiError.
    """
    given = request.match_info["name"]
    found = NAME.fullmatch(given)
    qualifier = request.query.get("Qualifier")
    if found is None or (qualifier is not None and not QUALIFIER.fullmatch(qualifier)):
        message = f"1 validation error detected: Value '{given}' at 'functionName' is no function"
        raise ApiError(400, "ValidationException", message)
    return found["name"]


def _client_context(header: str | None) -> str | None:
    """JSON of ASCII alone, so that it can be a header again. Raises ApiError."""
    if not header:
        return None
    if len(header) > MOST_CONTEXT:
        message = "Client context must be no more than 3583 bytes"
        raise ApiError(400, "InvalidRequestContentException", message)
    try:
        return json.dumps(json.loads(base64.b64decode(header, validate=True)))
    except (binascii.Error, ValueError, RecursionError) as fault:
        message = f"Client context must be a valid Base64-encoded JSON object: {fault}"
        raise ApiError(400, "InvalidRequestContentException", message) from fault


def _too_large(most: int) -> ApiError:
    message = f"Request must be smaller than {most} bytes for the InvokeFunction operation"
    return ApiError(413, "RequestTooLargeException", message)


def _ids(invocation: Invocation) -> dict[str, str]:
    return {"x-amzn-RequestId": invocation.request_id}


def _refusal(fault: ApiError) -> web.Response:
    headers = {"x-amzn-ErrorType": fault.kind, "x-amzn-RequestId": str(uuid.uuid4())}
    response = web.json_response(fault.document, status=fault.status, headers=headers)
    if fault.status == 413:
        response.force_close()
    return response
