"""Connections of clients that may be slow, or send nothing: each is given so long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from lambdad.daemon.serving.boundary import Connection

HEAD_S: Final = 20.0
"""A request's head has arrived by then, or the connection is closed."""


class PatientConnection(Connection):
    """Is closed if the head of a request does not come to its end; `timed` reports each that did.

    A connection that waits for its next request is closed as aiohttp does it.
    """

    def __init__(
        self,
        manager: web.Server | None,
        *,
        loop: asyncio.AbstractEventLoop,
        head_s: float = HEAD_S,
    ) -> None:
        super().__init__(manager, loop=loop)
        self._runs = loop
        self._head_s = head_s
        self._head: asyncio.TimerHandle | None = None
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.began()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_busy and self._head is None:
            self._wait()
        super().data_received(data)

    def began(self) -> None:
        """A request's head is there."""
        self._is_busy = True
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def ended(self) -> None:
        """The handler has returned."""
        self._is_busy = False

    def _wait(self) -> None:
        self._head = self._runs.call_later(self._head_s, self.force_close)


@web.middleware
async def timed(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Reports to the connection when a request begins and ends."""
    connection = request.protocol
    if not isinstance(connection, PatientConnection):
        return await handler(request)
    connection.began()
    try:
        return await handler(request)
    finally:
        connection.ended()
