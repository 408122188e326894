"""What the daemon does next: (state, event) -> (state, actions). No I/O, clock or threads.

A task is a function wanted as one thing, live or as a zip. Its turn is a check, and a build if the
check finds it stale. The promise rests on one distinction: a request that came before a turn began
has `joined` it and is answered by it; one that came later is `queued` and gets a turn of its own,
which begins after it asked (docs/design.md, freshness rule 1). A check that turns into a build
takes the queued along, because the build begins then. One turn per function runs, and one waits
(rule 2).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from lambdad.bundler.model import Want

T = TypeVar("T")
"""What a turn comes to; the schedule hands it on and does not look inside."""


class Key(NamedTuple):
    function: str
    want: Want
    locked: bool = False

    @property
    def order(self) -> tuple[str, str, bool]:
        """What keys are sorted by."""
        return self.function, self.want.value, self.locked


class Stage(enum.Enum):
    CHECKING = "checking"
    HELD = "held"
    """Found stale while the same function is built as the other thing."""
    BUILDING = "building"


@dataclass(frozen=True, slots=True)
class Task:
    """A turn that runs. A function without one is at rest."""

    stage: Stage
    joined: frozenset[int] = frozenset()
    queued: frozenset[int] = frozenset()
    again: bool = False
    """Its inputs may have moved meanwhile, and no request waits: look again ahead of requests."""


@dataclass(frozen=True, slots=True)
class Wait(Generic[T]):
    """A request, and what of it is not known yet."""

    pending: frozenset[Key]
    outcomes: Mapping[Key, T]


@dataclass(frozen=True, slots=True)
class State(Generic[T]):
    tasks: Mapping[Key, Task] = field(default_factory=lambda: MappingProxyType({}))
    waits: Mapping[int, Wait[T]] = field(default_factory=lambda: MappingProxyType({}))


# --- events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    request: int
    keys: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """A check's end: the outcome of each fresh key, None for the stale."""

    outcomes: Mapping[Key, T | None]


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """A build's end."""

    key: Key
    outcome: T


@dataclass(frozen=True, slots=True)
class Left:
    """The client went away, or its time is up: it waits no more."""

    request: int


@dataclass(frozen=True, slots=True)
class Moved:
    """These tasks' inputs may have changed, and they were wanted lately: look ahead of requests."""

    keys: frozenset[Key]


Event = Asked | Checked[T] | Ended[T] | Left | Moved


# --- actions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """Verify these now; answer with one Checked."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """Build these together; answer with an Ended for each."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    request: int
    outcomes: Mapping[Key, T]


Action = Check | Build | Reply[T]


def step(state: State[T], event: Event[T]) -> tuple[State[T], tuple[Action[T], ...]]:
    """The state after the event, and what is to be done now, in order."""
    turn: _Turn[T] = _Turn(tasks=dict(state.tasks), waits=dict(state.waits))
    match event:
        case Asked(request, keys):
            turn.waits[request] = Wait(keys, MappingProxyType({}))
            turn.ask(request, keys)
        case Checked(outcomes):
            for key, outcome in outcomes.items():
                turn.checked(key, outcome)
        case Ended(key, outcome):
            turn.settle(key, outcome)
            turn.release(key.function)
        case Left(request):
            turn.leave(request)
        case Moved(keys):
            turn.look_ahead(keys)
    return State(MappingProxyType(turn.tasks), MappingProxyType(turn.waits)), turn.actions()


@dataclass(slots=True)
class _Turn(Generic[T]):
    """One event's work on copies of the state."""

    tasks: dict[Key, Task]
    waits: dict[int, Wait[T]]
    checks: list[Key] = field(default_factory=list)
    builds: list[Key] = field(default_factory=list)
    replies: list[Reply[T]] = field(default_factory=list)

    def actions(self) -> tuple[Action[T], ...]:
        found: list[Action[T]] = list(self.replies)
        if self.checks:
            found.append(Check(_sorted(self.checks)))
        if self.builds:
            found.append(Build(_sorted(self.builds)))
        return tuple(found)

    def ask(self, request: int, keys: Iterable[Key]) -> None:
        for key in keys:
            task = self.tasks.get(key)
            if task is None:
                self.begin(key, frozenset({request}))
            elif task.stage is Stage.HELD:  # its build has not begun
                self.tasks[key] = replace(task, joined=task.joined | {request})
            else:
                self.tasks[key] = replace(task, queued=task.queued | {request})
        if not self.waits[request].pending:
            self.reply(request)

    def begin(self, key: Key, joined: frozenset[int]) -> None:
        self.tasks[key] = Task(Stage.CHECKING, joined)
        self.checks.append(key)

    def checked(self, key: Key, outcome: T | None) -> None:
        task = self.tasks[key]
        if outcome is not None:
            self.settle(key, outcome)
            return
        everyone = task.joined | task.queued
        busy = any(
            other.function == key.function and known.stage is Stage.BUILDING
            for other, known in self.tasks.items()
        )
        if busy:
            self.tasks[key] = Task(Stage.HELD, everyone)
        else:
            self.build(key, everyone)

    def build(self, key: Key, joined: frozenset[int]) -> None:
        self.tasks[key] = Task(Stage.BUILDING, joined)
        self.builds.append(key)

    def settle(self, key: Key, outcome: T) -> None:
        """The turn is over: requests that joined it are answered; those queued get the next one."""
        task = self.tasks.pop(key)
        for request in sorted(task.joined):
            wait = self.waits[request]
            outcomes = MappingProxyType({**wait.outcomes, key: outcome})
            self.waits[request] = Wait(wait.pending - {key}, outcomes)
            if not self.waits[request].pending:
                self.reply(request)
        if task.queued or task.again:
            self.begin(key, task.queued)

    def release(self, function: str) -> None:
        """The function's build ended: the one that it held back begins."""
        for key, task in list(self.tasks.items()):
            if key.function == function and task.stage is Stage.HELD:
                self.build(key, task.joined)

    def reply(self, request: int) -> None:
        self.replies.append(Reply(request, self.waits.pop(request).outcomes))

    def leave(self, request: int) -> None:
        wait = self.waits.pop(request, None)
        for key in wait.pending if wait else ():
            task = self.tasks[key]
            self.tasks[key] = replace(
                task, joined=task.joined - {request}, queued=task.queued - {request}
            )

    def look_ahead(self, keys: Iterable[Key]) -> None:
        for key in keys:
            task = self.tasks.get(key)
            if task is None:
                self.begin(key, frozenset())
            elif task.stage is not Stage.HELD:
                self.tasks[key] = replace(task, again=True)


def _sorted(keys: Iterable[Key]) -> tuple[Key, ...]:
    return tuple(sorted(keys, key=lambda key: key.order))
