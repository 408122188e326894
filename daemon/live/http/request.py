"""One HTTP request as a value, and the forms in which API Gateway hands its parts to a function."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, unquote_plus

from lambdad.bundler.config.routes import Api, Pairs, Route

HOPS: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers about one connection (RFC 9110, section 7.6.1): they are never passed on."""

OVERWRITTEN: Final = HOPS | {"x-amzn-trace-id", "x-forwarded-port", "x-forwarded-proto"}

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What a client sent, and when and from where it came."""

    method: str
    path: str
    """As sent: percent-encoded, without the query."""
    query: str = ""
    """As sent, without the "?"."""
    headers: Pairs = ()
    """Names as sent, in the order in which they were sent."""
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    port: int = 3000
    """The server's."""
    protocol: str = "HTTP/1.1"
    id: str
    trace: str = ""
    """The value of X-Amzn-Trace-Id."""
    epoch_ms: int

    def header(self, name: str) -> str | None:
        """Its last value, whatever the case of the name."""
        found = [value for known, value in self.headers if known.lower() == name]
        return found[-1] if found else None

    @property
    def host(self) -> str:
        return self.header("host") or f"localhost:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A request's way: the API, its route, and what the path says."""

    api: Api
    route: Route
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the path, decoded."""
    path: str
    """The request's path within the API, as sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the APIs are said to be."""

    id: str = "123456789012"
    region: str = "us-east-1"
    partition: str = "aws"


def forwarded(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """The request's headers as a gateway passes them on, with what it adds itself."""
    before: list[str] = []
    for name, value in request.headers:
        lower = name.lower()
        if lower == "x-forwarded-for":
            before.append(value)
        elif lower not in OVERWRITTEN or (lower == "x-amzn-trace-id" and not request.trace):
            yield name, value
    if request.trace:
        yield "X-Amzn-Trace-Id", request.trace
    yield "X-Forwarded-For", ", ".join((*before, request.source_ip))
    yield "X-Forwarded-Port", str(request.port)
    yield "X-Forwarded-Proto", "http"


def query_pairs(query: str) -> Iterator[tuple[str, str]]:
    """Decoded, in the order of the query; a name without a value has an empty one."""
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            yield unquote_plus(name), unquote_plus(value)


def last_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return dict(pairs)


def all_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def joined_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """With commas, as format 2.0 has them."""
    return {name: ",".join(values) for name, values in all_values(pairs).items()}


def headers_v1(request: HttpRequest) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The last value of each, and all values; names that differ in case alone are one name."""
    spelt: dict[str, str] = {}
    pairs = [(spelt.setdefault(name.lower(), name), value) for name, value in forwarded(request)]
    return last_values(pairs), all_values(pairs)


def headers_v2(request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    """Names in small letters, and the cookies, which are no header then."""
    cookies: list[str] = []
    pairs: list[tuple[str, str]] = []
    for name, value in forwarded(request):
        if name.lower() == "cookie":
            cookies += filter(None, (part.strip() for part in value.split(";")))
        else:
            pairs.append((name.lower(), value))
    return joined_values(pairs), cookies


def decoded(path: str) -> str:
    return unquote(path, errors="replace")


def clock(epoch_ms: int) -> str:
    """As API Gateway writes times: "09/Apr/2015:12:34:56 +0000", in English wherever it runs."""
    at = time.gmtime(epoch_ms / 1000)
    return (
        f"{at.tm_mday:02}/{MONTHS[at.tm_mon - 1]}/{at.tm_year}:"
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    )
