"""What HTTP APIs and function URLs say to browsers by themselves.

Source: API Gateway Developer Guide, "Configure CORS for HTTP APIs": a gateway that has a
configuration answers every preflight, and its headers replace those of the function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from lambdad.bundler.config.routes import Api, ApiKind, Cors, Pairs
from lambdad.daemon.live.http.answers import HttpAnswer
from lambdad.daemon.live.http.request import HttpRequest

OURS: Final = "access-control-"


def preflight(api: Api, request: HttpRequest) -> HttpAnswer | None:
    """The answer to a browser's question; None: the request is none, or the API answers none."""
    if api.cors is None or request.method != "OPTIONS":
        return None
    origin = request.header("origin")
    if origin is None or request.header("access-control-request-method") is None:
        return None
    headers = [*_of_origin(api.cors, origin)]
    if headers:
        cors = api.cors
        if cors.methods:
            headers.append(("Access-Control-Allow-Methods", ",".join(cors.methods)))
        if cors.headers:
            headers.append(("Access-Control-Allow-Headers", ",".join(cors.headers)))
        if cors.max_age_s is not None:
            headers.append(("Access-Control-Max-Age", str(cors.max_age_s)))
    return HttpAnswer(status=204 if api.kind is ApiKind.HTTP else 200, headers=tuple(headers))


def with_headers(api: Api, request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
    """The answer as the API's configuration has it; without one the function's headers stay."""
    if api.cors is None:
        return answer
    return replace(answer, headers=headers_for(api.cors, request, answer.headers))


def headers_for(cors: Cors, request: HttpRequest, headers: Pairs) -> Pairs:
    kept = tuple((name, value) for name, value in headers if not name.lower().startswith(OURS))
    origin = request.header("origin")
    if origin is None:
        return kept
    own = [*_of_origin(cors, origin)]
    if own and cors.expose:
        own.append(("Access-Control-Expose-Headers", ",".join(cors.expose)))
    return (*kept, *own)


def _of_origin(cors: Cors, origin: str) -> Iterator[tuple[str, str]]:
    """None for an origin that is not allowed."""
    if not any(fnmatchcase(origin, allowed) for allowed in cors.origins):
        return
    everyone = "*" in cors.origins and not cors.credentials
    yield "Access-Control-Allow-Origin", "*" if everyone else origin
    if not everyone:
        yield "Vary", "Origin"
    if cors.credentials:
        yield "Access-Control-Allow-Credentials", "true"
