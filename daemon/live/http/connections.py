"""Connections of clients that may be slow, or send nothing: each is given so long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from lambdad.daemon.serving.boundary import Connection

HEAD_S: Final = 20.0
"""A request's head has arrived by then, or the connection is closed."""

BACKLOG: Final = 512
"""Connections that wait to be taken."""
END_S: Final = 0.2
"""What a request that runs is given at the end."""


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


class ListeningServer:
    """An application on a port."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server) -> None:
        self._runner = runner
        self._server = server
        self.port: Final = int(server.sockets[0].getsockname()[1])

    @classmethod
    async def begin(
        cls, app: web.Application, host: str, port: int, head_s: float = HEAD_S
    ) -> ListeningServer:
        """Raises OSError."""
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=END_S,
            handler_cancellation=True,
        )
        await runner.setup()
        loop = asyncio.get_running_loop()
        manager = runner.server
        try:
            server = await loop.create_server(
                lambda: PatientConnection(manager, loop=loop, head_s=head_s),
                host,
                port,
                backlog=BACKLOG,
            )
        except BaseException:
            await runner.cleanup()
            raise
        return cls(runner, server)

    def refuse(self) -> None:
        """Takes no more connections."""
        self._server.close()

    async def close(self) -> None:
        """Ends what still runs after a short time."""
        self._server.close()
        await self._runner.cleanup()
