"""Events, field by field against AWS's documented examples and the events of SAM's samples."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest

from lambdad.bundler.config.routes import ApiKind, Payload
from lambdad.daemon.live.http.events import Caller, api_id, event
from lambdad.daemon.live.http.request import Account, HttpRequest, Matched
from tests.support.http_requests import EPOCH_MS, api, matched, request

ACCOUNT: Final = Account()

V1_FIELDS: Final = {
    *("resource", "path", "httpMethod", "headers", "multiValueHeaders"),
    *("queryStringParameters", "multiValueQueryStringParameters", "pathParameters"),
    *("stageVariables", "requestContext", "body", "isBase64Encoded"),
}
V1_CONTEXT: Final = {
    *("accountId", "apiId", "domainName", "domainPrefix", "extendedRequestId", "httpMethod"),
    *("identity", "path", "protocol", "requestId", "requestTime", "requestTimeEpoch"),
    *("resourceId", "resourcePath", "stage"),
}
V1_IDENTITY: Final = {
    *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "principalOrgId"),
    *("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId", "sourceIp"),
    *("user", "userAgent", "userArn"),
}
V2_FIELDS: Final = {
    *("version", "routeKey", "rawPath", "rawQueryString", "cookies", "headers"),
    *("queryStringParameters", "requestContext", "body", "pathParameters", "isBase64Encoded"),
    "stageVariables",
}
V2_CONTEXT: Final = {
    *("accountId", "apiId", "domainName", "domainPrefix", "http", "requestId", "routeKey"),
    *("stage", "time", "timeEpoch"),
}


def made(found: HttpRequest, way: Matched, caller: Caller | None = None) -> dict[str, Any]:
    value = event(found, way, ACCOUNT, caller)
    assert json.loads(json.dumps(value)) == value, "it is JSON"
    return value


HEADERS: Final = (
    ("Host", "localhost:3000"),
    ("Header1", "value1"),
    ("Header2", "value1"),
    ("header2", "value2"),
    ("User-Agent", "Custom"),
    ("Cookie", "cookie1; cookie2=b"),
    ("Connection", "keep-alive"),
    ("X-Forwarded-For", "10.0.0.1"),
)
QUERY: Final = "parameter1=value1&parameter1=value2&parameter2=a%20b+c&empty"


def test_format_1_of_a_rest_api() -> None:
    """As API Gateway's developer guide shows it, with what only AWS knows null."""
    found = request("POST", "/my/a%20b", query=QUERY, headers=HEADERS, body=b"hi", trace="Root=1")
    way = matched(
        key="POST /my/{id}", path="/my/a%20b", parameters={"id": "a b"}, variables=(("v", "1"),)
    )
    value = made(found, way)
    assert value.keys() == V1_FIELDS
    context = value.pop("requestContext")
    assert context.keys() == V1_CONTEXT
    assert context["identity"].keys() == V1_IDENTITY
    assert value == {
        "resource": "/my/{id}",
        "path": "/my/a%20b",
        "httpMethod": "POST",
        "headers": {
            "Host": "localhost:3000",
            "Header1": "value1",
            "Header2": "value2",
            "User-Agent": "Custom",
            "Cookie": "cookie1; cookie2=b",
            "X-Amzn-Trace-Id": "Root=1",
            "X-Forwarded-For": "10.0.0.1, 127.0.0.1",
            "X-Forwarded-Port": "3000",
            "X-Forwarded-Proto": "http",
        },
        "multiValueHeaders": {
            "Host": ["localhost:3000"],
            "Header1": ["value1"],
            "Header2": ["value1", "value2"],
            "User-Agent": ["Custom"],
            "Cookie": ["cookie1; cookie2=b"],
            "X-Amzn-Trace-Id": ["Root=1"],
            "X-Forwarded-For": ["10.0.0.1, 127.0.0.1"],
            "X-Forwarded-Port": ["3000"],
            "X-Forwarded-Proto": ["http"],
        },
        "queryStringParameters": {"parameter1": "value2", "parameter2": "a b c", "empty": ""},
        "multiValueQueryStringParameters": {
            "parameter1": ["value1", "value2"],
            "parameter2": ["a b c"],
            "empty": [""],
        },
        "pathParameters": {"id": "a b"},
        "stageVariables": {"v": "1"},
        "body": "hi",
        "isBase64Encoded": False,
    }
    identity = context.pop("identity")
    assert {name: item for name, item in identity.items() if item is not None} == {
        "sourceIp": "127.0.0.1",
        "userAgent": "Custom",
    }
    assert context == {
        "accountId": "123456789012",
        "apiId": api_id(way.api),
        "domainName": "localhost:3000",
        "domainPrefix": "localhost",
        "extendedRequestId": "c6af9ac6-7b61-11e6",
        "httpMethod": "POST",
        "path": "/Prod/my/a%20b",
        "protocol": "HTTP/1.1",
        "requestId": "c6af9ac6-7b61-11e6",
        "requestTime": "09/Apr/2015:12:34:56 +0000",
        "requestTimeEpoch": EPOCH_MS,
        "resourceId": context["resourceId"],
        "resourcePath": "/my/{id}",
        "stage": "Prod",
    }


def test_what_a_request_has_not_is_null_in_format_1() -> None:
    value = made(request(), matched())
    absent = {name for name, item in value.items() if item is None}
    assert absent == {
        *("queryStringParameters", "multiValueQueryStringParameters", "pathParameters"),
        *("stageVariables", "body"),
    }


def test_format_1_of_an_http_api() -> None:
    """It says its version, and an authorizer that there is none of."""
    value = made(request(), matched(ApiKind.HTTP, payload=Payload.V1, stage="dev"))
    assert value.keys() == V1_FIELDS | {"version"}
    assert (value["version"], value["path"]) == ("1.0", "/dev/my/path")
    assert value["requestContext"].keys() == V1_CONTEXT | {"authorizer"}
    assert value["requestContext"]["authorizer"] == {"claims": None, "scopes": None}


def test_format_2() -> None:
    """As API Gateway's developer guide shows it."""
    found = request("POST", "/my/a%20b", query=QUERY, headers=HEADERS, body=b"\xff", trace="Root=1")
    way = matched(
        ApiKind.HTTP,
        "POST /my/{id}",
        path="/my/a%20b",
        parameters={"id": "a b"},
        variables=(("v", "1"),),
        stage="dev",
    )
    value = made(found, way)
    assert value.keys() == V2_FIELDS
    context = value.pop("requestContext")
    assert context.keys() == V2_CONTEXT
    assert value == {
        "version": "2.0",
        "routeKey": "POST /my/{id}",
        "rawPath": "/dev/my/a b",
        "rawQueryString": QUERY,
        "cookies": ["cookie1", "cookie2=b"],
        "headers": {
            "host": "localhost:3000",
            "header1": "value1",
            "header2": "value1,value2",
            "user-agent": "Custom",
            "x-amzn-trace-id": "Root=1",
            "x-forwarded-for": "10.0.0.1, 127.0.0.1",
            "x-forwarded-port": "3000",
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {
            "parameter1": "value1,value2",
            "parameter2": "a b c",
            "empty": "",
        },
        "pathParameters": {"id": "a b"},
        "stageVariables": {"v": "1"},
        "body": "/w==",
        "isBase64Encoded": True,
    }
    assert context == {
        "accountId": "123456789012",
        "apiId": api_id(way.api),
        "domainName": "localhost:3000",
        "domainPrefix": "localhost",
        "http": {
            "method": "POST",
            "path": "/dev/my/a b",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "Custom",
        },
        "requestId": "c6af9ac6-7b61-11e6",
        "routeKey": "POST /my/{id}",
        "stage": "dev",
        "time": "09/Apr/2015:12:34:56 +0000",
        "timeEpoch": EPOCH_MS,
    }


def test_what_a_request_has_not_is_absent_in_format_2() -> None:
    value = made(request(), matched(ApiKind.HTTP, "$default"))
    missing = {"cookies", "queryStringParameters", "pathParameters", "stageVariables", "body"}
    assert value.keys() == V2_FIELDS - missing
    assert value["routeKey"] == "$default"
    assert value["rawQueryString"] == ""


def test_a_function_url() -> None:
    """Its path stays encoded, and its caller is anonymous."""
    value = made(request(path="/a%20b"), matched(ApiKind.URL, "$default", path="/a%20b"))
    assert (value["rawPath"], value["routeKey"]) == ("/a%20b", "$default")
    context = value["requestContext"]
    assert (context["accountId"], context["stage"]) == ("anonymous", "$default")
    assert context["http"]["path"] == "/a%20b"


# --- bodies --------------------------------------------------------------------------------------

PNG = ("Content-Type", "image/png")
JSON_TEXT = ("Content-Type", "application/json; charset=utf-8")
GZIP = ("Content-Encoding", "gzip")


@pytest.mark.parametrize(
    ("kind", "binary", "headers", "is_base64"),
    [
        (ApiKind.REST, (), (PNG,), False),
        (ApiKind.REST, ("image/png",), (PNG,), True),
        (ApiKind.REST, ("image/*",), (PNG,), True),
        (ApiKind.REST, ("image/jpeg",), (PNG,), False),
        (ApiKind.REST, ("image/png",), (JSON_TEXT,), False),
        (ApiKind.REST, ("*/*",), (JSON_TEXT,), True),
        (ApiKind.REST, ("*/*",), (), True),
        (ApiKind.HTTP, (), (JSON_TEXT,), False),
        (ApiKind.HTTP, (), (("content-type", "TEXT/plain"),), False),
        (ApiKind.HTTP, (), (("Content-Type", "application/x-www-form-urlencoded"),), True),
        (ApiKind.HTTP, (), (PNG,), True),
        (ApiKind.HTTP, (), (), True),
        (ApiKind.HTTP, (), (JSON_TEXT, GZIP), True),
        (ApiKind.URL, (), (JSON_TEXT,), False),
        (ApiKind.URL, (), (PNG,), True),
    ],
)
def test_which_bodies_are_base64(
    kind: ApiKind, binary: tuple[str, ...], headers: tuple[tuple[str, str], ...], is_base64: bool
) -> None:
    """REST APIs by their list of binary types, the others by what is text."""
    body = "grün".encode()
    value = made(request("POST", headers=headers, body=body), matched(kind, binary=binary))
    assert value["isBase64Encoded"] is is_base64
    assert value["body"] == (base64.b64encode(body).decode() if is_base64 else "grün")


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    value = made(request("POST", headers=(JSON_TEXT,), body=b"a\xffb"), matched())
    assert value["body"] == "a\N{REPLACEMENT CHARACTER}b"


# --- callers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "payload", "caller", "expected"),
    [
        (
            ApiKind.REST,
            Payload.V1,
            Caller(principal="me", context={"n": 1, "ok": True, "no": None}),
            {"principalId": "me", "n": "1", "ok": "true"},
        ),
        (
            ApiKind.REST,
            Payload.V1,
            Caller(claims={"sub": "x", "n": 1}),
            {"claims": {"sub": "x", "n": "1"}},
        ),
        (ApiKind.HTTP, Payload.V2, Caller(context={"n": 1}), {"lambda": {"n": 1}}),
        (ApiKind.HTTP, Payload.V2, Caller(principal="me"), {"lambda": None}),
        (
            ApiKind.HTTP,
            Payload.V2,
            Caller(claims={"groups": ["a", "b"]}, scopes=("s",)),
            {"jwt": {"claims": {"groups": "[a b]"}, "scopes": ["s"]}},
        ),
        (
            ApiKind.HTTP,
            Payload.V1,
            Caller(claims={"sub": "x"}),
            {"claims": {"sub": "x"}, "scopes": None},
        ),
    ],
)
def test_what_an_authorizer_said(
    kind: ApiKind, payload: Payload, caller: Caller, expected: dict[str, Any]
) -> None:
    """In the form of each format."""
    context = made(request(), matched(kind, payload=payload), caller)["requestContext"]
    assert context["authorizer"] == expected


def test_an_api_key_is_part_of_the_identity() -> None:
    context = made(request(), matched(), Caller(api_key="k"))["requestContext"]
    assert context["identity"]["apiKey"] == "k"
    assert "authorizer" not in context


def test_ids_look_like_those_of_aws_and_stay() -> None:
    one, other = api_id(api(name="A")), api_id(api(name="B"))
    assert one == api_id(api(name="A"))
    assert one != other
    assert len(one) == 10
    assert one.isalnum()


def test_of_a_header_that_is_sent_twice_the_last_counts() -> None:
    assert request(headers=(("X-A", "1"), ("x-a", "2"))).header("x-a") == "2"
