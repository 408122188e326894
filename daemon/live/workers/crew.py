"""All workers of one `lambdad start`: what pool.py decides is done here.

Everything runs on one event loop, which owns the state.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from lambdad.daemon.live.invocation import CannotRun, Invocation, InvocationOutcome, Throttled
from lambdad.daemon.live.workers import pool
from lambdad.daemon.live.workers.launch import Launch, Load
from lambdad.daemon.live.workers.pool import CodeTarget, PoolLimits, PoolState, pool_step
from lambdad.daemon.live.workers.worker import LogReader, RunningRequest, Worker

TICK_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request, and what is fresh for it."""

    invocation: Invocation
    arn: str
    target: CodeTarget
    launch: Launch
    load: Load
    confirm: Callable[[], Awaitable[bool]]
    """Whether the files are what they were: asked after they were loaded."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """The files changed while a worker loaded them: ask again what is fresh."""


class Crew:
    """Runs orders. `close` ends all workers."""

    def __init__(self, reader: LogReader, limits: PoolLimits = pool.USUAL) -> None:
        self._reader = reader
        self._limits = limits
        self._state = PoolState()
        self._numbers = itertools.count(1)
        self._orders: dict[int, tuple[Order, RunningRequest]] = {}
        self._outdated: set[int] = set()
        self._workers: dict[int, Worker] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._launches: dict[str, Launch] = {}
        self._modules: dict[str, dict[str, None]] = {}
        """By launch: what its workers have imported of their dependencies, in that order."""
        self._ticking: asyncio.Task[None] | None = None
        self._is_closed = False

    async def run(self, order: Order) -> tuple[InvocationOutcome | Outdated, RunningRequest]:
        """What the order came to, and the figures of it. A cancelled call leaves the queue."""
        number = next(self._numbers)
        running = RunningRequest(
            invocation=order.invocation,
            arn=order.arn,
            outcome=asyncio.get_running_loop().create_future(),
        )
        if self._is_closed:
            return CannotRun(message="lambdad start is about to end"), running
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        self._orders[number] = (order, running)
        self._launches[order.launch.key] = order.launch
        try:
            self._step(pool.Wanted(number, order.target, time.monotonic()))
            outcome = await running.outcome
            return (Outdated() if number in self._outdated else outcome), running
        except asyncio.CancelledError:
            self._step(pool.CallerLeft(number, time.monotonic()))
            raise
        finally:
            self._outdated.discard(number)
            self._orders.pop(number, None)

    @property
    def state(self) -> PoolState:
        return self._state

    async def spares_booted(self) -> None:
        """Returns once every spare process that there is now waits for code."""
        spares = [
            self._workers[number]
            for number, worker in self._state.workers.items()
            if worker.stage is pool.WorkerStage.SPARE
        ]
        await asyncio.gather(*(worker.booted() for worker in spares))

    async def close(self) -> None:
        """Ends every worker, and answers the requests that still wait."""
        self._is_closed = True
        if self._ticking is not None:
            self._ticking.cancel()
        workers = list(self._workers.values())
        for worker in workers:
            worker.kill()
        for _order, running in list(self._orders.values()):
            running.settle(CannotRun(message="lambdad start is about to end"))
        await asyncio.gather(*(worker.wait_closed() for worker in workers), *self._ending)

    # --- deciding and acting -------------------------------------------------------------------

    def _step(self, event: pool.PoolEvent) -> None:
        self._state, actions = pool_step(self._state, event, self._limits)
        for action in actions:
            self._act(action)

    def _act(self, action: pool.PoolAction) -> None:
        match action:
            case pool.Boot(number, boot, target):
                self._boot(number, boot, target)
            case pool.Assign(number, target):
                self._assign(number, target)
            case pool.Give(number, request):
                self._workers[number].run(self._orders[request][1])
            case pool.Retire(number):
                worker = self._workers.pop(number)
                worker.kill()
                task = asyncio.get_running_loop().create_task(worker.wait_closed())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
            case pool.Fail(request, number):
                self._fail(request, self._workers[number])
            case pool.Refuse(request):
                self._orders[request][1].settle(Throttled())

    def _fail(self, request: int, worker: Worker) -> None:
        known = self._orders.get(request)
        if known is None:
            return  # it was answered before the worker ended
        order, running = known
        if worker.is_outdated:
            self._outdated.add(request)
        running.settle(worker.fault(order.invocation.request_id))

    def _boot(self, number: int, boot: str, target: CodeTarget | None) -> None:
        order = None if target is None else self._order_of(target)
        launch = self._launches[boot] if order is None else order.launch
        function = "" if target is None else target.function
        worker = Worker(
            function,
            launch,
            free=lambda: self._freed(number),
            lost=lambda: self._lost(number),
            reader=self._reader,
            imported=lambda modules: self._imported(launch, modules),
            preload=() if target is not None else tuple(self._modules.get(launch.key, ())),
        )
        self._workers[number] = worker
        worker.start()
        if target is not None:
            self._assign(number, target)

    def _imported(self, launch: Launch, modules: tuple[str, ...]) -> None:
        known = self._modules.setdefault(launch.key, {})
        known.update(dict.fromkeys(modules))

    def _assign(self, number: int, target: CodeTarget) -> None:
        order = self._order_of(target)
        assert order is not None  # noqa: S101 -- a worker is only started for one that waits
        worker = self._workers[number]
        worker.name(target.function)
        worker.assign(order.load, order.invocation.request_id, order.confirm)

    def _order_of(self, target: CodeTarget) -> Order | None:
        """The oldest order of that target that no worker runs yet."""
        for request, waiting in self._state.queue:
            if waiting == target and request in self._orders:
                return self._orders[request][0]
        return None

    def _freed(self, number: int) -> None:
        if number in self._workers:
            self._step(pool.Free(number, time.monotonic()))

    def _lost(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is None:
            return
        self._step(pool.Lost(number, time.monotonic(), is_outdated=worker.is_outdated))
        self._workers.pop(number, None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._step(pool.Tick(time.monotonic()))
