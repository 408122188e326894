"""The pool of workers: which request runs where, in every ordering."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambdad.daemon.live.workers.pool import (
    Assign,
    Boot,
    CallerLeft,
    CodeTarget,
    Fail,
    Free,
    Give,
    Lost,
    PoolEvent,
    PoolLimits,
    PoolState,
    Refuse,
    Retire,
    Tick,
    Wanted,
    WorkerStage,
    pool_step,
)

LIMITS = PoolLimits(most=4, most_of_one=3, loading=2, queued=6, idle_s=10.0, spares=2)
OLD, NEW = CodeTarget("One", "old", "boot"), CodeTarget("One", "new", "boot")
OTHER = CodeTarget("Two", "old", "")


def run(
    state: PoolState, events: Iterable[PoolEvent], limits: PoolLimits = LIMITS
) -> tuple[PoolState, list[object]]:
    done: list[object] = []
    for event in events:
        state, actions = pool_step(state, event, limits)
        done += actions
    return state, done


def test_a_worker_is_started_and_used_again() -> None:
    """The first request starts one; the next one runs in the same."""
    _, done = run(PoolState(), [Wanted(1, OTHER, 0), Free(1, 1), Free(1, 2), Wanted(2, OTHER, 3)])
    assert done == [Boot(1, "", OTHER), Give(1, 1), Give(1, 2)]


def test_after_an_edit_the_running_request_finishes() -> None:
    """On the code that it began with; then its worker is ended. The spare loads the new code."""
    state, _ = run(PoolState(), [Wanted(1, OLD, 0), Free(1, 1)])
    state, done = run(state, [Wanted(2, NEW, 2)])
    assert done == [Assign(2, NEW)]
    state, done = run(state, [Free(1, 3)])
    assert Retire(1) in done
    _, done = run(state, [Free(2, 4)])
    assert done[0] == Give(2, 2)


def test_a_worker_that_can_not_load_fails_one_request() -> None:
    """Each request has a try of its own, and none waits for ever."""
    state, done = run(PoolState(), [Wanted(1, OTHER, 0), Wanted(2, OTHER, 0), Lost(1, 1)])
    assert done == [Boot(1, "", OTHER), Boot(2, "", OTHER), Fail(1, 1)]
    assert run(state, [Lost(2, 2)])[1] == [Fail(2, 2)]


def test_outdated_code_fails_all_that_wait_for_it() -> None:
    """No worker can load it any more."""
    state, done = run(
        PoolState(), [Wanted(1, OTHER, 0), Wanted(2, OTHER, 0), Lost(1, 1, is_outdated=True)]
    )
    assert done[2:] == [Retire(2), Fail(1, 1), Fail(2, 1)]
    assert state.queue == ()


def test_an_idle_worker_makes_room() -> None:
    """The one that was idle longest, where there are as many as there may be."""
    limits = PoolLimits(most=2, spares=0)
    first, second = CodeTarget("A", ""), CodeTarget("B", "")
    state = PoolState()
    for at, target in enumerate((first, second), 1):
        state, _ = run(state, [Wanted(at, target, at), Free(at, at), Free(at, at)], limits)
    _, done = run(state, [Wanted(3, OTHER, 9)], limits)
    assert done == [Retire(1), Boot(3, "", OTHER)]


def test_the_worker_that_ran_last_is_used() -> None:
    """The others can then be idle for so long that they are ended."""
    state, _ = run(PoolState(), [Wanted(1, OTHER, 0), Wanted(2, OTHER, 0), Free(1, 1), Free(2, 1)])
    _, done = run(state, [Free(2, 5), Free(1, 6), Wanted(3, OTHER, 7)])
    assert done == [Give(1, 3)]


def test_a_spare_runs_nothing() -> None:
    """It has no code: that it is ready says nothing."""
    state, _ = run(PoolState(), [Wanted(1, OLD, 0), Free(1, 1)])
    assert state.workers[2].stage is WorkerStage.SPARE
    assert run(state, [Free(2, 2)]) == (state, [])


def test_too_many_are_refused() -> None:
    """And what was refused does not wait."""
    limits = PoolLimits(most=1, queued=1, spares=0)
    events = [Wanted(1, OTHER, 0), Wanted(2, OTHER, 0)]
    state, done = run(PoolState(), events, limits)
    assert done == [Boot(1, "", OTHER), Refuse(2)]
    assert [request for request, _ in state.queue] == [1]


def test_the_idle_are_ended() -> None:
    """After their time, spares too."""
    state, _ = run(PoolState(), [Wanted(1, OLD, 0), Free(1, 1), Free(1, 2)])
    assert sorted(run(state, [Tick(12)])[1], key=str) == [Retire(1), Retire(2)]
    assert run(state, [Tick(5)])[1] == []


class PoolOrderings(RuleBasedStateMachine):
    """Requests, saves, callers that leave and workers that die, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = PoolState()
        self.now_s = 0.0
        self.requests = 0
        self.wanted: dict[int, CodeTarget] = {}
        """What was asked for, by request."""
        self.ended: set[int] = set()
        """Refused, failed, done, or their caller has left."""
        self.code: dict[int, CodeTarget | None] = {}
        """What each living process has loaded, or is loading; by worker."""
        self.loaded: set[int] = set()
        self.outdated: CodeTarget | None = None
        """What can't be loaded any more, for the length of an event."""
        self.runs: dict[int, int] = {}
        """The request that each worker runs."""

    def act(self, event: PoolEvent) -> None:
        self.state, actions = pool_step(self.state, event, LIMITS)
        for action in actions:
            match action:
                case Boot(worker, boot, target):
                    assert worker not in self.code
                    assert target is None or target.boot == boot
                    self.code[worker] = target
                case Assign(worker, target):
                    assert self.code[worker] is None, "a worker loads one target"
                    self.code[worker] = target
                case Give(worker, request):
                    assert worker in self.loaded
                    assert worker not in self.runs, "one at a time"
                    assert self.code[worker] == self.wanted[request], "another's code"
                    assert request not in self.ended
                    assert request not in self.runs.values(), "twice"
                    self.runs[worker] = request
                case Retire(worker):
                    assert worker not in self.runs, "a running request is never ended"
                    loads = self.code[worker] is not None and worker not in self.loaded
                    assert not loads or self.code[worker] == self.outdated, "it is waited for"
                    del self.code[worker]
                    self.loaded.discard(worker)
                case Fail(request, _):
                    assert request not in self.ended
                    self.ended.add(request)
                case Refuse(request):
                    assert request not in self.ended
                    self.ended.add(request)

    @rule(
        function=st.sampled_from(["One", "Two"]),
        code=st.sampled_from(["1", "2", "3"]),
        spares=st.booleans(),
    )
    def want(self, function: str, code: str, spares: bool) -> None:
        self.requests += 1
        self.wanted[self.requests] = CodeTarget(function, code, "boot" if spares else "")
        self.act(Wanted(self.requests, self.wanted[self.requests], self.now_s))

    @precondition(lambda self: any(self.code[one] for one in self.code if one not in self.runs))
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        loading = [
            one
            for one, target in self.code.items()
            if target is not None and one not in self.loaded
        ]
        if loading:
            worker = data.draw(st.sampled_from(loading))
            self.loaded.add(worker)
            self.act(Free(worker, self.now_s))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.runs)))
        self.ended.add(self.runs.pop(worker))
        self.act(Free(worker, self.now_s))

    @precondition(lambda self: self.code)
    @rule(data=st.data(), outdated=st.booleans())
    def die(self, data: st.DataObject, outdated: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.code)))
        is_loading = self.code[worker] is not None and worker not in self.loaded
        self.outdated = self.code[worker] if outdated and is_loading else None
        del self.code[worker]
        self.loaded.discard(worker)
        self.runs.pop(worker, None)
        self.act(Lost(worker, self.now_s, is_outdated=outdated and is_loading))
        self.outdated = None

    @precondition(lambda self: self.state.queue)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request, _ = data.draw(st.sampled_from(self.state.queue))
        self.ended.add(request)
        self.act(CallerLeft(request, self.now_s))

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.act(Tick(self.now_s))

    @invariant()
    def every_request_is_somewhere(self) -> None:
        """It waits, runs, or has ended: exactly one of them."""
        waiting = [request for request, _ in self.state.queue]
        places = sorted([*waiting, *self.runs.values(), *self.ended])
        assert places == list(range(1, self.requests + 1))

    @invariant()
    def the_state_is_what_the_processes_are(self) -> None:
        known = {number: worker.target for number, worker in self.state.workers.items()}
        assert known == self.code
        busy = {
            number: worker.request
            for number, worker in self.state.workers.items()
            if worker.stage is WorkerStage.BUSY
        }
        assert busy == self.runs

    @invariant()
    def there_are_not_too_many(self) -> None:
        stages = [worker.stage for worker in self.state.workers.values()]
        assert stages.count(WorkerStage.LOADING) <= LIMITS.loading
        assert len(self.code) <= LIMITS.most
        for function in ("One", "Two"):
            of_one = [one for one in self.code.values() if one and one.function == function]
            assert len(of_one) <= LIMITS.most_of_one
        spares = [one for one in self.code.values() if one is None]
        assert len(spares) <= LIMITS.spares

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        """While a request waits, some worker loads or runs: its end goes on from there. None that
        could run it is idle."""
        stages = [worker.stage for worker in self.state.workers.values()]
        if self.state.queue:
            assert WorkerStage.LOADING in stages or WorkerStage.BUSY in stages
        for worker in self.state.workers.values():
            if worker.stage is WorkerStage.IDLE:
                assert worker.target not in {target for _, target in self.state.queue}

    @invariant()
    def no_idle_worker_has_old_code(self) -> None:
        for worker in self.state.workers.values():
            if worker.stage is WorkerStage.IDLE and worker.target is not None:
                assert self.state.current[worker.target.function] == worker.target


TestPoolOrderings = PoolOrderings.TestCase
TestPoolOrderings.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
