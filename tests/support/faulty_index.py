"""A package index and npm registry that fails in a chosen way, and writes down what it is asked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

PORTAL: Final = (
    b"<!DOCTYPE html><html><head><title>Welcome</title></head>"
    b'<body><form action="/login">Accept the terms of this network.</form></body></html>'
)
"""What a hotel's network answers to everything."""

STATUSES: Final = (401, 403, 407, 429, 500, 502, 503)
WAYS: Final = (*map(str, STATUSES), "reset", "half", "portal", "redirect")
"""What can go wrong once a connection stands; "" is nothing. Files can be "cut" in two as well, and
any answer can "stall" half-way."""


@dataclass
class Behaviour:
    """May be changed while the server runs."""

    page: str = ""
    """How the pages of a package fail."""
    file: str = ""
    """How the files fail."""
    absent: int = 404
    """The status of what it lacks."""
    max_age_s: int = 0
    """For how long a cache may keep a page."""
    login: str | None = None
    """The Authorization header that is asked for."""
    on_ask: Callable[[], None] = lambda: None
    """Called before each answer."""
    is_over: threading.Event = field(default_factory=threading.Event)
    """Set when the server is to end: answers that stall end with it."""
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """The path and the headers of each request."""

    @property
    def paths(self) -> list[str]:
        return [path for path, _headers in self.asked]

    @property
    def text(self) -> str:
        """All that was sent, for a secret to be looked for."""
        return "\n".join(f"{path} {dict(headers)}" for path, headers in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, folder: Path, behaviour: Behaviour) -> None:
        self.folder, self.behaviour = folder, behaviour
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.behaviour.asked.append((self.path, dict(self.headers.items())))
        self.behaviour.on_ask()
        login = self.behaviour.login
        path = self.path.partition("?")[0]
        is_page = path.startswith("/simple/") or not Path(path).suffix
        if path == "/login":
            self._answer(200, PORTAL)
        elif login is not None and self.headers.get("Authorization") != login:
            self._fail("401")
        elif way := (self.behaviour.page if is_page else self.behaviour.file):
            self._fail(way, self.folder / os.path.basename(path))
        elif path.startswith("/simple/"):
            self._page(path.removeprefix("/simple/").strip("/"))
        elif (file := self.folder / os.path.basename(path)).is_file():
            self._answer(200, file.read_bytes(), "application/octet-stream")
        else:
            self._answer(404, b"not found")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _page(self, name: str) -> None:
        links = [
            f'<a href="/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">'
            f"{path.name}</a>"
            for path in sorted(self.folder.iterdir())
            if _name_of(path.name) == canonicalize_name(name)
        ]
        body = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        age = {"Cache_Control": f"max-age={self.behaviour.max_age_s}", "ETag": etag}
        if self.headers.get("If-None-Match") == etag:
            self._answer(304, b"", **age)
        else:
            self._answer(200 if links else self.behaviour.absent, body, **age)

    def _answer(self, status: int, body: bytes, kind: str = "text/html", **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, way: str, file: Path | None = None) -> None:
        if way.isdigit():
            more = {"401": {"WWW_Authenticate": "Basic realm=index"}}.get(way, {})
            self._answer(int(way), b"no", **more)
        elif way == "portal":
            self._answer(200, PORTAL)
        elif way == "redirect":
            self._answer(302, b"", Location="/login")
        elif way == "cut":
            content = file.read_bytes() if file is not None else b""
            self._answer(200, content[: len(content) // 2], "application/octet-stream")
        elif way == "stall":
            self.send_response(200)
            self.send_header("Content-Length", "10000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.behaviour.is_over.wait()
            self.close_connection = True
        elif way == "half":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "10000")
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><html><body><a href=")
            self.wfile.flush()
            self.close_connection = True
        elif way == "reset":
            # Closed with a reset instead of an end.
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.close_connection = True
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nobody reads it."""


def _name_of(filename: str) -> str:
    if filename.endswith(".whl"):
        return parse_wheel_filename(filename)[0]
    if filename.endswith(".tar.gz"):
        return parse_sdist_filename(filename)[0]
    return ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections break here by intent."""


IMPATIENT: Final = {
    "PIP_RETRIES": "0",
    "PIP_DEFAULT_TIMEOUT": "5",
    "UV_HTTP_RETRIES": "0",
    "UV_HTTP_TIMEOUT": "5",
    "npm_config_fetch_retries": "0",
}
"""For tools to fail at once."""


@contextlib.contextmanager
def served(
    folder: Path, behaviour: Behaviour | None = None, *, tls: Path | None = None
) -> Iterator[tuple[str, Behaviour]]:
    """The server's base URL, and how it behaves. `tls` is a folder for a certificate that no
    machine trusts."""
    behaviour = behaviour or Behaviour()
    handler = partial(_Handler, folder=folder, behaviour=behaviour)
    server = _Server(("127.0.0.1", 0), handler)
    scheme = "http"
    if tls is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*_certificate(tls))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}", behaviour
    finally:
        behaviour.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
