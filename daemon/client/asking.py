"""Asks a project's daemon, and starts one if none answers. Standard library alone, and little."""

from __future__ import annotations

import os

from lambdad.daemon.wire import exchange
from lambdad.daemon.wire.address import NoDaemon, address, identity, read_note, unsafe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lambdad.daemon.wire.stream import Hear

LATE_S = 5.0
"""How much later than asked an answer may come."""


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
    """The daemon's answer: its status, and the JSON. If it takes long, `hear` is called meanwhile.

    One is started if none runs, or if it is of another version or configuration; if it dies on
    the way, the request is made once more. Without `start`, the daemon that runs gets the request,
    once. Raises NoDaemon.
    """
    where = address(root, environ)
    if os.path.lexists(where.folder) and (reason := unsafe(where)):
        raise NoDaemon(reason)
    if not start:
        return exchange.ask(where.socket, method, path, body, timeout_s, hear=hear)
    note = read_note(where)
    believed = note is not None and note.get("identity") == identity(environ)
    left = 2
    while True:
        if not believed:
            from lambdad.daemon.life import control

            control.start(root, environ)
        try:
            return exchange.ask(where.socket, method, path, body, timeout_s, hear=hear)
        except exchange.Gone as fault:
            # A refusal where the note was believed says that the note's daemon is dead.
            if not (believed and isinstance(fault, exchange.NotListening)):
                left -= 1
            if not left:
                raise
            believed = False
