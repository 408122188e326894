"""The daemon's HTTP: connections within bounds, the user at their other end, problem documents."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from aiohttp import web

from lambdad.daemon.serving.protocol import RequestError

BODY_S: Final = 30.0
"""A client that has not sent its request's body by then is not waited for."""
LINGER_S: Final = 2.0
"""So long the rest of a refused body is thrown away, so that its sender reads why."""

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")

log = logging.getLogger("lambdad")


class Connection(web.RequestHandler):
    """aiohttp's, within our bounds: a request that can't be read gets a problem document, too."""

    def __init__(self, manager: web.Server | None, *, loop: asyncio.AbstractEventLoop) -> None:
        assert manager is not None  # noqa: S101 -- the runner is set up
        super().__init__(
            manager,
            loop=loop,
            logger=log,
            access_log=None,  # type: ignore[arg-type]  # the documented way to have none
            auto_decompress=False,
            lingering_time=LINGER_S,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            log.error("a request failed", exc_info=exc)
            fault = RequestError(status, "internal-error", "lambdad failed; see its log")
        else:
            detail = " ".join((message or "no request can be read").split())
            fault = RequestError(status, "bad-request", detail)
        response = problem(fault)
        response.force_close()
        return response


async def body(request: web.Request) -> bytes:
    """The request's body. Raises RequestError if it does not come."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError as fault:
        detail = f"the body did not come within {BODY_S:.0f} s"
        raise RequestError(408, "too-slow", detail) from fault
    except web.RequestPayloadError as fault:
        raise RequestError(400, "bad-request", "the body ended early, or is none") from fault


def is_allowed_host(header: str | None, names: Collection[str] = ()) -> bool:
    """Whether a request's Host is this machine by its loopback address, or an allowed name. A page
    whose own name was made to lead here (DNS rebinding) sends that name."""
    name = _host_name(header or "")
    return name is not None and (_is_loopback(name) or name in names)


def is_allowed_origin(header: str | None, origins: Collection[str] = ()) -> bool:
    """Whether a request comes from no page of a browser, or from one of this machine's own, or of
    an allowed origin."""
    if header is None or header in origins:
        return True
    scheme, separator, rest = header.partition("://")
    name = _host_name(rest)
    return (
        bool(separator) and scheme in ("http", "https") and name is not None and _is_loopback(name)
    )


def _host_name(text: str) -> str | None:
    """Without the port, in lower case; None where it is no name or address."""
    found = _HOST.fullmatch(text.lower())
    return found["name"] if found else None


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost") or name == "[::1]":
        return True
    try:
        return ipaddress.IPv4Address(name).is_loopback
    except ValueError:
        return False


def leaving() -> RequestError:
    return RequestError(503, "leaving", "this daemon is leaving; ask again for the next one")


def problem(fault: RequestError, headers: Mapping[str, str] | None = None) -> web.Response:
    response = web.Response(
        status=fault.problem.status,
        body=msgspec.json.encode(fault.problem),
        content_type="application/problem+json",
        headers=headers,
    )
    if fault.problem.status in {403, 408, 413}:
        response.force_close()
    return response


def problem_of(fault: web.HTTPException) -> web.Response:
    codes = {404: "no-such-path", 405: "no-such-method", 413: "too-large"}
    code = codes.get(fault.status, "bad-request")
    headers = {"Allow": fault.headers["Allow"]} if "Allow" in fault.headers else None
    return problem(RequestError(fault.status, code, fault.reason), headers)


def is_same_user(request: web.Request) -> bool:
    """By what the kernel says of the peer (Linux: SO_PEERCRED; macOS: LOCAL_PEERCRED)."""
    peer = request.get_extra_info("socket")
    if peer is None:
        return False
    try:
        return _peer_uid(peer) == os.getuid()
    except OSError:
        return False


def _peer_uid(peer: socket.socket) -> int:
    """The user at the other end. Raises OSError."""
    if sys.platform == "darwin":
        # struct xucred of <sys/ucred.h>: version, uid, ...; SOL_LOCAL is 0, LOCAL_PEERCRED 1.
        _version, uid = struct.unpack_from("II", peer.getsockopt(0, 1, 76))
        return int(uid)
    _pid, uid, _gid = struct.unpack(
        "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    return int(uid)
