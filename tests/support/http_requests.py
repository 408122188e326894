"""Requests and routes for tests of HTTP APIs."""

from __future__ import annotations

from typing import Any

from lambdad.bundler.config.routes import Api, ApiKind, Payload, Route
from lambdad.bundler.model import Location
from lambdad.daemon.live.http.request import HttpRequest, Matched

EPOCH_MS = 1_428_582_896_000
"""09/Apr/2015:12:34:56 +0000, as in AWS's examples."""
WHERE = Location("template.yaml", 1, 1)


def request(method: str = "GET", path: str = "/my/path", **more: Any) -> HttpRequest:
    return HttpRequest(method=method, path=path, id="c6af9ac6-7b61-11e6", epoch_ms=EPOCH_MS, **more)


def route(key: str = "GET /my/path", target: Any = "F", **more: Any) -> Route:
    method, _, path = key.partition(" ")
    if not path:
        method, path = "ANY", key
    return Route(method=method, path=path, target=target, where=WHERE, **more)


def api(kind: ApiKind = ApiKind.REST, *routes: Route, **more: Any) -> Api:
    more.setdefault("name", "Api")
    more.setdefault("stage", "Prod" if kind is ApiKind.REST else "$default")
    return Api(kind=kind, routes=routes, where=WHERE, **more)


def matched(
    kind: ApiKind = ApiKind.REST,
    key: str = "GET /my/path",
    path: str = "/my/path",
    parameters: dict[str, str] | None = None,
    **more: Any,
) -> Matched:
    payload = more.pop("payload", Payload.V1 if kind is ApiKind.REST else Payload.V2)
    authorizer = more.pop("authorizer", None)
    found = route(key, payload=payload, authorizer=authorizer)
    return Matched(
        api=api(kind, found, **more), route=found, path=path, parameters=parameters or {}
    )
