"""Asks a project's daemon, and starts one if none answers. Standard library alone, and little.

`lambdad fresh` is on the way of every request to a function: what is imported here is paid each
time. Parsing of options that are not the plain ones, rendering of diagnostics and starting of
daemons are imported where they are needed.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

from lambdad.daemon.client import plain, quick
from lambdad.daemon.client.address import NoDaemon, address, identity, read_note, unsafe
from lambdad.daemon.client.plain import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lambdad.daemon.client.stream import Hear

Socket = _socket.socket
"""All of it that is needed; the module socket would cost more than a call (quick.py)."""
LEAVING = 503
STREAM = "text/event-stream"
SILENCE_S = 10.0
"""After so long without an answer we ask whether the daemon's loop still turns."""
ALIVE_S = 5.0
CONNECT_S = 5.0
LATE_S = 5.0
"""How much later than asked an answer may come."""
MOST_HEAD = 65536

OWN = "lambdad.toml"
PYPROJECT = "pyproject.toml"
DESCRIBING = (
    *("template.yaml", "template.yml", "template.json"),
    *("serverless.yml", "serverless.yaml", "serverless.json"),
    *(".sst/functions.jsonl", ".build/lambda-handlers.json"),
    "cdk.out/manifest.json",
)
"""As bundler/config/find.py has them, whose imports would cost too much here."""
CDK = "cdk.json"
SAMCONFIG = ("samconfig.toml", "samconfig.yaml", "samconfig.yml")
REPOSITORY = (".git", ".hg", ".jj", ".svn")


class Gone(NoDaemon):
    """It was not there, died on the way, or does not answer."""


class Refused(Gone):
    """Nobody listens."""


# --- the project -------------------------------------------------------------------------------


def find_project(start: str) -> str | None:
    """The folder that bundler/config/find.py would find; None if there is none.

    Stat tells, but for files that must be parsed to know what they say: then the readers do.
    """
    folder = os.path.realpath(start)
    if not os.path.isdir(folder):
        return None
    while True:
        described = _is_described(folder)
        if described is None:
            return _ask_readers(start)
        if described:
            return folder
        above = os.path.dirname(folder)
        if above == folder or any(os.path.exists(f"{folder}/{name}") for name in REPOSITORY):
            return None
        folder = above


def _is_described(folder: str) -> bool | None:
    """Whether something there describes a project; None: that takes reading."""
    if os.path.isfile(f"{folder}/{OWN}"):
        return True
    if os.path.lexists(f"{folder}/{OWN}"):
        return None
    if any(os.path.isfile(f"{folder}/{name}") for name in DESCRIBING):
        return True
    naming = (
        (PYPROJECT, b"lambdad"),
        (CDK, b"output"),
        *((name, b"template") for name in SAMCONFIG),
    )
    for name, word in naming:
        try:
            with open(f"{folder}/{name}", "rb", opener=_at_once) as file:
                if word in file.read():
                    return None
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return False


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO would wait for its writer


def _ask_readers(start: str) -> str | None:
    from lambdad.bundler.config.find import project_folder
    from lambdad.bundler.model import BundlerError

    try:
        return project_folder(start)
    except BundlerError:
        return None


# --- the daemon --------------------------------------------------------------------------------


def request(
    root: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    *,
    start: bool = True,
    environ: Mapping[str, str] = os.environ,
    hear: Hear | None = None,
) -> tuple[int, dict[str, Any]]:
    """The daemon's answer: its status, and the JSON. If it takes long, `hear` is told meanwhile.

    One is started if none runs, or if it is of another version or configuration; if it dies on
    the way, the request is made once more. Without `start`, whichever runs is asked, once. Raises
    NoDaemon.
    """
    where = address(root, environ)
    if os.path.lexists(where.folder) and (reason := unsafe(where)):
        raise NoDaemon(reason)
    if not start:
        return exchange(where.socket, method, path, body, timeout_s, hear=hear)
    note = read_note(where)
    believed = note is not None and note.get("identity") == identity(environ)
    left = 2
    while True:
        if not believed:
            from lambdad.daemon.life import control

            control.start(root, environ)
        try:
            return exchange(where.socket, method, path, body, timeout_s, hear=hear)
        except Gone as fault:
            if not (believed and isinstance(fault, Refused)):  # else the note was of a dead one
                left -= 1
            if not left:
                raise
            believed = False


def is_alive(path: str) -> bool:
    """Whether its loop turns and it is not about to leave. What it answers does not matter."""
    try:
        _talk(path, "GET", "/v1/alive", None, ALIVE_S, doubt=False)
    except Gone:
        return False
    return True


def exchange(
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
    """The status and the body. In `doubt`, long silence makes it ask whether anybody is there."""
    payload = b"" if body is None else quick.dumps(body).encode()
    # Of HTTP/1.0, since a stream comes in chunks to who can read them.
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
            raise Refused(fault.strerror or str(fault)) from fault
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
        from lambdad.daemon.client import stream

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


# --- lambdad fresh -----------------------------------------------------------------------------


class Wanted(Options):
    """What a `lambdad fresh` asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.want = "live"
        self.locked = False
        self.verbose = False


FLAGS = {"--verbose": "verbose", "-v": "verbose", "--locked": "locked"}
VALUES = {"--want": "want"}


def main(arguments: Sequence[str]) -> int | list[str]:
    """`lambdad fresh`: its exit code, or the command line that daemon/cli is to run instead."""
    wanted = parse(arguments)
    if wanted is None or is_linted(wanted):
        return ["fresh", *arguments]
    try:
        code = fresh(wanted)
        return ["fresh", "--no-daemon", *arguments] if code is None else code
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: what the daemon builds goes on\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def parse(arguments: Sequence[str]) -> Wanted | None:
    """The options where they are plain; None where click must help, or say what is wrong."""
    wanted = Wanted()
    plainly = plain.parse(wanted, arguments, FLAGS, VALUES) and wanted.want in ("live", "zip")
    return wanted if plainly else None


def is_linted(wanted: Wanted) -> bool:
    """Whether lint may have to let it pass first: then daemon/cli reads what the project says."""
    root = find_project(wanted.project or os.getcwd()) if wanted.want == "zip" else None
    for name in (OWN, PYPROJECT) if root is not None else ():
        try:
            with open(f"{root}/{name}", "rb", opener=_at_once) as file:
                content = file.read()
        except OSError:
            continue
        if b"lint" in content or b"\\u" in content.lower():  # however the word is written
            return True
    return False


def fresh(wanted: Wanted) -> int | None:
    """Asks the daemon, shows its answer, and returns the exit code.

    None: this process must build, or tell what is wrong. Why is said, if the daemon is to blame.
    """
    start = wanted.project or os.getcwd()
    root = find_project(start)
    if root is None:
        return None
    body: dict[str, Any] = {
        "functions": wanted.named or "all",
        "want": wanted.want,
        "locked": wanted.locked,
        "typed": all(one is not None and one.isatty() for one in (sys.stdin, sys.stderr)),
    }
    limit_s = None
    if wanted.timeout_s is not None:
        body["timeout_s"] = wanted.timeout_s
        limit_s = wanted.timeout_s + LATE_S
    from lambdad.daemon.cli.answer import Results

    with Results(root, as_json=wanted.as_json, verbose=wanted.verbose) as results:
        hear = results.hear if sys.stderr.isatty() and not wanted.as_json else None
        try:
            status, answer = request(root, "POST", "/v1/fresh", body, limit_s, hear=hear)
        except NoDaemon as fault:
            results.clear()
            sys.stderr.write(f"no daemon ({fault}): building without one\n")
            return None
        if status >= 500:
            reason = f"{answer.get('detail')} ({answer.get('code')})"
            sys.stderr.write(f"the daemon can't: {reason}; building without it\n")
        if status != 200:
            # Whatever it has against the request, the readers and the build say better.
            return None
        return results.end(answer)
