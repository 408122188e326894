"""`lambdad start` from outside: an unmodified client of AWS, and processes that end."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.live import Started, started

CONFIG = """
[defaults]
timeout = 1
memory = 256
environment = { TABLE = "notes", OTHER = "x" }

[functions.Py]
handler = "app.handler"
runtime = "python3.11"
code = "py"
environment = { TABLE = "mine" }

[functions.Js]
handler = "src/list.handler"
runtime = "nodejs20.x"

[functions.Streams]
handler = "src/list.streams"
runtime = "nodejs20.x"
"""
PY = """import os, sys, time
def handler(event, context):
    print("asked for", event["do"])
    match event["do"]:
        case "raise": raise ValueError("no")
        case "exit": os._exit(7)
        case "loop":
            while True: pass
        case "set": return {1}
        case "large": return "x" * 7_000_000
        case "environ": return dict(os.environ)
        case "context": return [context.client_context.custom, context.invoked_function_arn]
    return {"saved": 1, "event": event}
"""
JS = """
declare const awslambda: any;
export async function handler(event: any, context: any) {
  console.log("asked for", event.do);
  if (event.do === "raise") throw new TypeError("no");
  if (event.do === "reject") {
    Promise.reject(new Error("lost"));
    await new Promise(() => setTimeout(() => 0, 1e6));
  }
  if (event.do === "exit") process.exit(7);
  if (event.do === "loop") for (;;);
  if (event.do === "bigint") return 10n;
  if (event.do === "environ") return process.env;
  if (event.do === "context") return [context.clientContext.custom, context.invokedFunctionArn];
  return { saved: 1, event };
}
export const streams = awslambda.streamifyResponse(async (event: any, out: any) => {
  out.write("one");
  if (event.do === "raise") throw new Error("midway");
  out.write("two");
  out.end();
});
"""
ENV = """# of this machine
OTHER="from a file"
"""
FILES = {"lambdad.toml": CONFIG, ".env": ENV, "py/app.py": PY, "src/list.ts": JS}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("live") / "app", FILES) as found:
        yield found


def invoke(session: Started, function: str, event: object, **more: Any) -> Any:
    """The answer and its payload."""
    answer = session.client().invoke(FunctionName=function, Payload=json.dumps(event), **more)
    body = answer["Payload"].read()
    return answer, json.loads(body) if body else None


@pytest.mark.parametrize("function", ["Py", "Js"])
def test_an_unmodified_client_invokes(session: Started, function: str) -> None:
    """Also by its ARN, with the end of the log."""
    arn = f"arn:aws:lambda:eu-central-1:012345678912:function:{function}:$LATEST"
    for name in (function, arn):
        answer, payload = invoke(session, name, {"do": "well"}, LogType="Tail")
        assert payload == {"saved": 1, "event": {"do": "well"}}
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
        log = base64.b64decode(answer["LogResult"]).decode()
        lines = [line for line in log.splitlines() if line]
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
        assert "asked for well" in lines[1]
        assert lines[2] == f"END RequestId: {request_id}"
        assert lines[3].startswith(f"REPORT RequestId: {request_id}\tDuration: ")


FAULTS = (
    ("Py", "raise", "ValueError", "no"),
    ("Js", "raise", "TypeError", "no"),
    ("Py", "exit", "Runtime.ExitError", "Error: Runtime exited with error: exit status 7"),
    ("Js", "exit", "Runtime.ExitError", "Error: Runtime exited with error: exit status 7"),
    ("Py", "set", "Runtime.MarshalError", "Object of type set is not JSON serializable"),
    ("Js", "bigint", "Runtime.MarshalError", "Unable to stringify response body"),
    ("Js", "reject", "Runtime.UnhandledPromiseRejection", "Error: lost"),
    ("Py", "loop", "Sandbox.Timedout", "Error: Task timed out after 1.00 seconds"),
    ("Js", "loop", "Sandbox.Timedout", "Error: Task timed out after 1.00 seconds"),
    ("Py", "large", "Function.ResponseSizeTooLarge", "Response payload size"),
)


@pytest.mark.parametrize(("function", "do", "kind", "message"), FAULTS)
def test_faults_have_lambdas_shapes(
    session: Started, function: str, do: str, kind: str, message: str
) -> None:
    """Each is 200 with X-Amz-Function-Error; the next request is answered by another worker."""
    answer, payload = invoke(session, function, {"do": do})
    assert answer["FunctionError"] == "Unhandled"
    assert (payload["errorType"], message in payload["errorMessage"]) == (kind, True), payload
    assert invoke(session, function, {"do": "well"})[1]["saved"] == 1


def test_a_trace_is_at_the_users_sources(session: Started) -> None:
    """Also of TypeScript; no frame is ours."""
    trace = invoke(session, "Js", {"do": "raise"})[1]["trace"]
    assert "src/list.ts:5:" in trace[1]
    assert "node_worker" not in "".join(trace)
    stack = invoke(session, "Py", {"do": "raise"})[1]["stackTrace"]
    assert len(stack) == 1
    assert 'py/app.py", line 5, in handler' in stack[0]


@pytest.mark.parametrize("function", ["Py", "Js"])
def test_the_context_is_given(session: Started, function: str) -> None:
    """The client's own, and the function's ARN."""
    context = base64.b64encode(json.dumps({"custom": {"ä": "€"}}).encode()).decode()
    _, payload = invoke(session, function, {"do": "context"}, ClientContext=context)
    assert payload == [{"ä": "€"}, f"arn:aws:lambda:us-east-1:012345678912:function:{function}"]


@pytest.mark.parametrize(("function", "table"), [("Py", "mine"), ("Js", "notes")])
def test_the_environment_is_lambdas(session: Started, function: str, table: str) -> None:
    """With the function's own variables, and those of .env before them; nothing of ours."""
    environ = invoke(session, function, {"do": "environ"})[1]
    assert (environ["TABLE"], environ["OTHER"]) == (table, "from a file")
    assert environ["AWS_LAMBDA_FUNCTION_NAME"] == function
    assert environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environ["AWS_EXECUTION_ENV"].startswith("AWS_Lambda_")
    assert environ["LAMBDA_TASK_ROOT"].startswith(session.place.root)
    assert environ["_HANDLER"].endswith(".handler")
    assert not [name for name in environ if "LAMBDAD" in name]


def test_event_and_dry_run(session: Started) -> None:
    """Event is answered before it runs; DryRun runs nothing."""
    client = session.client()
    dry = client.invoke(FunctionName="Py", InvocationType="DryRun", Payload=b"{}")
    assert dry["StatusCode"] == 204
    answer = client.invoke(FunctionName="Py", InvocationType="Event", Payload=b'{"do": "later"}')
    assert answer["StatusCode"] == 202
    found = session.until("request", label="Event")
    assert (found["function"], found["ok"]) == ("Py", True)


def test_refusals_are_awss(session: Started) -> None:
    """By their codes, which clients turn into exceptions."""
    client = session.client()
    large = b'"' + b"x" * 6_291_456 + b'"'
    cases = (
        ({"FunctionName": "Nope"}, "ResourceNotFoundException"),
        ({"FunctionName": "Nope", "InvocationType": "Event"}, "ResourceNotFoundException"),
        ({"FunctionName": "Py", "Payload": b"{"}, "InvalidRequestContentException"),
        ({"FunctionName": "Py", "Payload": large}, "RequestTooLargeException"),
        (
            {"FunctionName": "Py", "Payload": large[:1] * 2**20 + b'"', "InvocationType": "Event"},
            "RequestTooLargeException",
        ),
        ({"FunctionName": "Py", "ClientContext": "e"}, "InvalidRequestContentException"),
    )
    for given, code in cases:
        with pytest.raises(ClientError) as caught:
            client.invoke(**given)
        assert caught.value.response["Error"]["Code"] == code, given


def test_streams(session: Started) -> None:
    """In events as AWS frames them; a function that does not stream answers in one piece."""
    client = session.client()

    def ask(function: str, do: str) -> tuple[bytes, dict[str, Any]]:
        answer = client.invoke_with_response_stream(
            FunctionName=function, Payload=json.dumps({"do": do}), LogType="Tail"
        )
        events = list(answer["EventStream"])
        pieces = [one["PayloadChunk"]["Payload"] for one in events if "PayloadChunk" in one]
        return b"".join(pieces), events[-1]["InvokeComplete"]

    body, end = ask("Streams", "well")
    assert body == b"onetwo"
    assert b"REPORT RequestId" in base64.b64decode(end["LogResult"])
    body, end = ask("Streams", "raise")
    assert body == b"one"
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "midway"
    body, _ = ask("Py", "well")
    assert json.loads(body)["saved"] == 1
    assert invoke_raw(session, "Streams") == b"onetwo"


def invoke_raw(session: Started, function: str) -> bytes:
    answer = session.client().invoke(FunctionName=function, Payload=b"{}")
    found: bytes = answer["Payload"].read()
    return found


def test_functions_are_listed(session: Started) -> None:
    """With their configuration, page by page."""
    client = session.client()
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    found = [one["FunctionName"] for page in pages for one in page["Functions"]]
    assert found == ["Js", "Py", "Streams"]
    config = client.get_function_configuration(FunctionName="Py")
    assert (config["Runtime"], config["Handler"]) == ("python3.11", "app.handler")
    assert client.get_function(FunctionName="Py")["Configuration"]["FunctionName"] == "Py"
    with pytest.raises(ClientError, match="Function not found"):
        client.get_function(FunctionName="Nope")


def test_an_edit_is_in_the_next_answer(tmp_path: Path) -> None:
    """Of both languages. A fault is answered with its diagnostics, until it is mended."""
    with started(tmp_path / "app", FILES) as session:
        for function, path, text in (("Py", "py/app.py", PY), ("Js", "src/list.ts", JS)):
            assert invoke(session, function, {"do": "well"})[1]["saved"] == 1
            for number in (2, 3):
                changed = text.replace('saved": 1', f'saved": {number}')
                session.write(path, changed.replace("saved: 1", f"saved: {number}"))
                assert invoke(session, function, {"do": "well"})[1]["saved"] == number
        session.write("src/list.ts", "export const handler = (")
        answer, payload = invoke(session, "Js", {"do": "well"})
        assert answer["FunctionError"] == "Unhandled"
        assert payload["errorType"] == "Lambdad.BuildFailed"
        assert payload["diagnostics"][0]["where"]["file"] == "src/list.ts"
        session.write("src/list.ts", JS)
        assert invoke(session, "Js", {"do": "well"})[1]["saved"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:3001"}, 200),
        ({"Host": "notes.example"}, 403),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Origin": "https://notes.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.notes.example"}, 403),
    ],
)
def test_pages_of_others_run_nothing(
    session: Started, headers: dict[str, str], status: int
) -> None:
    """Neither by a name that was made to lead here, nor across origins."""
    peer = http.client.HTTPConnection(session.api.removeprefix("http://"), timeout=30)
    peer.request("POST", "/2015-03-31/functions/Py/invocations", '{"do": "well"}', headers)
    response = peer.getresponse()
    body = json.loads(response.read())
    peer.close()
    assert response.status == status
    assert ("saved" in body) == (status == 200)


def test_the_runtime_api_is_closed(session: Started) -> None:
    """Another process of this machine, which lacks the worker's token, gets no event."""
    environ = invoke(session, "Py", {"do": "environ"})[1]
    peer = http.client.HTTPConnection(environ["AWS_LAMBDA_RUNTIME_API"], timeout=30)
    peer.request("GET", "/2018-06-01/runtime/invocation/next")
    assert peer.getresponse().status == 403
    peer.close()
