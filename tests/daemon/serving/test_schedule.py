"""The schedule: who is answered by which turn, in every ordering."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambdad.bundler.model import Want
from lambdad.daemon.serving.schedule import (
    Asked,
    Build,
    Check,
    Checked,
    Ended,
    Event,
    Key,
    Left,
    Moved,
    Reply,
    Stage,
    State,
    step,
)

Events = list[Event[str]]

ONE, ZIP, TWO = Key("One", Want.LIVE), Key("One", Want.ZIP), Key("Two", Want.LIVE)


def asked(request: int, *keys: Key) -> Asked:
    return Asked(request, frozenset(keys))


def _order(key: Key) -> tuple[str, str, bool]:
    return key.order


def run(state: State[str], events: Iterable[Event[str]]) -> tuple[State[str], list[object]]:
    done: list[object] = []
    for event in events:
        state, actions = step(state, event)
        done += actions
    return state, done


def test_fresh_answers_at_once() -> None:
    """A request is checked, and answered if the check finds everything fresh."""
    state, done = run(State(), [asked(1, ONE, TWO), Checked({ONE: "a", TWO: "b"})])
    assert done == [Check((ONE, TWO)), Reply(1, {ONE: "a", TWO: "b"})]
    assert state == State()


def test_stale_functions_of_a_request_are_built_together() -> None:
    """What one check finds stale is one build."""
    _, done = run(State(), [asked(1, ONE, TWO), Checked({ONE: None, TWO: None})])
    assert done[1:] == [Build((ONE, TWO))]


def test_who_asks_during_a_build_gets_a_look_of_its_own() -> None:
    """A build that began before the request does not answer it: the inputs are verified again."""
    events: Events = [
        asked(1, ONE),
        Checked({ONE: None}),
        asked(2, ONE),
        Ended(ONE, "old"),
    ]
    state, done = run(State(), events)
    assert done == [Check((ONE,)), Build((ONE,)), Reply(1, {ONE: "old"}), Check((ONE,))]
    _, done = run(state, [Checked({ONE: "old"})])
    assert done == [Reply(2, {ONE: "old"})]


def test_who_asks_during_a_check_is_taken_along_by_the_build() -> None:
    """The build begins after both asked, so it answers both."""
    events: Events = [
        asked(1, ONE),
        asked(2, ONE),
        Checked({ONE: None}),
        Ended(ONE, "new"),
    ]
    _, done = run(State(), events)
    assert done[1:] == [Build((ONE,)), Reply(1, {ONE: "new"}), Reply(2, {ONE: "new"})]


def test_a_function_is_built_once_at_a_time() -> None:
    """Wanted as a zip while it is built as a live tree, it waits, and goes next."""
    events: Events = [
        asked(1, ONE),
        Checked({ONE: None}),
        asked(2, ZIP),
        Checked({ZIP: None}),
    ]
    state, done = run(State(), events)
    assert done == [Check((ONE,)), Build((ONE,)), Check((ZIP,))]
    _, done = run(state, [Ended(ONE, "live"), Ended(ZIP, "zip")])
    assert done == [Reply(1, {ONE: "live"}), Build((ZIP,)), Reply(2, {ZIP: "zip"})]


def test_a_client_that_leaves_drops_its_wait_and_nothing_else() -> None:
    """The build goes on for the others, or for nobody."""
    events: Events = [
        asked(1, ONE),
        asked(2, ONE),
        Checked({ONE: None}),
        Left(1),
        Ended(ONE, "x"),
    ]
    state, done = run(State(), events)
    assert done[1:] == [Build((ONE,)), Reply(2, {ONE: "x"})]
    assert state == State()


def test_building_ahead() -> None:
    """A change to what was lately wanted is looked at without a request, and once more after."""
    state, done = run(State(), [Moved(frozenset({ONE})), Checked({ONE: None})])
    assert done == [Check((ONE,)), Build((ONE,))]
    _, done = run(state, [Moved(frozenset({ONE})), Ended(ONE, "x")])
    assert done == [Check((ONE,))]


class Orderings(RuleBasedStateMachine):
    """Any order of requests, answers, departures and changes keeps the promises."""

    keys = (ONE, ZIP, TWO)

    def __init__(self) -> None:
        super().__init__()
        self.state: State[int] = State()
        self.now = 0
        self.asked_at: dict[int, int] = {}
        self.waiting: dict[int, frozenset[Key]] = {}
        self.checks: list[tuple[tuple[Key, ...], int]] = []
        self.builds: dict[Key, int] = {}

    def tell(self, event: Event[int]) -> None:
        self.now += 1
        self.state, actions = step(self.state, event)
        for action in actions:
            match action:
                case Check(keys):
                    self.checks.append((keys, self.now))
                case Build(keys):
                    for key in keys:
                        assert key not in self.builds
                        self.builds[key] = self.now
                case Reply(request, outcomes):
                    assert outcomes.keys() == self.waiting.pop(request)
                    # Each outcome is the moment its turn began.
                    assert all(began >= self.asked_at[request] for began in outcomes.values())

    @rule(keys=st.frozensets(st.sampled_from(keys), min_size=1))
    def ask(self, keys: frozenset[Key]) -> None:
        request = len(self.asked_at)
        self.asked_at[request] = self.now + 1
        self.waiting[request] = keys
        self.tell(Asked(request, keys))

    @precondition(lambda self: self.checks)
    @rule(data=st.data(), stale=st.frozensets(st.sampled_from(keys)))
    def check(self, data: st.DataObject, stale: frozenset[Key]) -> None:
        keys, began = self.checks.pop(data.draw(st.integers(0, len(self.checks) - 1)))
        self.tell(Checked({key: None if key in stale else began for key in keys}))

    @precondition(lambda self: self.builds)
    @rule(data=st.data())
    def build(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.builds, key=_order)))
        self.tell(Ended(key, self.builds.pop(key)))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[request]
        self.tell(Left(request))

    @rule(keys=st.frozensets(st.sampled_from(keys), min_size=1))
    def move(self, keys: frozenset[Key]) -> None:
        self.tell(Moved(keys))

    @invariant()
    def one_build_per_function(self) -> None:
        functions = [key.function for key in self.builds]
        assert len(functions) == len(set(functions))
        building = {key for key, task in self.state.tasks.items() if task.stage is Stage.BUILDING}
        assert building == self.builds.keys()

    def teardown(self) -> None:
        """Nobody is forgotten: once the work is done, all are answered and nothing is left."""
        while self.checks or self.builds:
            if self.checks:
                keys, _began = self.checks.pop()
                self.tell(Checked(dict.fromkeys(keys, None)))
            else:
                key = min(self.builds, key=_order)
                self.tell(Ended(key, self.builds.pop(key)))
        assert not self.waiting
        assert self.state == State()


TestOrderings = Orderings.TestCase
TestOrderings.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
