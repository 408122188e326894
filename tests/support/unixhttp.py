"""HTTP over a Unix socket, by the standard library: what a client written anew would do."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONG_S = 60.0


class Connection(http.client.HTTPConnection):
    """Stays open between requests."""

    def __init__(self, path: str, timeout_s: float = LONG_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path, self.timeout or LONG_S)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """By lower-case names."""
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def connect(path: str, timeout_s: float = LONG_S) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With a time-out it would fail at once where others wait to be accepted.
    peer.connect(path)
    peer.settimeout(timeout_s)
    return peer


def call(
    path: str,
    method: str,
    target: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = LONG_S,
) -> Reply:
    """One request on a connection of its own; a body that is not bytes is sent as JSON."""
    connection = Connection(path, timeout_s)
    try:
        return ask(connection, method, target, body, headers)
    finally:
        connection.close()


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(
        method, target, payload, {"Content-Type": "application/json"} | dict(headers or {})
    )
    return reply_of(connection)


def reply_of(connection: http.client.HTTPConnection) -> Reply:
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, found, response.read())
