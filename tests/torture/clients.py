"""Clients that ask the daemon while the project changes, each in a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from lambdad.daemon.client import asking
from lambdad.daemon.wire.address import NoDaemon
from tests.torture.judge import Answer, Judge, tokens_of
from tests.torture.world import World

CLIENTS = 3
HANG_S = 60.0
"""No answer takes so long: three clients, a daemon's start, a package built by pip."""


class Wrong(AssertionError):  # noqa: N818 -- an answer is wrong, not the torture
    """An answer that is stale, fails without cause, or never comes."""


@dataclass(frozen=True, slots=True)
class Question:
    names: tuple[str, ...]
    want: str
    number: int


@dataclass(slots=True)
class Clients:
    """The threads only ask and look at once at what they got; who owns this judges it."""

    world: World
    environ: dict[str, str]
    waiting: int = 0
    """Questions that no answer was heard to."""
    _asked: queue.Queue[Question | None] = field(default_factory=queue.Queue)
    _heard: queue.Queue[Answer | BaseException] = field(default_factory=queue.Queue)
    _number: int = 0

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for _ in threads:
                self._asked.put(None)
            for thread in threads:
                thread.join(HANG_S)

    def ask(self, names: list[str], want: str) -> int:
        """One of them asks; the number is that of the answer."""
        self._number += 1
        self.waiting += 1
        self._asked.put(Question(tuple(names), want, self._number))
        return self._number

    def has_heard(self) -> bool:
        """Whether an answer came that nobody has looked at yet."""
        return not self._heard.empty()

    def hear(self, judge: Judge, number: int | None = None, *, all_: bool = False) -> None:
        """Judges what came; with a number waits for that answer, with `all_` for every one."""
        while self.waiting:
            try:
                blocks = all_ or number is not None
                answer = self._heard.get(timeout=2 * HANG_S) if blocks else self._heard.get_nowait()
            except queue.Empty:
                if blocks:
                    raise Wrong("no answer came") from None
                return
            self.waiting -= 1
            if isinstance(answer, BaseException):
                raise Wrong(f"{type(answer).__name__}: {answer}") from answer
            if fault := judge.verdict(answer):
                raise Wrong(
                    f"{answer.want} asked after step {answer.low}, heard at {answer.high}: {fault}"
                )
            if answer.number == number:
                number = None

    def _work(self) -> None:
        while (question := self._asked.get()) is not None:
            try:
                self._heard.put(self._answer(question))
            except BaseException as fault:  # told in the thread that judges
                self._heard.put(fault)

    def _answer(self, question: Question) -> Answer:
        world = self.world
        body = {"functions": list(question.names), "want": question.want}
        left = 2
        while True:
            low, kills = world.done, world.killed
            try:
                status, answer = asking.request(
                    world.root, "POST", "/v1/fresh", body, HANG_S, environ=self.environ
                )
            except NoDaemon:
                if world.kills - kills < 2:  # it asks again once, and no more
                    raise
                continue
            high = world.begun
            try:
                tokens = {
                    told["name"]: tokens_of(world.root, told, question.want)
                    for told in answer.get("functions", ())
                    if told["status"] == "built"
                }
            except OSError:
                # Another hand may have removed what was named, or the project was elsewhere.
                left -= 1
                blurred = any(n in world.blurred for n in range(low + 1, world.begun + 1))
                if not left or not blurred:
                    raise
                continue
            return Answer(
                names=question.names,
                want=question.want,
                low=low,
                high=high,
                status=status,
                body=answer,
                tokens=tokens,
                kills=world.kills - kills,
                number=question.number,
            )
