"""One request to a daemon's socket, in HTTP, and its answer. Standard library alone, and little.

`lambdad fresh` and `lambdad save` are on the way of every request to a function: what is imported
here is paid each time.
"""

from __future__ import annotations

import _socket
import time

from lambdad.daemon.wire import quick
from lambdad.daemon.wire.address import NoDaemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lambdad.daemon.wire.stream import Hear

Socket = _socket.socket
"""All of it that is needed; the module socket would cost more than a call (quick.py)."""
LEAVING = 503
STREAM = "text/event-stream"
SILENCE_S = 10.0
"""After so long without an answer we ask whether the daemon's loop still turns."""
ALIVE_S = 5.0
CONNECT_S = 5.0
MOST_HEAD = 65536


class Gone(NoDaemon):
    """It was not there, died on the way, or does not answer."""


class NotListening(Gone):
    """No process listens."""


def is_alive(path: str) -> bool:
    """Whether its loop turns and it is not about to leave. What it answers does not matter."""
    try:
        _talk(path, "GET", "/v1/alive", None, ALIVE_S, doubt=False)
    except Gone:
        return False
    return True


def ask(
    path: str,
    method: str,
    target: str,
    body: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    *,
    hear: Hear | None = None,
) -> tuple[int, dict[str, Any]]:
    """One request to the socket. Raises Gone."""
    status, content = _talk(path, method, target, body, timeout_s, hear=hear)
    try:
        answer = quick.loads(content)
    except ValueError as fault:
        raise Gone(f"its answer is not JSON: {fault}") from fault
    if not isinstance(answer, dict):
        raise Gone("its answer is no document")
    return status, answer


def _talk(
    path: str,
    method: str,
    target: str,
    body: Mapping[str, Any] | None,
    timeout_s: float | None,
    *,
    hear: Hear | None = None,
    doubt: bool = True,
) -> tuple[int, bytes]:
    """The status and the body. In `doubt`, long silence makes it ask for a sign of life."""
    payload = b"" if body is None else quick.dumps(body).encode()
    # Of HTTP/1.0, since a client of HTTP/1.1 gets a stream in chunks.
    accept = f"1.0\r\nAccept: application/json, {STREAM}" if hear else "1.1"
    head = (
        f"{method} {target} HTTP/{accept}\r\nHost: lambdad\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    peer = Socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        try:
            _connect(peer, path)
        except OSError as fault:
            raise NotListening(fault.strerror or str(fault)) from fault
        peer.sendall(head.encode() + payload)
        status, content = _receive(peer, deadline, path if doubt else None, hear)
    except OSError as fault:
        raise Gone(fault.strerror or str(fault) or type(fault).__name__) from fault
    finally:
        peer.close()
    if status == LEAVING:
        raise Gone("it is about to leave")
    return status, content


def _connect(peer: Socket, path: str) -> None:
    peer.settimeout(CONNECT_S)
    limit = time.monotonic() + CONNECT_S
    while True:
        try:
            return peer.connect(path)
        except BlockingIOError:  # so many wait to be accepted that there is no room for one more
            if time.monotonic() > limit:
                raise
            time.sleep(0.01)


def _receive(
    peer: Socket, deadline: float | None, doubted: str | None, hear: Hear | None
) -> tuple[int, bytes]:
    """Waits for as long as the daemon at the doubted path is alive, at most until the deadline."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(peer, deadline, doubted)
        if len(data) > MOST_HEAD:
            raise Gone("its answer is not HTTP")
    head, _, content = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    if hear and fields.get("content-type", "").startswith(STREAM):
        from lambdad.daemon.wire import stream

        return stream.read(content, lambda: _more(peer, deadline, doubted), hear)
    words = lines[0].split()
    length = fields.get("content-length", "")
    if len(words) < 2 or not (words[1].isdigit() and length.isdigit()):
        raise Gone("its answer is not HTTP with a length")
    parts, missing = [content], int(length) - len(content)
    while missing > 0:
        parts.append(_more(peer, deadline, doubted))
        missing -= len(parts[-1])
    return int(words[1]), b"".join(parts)


def _more(peer: Socket, deadline: float | None, doubted: str | None) -> bytes:
    while True:
        left_s = float("inf") if deadline is None else deadline - time.monotonic()
        if left_s <= 0:
            raise Gone("it gave no answer in time")
        peer.settimeout(min(left_s, SILENCE_S))
        try:
            data = peer.recv(1 << 16)
        except TimeoutError:
            if doubted and left_s > SILENCE_S and not is_alive(doubted):
                raise Gone("it does not answer any more") from None
            continue
        if not data:
            raise Gone("it went away before it answered")
        return data
