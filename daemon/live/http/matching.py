"""Which route of which API a request takes, and which routes are near to one that takes none.

Sources: API Gateway Developer Guide, "Create routes for HTTP APIs" (routing) and "Set up a proxy
resource": a full match goes before a parameter, and that before a greedy one, part by part; a
method goes before ANY, and `$default` comes last.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lambdad.bundler.config.routes import Api, ApiKind, Fixed, Route
from lambdad.daemon.live.http.request import Matched, decoded

PARAMETER: Final = re.compile(r"\{([^{}+]+)(\+?)\}")
DEFAULT: Final = "$default"
MOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class NotFound:
    """No route takes the request."""

    near: tuple[str, ...]
    """All routes, as a client would ask for them, the nearest first."""


def label(api: Api) -> str:
    """The API's name as a part of a host name: NAME.localhost reaches this API alone."""
    return re.sub(r"[^a-z0-9]+", "-", api.name.lower()).strip("-") or "api"


def match(apis: Sequence[Api], host: str, method: str, path: str) -> Matched | NotFound:
    """The request's way.

    NAME.localhost, and the path /@NAME, reach one API alone. Any other host reaches all that are no
    function's URL; a URL is reached there only if it is all there is. A path may begin with the
    stage.
    """
    chosen, path = _chosen(apis, host, path)
    for api in chosen:
        if found := _in_api(api, method, path):
            return found
    # A client of AWS has the stage before the path.
    for api in chosen:
        inner = _without_stage(api, path)
        if inner is not None and (found := _in_api(api, method, inner)):
            return found
    for api in chosen:
        for route in api.routes:
            if route.path == DEFAULT:
                return Matched(api=api, route=route, path=path)
    return NotFound(tuple(_nearest(apis, method, path)))


def _chosen(apis: Sequence[Api], host: str, path: str) -> tuple[Sequence[Api], str]:
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name.lower().endswith(".localhost"):
        wanted = name.lower().removesuffix(".localhost")
        if alone := [api for api in apis if label(api) == wanted]:
            return alone, path
    if path.startswith("/@"):
        first, slash, rest = path[2:].partition("/")
        if alone := [api for api in apis if label(api) == decoded(first).lower()]:
            return alone, f"{slash}{rest}" or "/"
    shared = [api for api in apis if api.kind is not ApiKind.URL]
    return (shared or apis if len(apis) == 1 or shared else []), path


def _without_stage(api: Api, path: str) -> str | None:
    stage = f"/{api.stage}"
    if api.stage == DEFAULT or not (path == stage or path.startswith(f"{stage}/")):
        return None
    return path[len(stage) :] or "/"


def _in_api(api: Api, method: str, path: str) -> Matched | None:
    """The best route but `$default`.

    A REST API has resources, and the best one decides: a method that it lacks is not looked for in
    another one. An HTTP API looks at those routes alone that take the method.
    """
    fitting: list[tuple[tuple[int, ...], int, Route]] = []
    for at, route in enumerate(api.routes):
        if route.path != DEFAULT and parameters_of(route.path, path) is not None:
            fitting.append((_rank(route), at, route))
    if api.kind is ApiKind.REST and fitting:
        best = min(each[0] for each in fitting)
        fitting = [each for each in fitting if each[0] == best]
    taking = [each for each in fitting if each[2].method in ("ANY", method)]
    if not taking:
        return None
    route = min(taking, key=lambda each: (each[0], each[2].method == "ANY", each[1]))[2]
    parameters = parameters_of(route.path, path) or {}
    return Matched(api=api, route=route, parameters=MappingProxyType(parameters), path=path)


def parameters_of(route: str, path: str) -> dict[str, str] | None:
    """What the path says for the parameters of a route's; None: it is another path."""
    wanted = _parts(route)
    given = _parts(path)
    found: dict[str, str] = {}
    for at, part in enumerate(wanted):
        parameter = PARAMETER.fullmatch(part)
        if parameter and parameter[2]:
            rest = path.strip("/").split("/")[at:] if path.strip("/") else []
            if not rest:
                return None
            found[parameter[1]] = decoded("/".join(rest))
            return found
        if at >= len(given):
            return None
        if parameter:
            if not given[at]:
                return None
            found[parameter[1]] = decoded(given[at])
        elif part != given[at] and part != decoded(given[at]):
            return None
    return found if len(given) == len(wanted) else None


def _parts(path: str) -> list[str]:
    """A slash at the end is as good as none."""
    inner = path.strip("/")
    return inner.split("/") if inner else []


def _rank(route: Route) -> tuple[int, ...]:
    """The least is the best: per part 0 for its text, 1 for a parameter, 2 for a greedy one."""
    kinds = []
    for part in _parts(route.path):
        parameter = PARAMETER.fullmatch(part)
        kinds.append(0 if parameter is None else 2 if parameter[2] else 1)
    return (*kinds, 3)


# --- help ----------------------------------------------------------------------------------------


def listed(apis: Iterable[Api]) -> Iterator[tuple[Api, Route]]:
    """The routes that people ask for: none that only answer a browser's preflight."""
    for api in apis:
        for route in api.routes:
            if not (isinstance(route.target, Fixed) and route.method == "OPTIONS"):
                yield api, route


def overview(apis: Sequence[Api], port: int) -> list[str]:
    """Every route with its function, at most MOST_SHOWN of them: what people read at the start."""
    shown: list[str] = []
    for api, route in listed(apis):
        target = route.target if isinstance(route.target, str) else f"{route.target.status}"
        if api.kind is ApiKind.URL and len(apis) > 1:
            shown.append(f"http://{label(api)}.localhost:{port}/  {target}")
        else:
            shown.append(f"{route.method} {route.path}  {target}")
    if len(shown) > MOST_SHOWN:
        return [*shown[:MOST_SHOWN], f"and {len(shown) - MOST_SHOWN} more routes"]
    return shown


def _nearest(apis: Sequence[Api], method: str, path: str) -> list[str]:
    several = {api.name for api in apis if api.kind is ApiKind.URL}
    found: list[tuple[float, str]] = []
    for api, route in listed(apis):
        shown = route.path
        if api.name in several:
            shown = f"/@{label(api)}/"
        alike = difflib.SequenceMatcher(None, path[:200], shown[:200]).ratio()
        if parameters_of(route.path, path) is not None:
            alike += 1  # only the method is another
        alike += 0.01 * (route.method in ("ANY", method))
        found.append((-alike, f"{route.method} {shown}"))
    return [text for _, text in sorted(dict.fromkeys(found))]
