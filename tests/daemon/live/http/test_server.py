"""The HTTP server, over real connections, in front of an Invoker that does as each test says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiohttp
import pytest

from lambdad.bundler.config.routes import (
    Api,
    ApiKind,
    Apis,
    Authorizer,
    AuthorizerKind,
    Cors,
    Fixed,
    Payload,
)
from lambdad.bundler.model import Diagnostic, Location, error
from lambdad.daemon.live.http.app import HttpApis, HttpSettings
from lambdad.daemon.live.http.connections import ListeningServer
from lambdad.daemon.live.invocation import (
    PRELUDE_TYPE,
    Answered,
    BuildFailed,
    CannotRun,
    FunctionConfig,
    FunctionFailed,
    FunctionFault,
    Invocation,
    InvocationOutcome,
    NoSuchFunction,
    StreamedAnswer,
    Throttled,
    TimedOut,
)
from tests.support.http_requests import api, route

Does = Callable[[dict[str, Any]], Awaitable[InvocationOutcome] | InvocationOutcome]


@dataclass
class Functions:
    """An Invoker whose functions are Python functions of the test."""

    does: dict[str, Does]
    asked: list[Invocation] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    built: asyncio.Event | None = None
    """Set once somebody waits for a build."""

    async def invoke(self, invocation: Invocation) -> InvocationOutcome:
        self.asked.append(invocation)
        outcome = self.does[invocation.function](json.loads(invocation.payload))
        return await outcome if isinstance(outcome, Awaitable) else outcome

    def functions(self) -> tuple[FunctionConfig, ...]:
        return ()

    async def digest(self, name: str) -> str | None:
        if self.built is not None:
            self.built.set()
        return self.digests.get(name, "1")


@dataclass
class Chunks:
    """A stream that has these pieces."""

    pieces: list[bytes]
    fault: FunctionFault | None = None
    log: bytes = b""
    is_closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Client:
    session: aiohttp.ClientSession
    port: int
    functions: Functions
    notes: list[str]

    async def __call__(
        self, method: str, path: str, *, host: str | None = None, **more: Any
    ) -> tuple[int, dict[str, str], bytes]:
        headers = more.pop("headers", {})
        if host is not None:
            headers = {**headers, "Host": host}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, **more) as response:
            return response.status, dict(response.headers), await response.read()


def returns(value: Any) -> Answered:
    return Answered(payload=json.dumps(value).encode())


def echo(event: dict[str, Any]) -> InvocationOutcome:
    return returns({"statusCode": 200, "body": json.dumps(event)})


@contextlib.asynccontextmanager
async def serving(
    *apis: Api, faults: tuple[Diagnostic, ...] = (), head_s: float = 20.0, **does: Does
) -> AsyncIterator[Client]:
    functions = Functions({"F": echo, **does})
    notes: list[str] = []
    http = HttpApis(
        functions,
        lambda: (Apis(apis=apis), faults),
        functions.digest,
        settings=HttpSettings(origins=("https://ok.example",), hosts=("box.example",)),
        note=notes.append,
    )
    listener = await ListeningServer.begin(http.application(), "127.0.0.1", 0, head_s)
    http.settings = replace(http.settings, port=listener.port)
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Client(session, listener.port, functions, notes)
    finally:
        await listener.close()


REST: Final = api(ApiKind.REST, route("ANY /{proxy+}"))
HTTP: Final = api(ApiKind.HTTP, route("ANY /x", payload=Payload.V2), route("GET /old"))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def test_a_request_reaches_its_function_and_the_answer_comes_back() -> None:
    """Headers as sent, values that repeat, and bytes that are no text."""

    async def test() -> None:
        async with serving(REST, HTTP) as client:
            headers = {"X-Mixed": "a", "Content-Type": "application/octet-stream"}
            status, sent, body = await client(
                "POST", "/a/b%20c?q=1&q=2", headers=headers, data=b"\xff"
            )
            event = json.loads(body)
            assert (status, sent["Content-Type"]) == (200, "application/json")
            assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"]}
            assert event["headers"]["X-Mixed"] == "a"
            assert event["headers"]["X-Forwarded-Port"] == str(client.port)
            assert event["pathParameters"] == {"proxy": "a/b c"}
            asked = client.functions.asked[0]
            assert asked.request_id == event["requestContext"]["requestId"]
            assert sent["x-amzn-RequestId"] == asked.request_id
            assert asked.label == "POST /a/b%20c"
            assert event["headers"]["X-Amzn-Trace-Id"] == asked.trace_id
            other = api(ApiKind.HTTP, route("ANY /x", payload=Payload.V2))
        async with serving(other) as client:
            status, _sent, body = await client("PUT", "/x", data=b"\xff")
            assert json.loads(body)["body"] == "/w=="

    run(test)


@pytest.mark.parametrize(
    ("kind", "outcome", "status", "body"),
    [
        (ApiKind.REST, FunctionFailed(error=b"{}"), 502, {"message": "Internal server error"}),
        (ApiKind.HTTP, FunctionFailed(error=b"{}"), 500, {"message": "Internal Server Error"}),
        (ApiKind.URL, FunctionFailed(error=b"{}"), 502, "Internal Server Error"),
        (
            ApiKind.REST,
            TimedOut(error=b"{}", timeout_s=3),
            502,
            {"message": "Internal server error"},
        ),
        (ApiKind.REST, Throttled(), 429, {"message": "Too Many Requests"}),
        (ApiKind.REST, returns("text"), 502, {"message": "Internal server error"}),
        (
            ApiKind.HTTP,
            CannotRun(message="no node", hint="x"),
            503,
            {"message": "no node", "hint": "x"},
        ),
        (ApiKind.HTTP, NoSuchFunction(known=()), 500, {"message": "no function is called F"}),
    ],
)
def test_what_an_outcome_is_answered_with(
    kind: ApiKind, outcome: InvocationOutcome, status: int, body: Any
) -> None:
    async def test() -> None:
        payload = Payload.V1 if kind is ApiKind.REST else Payload.V2
        async with serving(
            api(kind, route("$default", payload=payload)), F=lambda _event: outcome
        ) as client:
            found, headers, content = await client("GET", "/x")
            assert found == status
            is_json = headers["Content-Type"] == "application/json"
            assert (json.loads(content) if is_json else content.decode()) == body

    run(test)


FAULT: Final = error("syntax-error", "it <b>", Location("src/a.py", 3, 1), "close it")


def test_a_failed_build_is_readable() -> None:
    """JSON for a program, a page for a browser, and nothing of the user's text is markup."""

    async def test() -> None:
        failed = BuildFailed(diagnostics=(FAULT,))
        async with serving(REST, F=lambda _event: failed) as client:
            origin = {"Origin": "http://localhost:5173"}
            status, headers, body = await client("GET", "/x", headers=origin)
            said = json.loads(body)
            assert (status, said["errorType"]) == (500, "Lambdad.BuildFailed")
            assert said["diagnostics"][0]["where"] == {"file": "src/a.py", "line": 3, "column": 1}
            assert headers["Access-Control-Allow-Origin"] == origin["Origin"]
            status, headers, body = await client("GET", "/x", headers={"Accept": "text/html,*/*"})
            assert (status, headers["Content-Type"]) == (500, "text/html; charset=utf-8")
            assert b"it &lt;b&gt;" in body
            assert b"src/a.py:3:1" in body
            assert b"close it" in body

    run(test)


def test_a_path_without_a_route() -> None:
    """Lists the routes; where the configuration has an error, that is what is said."""

    async def test() -> None:
        async with serving(HTTP) as client:
            status, _headers, body = await client("GET", "/y")
            assert (status, json.loads(body)["routes"]) == (404, ["ANY /x", "GET /old"])
            status, _headers, body = await client("GET", "/<b>", headers={"Accept": "text/html"})
            assert status == 404
            assert b"<b>" not in body
        async with serving(faults=(FAULT,)) as client:
            status, _headers, body = await client("GET", "/y")
            assert (status, json.loads(body)["diagnostics"][0]["code"]) == (500, "syntax-error")

    run(test)


# --- who may call --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "api.localhost"}, 200),
        ({"Host": "box.example"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Origin": "http://[::1]:80"}, 200),
        ({"Origin": "https://ok.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://box.example:80", "Host": "box.example:80"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/x"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "https://ok.example/x"}, 200),
        ({"Sec-Fetch-Site": "same-site", "Referer": "http://localhost:5173/"}, 200),
    ],
)
def test_who_reaches_a_function(headers: dict[str, str], status: int) -> None:
    """Even if the API's own CORS allows everyone."""

    async def test() -> None:
        everyone = replace(HTTP, cors=Cors(origins=("*",), methods=("*",)))
        async with serving(everyone) as client:
            for method in ("GET", "POST"):
                assert (await client(method, "/x", headers=headers))[0] == status
            assert len(client.functions.asked) == (2 if status == 200 else 0)
            preflight = {**headers, "Access-Control-Request-Method": "GET"}
            found = (await client("OPTIONS", "/x", headers=preflight))[0]
            assert (found == 403) == (status == 403)

    run(test)


def test_a_link_from_another_site_shows_a_page_with_a_way_on() -> None:
    """A click there is a request of this very origin."""

    async def test() -> None:
        async with serving(HTTP) as client:
            headers = {
                "Accept": "text/html",
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
            }
            status, sent, body = await client("GET", '/x?a="<b', headers=headers)
            assert (status, sent["X-Frame-Options"]) == (403, "DENY")
            assert b'<a rel="noreferrer" href="/x?a=' in body
            assert b'"<b' not in body

    run(test)


def test_the_way_on_leads_to_this_server() -> None:
    """Also where the path begins as an address of another host does."""

    async def test() -> None:
        headers = {"Accept": "text/html", "Host": "localhost", "Sec-Fetch-Site": "cross-site"}
        headers["Sec-Fetch-Mode"] = "navigate"
        async with serving(HTTP) as client:
            for path in ("//evil.example/x", "/\\evil.example/x"):
                answer = await sent(client.port, f"GET {path}", headers)
                assert f'href="/.{path}"'.encode() in answer

    run(test)


async def sent(port: int, asked: str, headers: dict[str, str]) -> bytes:
    """The whole response to a request that is sent as it stands here."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{asked} HTTP/1.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    answer = await reader.read()
    writer.close()
    return answer


# --- CORS ----------------------------------------------------------------------------------------

PAGE: Final = {"Origin": "http://localhost:5173"}
ASKS: Final = {**PAGE, "Access-Control-Request-Method": "GET"}


def test_the_gateway_answers_preflights() -> None:
    """Of a method without an OPTIONS route, too; its headers replace the function's."""

    async def test() -> None:
        cors = Cors(
            origins=("http://localhost:5173",),
            methods=("GET",),
            headers=("X-A",),
            expose=("X-B",),
            credentials=True,
            max_age_s=60,
        )

        def says(_event: dict[str, Any]) -> InvocationOutcome:
            return returns({"statusCode": 200, "headers": {"access-control-allow-origin": "*"}})

        async with serving(replace(HTTP, cors=cors), F=says) as client:
            status, headers, body = await client("OPTIONS", "/old", headers=ASKS)
            allowed = {name: headers[name] for name in headers if name.startswith("Access-")}
            assert (status, body) == (204, b"")
            assert allowed == {
                "Access-Control-Allow-Origin": "http://localhost:5173",
                "Access-Control-Allow-Methods": "GET",
                "Access-Control-Allow-Headers": "X-A",
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Max-Age": "60",
            }
            other = {**ASKS, "Origin": "http://localhost:1"}
            _status, headers, _body = await client("OPTIONS", "/old", headers=other)
            assert "Access-Control-Allow-Origin" not in headers
            _status, headers, _body = await client("GET", "/x", headers=PAGE)
            assert headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
            assert headers["Access-Control-Expose-Headers"] == "X-B"
            assert "access-control-allow-origin" not in headers

    run(test)


def test_a_mock_integration_answers_by_itself() -> None:
    async def test() -> None:
        target = Fixed(status=204, headers=(("Access-Control-Allow-Origin", "*"),))
        async with serving(api(ApiKind.REST, route("OPTIONS /x", target))) as client:
            status, headers, _body = await client("OPTIONS", "/x", headers=ASKS)
            assert (status, headers["Access-Control-Allow-Origin"]) == (204, "*")
            assert not client.functions.asked

    run(test)


# --- authorizers ---------------------------------------------------------------------------------

TOKEN: Final = Authorizer(
    name="a",
    check=AuthorizerKind.TOKEN,
    function="Auth",
    sources=("method.request.header.Authorization",),
)


def allow(event: dict[str, Any]) -> InvocationOutcome:
    effect = "Allow" if event["authorizationToken"] == "yes" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return returns(
        {
            "principalId": "me",
            "policyDocument": {"Statement": [statement]},
            "context": {"n": 1},
        }
    )


def test_a_lambda_authorizer_decides() -> None:
    """It is asked once for equal tokens, until its code changes; its policy counts each time."""

    async def test() -> None:
        guarded = api(
            ApiKind.REST,
            route("GET /x", authorizer=TOKEN),
            route("GET /y", authorizer=TOKEN),
        )
        async with serving(guarded, Auth=allow) as client:
            assert (await client("GET", "/x"))[0] == 401
            assert not client.functions.asked
            yes, no = {"Authorization": "yes"}, {"Authorization": "no"}
            status, _headers, body = await client("GET", "/x", headers=yes)
            assert status == 200
            context = json.loads(body)["requestContext"]["authorizer"]
            assert context == {"n": "1", "principalId": "me"}
            assert (await client("GET", "/x", headers=yes))[0] == 200
            assert [one.function for one in client.functions.asked] == ["Auth", "F", "F"]
            # The decision that is kept is about the other method.
            assert (await client("GET", "/y", headers=yes))[0] == 403
            status, _headers, body = await client("GET", "/x", headers=no)
            assert (status, json.loads(body)["Message"].partition(" ")[0]) == (403, "User")
            client.functions.digests["Auth"] = "2"
            client.functions.asked.clear()
            await client("GET", "/x", headers=yes)
            assert [one.function for one in client.functions.asked] == ["Auth", "F"]

    run(test)


@pytest.mark.parametrize(
    ("returned", "status"),
    [
        (returns({"isAuthorized": True, "context": {"a": [1]}}), 200),
        (returns({"isAuthorized": False}), 403),
        (returns({"isAuthorized": "yes"}), 500),
        (returns("no"), 500),
        (FunctionFailed(error=b'{"errorMessage": "Unauthorized"}'), 401),
        (FunctionFailed(error=b'{"errorMessage": "x"}'), 500),
        (BuildFailed(diagnostics=(FAULT,)), 500),
    ],
)
def test_simple_answers_of_an_authorizer(returned: InvocationOutcome, status: int) -> None:
    async def test() -> None:
        simple = Authorizer(
            name="a",
            check=AuthorizerKind.REQUEST,
            function="Auth",
            sources=("$request.header.X-Who", "$request.querystring.q"),
            ttl_s=0,
            payload=Payload.V2,
            simple=True,
        )
        guarded = api(ApiKind.HTTP, route("GET /x", authorizer=simple, payload=Payload.V2))
        async with serving(guarded, Auth=lambda _event: returned) as client:
            assert (await client("GET", "/x?q=1"))[0] == 401
            headers = {"X-Who": "me"}
            found, _headers, body = await client("GET", "/x?q=1", headers=headers)
            assert found == status
            event = json.loads(client.functions.asked[0].payload)
            assert (event["type"], event["identitySource"]) == ("REQUEST", ["me", "1"])
            if status == 200:
                context = json.loads(body)["requestContext"]["authorizer"]
                assert context == {"lambda": {"a": [1]}}

    run(test)


# --- streams -------------------------------------------------------------------------------------


def _streaming(chunks: Chunks, kind: str = PRELUDE_TYPE) -> Does:
    return lambda _event: StreamedAnswer(content_type=kind, chunks=chunks)


def test_a_stream_is_passed_on() -> None:
    """Its prelude gives status, headers and cookies; without one the content type is its own."""

    async def test() -> None:
        streams = api(ApiKind.URL, route("$default", payload=Payload.V2, streams=True))
        chunks = Chunks(
            [b'{"statusCode": 201, "hea', b'ders": {"A": "b"}}' + b"\0" * 8, b"x", b"y"]
        )
        async with serving(streams, F=_streaming(chunks)) as client:
            status, headers, body = await client("GET", "/")
            assert (status, headers["A"], body) == (201, "b", b"xy")
            assert client.functions.asked[0].streams
            assert chunks.is_closed
        async with serving(streams, F=_streaming(Chunks([b"x", b"y"]), "text/plain")) as client:
            _status, headers, body = await client("GET", "/")
            assert (headers["Content-Type"], body) == ("text/plain", b"xy")
        async with serving(streams, F=_streaming(Chunks([b"x"]), "text/\x01")) as client:
            assert (await client("GET", "/"))[0] == 502
        async with serving(streams, F=_streaming(Chunks([b"no prelude"]))) as client:
            assert (await client("GET", "/"))[0] == 502

    run(test)


def test_a_stream_that_breaks_off_is_not_ended_as_a_whole_one() -> None:
    async def test() -> None:
        streams = api(ApiKind.URL, route("$default", payload=Payload.V2, streams=True))
        chunks = Chunks([b"x" * 100], fault=FunctionFailed(error=b"{}"))
        async with serving(streams, F=_streaming(chunks, "text/plain")) as client:
            with pytest.raises(aiohttp.ClientError):
                await client("GET", "/")

    run(test)


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [
        (ApiKind.REST, (10 << 20) + 1, 413),
        (ApiKind.REST, 7 << 20, 413),  # more than Lambda takes
        (ApiKind.REST, 5 << 20, 200),
        (ApiKind.HTTP, 5 << 20, 413),  # too large in base64
        (ApiKind.URL, (6 << 20) + 1, 413),
    ],
)
def test_bodies_have_a_limit(kind: ApiKind, size: int, status: int) -> None:
    async def test() -> None:
        def small(_event: dict[str, Any]) -> InvocationOutcome:
            return returns({"statusCode": 200})

        way = route("ANY /{proxy+}" if kind is not ApiKind.URL else "$default")
        async with serving(api(kind, way), F=small) as client:
            headers = {"Content-Type": "application/octet-stream"}
            found = await client("POST", "/x", data=io.BytesIO(b"x" * size), headers=headers)
            assert found[0] == status

    run(test)


def test_a_gateway_waits_only_so_long() -> None:
    """From the end of the build on; the call is then given up."""

    async def test() -> None:
        gone = asyncio.Event()

        async def slow(_event: dict[str, Any]) -> InvocationOutcome:
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()
            raise AssertionError

        limited = api(ApiKind.REST, route("GET /x", timeout_s=0.01))
        async with serving(limited, F=slow) as client:
            status, _headers, body = await client("GET", "/x")
            assert (status, json.loads(body)) == (504, {"message": "Endpoint request timed out"})
            await gone.wait()
            assert "within the 0.01 s" in client.notes[0]

    run(test)


def test_a_build_is_no_part_of_the_gateways_time_out() -> None:
    """Once the time is up it asks for the build, and waits as long again after it."""

    async def test() -> None:
        built = asyncio.Event()

        async def late(_event: dict[str, Any]) -> InvocationOutcome:
            await built.wait()
            return returns({"statusCode": 200})

        limited = api(ApiKind.REST, route("GET /x", timeout_s=0.05))
        async with serving(limited, F=late) as client:
            client.functions.built = built
            assert (await client("GET", "/x"))[0] == 200

    run(test)


def test_a_client_that_sends_half_a_head_is_closed() -> None:
    """And many of them hold up nobody else."""

    async def test() -> None:
        async with serving(HTTP, head_s=0.05) as client:
            opened = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(50)]
            for _reader, writer in opened:
                writer.write(b"GET /x HTTP/1.1\r\nHost: local")
            assert (await client("GET", "/x"))[0] == 200
            for reader, writer in opened:
                assert await reader.read() == b""
                writer.close()

    run(test)


async def idle(port: int) -> None:
    """Until a connection that sends nothing is closed, which is later than any head may take."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()


def test_a_request_that_runs_longer_than_a_head_may_take_is_answered() -> None:
    """And the next one on its connection, too."""

    async def test() -> None:
        async def slow(_event: dict[str, Any]) -> InvocationOutcome:
            await idle(client.port)
            return returns({"statusCode": 200})

        async with serving(HTTP, head_s=0.05, F=slow) as client:
            assert (await client("GET", "/x"))[0] == 200
            assert (await client("GET", "/x"))[0] == 200

    run(test)


def test_a_body_may_take_longer_than_a_head() -> None:
    async def test() -> None:
        async with serving(HTTP, head_s=0.05) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
            for piece in (b"a", b"b", b"c"):
                await idle(client.port)
                writer.write(piece)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()

    run(test)
