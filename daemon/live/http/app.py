"""The HTTP server of `lambdad start`: from a request to a function, and back."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from aiohttp import web
from multidict import CIMultiDict

from lambdad.bundler.config.routes import Api, ApiKind, Apis, AuthorizerKind, Fixed, Pairs
from lambdad.bundler.model import BundlerError, Diagnostic, Severity
from lambdad.daemon.live.http import answers, cors, guard, pages
from lambdad.daemon.live.http.answers import HttpAnswer, MalformedError, Prelude, gateway_says
from lambdad.daemon.live.http.authorizers import (
    Denied,
    Unauthorized,
    authorizer_event,
    decision,
    identity,
    token_caller,
)
from lambdad.daemon.live.http.connections import timed
from lambdad.daemon.live.http.events import Caller, event, method_arn
from lambdad.daemon.live.http.matching import NotFound, match
from lambdad.daemon.live.http.request import Account, HttpRequest, Matched
from lambdad.daemon.live.invocation import (
    PRELUDE_TYPE,
    Answered,
    BuildFailed,
    CannotRun,
    Exited,
    FunctionFailed,
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
from lambdad.daemon.serving.protocol import RequestError

MOST: Final = {ApiKind.REST: 10 << 20, ApiKind.HTTP: 10 << 20, ApiKind.URL: 6 << 20}
"""Bytes of a request's body."""
MOST_EVENT: Final = 6_291_556
"""Bytes of an event, a binary body in base64 included."""
DECISIONS: Final = 1000
"""Authorizers' answers that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """What the server is given beside the routes and the functions."""

    account: Account = field(default_factory=Account)
    hosts: Collection[str] = ()
    origins: Collection[str] = ()
    root: str | None = None
    """Paths of diagnostics are shown from here on."""
    port: int = 3000
    is_patient: bool = False
    """A debugger may hold a function: no gateway's time-out counts."""


@dataclass(frozen=True, slots=True)
class _Kept:
    payload: bytes
    until_s: float


class HttpApis:
    """The project's HTTP APIs in front of an Invoker."""

    def __init__(
        self,
        invoker: Invoker,
        apis: Callable[[], tuple[Apis, Sequence[Diagnostic]]],
        digest: Callable[[str], Awaitable[str | None]],
        *,
        settings: HttpSettings | None = None,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`apis` returns them as the configuration has them now, with what is wrong in it (it runs
        in a thread and may raise BundlerError); `digest` waits until the function is built, and
        returns its code's; `note` is given what people want to read in the terminal."""
        self._invoker = invoker
        self._apis = apis
        self._digest = digest
        self.settings = settings or HttpSettings()
        self._note = note
        self._decisions: dict[tuple[str, ...], _Kept] = {}
        """What authorizers returned. The event loop's alone."""

    def application(self) -> web.Application:
        app = web.Application(middlewares=[timed], client_max_size=max(MOST.values()) + 1)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    # --- the flow ------------------------------------------------------------------------------

    async def _answer(self, web_request: web.Request) -> web.StreamResponse:
        request = _request(web_request, self.settings.port)
        reason = guard.refusal(request, self.settings.hosts, self.settings.origins)
        if reason is not None:
            return _response(pages.refused(request, reason), close=True)
        try:
            found, faults = await asyncio.to_thread(self._apis)
        except BundlerError as fault:
            return _response(pages.failed(request, 500, fault.message, fault.hint))
        matched = self._matched(found.apis, request)
        if isinstance(matched, NotFound):
            errors = [one for one in faults if one.severity is Severity.ERROR]
            if errors:  # what they hide may be the route
                what = "What the configuration describes"
                page = pages.build_failed(request, what, errors, self.settings.root)
            else:
                page = pages.not_found(request, matched.near)
            return _response(pages.readable(request, page))
        if isinstance(matched, HttpAnswer):
            return _response(matched)
        try:
            body = await boundary.body(web_request)
        except web.HTTPRequestEntityTooLarge:
            return _response(gateway_says(answers.TOO_LARGE, matched.api), close=True)
        except RequestError as fault:
            return boundary.problem(fault)
        if len(body) > MOST[matched.api.kind]:
            return _response(gateway_says(answers.TOO_LARGE, matched.api))
        return await self._routed(web_request, replace(request, body=body), matched)

    def _matched(
        self, apis: tuple[Api, ...], request: HttpRequest
    ) -> Matched | HttpAnswer | NotFound:
        found = match(apis, request.host, request.method, request.path)
        if isinstance(found, Matched):
            return cors.preflight(found.api, request) or found
        wanted = request.header("access-control-request-method")
        if request.method == "OPTIONS" and wanted is not None:
            # A preflight is about the method that it names.
            meant = match(apis, request.host, wanted.upper(), request.path)
            answer = cors.preflight(meant.api, request) if isinstance(meant, Matched) else None
            if answer is not None:
                return answer
        return found

    async def _routed(
        self, web_request: web.Request, request: HttpRequest, matched: Matched
    ) -> web.StreamResponse:
        api, route = matched.api, matched.route
        if isinstance(route.target, Fixed):
            return _response(_named(api, request, answers.fixed(route.target)))
        caller = await self._caller(request, matched)
        if isinstance(caller, HttpAnswer):
            return self._told(request, matched, caller)
        payload = json.dumps(
            event(request, matched, self.settings.account, caller), ensure_ascii=False
        ).encode("utf-8", "replace")
        if len(payload) > MOST_EVENT:
            return self._told(request, matched, gateway_says(answers.TOO_LARGE, api))
        invocation = Invocation(
            function=route.target,
            payload=payload,
            request_id=request.id,
            trace_id=request.trace,
            streams=route.streams,
            label=f"{request.method} {request.path}",
        )
        outcome = await self._invoke(invocation, route.timeout_s)
        if outcome is None:
            fault = f"it did not answer within the {route.timeout_s:g} s of the {api.kind.value}"
            return self._told(request, matched, gateway_says(answers.TOO_SLOW, api, fault))
        if isinstance(outcome, StreamedAnswer):
            return await self._streamed(web_request, request, matched, outcome)
        return self._told(request, matched, self._of(outcome, request, matched, route.target))

    async def _invoke(self, invocation: Invocation, timeout_s: float) -> InvocationOutcome | None:
        """None: it takes longer than the gateway waits. The time that a build takes is not counted.

        A debugger's user has all the time.
        """
        limit_s = None if self.settings.is_patient else timeout_s
        running = asyncio.ensure_future(self._invoker.invoke(invocation))
        try:
            await asyncio.wait({running}, timeout=limit_s)
            if not running.done():
                built = asyncio.ensure_future(self._digest(invocation.function))
                try:
                    await asyncio.wait({running, built}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    built.cancel()
                await asyncio.wait({running}, timeout=limit_s)
            return running.result() if running.done() else None
        finally:
            running.cancel()

    def _of(
        self, outcome: InvocationOutcome, request: HttpRequest, matched: Matched, function: str
    ) -> HttpAnswer:
        api = matched.api
        match outcome:
            case Answered(content_type=kind, payload=payload):
                if kind == PRELUDE_TYPE:
                    return _whole(api, payload)
                return answers.answer(api, matched.route, request, payload)
            case FunctionFailed() | TimedOut() | Exited() | TooLarge():
                return gateway_says(answers.FAULTS, api)
            case BuildFailed(diagnostics=diagnostics):
                page = pages.build_failed(request, function, diagnostics, self.settings.root)
                return page if api.cors else pages.readable(request, page)
            case NoSuchFunction():
                return pages.failed(request, 500, f"no function is called {function}")
            case Throttled():
                return gateway_says(answers.TOO_MANY, api)
            case CannotRun(message=message, hint=hint):
                return pages.failed(request, 503, message, hint)
            case StreamedAnswer():
                raise AssertionError("it is passed on as it comes")
            case _:
                assert_never(outcome)

    def _told(self, request: HttpRequest, matched: Matched, answer: HttpAnswer) -> web.Response:
        """The response, with what the gateway adds; a fault goes to the terminal."""
        if answer.fault is not None:
            self._note(f"{request.method} {request.path}: {answer.fault}")
        answer = cors.with_headers(matched.api, request, answer)
        return _response(_named(matched.api, request, answer))

    # --- authorizers ---------------------------------------------------------------------------

    async def _caller(self, request: HttpRequest, matched: Matched) -> Caller | HttpAnswer | None:
        """Who calls; an HttpAnswer: it goes no further."""
        api, authorizer = matched.api, matched.route.authorizer
        if authorizer is None or authorizer.check is AuthorizerKind.IAM:
            return None
        if authorizer.check is AuthorizerKind.KEY:
            key = request.header("x-api-key")
            if not key:
                denied = answers.DENIED[ApiKind.HTTP]
                return gateway_says({api.kind: denied}, api, "it needs a header x-api-key")
            return Caller(api_key=key)
        values = identity(authorizer, request, matched)
        if isinstance(values, Unauthorized):
            return gateway_says(answers.UNAUTHORIZED, api, values.reason)
        if authorizer.check is AuthorizerKind.JWT:
            found: Caller | HttpAnswer | Denied | Unauthorized = token_caller(
                authorizer, values[0], time.time(), api.kind
            )
        else:
            found = await self._asked(request, matched, values)
        match found:
            case Unauthorized(reason=reason):
                return gateway_says(answers.UNAUTHORIZED, api, reason)
            case Denied(reason=reason):
                return gateway_says(answers.DENIED, api, reason)
            case _:
                return found

    async def _asked(
        self, request: HttpRequest, matched: Matched, values: tuple[str, ...]
    ) -> Caller | Denied | HttpAnswer:
        """What the authorizer's function says, or has said lately with the code that it has now."""
        api, authorizer = matched.api, matched.route.authorizer
        if authorizer is None or authorizer.function is None:
            fault = "its authorizer is no function of this project"
            return gateway_says(answers.AUTHORIZER_FAILED, api, fault)
        keeps = authorizer.ttl_s > 0 and bool(values)
        key: tuple[str, ...] = ()
        if keeps:
            code = await self._digest(authorizer.function)
            key = (api.name, authorizer.name, code or "", *values)
        known = self._decisions.get(key) if keeps else None
        if known is not None and known.until_s > time.monotonic():
            payload = known.payload
        else:
            outcome = await self._authorizer_outcome(request, matched, values)
            if not isinstance(outcome, Answered):
                if isinstance(outcome, BuildFailed):
                    return self._of(outcome, request, matched, authorizer.function)
                if isinstance(outcome, FunctionFailed) and _says_unauthorized(outcome.error):
                    return gateway_says(answers.UNAUTHORIZED, api)
                return gateway_says(answers.AUTHORIZER_FAILED, api, "its authorizer failed")
            payload = outcome.payload
            if keeps:
                self._keep(key, payload, authorizer.ttl_s)
        arn = method_arn(request, matched, self.settings.account)
        try:
            return decision(authorizer, payload, arn, api.kind)
        except MalformedError as fault:
            return gateway_says(answers.AUTHORIZER_FAILED, api, str(fault))

    async def _authorizer_outcome(
        self, request: HttpRequest, matched: Matched, values: tuple[str, ...]
    ) -> InvocationOutcome:
        authorizer = matched.route.authorizer
        assert authorizer is not None  # noqa: S101 -- the caller has looked
        asked = authorizer_event(authorizer, request, matched, self.settings.account, values)
        return await self._invoker.invoke(
            Invocation(
                function=authorizer.function or "",
                payload=json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace"),
                request_id=str(uuid.uuid4()),
                trace_id=request.trace,
                label=f"authorizer of {request.method} {request.path}",
            )
        )

    def _keep(self, key: tuple[str, ...], payload: bytes, ttl_s: int) -> None:
        while len(self._decisions) >= DECISIONS:
            del self._decisions[next(iter(self._decisions))]
        self._decisions[key] = _Kept(payload, time.monotonic() + ttl_s)

    # --- streams -------------------------------------------------------------------------------

    async def _streamed(
        self,
        web_request: web.Request,
        request: HttpRequest,
        matched: Matched,
        outcome: StreamedAnswer,
    ) -> web.StreamResponse:
        """Passes the answer on as it comes. One that breaks off is not ended as a whole one is."""
        pieces = aiter(outcome.chunks)
        try:
            begun = await _head(matched.api, outcome, pieces)
            if begun.fault is not None:
                return self._told(request, matched, begun)
            response = await self._begun(web_request, request, matched.api, begun)
            if begun.body:
                await response.write(begun.body)
            async for chunk in pieces:
                await response.write(chunk)
            if outcome.chunks.fault is None:
                await response.write_eof()
            elif web_request.transport is not None:
                web_request.transport.abort()
            return response
        finally:
            await outcome.chunks.close()

    async def _begun(
        self, web_request: web.Request, request: HttpRequest, api: Api, head: HttpAnswer
    ) -> web.StreamResponse:
        head = _named(api, request, cors.with_headers(api, request, head))
        response = web.StreamResponse(status=head.status, headers=_multi(head.headers))
        await response.prepare(web_request)
        return response


# --- requests and responses ----------------------------------------------------------------------


def _request(web_request: web.Request, port: int) -> HttpRequest:
    """Without its body."""
    target = web_request.raw_path
    if not target.startswith("/"):  # the absolute form, as proxies send it
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    peer = web_request.remote or "127.0.0.1"
    now = time.time()
    root = f"1-{int(now):08x}-{secrets.token_hex(12)}"
    return HttpRequest(
        method=web_request.method.upper(),
        path=path.partition("#")[0] or "/",
        query=query.partition("#")[0],
        headers=tuple(
            (name.decode("latin-1"), value.decode("utf-8", "replace"))
            for name, value in web_request.raw_headers
        ),
        source_ip=peer,
        port=port,
        protocol=f"HTTP/{web_request.version.major}.{web_request.version.minor}",
        id=str(uuid.uuid4()),
        trace=web_request.headers.get("X-Amzn-Trace-Id") or f"Root={root}",
        epoch_ms=int(now * 1000),
    )


def _named(api: Api, request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
    """With the request's id, under the name that this kind of API has for it."""
    match api.kind:
        case ApiKind.REST:
            own: Pairs = (("x-amzn-RequestId", request.id), ("x-amz-apigw-id", request.id))
        case ApiKind.HTTP:
            own = (("Apigw-Requestid", request.id),)
        case ApiKind.URL:
            own = (("x-amzn-RequestId", request.id), ("X-Amzn-Trace-Id", request.trace))
        case _:
            assert_never(api.kind)
    return replace(answer, headers=(*answer.headers, *own))


def _response(answer: HttpAnswer, *, close: bool = False) -> web.Response:
    response = web.Response(
        status=answer.status, headers=_multi(answer.headers), body=answer.body or None
    )
    if close:
        response.force_close()
    return response


def _multi(headers: Pairs) -> CIMultiDict[str]:
    found = CIMultiDict(headers)
    found.setdefault("Server", "lambdad")
    return found


async def _head(api: Api, outcome: StreamedAnswer, pieces: AsyncIterator[bytes]) -> HttpAnswer:
    """The status, the headers, and the first bytes of the body; with `fault`: there are none."""
    prelude = Prelude(api)
    fault = answers.NO_SEPARATOR
    try:
        if outcome.content_type != PRELUDE_TYPE:
            return answers.typed(outcome.content_type)
        async for chunk in pieces:
            if (fed := prelude.feed(chunk)) is not None:
                return replace(fed[0], body=fed[1])
    except MalformedError as malformed:
        fault = str(malformed)
    if outcome.chunks.fault is not None:
        fault = "the function failed before its answer began"
    return gateway_says(answers.FAULTS, api, fault)


def _whole(api: Api, payload: bytes) -> HttpAnswer:
    """Of a streamed answer that is there as a whole."""
    try:
        fed = Prelude(api).feed(payload)
    except MalformedError as fault:
        return gateway_says(answers.FAULTS, api, str(fault))
    if fed is None:
        return gateway_says(answers.FAULTS, api, answers.NO_SEPARATOR)
    return replace(fed[0], body=fed[1])


def _says_unauthorized(error: bytes) -> bool:
    """A Lambda authorizer that fails with just this word means 401."""
    try:
        found = json.loads(error)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("errorMessage") == "Unauthorized"
