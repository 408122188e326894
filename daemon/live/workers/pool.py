"""Which worker runs which request: (state, event) -> (state, actions). No I/O, clock or processes.

A target is a function's code of one digest, in one environment. A worker loads one target and never
another one. A request waits in one queue, the oldest first, until a worker that has loaded its very
target is free. So a request is answered by the code that was fresh for it, and a save only changes
the targets of later requests: running ones finish on the code that they began with.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple


class CodeTarget(NamedTuple):
    """What a worker loads."""

    function: str
    code: str
    """Of the code, the environment and all else that decides how it runs: a digest."""
    boot: str = ""
    """Of what a process must be started with; a spare one of that kind can load any code. Empty:
    there are no spares for it."""


class WorkerStage(enum.Enum):
    SPARE = "spare"
    """Booted, or booting, and assigned nothing."""
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWorker:
    stage: WorkerStage
    boot: str
    target: CodeTarget | None
    """None: a spare."""
    request: int | None = None
    """What a busy one runs."""
    since_s: float = 0.0
    """When it became what it is."""


@dataclass(frozen=True, slots=True)
class PoolState:
    workers: Mapping[int, PoolWorker] = field(default_factory=lambda: MappingProxyType({}))
    queue: tuple[tuple[int, CodeTarget], ...] = ()
    """Requests that no worker runs yet, the oldest first."""
    current: Mapping[str, CodeTarget] = field(default_factory=lambda: MappingProxyType({}))
    """By function what its last request was for: other targets' workers are of no use."""
    numbered: int = 0
    """The number of the last worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    most: int = 64
    """Workers, spares included."""
    most_of_one: int = 32
    """Workers of one function."""
    loading: int = 4
    """Workers that load code at the same time: more would take each other's processors."""
    queued: int = 1000
    idle_s: float = 600.0
    """A worker that runs nothing for so long is ended."""
    spares: int = 4


USUAL: Final = PoolLimits()

# --- events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, once it is known what is fresh for it."""

    request: int
    target: CodeTarget
    now_s: float


@dataclass(frozen=True, slots=True)
class Free:
    """The worker has loaded its code, or is done with its request."""

    worker: int
    now_s: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker's process has ended, whatever the reason."""

    worker: int
    now_s: float
    is_outdated: bool = False
    """What it loaded was not its target: the files had changed again. No worker can load that
    target any more."""


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """No caller waits for the request any more. One that runs is not interrupted."""

    request: int
    now_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    now_s: float


PoolEvent = Wanted | Free | Lost | CallerLeft | Tick

# --- actions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Boot:
    """Start a process for that target, or a spare one where there is none (`target` is None)."""

    worker: int
    boot: str
    target: CodeTarget | None


@dataclass(frozen=True, slots=True)
class Assign:
    """Let the spare process load that target."""

    worker: int
    target: CodeTarget


@dataclass(frozen=True, slots=True)
class Give:
    """Let the worker, which is free, run the request."""

    worker: int
    request: int


@dataclass(frozen=True, slots=True)
class Retire:
    """End the worker, which runs nothing."""

    worker: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer the request with what ended the worker: it can't be run again, or never could be."""

    request: int
    worker: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Too many requests wait."""

    request: int


PoolAction = Boot | Assign | Give | Retire | Fail | Refuse


def pool_step(
    state: PoolState, event: PoolEvent, limits: PoolLimits = USUAL
) -> tuple[PoolState, tuple[PoolAction, ...]]:
    """The state after the event, and what is to be done now, in order."""
    turn = _PoolTurn(
        workers=dict(state.workers),
        queue=list(state.queue),
        current=dict(state.current),
        numbered=state.numbered,
        limits=limits,
        now_s=event.now_s,
    )
    match event:
        case Wanted(request, target):
            turn.want(request, target)
        case Free(worker):
            turn.free(worker)
        case Lost(worker, _, is_outdated):
            turn.lose(worker, is_outdated=is_outdated)
        case CallerLeft(request):
            turn.queue = [waiting for waiting in turn.queue if waiting[0] != request]
        case Tick():
            turn.end_idle()
    turn.serve()
    after = PoolState(
        MappingProxyType(turn.workers),
        tuple(turn.queue),
        MappingProxyType(turn.current),
        turn.numbered,
    )
    return after, tuple(turn.actions)


@dataclass(slots=True)
class _PoolTurn:
    """One event's work on copies of the state."""

    workers: dict[int, PoolWorker]
    queue: list[tuple[int, CodeTarget]]
    current: dict[str, CodeTarget]
    numbered: int
    limits: PoolLimits
    now_s: float
    actions: list[PoolAction] = field(default_factory=list)

    def want(self, request: int, target: CodeTarget) -> None:
        if len(self.queue) >= self.limits.queued:
            self.actions.append(Refuse(request))
            return
        self.current[target.function] = target
        self.queue.append((request, target))

    def free(self, number: int) -> None:
        worker = self.workers.get(number)
        if worker is None or worker.target is None:  # it was retired, or has only booted
            return
        self.workers[number] = replace(
            worker, stage=WorkerStage.IDLE, request=None, since_s=self.now_s
        )
        self.keep_spare(worker.boot)

    def lose(self, number: int, *, is_outdated: bool) -> None:
        worker = self.workers.pop(number, None)
        if worker is None:
            return
        if worker.request is not None:
            self.actions.append(Fail(worker.request, number))
        elif worker.stage is WorkerStage.LOADING:
            if is_outdated:
                self.give_up(worker)
            failed = [waiting for waiting in self.queue if waiting[1] == worker.target]
            for waiting in failed if is_outdated else failed[:1]:
                self.queue.remove(waiting)
                self.actions.append(Fail(waiting[0], number))

    def give_up(self, outdated: PoolWorker) -> None:
        """None loads the target any more; what replaces it is wanted soon."""
        for number, worker in list(self.workers.items()):
            if worker.stage is WorkerStage.LOADING and worker.target == outdated.target:
                self.retire(number)
        self.keep_spare(outdated.boot)

    def end_idle(self) -> None:
        for number, worker in list(self.workers.items()):
            is_idle = worker.stage in (WorkerStage.IDLE, WorkerStage.SPARE)
            if is_idle and self.now_s - worker.since_s >= self.limits.idle_s:
                self.retire(number)

    def serve(self) -> None:
        """Gives requests to free workers, ends those of old code, and starts what is missing."""
        left = []
        for request, target in self.queue:
            number = self.idle_for(target)
            if number is None:
                left.append((request, target))
                continue
            self.workers[number] = replace(
                self.workers[number], stage=WorkerStage.BUSY, request=request, since_s=self.now_s
            )
            self.actions.append(Give(number, request))
        self.queue = left
        for number, worker in list(self.workers.items()):
            target_of = worker.target if worker.stage is WorkerStage.IDLE else None
            if target_of is not None and self.current.get(target_of.function) != target_of:
                self.retire(number)
        loading = Counter(
            worker.target for worker in self.workers.values() if worker.stage is WorkerStage.LOADING
        )
        for _request, target in self.queue:
            if loading[target] > 0:
                loading[target] -= 1
            else:
                self.start(target)

    def idle_for(self, target: CodeTarget) -> int | None:
        """The free worker of that target that ran last."""
        found = [
            (worker.since_s, number)
            for number, worker in self.workers.items()
            if worker.stage is WorkerStage.IDLE and worker.target == target
        ]
        return max(found)[1] if found else None

    def start(self, target: CodeTarget) -> None:
        """A worker for the target, if there may be one more."""
        of_one = sum(
            worker.target is not None and worker.target.function == target.function
            for worker in self.workers.values()
        )
        loading = sum(worker.stage is WorkerStage.LOADING for worker in self.workers.values())
        if of_one >= self.limits.most_of_one or loading >= self.limits.loading:
            return
        spare = self.spare_of(target.boot)
        if spare is not None:
            self.workers[spare] = replace(
                self.workers[spare], stage=WorkerStage.LOADING, target=target, since_s=self.now_s
            )
            self.actions.append(Assign(spare, target))
            return
        if self.has_room():
            self.boot(target.boot, target)

    def has_room(self) -> bool:
        """Whether there may be one more process. The one that was idle longest makes room."""
        if len(self.workers) < self.limits.most:
            return True
        idle = [
            (worker.since_s, number)
            for number, worker in self.workers.items()
            if worker.stage in (WorkerStage.IDLE, WorkerStage.SPARE)
        ]
        if not idle:
            return False
        self.retire(min(idle)[1])
        return True

    def boot(self, boot: str, target: CodeTarget | None) -> None:
        self.numbered += 1
        stage = WorkerStage.SPARE if target is None else WorkerStage.LOADING
        self.workers[self.numbered] = PoolWorker(
            stage=stage, boot=boot, target=target, since_s=self.now_s
        )
        self.actions.append(Boot(self.numbered, boot, target))

    def spare_of(self, boot: str) -> int | None:
        if not boot:
            return None
        for number, worker in self.workers.items():
            if worker.stage is WorkerStage.SPARE and worker.boot == boot:
                return number
        return None

    def keep_spare(self, boot: str) -> None:
        """One is there for the next edit; of those kept, the oldest gives way."""
        if not boot or self.spare_of(boot) is not None or self.limits.spares == 0:
            return
        spares = [
            number for number, worker in self.workers.items() if worker.stage is WorkerStage.SPARE
        ]
        if len(spares) >= self.limits.spares:
            self.retire(min(spares))
        if len(self.workers) < self.limits.most:
            self.boot(boot, None)

    def retire(self, number: int) -> None:
        del self.workers[number]
        self.actions.append(Retire(number))
