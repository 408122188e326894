"""The daemon's interface: HTTP over its Unix socket, and the loop that owns the schedule's state.

Only the loop's thread touches `_state`: sockets, the watcher and worker threads send it events.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import os
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from lambdad.bundler.model import BundlerError, Diagnostic, Outcome, Project, Want
from lambdad.bundler.report.render import document, is_ok, outcome_json, status
from lambdad.bundler.toolchain import LAMBDAD
from lambdad.daemon.life.leave import Leave
from lambdad.daemon.linting.save_lint import Linting, SaveLint
from lambdad.daemon.serving import events, holders, protocol, schedule
from lambdad.daemon.serving.boundary import (
    Connection,
    body,
    is_same_user,
    leaving,
    problem,
    problem_of,
)
from lambdad.daemon.serving.builds import Builds
from lambdad.daemon.serving.events import Broadcast, Following
from lambdad.daemon.serving.holders import Touched
from lambdad.daemon.serving.protocol import FreshRequest, RequestError, SaveRequest
from lambdad.daemon.serving.schedule import (
    Action,
    Asked,
    Checked,
    Ended,
    Event,
    Key,
    Left,
    Moved,
    State,
)
from lambdad.daemon.watching.watcher import Changes, Watcher

LATELY_S: Final = 600.0
LATELY: Final = 20
"""So many keys, asked for within so long, are built ahead of requests."""
WIND_UP_S: Final = 3.0
MEND_S: Final = 5.0
"""How often the watcher is given a chance to mend itself."""
_BACKLOG: Final = 256

log = logging.getLogger("lambdad")

T = TypeVar("T")
RequestHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(
    listener: socket.socket, root: str, environ: Mapping[str, str], leave: Leave
) -> None:
    """Answers on the listening socket until `leave` is set, then for at most 3 s more.

    When it returns, every child process is gone.
    """
    server = Server(root, environ, leave)
    runner = web.AppRunner(
        server.application(),
        handle_signals=False,
        shutdown_timeout=WIND_UP_S,
        handler_cancellation=True,  # a client that went away keeps no daemon alive
    )
    await runner.setup()
    server.start()
    loop = asyncio.get_running_loop()
    listening = await loop.create_unix_server(
        lambda: Connection(runner.server, loop=loop), sock=listener, backlog=_BACKLOG
    )
    try:
        await leave.wait()
        await server.wind_up()
    finally:
        listening.close()
        await runner.cleanup()
        server.close()


class Server:
    """One project's requests, watcher and builds."""

    def __init__(self, root: str, environ: Mapping[str, str], leave: Leave) -> None:
        self._root = root
        self._leave = leave
        leave.idle_s = self.idle_s
        self._builds = Builds(root, environ)
        self._events = Broadcast(leave)
        self._linting = Linting(root, environ, self._builds.workshop, self._events.publish)
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look")
        # Apart, so that however many builds wait for a network, what is fresh is answered.
        self._builders = ThreadPoolExecutor(max_workers=8, thread_name_prefix="build")
        self._loop = asyncio.get_running_loop()
        self._state: State[Outcome] = State()
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Mapping[Key, Outcome]]] = {}
        self._lately: OrderedDict[Key, float] = OrderedDict()
        self._outcomes: dict[Key, Outcome] = {}
        self._stale: set[str] = set()
        """Functions that a save left stale; for `status` alone: every request looks itself."""
        self._declared: dict[str, float] = {}
        """Functions whose declaration changed since we first looked -> when that was read."""
        self._following: dict[int, Following] = {}
        self._last_project: Project | None = None
        self._roots: tuple[str, ...] = (root,)
        self._watcher = Watcher(self._roots, self._heard)
        self._started_s = time.time()
        self._asked_s = time.monotonic()
        self._requests = 0

    def application(self) -> web.Application:
        app = web.Application(
            middlewares=[self._guard], client_max_size=protocol.MOST_BYTES, logger=log
        )
        app.router.add_post("/v1/fresh", self._fresh)
        app.router.add_post("/v1/save", self._save)
        app.router.add_get("/v1/status", self._status, allow_head=False)
        app.router.add_get("/v1/why", self._why, allow_head=False)
        app.router.add_get("/v1/events", self._events.serve, allow_head=False)
        app.router.add_post("/v1/stop", self._stop)
        app.router.add_get("/openapi.json", self._openapi, allow_head=False)
        return app

    def start(self) -> None:
        self._minding = self._loop.create_task(self._mind_the_watcher())

    def idle_s(self) -> float:
        """The time since the last request; 0 while one waits."""
        return 0.0 if self._requests else time.monotonic() - self._asked_s

    async def wind_up(self) -> None:
        """Gives waiting requests a moment more; the others get the answer to ask the next
        daemon."""
        waiting = [future for future in self._replies.values() if not future.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=WIND_UP_S)
        for future in self._replies.values():
            if not future.done():
                future.set_exception(leaving())

    def close(self) -> None:
        self._minding.cancel()
        self._watcher.stop()
        self._linting.close()
        self._builds.close()
        for pool in (self._pool, self._builders):
            pool.shutdown(wait=False, cancel_futures=True)

    # --- the schedule ----------------------------------------------------------------------------

    def _apply(self, event: Event[Outcome]) -> None:
        self._state, actions = schedule.step(self._state, event)
        for action in actions:
            self._perform(action)
        for following in self._following.values():
            following.stir()

    def _perform(self, action: Action[Outcome]) -> None:
        match action:
            case schedule.Check(keys):
                self._pool.submit(self._check, keys)
            case schedule.Build(keys):
                self._events.publish("building", {"functions": _functions(keys)})
                self._builders.submit(self._build, keys)
            case schedule.Reply(request, outcomes):
                future = self._replies.pop(request, None)
                if future is not None and not future.done():
                    future.set_result(outcomes)

    def _call(self, work: Callable[..., None], *arguments: object) -> None:
        """In the loop, from any thread. A loop that is closed has no requests left."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, *arguments)

    def _check(self, keys: tuple[Key, ...]) -> None:
        found: Mapping[Key, Outcome | None] = dict.fromkeys(keys)
        try:
            found = self._builds.check(keys)
        except Exception:
            log.exception("a check failed")  # all count as stale: the build reports what is wrong
        self._call(self._checked, found)

    def _checked(self, found: Mapping[Key, Outcome | None]) -> None:
        self._stale.difference_update(key.function for key, outcome in found.items() if outcome)
        self._apply(Checked(MappingProxyType(dict(found))))

    def _build(self, keys: tuple[Key, ...]) -> None:
        def done(key: Key, outcome: Outcome) -> None:
            self._call(self._done, key, outcome)

        def say(text: str) -> None:
            self._call(self._said, keys, text)

        try:
            self._builds.build(keys, self._note, shown=done, say=say)
        except Exception:
            log.exception("a build failed")

    def _done(self, key: Key, outcome: Outcome) -> None:
        task = self._state.tasks.get(key)
        for number, following in self._following.items():
            if task is not None and number in task.joined:  # a later request gets another build
                following.done(key, outcome)

    def _said(self, keys: tuple[Key, ...], text: str) -> None:
        self._events.publish("progress", {"functions": _functions(keys), "text": text})
        for number, following in self._following.items():
            wait = self._state.waits.get(number)
            if wait is not None and not wait.pending.isdisjoint(keys):
                following.say(text)

    def _note(self, key: Key, outcome: Outcome) -> None:
        self._call(self._built, key, outcome)

    def _built(self, key: Key, outcome: Outcome) -> None:
        self._outcomes[key] = outcome
        self._stale.discard(key.function)
        self._apply(Ended(key, outcome))
        told = outcome_json(outcome)
        shown = {name: told[name] for name in ("status", "reasons", "duration_ms")}
        self._events.publish("built", {"function": key.function, "want": key.want.value, **shown})

    # --- the watcher -----------------------------------------------------------------------------

    async def _mind_the_watcher(self) -> None:
        """Starting and mending walk folders: a worker does it, and no request waits for it."""
        await self._in_pool(self._watcher.start)
        while True:
            await asyncio.sleep(MEND_S)
            await self._in_pool(self._watcher.mend)

    def _watch_all_of(self, project: Project) -> None:
        """Code may lie outside the project's folder, "../shared" for one."""
        outside = {
            os.path.realpath(os.path.join(self._root, function.code))
            for function in project.functions
            if function.code.startswith("..")
        }
        roots = (self._root, *sorted(outside))
        if roots != self._roots:
            self._roots = roots
            self._pool.submit(self._watcher.set_roots, roots)

    def _heard(self, changes: Changes) -> None:
        """In the watcher's thread."""
        self._call(self._changed, changes)

    def _changed(self, changes: Changes) -> None:
        limit = time.monotonic() - LATELY_S
        lately = [key for key, asked_s in self._lately.items() if asked_s >= limit]
        if lately:
            self._pool.submit(self._look_ahead, lately, changes)

    def _look_ahead(self, lately: list[Key], changes: Changes) -> None:
        paths = frozenset(os.path.relpath(path, self._root) for path in changes.paths)
        if self._builds.is_losing(lately, paths, everything=changes.everything):
            return  # the user may be removing the project: a build would write into its folder
        moved = frozenset(lately) if changes.everything else self._builds.touched(lately, paths)
        if moved:
            self._call(self._apply, Moved(moved))

    # --- requests --------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: RequestHandler) -> web.StreamResponse:
        """Only the same user is answered; whatever goes wrong is a problem document."""
        if not is_same_user(request):
            return problem(RequestError(403, "other-user", "this daemon is another user's"))
        self._requests += 1
        try:
            if self._leave.is_set():
                raise leaving()
            if (request.content_length or 0) > protocol.MOST_BYTES:
                raise RequestError(413, "too-large", "a body may have 1 MB")
            return await handler(request)
        except RequestError as fault:
            return problem(fault)
        except web.HTTPException as fault:
            return problem_of(fault)
        except BundlerError as fault:
            hint = f"; {fault.hint}" if fault.hint else ""
            return problem(RequestError(500, fault.code, f"{fault.message}{hint}"))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return problem(RequestError(500, "internal-error", "lambdad failed; see its log"))
        finally:
            self._requests -= 1
            self._asked_s = time.monotonic()

    async def _fresh(self, request: web.Request) -> web.StreamResponse:
        message = protocol.decode(FreshRequest, await body(request))
        self._builds.vouch(for_good=message.typed)
        project = await self._project(prepare=True)
        known = _names(project)
        asked = known if message.functions == "all" else message.functions
        names = list(dict.fromkeys(project.aliases.get(name, name) for name in asked))
        unknown = sorted(set(names) - set(known))
        if unknown and is_ok((), project.diagnostics):
            detail = f"no function is called {', '.join(unknown)}"
            raise RequestError(404, "unknown-function", detail, unknown=unknown, known=known)
        keys = [
            Key(name, Want(message.want), message.locked) for name in names if name in set(known)
        ]
        self._remember(keys)
        return await self._answer(request, keys, message.timeout_s, project.diagnostics)

    async def _save(self, request: web.Request) -> web.StreamResponse:
        message = protocol.decode(SaveRequest, await body(request))
        if message.trusted:
            self._builds.vouch()
        project = await self._project(prepare=True)
        held = await self._in_pool(
            self._saved, project, message.files, list(self._lately), dict(self._declared)
        )
        self._stale |= held.stale
        more = {"stale": len(held.stale)} if held.stale else {}
        diagnostics = () if held.is_silent else project.diagnostics
        lint = self._linting.begin(project, held.holders, trusted=message.trusted)
        try:
            return await self._answer(
                request, list(held.keys), message.timeout_s, diagnostics, lint, **more
            )
        finally:
            if lint is not None:
                lint.end()

    def _saved(
        self, project: Project, files: list[str], lately: list[Key], declared: dict[str, float]
    ) -> Touched:
        """In a worker: records are read."""
        named = [holders.saved(self._root, path) for path in files]
        recorded = self._builds.recorded
        return holders.touched(project, named, recorded, lately=lately, declared=declared)

    async def _answer(
        self,
        request: web.Request,
        keys: list[Key],
        timeout_s: float | None,
        diagnostics: Sequence[Diagnostic],
        lint: SaveLint | None = None,
        **more: object,
    ) -> web.StreamResponse:
        """Without a time-out it waits for as long as the client does: every tool has its own."""
        limit_s = None if timeout_s is None else self._loop.time() + timeout_s
        number = next(self._numbers)
        reply: asyncio.Future[Mapping[Key, Outcome]] = self._loop.create_future()
        self._replies[number] = reply
        following = Following(request, keys) if events.is_wanted(request) else None
        if following is not None:
            self._following[number] = following
        self._apply(Asked(number, frozenset(keys)))
        building: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                if following is not None:
                    await following.tell(reply, lambda: self._known(number))
                outcomes = await reply
        except TimeoutError:
            wait = self._state.waits.get(number)
            outcomes = self._known(number)
            building = sorted({key.function for key in wait.pending}) if wait else []
        except RequestError as fault:
            if following is None or not following.has_begun:
                raise
            return await following.end("problem", msgspec.to_builtins(fault.problem))
        finally:
            self._replies.pop(number, None)
            self._following.pop(number, None)
            self._apply(Left(number))
        found = [outcomes[key] for key in keys if key in outcomes]
        answer = document(found, diagnostics) | more
        if building:
            answer |= {"ok": False, "building": building}
        if lint is not None:
            answer |= await lint.told(found, limit_s)
        if following is not None and following.has_begun:
            return await following.end("answer", answer)
        return web.json_response(answer)

    def _known(self, number: int) -> Mapping[Key, Outcome]:
        """What is known by now of what that request waits for."""
        wait = self._state.waits.get(number)
        return wait.outcomes if wait else {}

    async def _status(self, _request: web.Request) -> web.StreamResponse:
        health = self._watcher.health()
        project = await self._project()
        building = {key.function: task.stage.value for key, task in self._state.tasks.items()}
        functions = {
            name: {
                "state": building.get(name, "stale" if name in self._stale else "idle"),
                "last": {
                    key.want.value: status(outcome)
                    for key, outcome in self._outcomes.items()
                    if key.function == name
                },
            }
            for name in _names(project)
        }
        return web.json_response(
            {
                "schema": 1,
                "running": True,
                "pid": os.getpid(),
                "version": LAMBDAD,
                "project": self._root,
                "uptime_s": round(time.time() - self._started_s, 1),
                "idle_s": round(time.monotonic() - self._asked_s, 1),
                "waiting": len(self._state.waits),
                "python": sys.version.split()[0],
                **self._builds.status(),
                "watcher": {name: getattr(health, name) for name in health.__slots__},
                "functions": functions,
            }
        )

    async def _why(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("function")
        if not name:
            raise RequestError(422, "bad-request", "add ?function=NAME")
        project = await self._project()
        known = _names(project)
        name = project.aliases.get(name, name)
        if name not in known:
            detail = f"no function is called {name}"
            raise RequestError(404, "unknown-function", detail, unknown=[name], known=known)
        return web.json_response(await self._in_pool(self._builds.why, project, name))

    async def _stop(self, _request: web.Request) -> web.StreamResponse:
        self._loop.call_soon(self._leave.because, "a client stopped it")
        return web.json_response({"schema": 1, "stopping": True, "pid": os.getpid()})

    async def _openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(protocol.openapi())

    # --- helpers ---------------------------------------------------------------------------------

    async def _project(self, *, prepare: bool = False) -> Project:
        project = await self._in_pool(functools.partial(self._builds.project, prepare=prepare))
        if project is not self._last_project:
            if self._last_project is not None:
                self._note_declared(self._last_project, project)
            self._last_project = project
            self._watch_all_of(project)
        return project

    def _note_declared(self, before: Project, now: Project) -> None:
        known = {function.name: function for function in before.functions}
        names = {function.name for function in now.functions}
        for function in now.functions:
            if known.get(function.name) != function:
                self._declared[function.name] = time.time()
        self._declared = {name: at for name, at in self._declared.items() if name in names}
        self._stale &= names

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._pool, work, *arguments)

    def _remember(self, keys: Iterable[Key]) -> None:
        now_s = time.monotonic()
        for key in list(keys)[-LATELY:]:
            self._lately[key] = now_s
            self._lately.move_to_end(key)
        while len(self._lately) > LATELY:
            self._lately.popitem(last=False)


def _functions(keys: Iterable[Key]) -> list[str]:
    return [key.function for key in keys]


def _names(project: Project) -> list[str]:
    declared = [function.name for function in project.functions]
    return sorted(declared + [function.name for function in project.not_built])
