"""What a function returns, as the response that API Gateway or a function's URL makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.bundler.config.routes import ApiKind, Fixed, Payload
from lambdad.daemon.live.http import answers
from lambdad.daemon.live.http.answers import HttpAnswer, MalformedError, Prelude
from tests.support.http_requests import api, request, route

REST, HTTP, URL = ApiKind.REST, ApiKind.HTTP, ApiKind.URL


def answer(kind: ApiKind, returned: Any, **more: Any) -> HttpAnswer:
    headers = more.pop("headers", ())
    payload = more.pop("payload", Payload.V1 if kind is REST else Payload.V2)
    raw = returned if isinstance(returned, bytes) else json.dumps(returned).encode()
    return answers.answer(api(kind, **more), route(payload=payload), request(headers=headers), raw)


@pytest.mark.parametrize(
    ("kind", "returned", "expected"),
    [
        (REST, {"statusCode": 200}, (200, "application/json", b"")),
        (REST, {"statusCode": "201", "body": "x"}, (201, "application/json", b"x")),
        (REST, {"statusCode": 200, "headers": {"content-type": "a/b"}}, (200, "a/b", b"")),
        (REST, {"statusCode": 200, "body": None}, (200, "application/json", b"")),
        (HTTP, {"statusCode": 200, "body": "x"}, (200, "text/plain;charset=UTF-8", b"x")),
        (HTTP, {"a": 1}, (200, "application/json", b'{"a": 1}')),
        (HTTP, "text", (200, "application/json", b"text")),
        (HTTP, [1], (200, "application/json", b"[1]")),
        (HTTP, None, (200, "application/json", b"null")),
        (HTTP, {"body": "x"}, (200, "application/json", b'{"body": "x"}')),
        (URL, {"statusCode": 404, "body": "x"}, (404, "application/json", b"x")),
        (URL, "grün", (200, "application/json", "grün".encode())),
    ],
)
def test_what_is_a_response(kind: ApiKind, returned: Any, expected: tuple[int, str, bytes]) -> None:
    """Format 2.0 infers one from anything without a statusCode."""
    found = answer(kind, returned)
    assert (
        found.status,
        dict(found.headers).get("Content-Type") or dict(found.headers)["content-type"],
        found.body,
    ) == expected
    assert found.fault is None


@pytest.mark.parametrize(
    ("returned", "fault"),
    [
        (None, "it returned nothing"),
        ("text", "it returned text"),
        ([], "it returned a list"),
        (b"not json", "it returned no JSON"),
        ({}, "statusCode is none"),
        ({"statusCode": "x"}, "statusCode"),
        ({"statusCode": 99}, "statusCode"),
        ({"statusCode": 1000}, "statusCode"),
        ({"statusCode": True}, "statusCode"),
        ({"statusCode": 200, "body": {"a": 1}}, "its body is an object"),
        ({"statusCode": 200, "body": 1}, "its body is a number"),
        ({"statusCode": 200, "headers": []}, "its headers are a list"),
        ({"statusCode": 200, "headers": {"a": {}}}, "its header a is an object"),
        ({"statusCode": 200, "headers": {"a": "x\r\nb: y"}}, "holds a line break"),
        ({"statusCode": 200, "headers": {"a": "x\x01"}}, "control character"),
        ({"statusCode": 200, "headers": {"a": "x\x7f"}}, "control character"),
        ({"statusCode": 200, "headers": {"a b": "x"}}, "no header's name"),
        ({"statusCode": 200, "multiValueHeaders": {"a": "x"}}, "is text, not a list"),
        ({"statusCode": 200, "wrong": 1}, "which REST APIs refuse"),
    ],
)
def test_what_is_no_response_of_a_rest_api(returned: Any, fault: str) -> None:
    """502, with the reason for the terminal alone."""
    found = answer(REST, returned)
    assert (found.status, found.body) == (502, b'{"message":"Internal server error"}')
    assert dict(found.headers)["x-amzn-ErrorType"] == "InternalServerErrorException"
    assert fault in str(found.fault)


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": "x"},
        {"statusCode": 200, "body": {}},
        {"statusCode": 200, "cookies": "a=b"},
        {"statusCode": 200, "body": "?", "isBase64Encoded": True},
    ],
)
def test_what_is_no_response_of_the_others(returned: Any) -> None:
    found = answer(HTTP, returned)
    assert (found.status, found.body) == (500, b'{"message":"Internal Server Error"}')
    found = answer(URL, returned)
    assert (found.status, found.body) == (502, b"Internal Server Error")


def test_headers_of_both_kinds_are_merged() -> None:
    """An equal pair counts once; numbers and booleans become text; REST APIs rename some."""
    returned = {
        "statusCode": 200,
        "headers": {"A": "1", "B": 2, "C": True, "Date": "now", "Content-Length": "9", "N": None},
        "multiValueHeaders": {"a": ["1", "3"], "Set-Cookie": ["x=1", "y=2"]},
    }
    assert answer(REST, returned).headers == (
        ("B", "2"),
        ("C", "true"),
        ("x-amzn-Remapped-Date", "now"),
        ("a", "1"),
        ("a", "3"),
        ("Set-Cookie", "x=1"),
        ("Set-Cookie", "y=2"),
        ("Content-Type", "application/json"),
    )


def test_half_a_character_is_a_question_mark() -> None:
    """It has no bytes that could be sent."""
    found = answer(REST, {"statusCode": 200, "headers": {"A": "\ud800 \t"}, "body": "\ud800"})
    assert found.headers[0] == ("A", "? \t")
    assert found.body == b"?"


def test_what_the_configuration_says_can_be_sent() -> None:
    target = Fixed(status=200, headers=(("A", "b"), ("C", "x\r\ny"), ("a b", "c")), body="\ud800")
    assert answers.fixed(target).headers == (("A", "b"),)


def test_cookies_of_format_2() -> None:
    found = answer(HTTP, {"statusCode": 200, "cookies": ["a=1", "b=2; Secure"]})
    assert [pair for pair in found.headers if pair[0] == "Set-Cookie"] == [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2; Secure"),
    ]


@pytest.mark.parametrize(
    ("kind", "binary", "accept", "body"),
    [
        (HTTP, (), None, b"\xff\x00"),
        (URL, (), None, b"\xff\x00"),
        (REST, (), "image/png", b"/wA="),
        (REST, ("image/png",), "image/png,*/*", b"\xff\x00"),
        (REST, ("image/png",), "text/html,image/png", b"/wA="),
        (REST, ("*/*",), None, b"\xff\x00"),
    ],
)
def test_binary_bodies(
    kind: ApiKind, binary: tuple[str, ...], accept: str | None, body: bytes
) -> None:
    """A REST API looks at the first type that the client accepts."""
    headers = () if accept is None else (("Accept", accept),)
    returned = {"statusCode": 200, "body": "/wA=", "isBase64Encoded": True}
    assert answer(kind, returned, binary=binary, headers=headers).body == body


# --- streams -------------------------------------------------------------------------------------

STREAM = json.dumps({"statusCode": 201, "headers": {"A": "b"}, "cookies": ["c=d"]}).encode()


@pytest.mark.parametrize("cut", range(len(STREAM) + 12))
def test_a_prelude_in_pieces(cut: int) -> None:
    """Wherever the stream is cut, the head and the body are the same."""
    whole = STREAM + b"\0" * 8 + b"body"
    prelude = Prelude(api(URL))
    found = prelude.feed(whole[:cut])
    body = b""
    if found is None:
        found = prelude.feed(whole[cut:])
    else:
        body = whole[cut:]
    assert found is not None
    assert found[0].status == 201
    assert found[0].headers == (
        ("A", "b"),
        ("Set-Cookie", "c=d"),
        ("Content-Type", "application/octet-stream"),
    )
    assert found[1] + body == b"body"


@pytest.mark.parametrize("prelude", [b"x", b"[]", b'{"statusCode": "x"}', b'{"headers": 1}'])
def test_a_bad_prelude(prelude: bytes) -> None:
    with pytest.raises(MalformedError):
        Prelude(api(URL)).feed(prelude + b"\0" * 8)


def test_a_stream_without_a_prelude_is_not_kept_in_memory() -> None:
    prelude = Prelude(api(URL))
    assert prelude.feed(b"x" * (1 << 20)) is None
    with pytest.raises(MalformedError):
        prelude.feed(b"x")
