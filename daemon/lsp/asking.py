"""One project's talk with its daemon: it sends saves, and hears what happens there.

Only the loop's thread comes here but for `_ask`, which waits in a worker. At most one request runs
and one waits, so that an answer is about files as they were after the last save. Events are hints:
whatever they say of lint, the daemon gets the request again, and its answer is the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any, Final, Protocol

from lambdad.daemon.client import asking
from lambdad.daemon.wire import exchange
from lambdad.daemon.wire.address import NoDaemon, address

SOON_S: Final = 5.0
"""What is known by then is shown; what is still being built is requested once it is done."""
MOST_FILES: Final = 500
"""A request's."""
RESTLESS: Final = 3
"""Linters that never come to rest are requested again so often, and then after the next save."""
_LONGEST: Final = 16 << 20
"""Bytes of an event."""
_LISTEN: Final = b"GET /v1/events HTTP/1.0\r\nHost: lambdad\r\nAccept: text/event-stream\r\n\r\n"
"""Of HTTP/1.0, since a client of HTTP/1.1 gets a stream in chunks."""

log = logging.getLogger("lambdad")

DaemonAnswer = Mapping[str, Any]


class Listener(Protocol):
    """Who gets the news. Every call comes in the loop."""

    def files_to_ask(self) -> Iterable[str]:
        """Files, absolute, that are sent with every save."""

    def is_of_interest(self, path: str) -> bool:
        """Whether an editor shows the file, absolute."""

    async def answered(self, answer: DaemonAnswer) -> None:
        """The next request waits until this is done."""

    def built(self, function: str) -> None: ...

    def missed(self) -> None:
        """Functions may have been built without an event."""

    def failed(self, reason: str) -> None:
        """No daemon can be had, or it can't answer."""

    def rested(self) -> None:
        """No answer is awaited any more."""


class Asking:
    """One project's."""

    def __init__(
        self,
        root: str,
        environ: Mapping[str, str],
        listener: Listener,
        pool: Executor,
        *,
        trusted: Callable[[], bool],
    ) -> None:
        self._root = root
        self._environ = environ
        self._listener = listener
        self._pool = pool
        self._trusted = trusted
        self._loop = asyncio.get_running_loop()
        self._wanted: set[str] = set()
        self._asked: tuple[str, ...] = ()
        self._building: set[str] = set()
        self._echoes = 0
        self._answers = 0
        self._sittings = 0
        self._is_closed = False
        self._running: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None

    def saved(self, paths: Iterable[str]) -> None:
        """Files were written, removed or renamed."""
        self._echoes = 0
        self._want(paths)

    @property
    def is_busy(self) -> bool:
        """An answer is to come."""
        return self._running is not None

    def close(self) -> None:
        self._is_closed = True
        for task in (self._running, self._hearing, self._connecting):
            if task is not None:
                task.cancel()

    def _want(self, paths: Iterable[str]) -> None:
        self._wanted.update(paths)
        if self._running is None and self._wanted and not self._is_closed:
            self._running = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._wanted:
                # Those that are sent because they show something can wait.
                first = sorted(self._wanted)
                others = [path for path in self._listener.files_to_ask() if path not in first]
                asked = (*first, *others)[: max(MOST_FILES, len(first))]
                self._wanted.clear()
                await self._one(asked)
        finally:
            self._running = None
            self._listener.rested()

    async def _one(self, asked: tuple[str, ...]) -> None:
        try:
            await self._attend(start=True)
            status, answer = await self._loop.run_in_executor(self._pool, self._ask, asked)
        except NoDaemon as fault:
            self._listener.failed(f"no daemon for {self._root}: {fault}")
            return
        if status != 200:
            told = f"{answer.get('detail')} ({answer.get('code')})"
            self._listener.failed(f"the daemon of {self._root} can't: {told}")
            return
        self._asked = asked
        self._building = set(answer.get("building", ()))
        self._echoes = self._echoes + 1 if answer.get("linting") else 0
        self._answers += 1
        self.listen()  # the daemon that was heard may have died meanwhile
        await self._listener.answered(answer)

    def _ask(self, asked: tuple[str, ...]) -> tuple[int, dict[str, Any]]:
        """In a worker. Raises NoDaemon."""
        body = {"files": list(asked), "trusted": self._trusted(), "timeout_s": SOON_S}
        limit_s = SOON_S + asking.LATE_S
        return asking.request(self._root, "POST", "/v1/save", body, limit_s, environ=self._environ)

    # --- events ----------------------------------------------------------------------------------

    def listen(self) -> None:
        """If a daemon runs, what happens there is heard; none is started for that."""
        is_there = os.path.exists(address(self._root, self._environ).socket)
        is_idle = self._hearing is None and self._connecting is None
        if is_there and is_idle and not self._is_closed:
            self._connecting = self._loop.create_task(self._connect())

    def _is_hearing(self) -> bool:
        return self._hearing is not None

    async def _connect(self) -> None:
        try:
            await self._attend(start=False)
        finally:
            self._connecting = None

    async def _attend(self, *, start: bool) -> None:
        """Events come from now on, if the daemon sends any. Raises NoDaemon where one is to be
        started."""
        if self._is_hearing():
            return
        if start:  # also if it is of another version, or does not answer
            await self._loop.run_in_executor(self._pool, self._start)
        path = address(self._root, self._environ).socket
        try:
            async with asyncio.timeout(exchange.ALIVE_S):
                reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST)
                writer.write(_LISTEN)
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):  # or no time
            return
        is_heard = head.split(b" ", 2)[1:2] == [b"200"]
        if self._is_hearing() or not is_heard:  # another was quicker, or it is about to leave
            writer.close()
            return
        self._hearing = self._loop.create_task(self._hear(reader, writer))
        self._sittings += 1
        if self._sittings > 1:
            self._listener.missed()

    def _start(self) -> None:
        """In a worker."""
        asking.request(
            self._root, "GET", "/openapi.json", timeout_s=exchange.SILENCE_S, environ=self._environ
        )

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the daemon goes away; the next save starts another."""
        answers = self._answers
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                while True:
                    event = await reader.readuntil(b"\n\n")
                    fields = dict(line.split(b": ", 1) for line in event.splitlines() if line)
                    self._heard(fields[b"event"].decode(), json.loads(fields[b"data"]))
        except asyncio.CancelledError:
            self._is_closed = True
            raise
        except (asyncio.LimitOverrunError, KeyError, TypeError):
            log.warning("the daemon of %s tells what is no event", self._root)
        finally:
            self._hearing = None
            writer.close()
            if self._answers != answers:  # by now another daemon may have sent the last of them
                self.listen()
            if self._building:  # no other message will say that these are done
                self._building = set()
                self._again(())

    def _heard(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "built":
            name = data["function"]
            self._listener.built(name)
            if name in self._building:
                self._building.discard(name)
                if not self._building:
                    self._again(())
        elif kind == "linted":
            paths = [os.path.join(self._root, each["path"]) for each in data["files"]]
            asked = set(self._asked)
            found = [path for path in paths if path in asked or self._listener.is_of_interest(path)]
            if found:
                self._again(found)

    def _again(self, paths: Iterable[str]) -> None:
        """Asks about what was asked last: more is known by now."""
        if self._echoes <= RESTLESS:
            self._want((*self._asked, *paths))
