"""Server-sent events: what happens in the daemon, and how one client's request goes on.

Only the loop's thread comes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from lambdad.bundler.model import Outcome
from lambdad.bundler.report.render import outcome_json
from lambdad.daemon.life.leave import Leave
from lambdad.daemon.serving.schedule import Key

STREAM: Final = "text/event-stream"
SOON_S: Final = 0.3
"""An answer that is there by then comes as JSON, also to a client that would take events."""
_BACKLOG: Final = 256


async def open_stream(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": STREAM, "Cache-Control": "no-store"})
    await stream.prepare(request)
    return stream


def encode(kind: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


class Broadcast:
    """What happens, for all that listen."""

    def __init__(self, leave: Leave) -> None:
        self._leave = leave
        self._listeners: set[asyncio.Queue[bytes]] = set()

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        event = encode(kind, data) if self._listeners else b""
        for queue in self._listeners:
            # A client that does not read misses events.
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(event)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Until the client goes away, or the daemon leaves."""
        stream = await open_stream(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=_BACKLOG)
        self._listeners.add(queue)
        leaving = asyncio.ensure_future(self._leave.wait())
        try:
            while not self._leave.is_set():
                getting = asyncio.ensure_future(queue.get())
                await asyncio.wait({getting, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    break
                await stream.write(getting.result())
        finally:
            leaving.cancel()
            self._listeners.discard(queue)
        return stream


def is_wanted(request: web.Request) -> bool:
    """Whether the client would read events in place of a late answer."""
    return STREAM in request.headers.get("Accept", "")


class Following:
    """One request whose client hears how it goes on: in order `asked`, then `progress` and
    `function` as they come, and at the end `answer` or `problem`."""

    def __init__(self, request: web.Request, keys: Sequence[Key]) -> None:
        self._request = request
        self._keys = keys
        self._news = asyncio.Event()
        self._spoke = asyncio.Event()
        self._said: list[str] = []
        self._done: dict[Key, Outcome] = {}
        self._stream: web.StreamResponse | None = None

    def stir(self) -> None:
        """More may be known by now."""
        self._news.set()

    def say(self, text: str) -> None:
        """A step of the work began that may take long."""
        self._said.append(text)
        self._spoke.set()
        self._news.set()

    def done(self, key: Key, outcome: Outcome) -> None:
        """It is built, for a client that follows: the reply may have to wait for others."""
        self._done[key] = outcome
        self._news.set()

    async def tell(
        self, reply: asyncio.Future[Any], known: Callable[[], Mapping[Key, Outcome]]
    ) -> None:
        """Returns once the reply is there. If that takes long, what is known before is sent."""
        if not await self._is_late(reply):
            return
        self._stream = stream = await open_stream(self._request)
        reply.add_done_callback(lambda _reply: self._news.set())
        building = [key.function for key in self._keys if key not in known()]
        asked = {"functions": [key.function for key in self._keys], "building": building}
        await stream.write(encode("asked", asked))
        told: set[Key] = set()
        while not reply.done():
            self._news.clear()
            said, self._said = self._said, []
            for text in said:
                await stream.write(encode("progress", {"text": text}))
            outcomes = {**self._done, **known()}
            for key in self._keys:
                if key in outcomes and key not in told:
                    told.add(key)
                    await stream.write(encode("function", outcome_json(outcomes[key])))
            await self._news.wait()

    async def _is_late(self, reply: asyncio.Future[Any]) -> bool:
        accepted = self._request.headers.get("Accept", "")
        if "json" not in accepted and "*/*" not in accepted:
            return True  # nothing but events is taken
        speaking = asyncio.ensure_future(self._spoke.wait())
        try:
            either = {reply, speaking}
            await asyncio.wait(either, timeout=SOON_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            speaking.cancel()
        return not reply.done()

    @property
    def has_begun(self) -> bool:
        """Events are on their way: the end must come as one, too."""
        return self._stream is not None

    async def end(self, kind: str, data: Mapping[str, Any]) -> web.StreamResponse:
        assert self._stream is not None  # noqa: S101 -- it has begun
        await self._stream.write(encode(kind, data))
        return self._stream
