"""From what a function returns to the HTTP response, by the rules of what is before it.

Sources: API Gateway Developer Guide, "Output format of a Lambda function for proxy integration",
"Create AWS Lambda proxy integrations for HTTP APIs" and "Gateway response types"; Lambda Developer
Guide, "Invoking Lambda function URLs" and "Response streaming".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.config.routes import Api, ApiKind, Fixed, Pairs, Payload, Route
from lambdad.daemon.live.http import media
from lambdad.daemon.live.http.request import HttpRequest

JSON: Final = "application/json"
KEYS_V1: Final = frozenset(
    {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded", "cookies"}
)
REMAPPED: Final = frozenset(
    {"connection", "content-md5", "date", "server", "user-agent", "www-authenticate"}
)
"""Headers of a function that a REST API sends as x-amzn-Remapped-NAME."""
GENERATED: Final = frozenset({"content-length", "transfer-encoding"})
"""Headers that the server writes itself."""

NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: a token of RFC 9110, section 5.6.2."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header's value may hold (RFC 9110, section 5.5)."""

SEPARATOR: Final = b"\0" * 8
"""Between the prelude of a streamed HTTP response and its body."""
NO_SEPARATOR: Final = "its stream has no 8 NUL bytes behind a prelude"
LONGEST_PRELUDE: Final = 1 << 20
"""Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A response, before it is written."""

    status: int
    headers: Pairs = ()
    body: bytes = b""
    fault: str | None = None
    """Why the gateway answers in the function's place; for the terminal, and not for the client."""


class MalformedError(ValueError):
    """What the function returned is no response; the message says what is wrong with it."""


# --- what the gateway says itself ----------------------------------------------------------------

GatewayTexts = Mapping[ApiKind, tuple[int, str, str | None]]
"""By kind of API: the status, the field of the JSON body, and its text. Without a field the body is
the text."""

FAULTS: Final[GatewayTexts] = {
    ApiKind.REST: (502, "message", "Internal server error"),
    ApiKind.HTTP: (500, "message", "Internal Server Error"),
    ApiKind.URL: (502, "", "Internal Server Error"),
}
"""The function failed, or what it returned is no response."""
TOO_SLOW: Final[GatewayTexts] = {
    ApiKind.REST: (504, "message", "Endpoint request timed out"),
    ApiKind.HTTP: (503, "message", "Service Unavailable"),
    ApiKind.URL: (504, "", "Gateway Timeout"),
}
TOO_LARGE: Final[GatewayTexts] = {
    ApiKind.REST: (413, "message", "Request Too Long"),
    ApiKind.HTTP: (413, "message", "Request Entity Too Large"),
    ApiKind.URL: (413, "Message", "Request must be smaller than 6291456 bytes"),
}
TOO_MANY: Final[GatewayTexts] = {
    ApiKind.REST: (429, "message", "Too Many Requests"),
    ApiKind.HTTP: (503, "message", "Service Unavailable"),
    ApiKind.URL: (429, "Reason", "ConcurrentInvocationLimitExceeded"),
}
UNAUTHORIZED: Final[GatewayTexts] = dict.fromkeys(ApiKind, (401, "message", "Unauthorized"))
DENIED: Final[GatewayTexts] = {
    ApiKind.REST: (403, "Message", "User is not authorized to access this resource"),
    ApiKind.HTTP: (403, "message", "Forbidden"),
    ApiKind.URL: (403, "Message", "Forbidden"),
}
AUTHORIZER_FAILED: Final[GatewayTexts] = {
    ApiKind.REST: (500, "message", None),
    ApiKind.HTTP: (500, "message", "Internal Server Error"),
    ApiKind.URL: (500, "Message", "Internal Server Error"),
}

ERROR_TYPES: Final[Mapping[int, str]] = {
    401: "UnauthorizedException",
    403: "AccessDeniedException",
    413: "RequestTooLargeException",
    429: "TooManyRequestsException",
    500: "AuthorizerConfigurationException",
    502: "InternalServerErrorException",
    504: "InternalServerErrorException",
}
"""What REST APIs name in x-amzn-ErrorType."""


def gateway_says(table: GatewayTexts, api: Api, fault: str | None = None) -> HttpAnswer:
    """The gateway's own answer, of one of the tables above."""
    status, key, text = table[api.kind]
    if not key:
        return HttpAnswer(
            status=status,
            headers=(("Content-Type", "text/plain"),),
            body=(text or "").encode(),
            fault=fault,
        )
    headers: list[tuple[str, str]] = [("Content-Type", JSON)]
    if api.kind is ApiKind.REST and status in ERROR_TYPES:
        headers.append(("x-amzn-ErrorType", ERROR_TYPES[status]))
    body = json.dumps({key: text}, separators=(",", ":")).encode()
    return HttpAnswer(status=status, headers=tuple(headers), body=body, fault=fault)


def fixed(target: Fixed) -> HttpAnswer:
    """What a MOCK integration answers."""
    headers = tuple(
        (name, value)
        for name, value in target.headers
        if NAME.fullmatch(name) and not CONTROL.search(value)
    )
    body = target.body.encode("utf-8", "replace")
    return HttpAnswer(status=target.status, headers=headers, body=body)


def typed(content_type: str) -> HttpAnswer:
    """The head of a stream that has no prelude. Raises MalformedError."""
    value = _clean("Content-Type", content_type)
    return HttpAnswer(status=200, headers=(("Content-Type", value),))


# --- what a function returned --------------------------------------------------------------------


def answer(api: Api, route: Route, request: HttpRequest, payload: bytes) -> HttpAnswer:
    """The response that the payload, the JSON that a function returned, stands for.

    What is no response gives the gateway's own error, with its `fault` set.
    """
    try:
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError) as fault:
            raise MalformedError("it returned no JSON") from fault
        if route.payload is Payload.V2:
            return _answer_v2(api, request, value)
        return _answer_v1(api, request, value)
    except MalformedError as fault:
        return gateway_says(FAULTS, api, str(fault))


def _answer_v1(api: Api, request: HttpRequest, value: object) -> HttpAnswer:
    if not isinstance(value, dict):
        raise MalformedError(
            f"it returned {_kind(value)}; format 1.0 takes an object with statusCode and body"
        )
    if api.kind is ApiKind.REST and (unknown := sorted(value.keys() - KEYS_V1)):
        raise MalformedError(f"its response has {', '.join(unknown)}, which REST APIs refuse")
    headers = _merged(
        _headers(value.get("headers")), _several_headers(value.get("multiValueHeaders"))
    )
    body = _body(api, request, value)
    default = JSON if api.kind is not ApiKind.HTTP else "text/plain;charset=UTF-8"
    return HttpAnswer(
        status=_status(value.get("statusCode")),
        headers=tuple(_sent(api, headers, default)),
        body=body,
    )


def _answer_v2(api: Api, request: HttpRequest, value: object) -> HttpAnswer:
    if not isinstance(value, dict) or "statusCode" not in value:
        # Inferred: whatever it returned is the body; text stays as it is.
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        body = text.encode("utf-8", "replace")
        return HttpAnswer(status=200, headers=(("Content-Type", JSON),), body=body)
    headers = _headers(value.get("headers"))
    headers += _several_headers(value.get("multiValueHeaders"))
    headers += _cookies(value.get("cookies"))
    body = _body(api, request, value)
    default = JSON if api.kind is ApiKind.URL else "text/plain;charset=UTF-8"
    return HttpAnswer(
        status=_status(value["statusCode"]),
        headers=tuple(_sent(api, headers, default)),
        body=body,
    )


def _status(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
        said = "none" if value is None else json.dumps(value)[:40]
        raise MalformedError(f"its statusCode is {said}; it must be a number from 100 to 599")
    if value < 200:
        raise MalformedError(f"its statusCode is {value}, which is no final status")
    return value


def _body(api: Api, request: HttpRequest, value: Mapping[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedError(f"its body is {_kind(body)}, not text; JSON goes in as text")
    try:
        return media.answer_body(api, request, body, is_base64=value.get("isBase64Encoded") is True)
    except ValueError as fault:
        raise MalformedError(str(fault)) from fault


def _headers(value: object) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise MalformedError(f"its headers are {_kind(value)}, not an object")
    return [(name, _header(name, item)) for name, item in value.items() if item is not None]


def _several_headers(value: object) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise MalformedError(f"its multiValueHeaders are {_kind(value)}, not an object")
    found = []
    for name, items in value.items():
        if not isinstance(items, list):
            raise MalformedError(f"multiValueHeaders {name} is {_kind(items)}, not a list")
        found += [(name, _header(name, item)) for item in items]
    return found


def _cookies(value: object) -> list[tuple[str, str]]:
    cookies = value or []
    if not isinstance(cookies, list) or not all(isinstance(item, str) for item in cookies):
        raise MalformedError("its cookies are no list of text")
    return [("Set-Cookie", _clean("Set-Cookie", cookie)) for cookie in cookies]


def _header(name: str, value: object) -> str:
    match value:
        case bool():
            text = "true" if value else "false"
        case str() | int() | float():
            text = str(value)
        case _:
            raise MalformedError(f"its header {name} is {_kind(value)}, not text")
    return _clean(name, text)


def _clean(name: str, value: str) -> str:
    if not NAME.fullmatch(name):
        raise MalformedError(f"{json.dumps(name[:40])} is no header's name")
    if CONTROL.search(value):
        raise MalformedError(f"its header {name} holds a line break or another control character")
    return value.encode("utf-8", "replace").decode()  # half a character has no bytes


def _merged(single: list[tuple[str, str]], several: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Both, an equal pair once."""
    known = {(name.lower(), value) for name, value in several}
    return [pair for pair in single if (pair[0].lower(), pair[1]) not in known] + several


def _sent(api: Api, headers: list[tuple[str, str]], default: str) -> Iterator[tuple[str, str]]:
    """As the gateway passes them on, with a type where the function says none."""
    typed = False
    for name, value in headers:
        lower = name.lower()
        typed |= lower == "content-type"
        if lower in GENERATED:
            continue
        if lower in REMAPPED and api.kind is ApiKind.REST:
            yield f"x-amzn-Remapped-{name}", value
        elif lower != "connection":
            yield name, value
    if not typed:
        yield "Content-Type", default


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


# --- what a function streams ---------------------------------------------------------------------


class Prelude:
    """Takes the first bytes of a streamed response until its status and headers are known."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._held = b""

    def feed(self, chunk: bytes) -> tuple[HttpAnswer, bytes] | None:
        """The head of the response and the first bytes of its body, once they are there.

        Raises MalformedError.
        """
        self._held += chunk
        end = self._held.find(SEPARATOR)
        if end < 0:
            if len(self._held) > LONGEST_PRELUDE:
                raise MalformedError(NO_SEPARATOR)
            return None
        return self._head(self._held[:end]), self._held[end + len(SEPARATOR) :]

    def _head(self, prelude: bytes) -> HttpAnswer:
        try:
            value = json.loads(prelude)
        except (ValueError, RecursionError) as fault:
            raise MalformedError("the prelude of its stream is no JSON") from fault
        if not isinstance(value, dict):
            raise MalformedError(f"the prelude of its stream is {_kind(value)}, not an object")
        headers = _headers(value.get("headers"))
        headers = _merged(headers, _several_headers(value.get("multiValueHeaders")))
        headers += _cookies(value.get("cookies"))
        default = "application/octet-stream"
        return HttpAnswer(
            status=_status(value.get("statusCode", 200)),
            headers=tuple(_sent(self._api, headers, default)),
        )
