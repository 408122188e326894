"""From a request to the event that a function gets: pure functions, one for each format.

Sources: API Gateway Developer Guide, "Input format of a Lambda function for proxy integration" and
"Create AWS Lambda proxy integrations for HTTP APIs"; Lambda Developer Guide, "Invoking Lambda
function URLs". Values that only AWS knows are null, or name this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from lambdad.bundler.config.routes import Api, ApiKind, Payload
from lambdad.daemon.live.http import media
from lambdad.daemon.live.http.request import (
    Account,
    HttpRequest,
    Matched,
    all_values,
    clock,
    decoded,
    headers_v1,
    headers_v2,
    joined_values,
    last_values,
    query_pairs,
)

EventDocument = dict[str, Any]

IDENTITY: Final = (
    *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider"),
    *("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId"),
    *("principalOrgId", "sourceIp", "user", "userAgent", "userArn"),
)
"""The fields of `requestContext.identity`, null unless this machine knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a route's authorizer says of the caller."""

    principal: str | None = None
    context: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Of a Lambda authorizer."""
    claims: Mapping[str, Any] | None = None
    """Of a token."""
    scopes: tuple[str, ...] | None = None
    api_key: str | None = None


def event(
    request: HttpRequest, matched: Matched, account: Account, caller: Caller | None = None
) -> EventDocument:
    """The event of the route's format."""
    if matched.route.payload is Payload.V2:
        return event_v2(request, matched, account, caller)
    return event_v1(request, matched, account, caller)


def api_id(api: Api) -> str:
    """Ten letters and digits, as AWS has them; the same for an API of that name on each machine."""
    number = int.from_bytes(hashlib.sha256(api.name.encode()).digest()[:8], "big")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    found = []
    for _ in range(10):
        number, digit = divmod(number, 36)
        found.append(letters[digit])
    return "".join(found)


def staged_path(matched: Matched) -> str:
    """The path as a client of AWS writes it: behind the stage, unless that is the default one."""
    stage = matched.api.stage
    return matched.path if stage == "$default" else f"/{stage}{matched.path}"


def method_arn(request: HttpRequest, matched: Matched, account: Account) -> str:
    """What a policy of an authorizer is about."""
    top = f"arn:{account.partition}:execute-api:{account.region}:{account.id}"
    path = matched.path.lstrip("/")
    return f"{top}:{api_id(matched.api)}/{matched.api.stage}/{request.method}/{path}"


# --- format 1.0 ----------------------------------------------------------------------------------


def event_v1(
    request: HttpRequest, matched: Matched, account: Account, caller: Caller | None
) -> EventDocument:
    api, route = matched.api, matched.route
    headers, several = headers_v1(request)
    query = list(query_pairs(request.query))
    body, is_base64 = media.event_body(api, request)
    found: EventDocument = {
        "resource": route.path,
        "path": matched.path if api.kind is ApiKind.REST else staged_path(matched),
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": last_values(query) or None,
        "multiValueQueryStringParameters": all_values(query) or None,
        "pathParameters": dict(matched.parameters) or None,
        "stageVariables": dict(api.variables) or None,
        "requestContext": context_v1(request, matched, account, caller),
        "body": body,
        "isBase64Encoded": is_base64,
    }
    return found if api.kind is ApiKind.REST else {"version": "1.0", **found}


def context_v1(
    request: HttpRequest, matched: Matched, account: Account, caller: Caller | None
) -> EventDocument:
    api, route = matched.api, matched.route
    identity: EventDocument = dict.fromkeys(IDENTITY)
    identity |= {"sourceIp": request.source_ip, "userAgent": request.header("user-agent")}
    if caller is not None and caller.api_key is not None:
        identity |= {"apiKey": caller.api_key}
    found: EventDocument = {
        "accountId": account.id,
        "apiId": api_id(api),
        "domainName": request.host,
        "domainPrefix": request.host.partition(".")[0].partition(":")[0],
        "extendedRequestId": request.id,
        "httpMethod": request.method,
        "identity": identity,
        "path": staged_path(matched),
        "protocol": request.protocol,
        "requestId": request.id,
        "requestTime": clock(request.epoch_ms),
        "requestTimeEpoch": request.epoch_ms,
        "resourceId": resource_id(matched) if api.kind is ApiKind.REST else None,
        "resourcePath": route.path,
        "stage": api.stage,
    }
    authorizer = _authorizer_v1(api, caller)
    return found if authorizer is None else {**found, "authorizer": authorizer}


def resource_id(matched: Matched) -> str:
    """Six letters and digits, as AWS has them, the same on each machine."""
    text = f"{matched.api.name}\0{matched.route.path}"
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _authorizer_v1(api: Api, caller: Caller | None) -> EventDocument | None:
    if caller is None or caller == Caller(api_key=caller.api_key):
        return None if api.kind is ApiKind.REST else {"claims": None, "scopes": None}
    if caller.claims is not None:
        claims: EventDocument = {"claims": _as_texts(caller.claims)}
        if api.kind is not ApiKind.REST:
            claims["scopes"] = list(caller.scopes) if caller.scopes is not None else None
        return claims
    found: EventDocument = dict(caller.context)
    if api.kind is ApiKind.REST:
        found = {name: as_text(value) for name, value in found.items() if value is not None}
    if caller.principal is not None:
        found["principalId"] = caller.principal
    return found or None


# --- format 2.0 ----------------------------------------------------------------------------------


def event_v2(
    request: HttpRequest, matched: Matched, account: Account, caller: Caller | None
) -> EventDocument:
    """Of HTTP APIs and function URLs. Fields without a value are left out."""
    api, route = matched.api, matched.route
    headers, cookies = headers_v2(request)
    body, is_base64 = media.event_body(api, request)
    key = "$default" if api.kind is ApiKind.URL else route.key
    path = staged_path(matched)
    found: EventDocument = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": path if api.kind is ApiKind.URL else decoded(path),
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context_v2(request, matched, account, caller),
        "isBase64Encoded": is_base64,
    }
    if cookies:
        found["cookies"] = cookies
    if query := joined_values(query_pairs(request.query)):
        found["queryStringParameters"] = query
    if matched.parameters:
        found["pathParameters"] = dict(matched.parameters)
    if api.variables:
        found["stageVariables"] = dict(api.variables)
    if body is not None:
        found["body"] = body
    return found


def context_v2(
    request: HttpRequest, matched: Matched, account: Account, caller: Caller | None
) -> EventDocument:
    api, route = matched.api, matched.route
    path = staged_path(matched)
    found: EventDocument = {
        "accountId": "anonymous" if api.kind is ApiKind.URL else account.id,
        "apiId": api_id(api),
        "domainName": request.host,
        "domainPrefix": request.host.partition(".")[0].partition(":")[0],
        "http": {
            "method": request.method,
            "path": path if api.kind is ApiKind.URL else decoded(path),
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent") or "",
        },
        "requestId": request.id,
        "routeKey": "$default" if api.kind is ApiKind.URL else route.key,
        "stage": api.stage,
        "time": clock(request.epoch_ms),
        "timeEpoch": request.epoch_ms,
    }
    if caller is not None and caller.claims is not None:
        scopes = list(caller.scopes) if caller.scopes is not None else None
        found["authorizer"] = {"jwt": {"claims": _as_texts(caller.claims), "scopes": scopes}}
    elif caller is not None and (caller.context or caller.principal is not None):
        context = dict(caller.context)
        found["authorizer"] = {"lambda": context or None}
    return found


# --- values --------------------------------------------------------------------------------------


def _as_texts(claims: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_text(value) for name, value in claims.items()}


def as_text(value: object) -> str:
    """As API Gateway writes what an authorizer gives it: lists in brackets, true and false."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{' '.join(map(as_text, value))}]"
        case _:
            return str(value)
