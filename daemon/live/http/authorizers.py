"""What a route's authorizer is given, and what its answer allows: pure functions.

Sources: API Gateway Developer Guide, "Use API Gateway Lambda authorizers" and "Control access to
HTTP APIs with AWS Lambda authorizers" and "... with JWT authorizers". On this machine no token's
signature and no AWS signature is verified: the configuration's reader says so.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.config.routes import ApiKind, Authorizer, AuthorizerKind, Payload
from lambdad.daemon.live.http.answers import MalformedError
from lambdad.daemon.live.http.events import (
    Caller,
    EventDocument,
    event_v1,
    event_v2,
    method_arn,
)
from lambdad.daemon.live.http.request import Account, HttpRequest, Matched, query_pairs

INVOKE: Final = "execute-api:Invoke"


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """401: what identifies the caller is missing or wrong."""

    reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """403: the caller is known and may not."""

    reason: str


# --- who asks ------------------------------------------------------------------------------------


def identity(
    authorizer: Authorizer, request: HttpRequest, matched: Matched
) -> tuple[str, ...] | Unauthorized:
    """The values of the identity sources, in their order."""
    found: list[str] = []
    for source in authorizer.sources:
        value = _source(source, request, matched)
        if not value:
            return Unauthorized(f"the request has no {source}")
        found.append(value)
    if authorizer.pattern and found and not _matches(authorizer.pattern, found[0]):
        return Unauthorized(f"the token does not match {authorizer.pattern}")
    return tuple(found)


def _source(source: str, request: HttpRequest, matched: Matched) -> str | None:
    text = source.strip().removeprefix("$").removeprefix("method.")
    place, _, name = text.partition(".")
    if place == "request":
        place, _, name = name.partition(".")
    match place:
        case "header":
            return request.header(name.lower())
        case "querystring":
            return dict(query_pairs(request.query)).get(name)
        case "path":
            return matched.parameters.get(name)
        case "stageVariables":
            return dict(matched.api.variables).get(name)
        case "context":
            return _context(name, request, matched)
    return None


def _context(name: str, request: HttpRequest, matched: Matched) -> str | None:
    known = {
        "httpMethod": request.method,
        "identity.sourceIp": request.source_ip,
        "identity.userAgent": request.header("user-agent"),
        "path": matched.path,
        "resourcePath": matched.route.path,
        "routeKey": matched.route.key,
        "stage": matched.api.stage,
    }
    return known.get(name)


def _matches(pattern: str, token: str) -> bool:
    try:
        return re.fullmatch(pattern, token) is not None
    except re.error:
        return True  # API Gateway refuses the pattern at the deploy


# --- a Lambda authorizer -------------------------------------------------------------------------


def authorizer_event(
    authorizer: Authorizer,
    request: HttpRequest,
    matched: Matched,
    account: Account,
    values: tuple[str, ...],
) -> EventDocument:
    """What the authorizer's function gets."""
    arn = method_arn(request, matched, account)
    if authorizer.check is AuthorizerKind.TOKEN:
        return {"type": "TOKEN", "authorizationToken": values[0], "methodArn": arn}
    if authorizer.payload is Payload.V2:
        event = event_v2(request, matched, account, None)
        for absent in ("body", "isBase64Encoded"):
            event.pop(absent, None)
        event |= {"type": "REQUEST", "routeArn": arn, "identitySource": list(values) or None}
        return event
    event = event_v1(request, matched, account, None)
    for absent in ("body", "isBase64Encoded"):
        event.pop(absent, None)
    for name, value in event.items():
        if value is None:
            event[name] = {}
    event["requestContext"].pop("authorizer", None)
    more: EventDocument = {"type": "REQUEST", "methodArn": arn}
    if matched.api.kind is ApiKind.HTTP:
        said = ",".join(values)
        more |= {"identitySource": said, "authorizationToken": said}
    return {**more, **event}


def decision(authorizer: Authorizer, payload: bytes, arn: str, kind: ApiKind) -> Caller | Denied:
    """What the function's answer says of the method with this ARN. Raises MalformedError."""
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as fault:
        raise MalformedError("the authorizer returned no JSON") from fault
    if not isinstance(answer, dict):
        raise MalformedError("the authorizer returned no object")
    context = answer.get("context") or {}
    if not isinstance(context, dict):
        raise MalformedError("the authorizer's context is no object")
    if authorizer.simple:
        allowed = answer.get("isAuthorized")
        if not isinstance(allowed, bool):
            raise MalformedError("the authorizer returned no isAuthorized that is true or false")
        return Caller(context=context) if allowed else Denied("the authorizer said no")
    if kind is ApiKind.REST:
        for name, value in context.items():
            if isinstance(value, (dict, list)):
                raise MalformedError(f"the authorizer's context {name} is no text or number")
    principal = answer.get("principalId")
    if not isinstance(principal, (str, int)):
        raise MalformedError("the authorizer returned no principalId")
    policy = answer.get("policyDocument")
    if not isinstance(policy, dict):
        raise MalformedError("the authorizer returned no policyDocument")
    if not is_allowed(policy, arn):
        return Denied("the authorizer's policy does not allow it")
    return Caller(principal=str(principal), context=context)


def is_allowed(policy: Mapping[str, Any], arn: str) -> bool:
    """Whether the policy allows to invoke the method: one Allow, and no Deny. Raises
    MalformedError."""
    statements = policy.get("Statement")
    several = statements if isinstance(statements, list) else [statements]
    effects = set()
    for statement in several:
        if not isinstance(statement, dict):
            raise MalformedError("the authorizer's policy has no Statement")
        effect = statement.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise MalformedError("a Statement of the authorizer's policy has no Effect")
        if _covers(statement, "Action", INVOKE, fold=True) and _covers(
            statement, "Resource", arn, fold=False
        ):
            effects.add(effect)
    return effects == {"Allow"}


def _covers(statement: Mapping[str, Any], field: str, text: str, *, fold: bool) -> bool:
    if (excluded := statement.get(f"Not{field}")) is not None:
        return not any(_is_like(one, text, fold=fold) for one in _texts(excluded))
    return any(_is_like(one, text, fold=fold) for one in _texts(statement.get(field)))


def _texts(value: object) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one


def _is_like(pattern: str, text: str, *, fold: bool) -> bool:
    """ "*" stands for any characters, "?" for one."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    flags = re.DOTALL | (re.IGNORECASE if fold else 0)
    return re.fullmatch("".join(parts), text, flags) is not None


# --- tokens --------------------------------------------------------------------------------------


def token_caller(
    authorizer: Authorizer, token: str, now_s: float, kind: ApiKind
) -> Caller | Denied | Unauthorized:
    """What a JSON Web Token says of the caller; its signature is not looked at."""
    claims = _claims(token)
    if claims is None:
        return Unauthorized("it is no JSON Web Token")
    expires, begins = claims.get("exp"), claims.get("nbf")
    if isinstance(expires, (int, float)) and expires <= now_s:
        return Unauthorized("the token has expired")
    if isinstance(begins, (int, float)) and begins > now_s:
        return Unauthorized("the token is not valid yet")
    if authorizer.issuer and str(claims.get("iss", "")).rstrip("/") != authorizer.issuer.rstrip(
        "/"
    ):
        return Unauthorized("the token is of another issuer")
    if authorizer.audience:
        said = claims.get("aud", claims.get("client_id"))
        if not set(said if isinstance(said, list) else [said]) & set(authorizer.audience):
            return Unauthorized("the token is for another audience")
    said = claims.get("scope", claims.get("scp", ""))
    scopes = tuple(said if isinstance(said, list) else str(said).split())
    if authorizer.scopes and not set(scopes) & set(authorizer.scopes):
        if kind is ApiKind.REST:
            return Unauthorized("the token has none of the scopes")
        return Denied("the token has none of the scopes")
    return Caller(claims=claims, scopes=scopes if authorizer.scopes else None)


def _claims(token: str) -> Mapping[str, Any] | None:
    parts = re.sub(r"^bearer\s+", "", token.strip(), flags=re.IGNORECASE).split(".")
    if len(parts) != 3:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
