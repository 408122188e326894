"""Clients that do anything but ask: an answer or a clean close, and a daemon that lives."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.adapters
import schemathesis
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from lambdad.daemon.life import process
from lambdad.daemon.serving import protocol
from tests.support.served import Served, served
from tests.support.unixhttp import Reply, connect

MB = 1 << 20


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One daemon for all: what one test does to it the next ones see."""
    with served(tmp_path_factory.mktemp("hostile")) as found:
        pid = found.site.pid
        found.fresh()
        yield found
        assert found.site.pid == pid


@pytest.fixture(autouse=True)
def _still_answers(app: Served) -> Iterator[None]:
    """After each test the same daemon answers as before, and holds nothing of it."""
    yield
    assert app.fresh("One", timeout_s=30)["ok"]
    status = app.call("GET", "/v1/status").json
    assert status["pid"] == app.site.pid
    assert "Traceback" not in Path(app.site.where.log).read_text()


def answers(app: Served, raw: bytes) -> list[Reply]:
    """What is answered until the connection is closed; each answer is whole HTTP."""
    with connect(app.socket, 20) as peer:
        with contextlib.suppress(BrokenPipeError):
            peer.sendall(raw)
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while data := peer.recv(65536):
                said += data
    found = []
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(fields["content-length"])
        found.append(Reply(int(first.split()[1]), fields, rest[:length]))
        said = rest[length:]
    return found


# --- from its own description ------------------------------------------------------------------


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> Any:
        path = self._path

        class Unix(urllib3.connection.HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connect(path)

        return Unix("localhost")


class Adapter(requests.adapters.HTTPAdapter):
    """requests over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _Pool(path)

    def get_connection_with_tls_context(self, *_arguments: Any, **_named: Any) -> Any:
        return self._pool

    def close(self) -> None:
        self._pool.close()


DOCUMENT = protocol.openapi()
SKIPPED = {"/v1/stop", "/v1/events"}
"""One ends the daemon, the other never ends."""
DOCUMENT["paths"] = {path: item for path, item in DOCUMENT["paths"].items() if path not in SKIPPED}


OPERATIONS = {
    found.ok().label: found.ok()  # type: ignore[union-attr]  # it would raise
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
}


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_as_described(app: Served, operation: str, mode: GenerationMode) -> None:
    """Whatever fits its OpenAPI document, or just not, is answered as the document says."""
    cases = OPERATIONS[operation].as_strategy(generation_mode=mode)

    @given(case=cases)
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        case.call_and_validate(session=session, base_url="http://localhost")

    with requests.Session() as session:
        session.mount("http://localhost", Adapter(app.socket))
        with contextlib.suppress(Unsatisfiable):  # what takes nothing can't be asked wrongly
            ask()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("functions", "want", "locked", "timeout_s", "files")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(["/v1/fresh", "/v1/save"]),
    body=st.dictionaries(st.sampled_from(FIELDS) | st.text(), VALUES) | VALUES,
)
def test_any_json(app: Served, path: str, body: object) -> None:
    """Any JSON, and what Python takes for JSON, is answered; what is refused is a problem."""
    reply = app.call("POST", path, json.dumps(body).encode())
    assert reply.status in {200, 400, 404, 422}
    assert (reply.status == 200) == ("schema" in reply.json)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=300), keeps=st.integers(0, 120))
def test_garbage(app: Served, raw: bytes, keeps: int) -> None:
    """Any bytes, from the first or after a part of a good request: an answer, or a close."""
    good = (
        b"POST /v1/fresh HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n"
        + b'{"functions": "all"}'
    )
    for reply in answers(app, good[:keeps] + raw):
        assert reply.status in {200, 400, 404, 405, 408, 413, 417, 422}, reply


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 1000,
        b"\r\n" * 1000,
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/why?function=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/fresh HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/fresh HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/fresh HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/fresh HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"POST /v1/fresh HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /v1/fresh HTTP/1.1\r\nExpect: another\r\nContent-Length: 0\r\n\r\n",
        b"POST /v1/fresh HTTP/1.1\r\nContent-Type: x; charset=no\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /v1/status HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_odd_requests(app: Served, raw: bytes) -> None:
    """Each gets a problem document, or a close."""
    for reply in answers(app, raw):
        assert 400 <= reply.status < 500 or b"upgrade" in raw, reply
        assert b"upgrade" in raw or reply.headers["content-type"] == "application/problem+json"


# --- who does not go on ------------------------------------------------------------------------


PARTS = (
    b"",
    b"G",
    b"POST /v1/fresh HTTP/1.1\r\nHost: x\r\n",
    b"POST /v1/fresh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    b"POST /v1/fresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("way", ["close", "reset", "half"])
def test_half_a_request(app: Served, part: bytes, way: str) -> None:
    """Who leaves, or only stops sending, in the middle of a request is let go of."""
    before = descriptors(app)
    peer = connect(app.socket)
    peer.sendall(part)
    if way == "half":
        peer.shutdown(socket.SHUT_WR)
        said = peer.recv(65536)
        assert not said or said.startswith(b"HTTP/1.1 4")
    peer.close()
    flat(app, before)


def test_who_does_not_read(app: Served) -> None:
    """A client that asks and asks and reads no answer holds up nobody, nor takes more and more."""
    with connect(app.socket) as peer:
        peer.setblocking(False)
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 50 * MB:
                sent += peer.send(ask)
        assert sent < 50 * MB
        assert app.fresh("One")["ok"]
        assert memory(app) < 300 * MB


def test_pipelined(app: Served) -> None:
    """Requests sent without waiting are answered in their order."""
    asks = [b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n"]
    with connect(app.socket) as peer:
        peer.sendall(
            b"".join(asks) * 20 + b"GET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        said = b""
        while data := peer.recv(65536):
            said += data
    statuses = [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404"] * 20 + [b"404"]


def test_a_thousand_idle_connections(app: Served) -> None:
    """They keep nobody else waiting, and are forgotten when they end; most sent half a header."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    before = descriptors(app)
    try:
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(connect(app.socket)) for _ in range(1000)]
            for number, peer in enumerate(peers):
                peer.sendall(PARTS[number % len(PARTS)])
            for _ in range(5):
                assert app.fresh("One", "Web", timeout_s=20)["ok"]
            slow = peers[2]  # one of those that had sent half a header
            for byte in b"X-Slow: loris\r\n":
                slow.sendall(bytes([byte]))
                assert app.call("GET", "/v1/status").status == 200
            # Not exactly: what it had open for a moment when we counted may be closed by now.
            assert descriptors(app) >= before + 990
            assert memory(app) < 400 * MB
        flat(app, before)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("way", ["told", "chunked", "expected"])
def test_a_gigabyte(app: Served, way: str) -> None:
    """It is refused as it begins, and takes no memory."""
    before = memory(app)
    head = b"POST /v1/fresh HTTP/1.1\r\nHost: x\r\n"
    chunk = b"x" * MB
    if way == "chunked":
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"100000\r\n" + chunk + b"\r\n"
    else:
        head += b"Content-Length: %d\r\n" % (1024 * MB)
        head += b"Expect: 100-continue\r\n\r\n" if way == "expected" else b"\r\n"
    with connect(app.socket) as peer:
        peer.sendall(head)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1024):
                peer.sendall(chunk)
                sent += 1
                if way != "expected" and sent == 16:
                    break
        said = peer.recv(65536)
    assert b"HTTP/1.1 413 " in said
    assert b'"code":"too-large"' in said
    assert memory(app) < before + 50 * MB


# --- who it is not for -------------------------------------------------------------------------


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_refused(app: Served) -> None:
    """Even one who got past the folder's mode is told 403, and the connection is closed."""
    folder = Path(app.site.where.folder)
    changed = [folder, folder.parent, Path(app.socket)]
    modes = [path.stat().st_mode & 0o777 for path in changed]
    code = (
        "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1])\n"
        "peer.sendall(b'POST /v1/stop HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "said = b''\nwhile data := peer.recv(65536): said += data\n"
        "print(said.decode())"
    )
    try:
        refused = app.site.python(code, app.socket)
        assert "PermissionError" in refused.stderr
        for path in changed:
            path.chmod(0o777)
        done = app.site.python(code, app.socket)
    finally:
        for path, mode in zip(changed, modes, strict=True):
            path.chmod(mode)
    assert done.stdout.startswith("HTTP/1.1 403 "), done
    assert '"code":"other-user"' in done.stdout


# --- what it holds -----------------------------------------------------------------------------


def descriptors(app: Served) -> int:
    return len(os.listdir(f"/proc/{app.site.pid}/fd"))


def flat(app: Served, before: int) -> None:
    """Returns once it holds no more than before; the wait is bounded by its answers."""
    for _ in range(2000):
        if descriptors(app) <= before:
            return
        app.call("GET", "/v1/status")
    raise AssertionError(f"{descriptors(app)} descriptors, {before} before")


def memory(app: Served) -> int:
    return process.memory(app.site.pid)
