"""What an authorizer is given, what its answer allows, and what a token says."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest

from lambdad.bundler.config.routes import ApiKind, Authorizer, AuthorizerKind, Payload
from lambdad.daemon.live.http.answers import MalformedError
from lambdad.daemon.live.http.authorizers import (
    Denied,
    Unauthorized,
    authorizer_event,
    decision,
    identity,
    is_allowed,
    token_caller,
)
from lambdad.daemon.live.http.events import Caller, api_id
from lambdad.daemon.live.http.request import Account, Matched
from tests.support.http_requests import matched, request

ARN: Final = "arn:aws:execute-api:us-east-1:123456789012:abcdefghij/Prod/GET/pets/1"


def authorizer(check: AuthorizerKind = AuthorizerKind.REQUEST, **more: Any) -> Authorizer:
    return Authorizer(name="a", check=check, function="Auth", **more)


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([("Allow", "execute-api:Invoke", ARN)], True),
        ([("Allow", "execute-api:invoke", "*")], True),
        ([("Allow", "execute-api:*", "arn:aws:execute-api:*:*:*/*/GET/*")], True),
        ([("Allow", ["x:y", "*"], [ARN])], True),
        ([("Allow", "execute-api:Invoke", f"{ARN[:-1]}?")], True),
        ([("Allow", "execute-api:Invoke", "arn:aws:execute-api:*/POST/*")], False),
        ([("Allow", "execute-api:Invoke", ARN.upper())], False),
        ([("Allow", "lambda:Invoke", "*")], False),
        ([("Deny", "execute-api:Invoke", "*")], False),
        ([("Allow", "*", "*"), ("Deny", "execute-api:Invoke", ARN)], False),
        ([("Allow", "*", "*"), ("Deny", "execute-api:Invoke", f"{ARN}/more")], True),
    ],
)
def test_policies(statements: list[tuple[str, Any, Any]], allowed: bool) -> None:
    """One Allow and no Deny of the method; wildcards as IAM has them."""
    several = [
        {"Effect": effect, "Action": action, "Resource": resource}
        for effect, action, resource in statements
    ]
    assert is_allowed({"Statement": several}, ARN) is allowed
    if len(several) == 1:
        assert is_allowed({"Statement": several[0]}, ARN) is allowed


def test_what_a_policy_leaves_out() -> None:
    everything_else = {"Effect": "Allow", "NotAction": "execute-api:Invoke", "Resource": "*"}
    assert not is_allowed({"Statement": [everything_else]}, ARN)
    other = {"Effect": "Allow", "Action": "*", "NotResource": "arn:x"}
    assert is_allowed({"Statement": [other]}, ARN)


@pytest.mark.parametrize(
    "answer",
    [
        b"x",
        b"[]",
        b'{"policyDocument": {"Statement": []}}',
        b'{"principalId": "a"}',
        b'{"principalId": "a", "policyDocument": {}}',
        b'{"principalId": "a", "policyDocument": {"Statement": [{"Effect": "Maybe"}]}}',
        b'{"principalId": "a", "policyDocument": {"Statement": []}, "context": {"a": [1]}}',
        b'{"principalId": "a", "policyDocument": {"Statement": []}, "context": 1}',
    ],
)
def test_what_is_no_answer_of_an_authorizer(answer: bytes) -> None:
    with pytest.raises(MalformedError):
        decision(authorizer(), answer, ARN, ApiKind.REST)


# --- identity sources ----------------------------------------------------------------------------

WAY: Final = matched(
    parameters={"id": "7"}, variables=(("color", "blue"),), key="GET /pets/{id}", path="/pets/7"
)


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (("method.request.header.x-who",), ("me",)),
        (("$request.header.X-Who", "$request.querystring.q"), ("me", "a b")),
        (("stageVariables.color", "$stageVariables.color"), ("blue", "blue")),
        (("context.identity.sourceIp", "$context.stage"), ("127.0.0.1", "Prod")),
        (("method.request.path.id",), ("7",)),
        ((), ()),
        (("method.request.header.X-Who", "method.request.header.X-None"), None),
        (("method.request.querystring.Q",), None),
        (("nonsense",), None),
    ],
)
def test_identity_sources(sources: tuple[str, ...], found: tuple[str, ...] | None) -> None:
    """Each must have a value."""
    asks = request(headers=(("X-Who", "me"),), query="q=a+b")
    values = identity(authorizer(sources=sources), asks, WAY)
    assert isinstance(values, Unauthorized) if found is None else values == found


def test_a_token_must_match_the_pattern() -> None:
    token = authorizer(
        AuthorizerKind.TOKEN, sources=("method.request.header.A",), pattern=r"Bearer \w+"
    )
    for value, good in (("Bearer x", True), ("Bearer x y", False), ("x", False)):
        found = identity(token, request(headers=(("A", value),)), WAY)
        assert (found == (value,)) is good


# --- events --------------------------------------------------------------------------------------


def made(kind: ApiKind, asked: Authorizer, way: Matched, *values: str) -> dict[str, Any]:
    return authorizer_event(asked, request(path="/pets/7"), way, Account(), values)


def test_the_event_of_a_token_authorizer() -> None:
    """As in SAM's sample of one."""
    event = made(ApiKind.REST, authorizer(AuthorizerKind.TOKEN), WAY, "incoming")
    arn = f"arn:aws:execute-api:us-east-1:123456789012:{api_id(WAY.api)}/Prod/GET/pets/7"
    assert event == {"type": "TOKEN", "authorizationToken": "incoming", "methodArn": arn}


def test_the_event_of_a_request_authorizer() -> None:
    """The fields of SAM's sample of one; what there is none of is an empty object."""
    event = made(ApiKind.REST, authorizer(), WAY, "x")
    assert event.keys() >= {
        *("type", "methodArn", "resource", "path", "httpMethod", "headers"),
        *("queryStringParameters", "pathParameters", "stageVariables", "requestContext"),
    }
    assert "body" not in event
    assert "authorizer" not in event["requestContext"]
    assert (event["queryStringParameters"], event["pathParameters"]) == ({}, {"id": "7"})
    http = matched(ApiKind.HTTP, key="GET /pets/{id}", path="/pets/7")
    event = made(ApiKind.HTTP, authorizer(), http, "a", "b")
    assert (event["version"], event["identitySource"]) == ("1.0", "a,b")
    event = made(ApiKind.HTTP, authorizer(payload=Payload.V2), http, "a", "b")
    assert (event["version"], event["identitySource"]) == ("2.0", ["a", "b"])
    assert event["routeArn"].endswith("/$default/GET/pets/7")
    assert "body" not in event


# --- tokens --------------------------------------------------------------------------------------


def token(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts]
    return b".".join((*encoded, b"x")).decode()


JWT: Final = authorizer(
    AuthorizerKind.JWT, issuer="https://i.example/", audience=("me", "us"), scopes=("read", "all")
)
GOOD: Final = {"iss": "https://i.example", "aud": "me", "exp": 200, "scope": "write read"}


@pytest.mark.parametrize(
    ("claims", "ending"),
    [
        ({}, Caller),
        ({"aud": ["x", "us"]}, Caller),
        ({"aud": None, "client_id": "me"}, Unauthorized),
        ({"scope": None, "scp": ["all"]}, Denied),
        ({"scope": "write"}, Denied),
        ({"exp": 100}, Unauthorized),
        ({"nbf": 101}, Unauthorized),
        ({"iss": "https://other.example"}, Unauthorized),
        ({"aud": "x"}, Unauthorized),
    ],
)
def test_claims(claims: dict[str, Any], ending: type) -> None:
    """Times, issuer, audience and scopes count; no signature does."""
    found = token_caller(JWT, f"Bearer {token(**{**GOOD, **claims})}", 100.0, ApiKind.HTTP)
    assert isinstance(found, ending)
    if isinstance(found, Caller):
        assert found.scopes == ("write", "read")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.!.c", f"a.{'W10'}.c", "a.bnVsbA.c"])
def test_what_is_no_token(text: str) -> None:
    assert isinstance(token_caller(JWT, text, 0.0, ApiKind.HTTP), Unauthorized)
