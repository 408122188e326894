"""Which requests reach a function at all: those to this machine, and of no foreign page.

A browser sends `Origin` with what a page's script asks, and `Sec-Fetch-Site` with everything else
that a page causes, such as an image, a form or a link. Both count, whatever the API's CORS says.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from lambdad.daemon.live.http.request import HttpRequest
from lambdad.daemon.serving.boundary import is_allowed_host, is_allowed_origin


def refusal(
    request: HttpRequest, hosts: Collection[str] = (), origins: Collection[str] = ()
) -> str | None:
    """Why the request is refused, with what allows it; None: it is not."""
    host = request.header("host")
    if not is_allowed_host(host, hosts):
        return f"{host or 'no Host'} is no name of this machine; --allow-host NAME allows one"
    origin = request.header("origin")
    if origin is None:
        if request.header("sec-fetch-site") not in ("cross-site", "same-site"):
            return None
        origin = _origin_of(request.header("referer"))
    if origin is not None and (is_allowed_origin(origin, origins) or _host_of(origin) == host):
        return None
    return f"a page of {origin or 'another site'} asks; --allow-origin ORIGIN allows it"


def _origin_of(address: str | None) -> str | None:
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else None


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]
