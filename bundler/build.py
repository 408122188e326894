"""From declared functions to zips and live trees: start reading here.

`build` looks at each function, answers the fresh ones at once, hands the stale ones to `produce`,
which packs, writes and publishes them and records what each build looked at, and has the manifest
written and old files collected. The command, the daemon and lint all build by it.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final, TypeVar, assert_never

from lambdad.bundler import packers, tools
from lambdad.bundler.attempts import Attempts
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.inputs.snapshot import Clock, Stat, View
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import (
    Artifact,
    BuildRequest,
    BuildResult,
    Built,
    BundlerError,
    Diagnostic,
    Failed,
    Function,
    Live,
    Method,
    ProjectError,
    RelPath,
    Runnable,
    Severity,
    Snapshot,
    Superseded,
    Want,
    error,
)
from lambdad.bundler.packers import Made
from lambdad.bundler.store import freshness, live_folders, record, record_cache
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.store.freshness import Fresh
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.record import MadeKey, Record
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import archive, limits, zip_sources
from lambdad.bundler.zips.member import Contents

ROUNDS: Final = 5
"""A function edited during so many builds in a row is not built: its sources never held still."""

T = TypeVar("T")


def _unheard(_outcome: BuildResult) -> None:
    """The listener of callers that have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A function that is to be built, and why."""

    request: BuildRequest
    record: Record | None
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.request.function.name


def build(
    functions: Sequence[Function],
    workshop: Workshop,
    upkeep: Upkeep | None = None,
    *,
    want: Want = Want.ZIP,
    locked: bool = False,
    force: bool = False,
    shown: Callable[[BuildResult], None] = _unheard,
    settled: Callable[[BuildResult], None] = _unheard,
    prepare: bool = True,
) -> tuple[BuildResult, ...]:
    """Every function's outcome, in the order given.

    A fresh function is not built again unless `force`. One function's fault stops no other.
    `shown` is called with each outcome as soon as it is known, for people to see; `settled` with
    each once all that it names is in place, a zip's entry in the manifest included. Both are called
    in the caller's thread. Without an `upkeep` no manifest is written and nothing is collected.
    Without `prepare` nothing is built in a project that has no .lambdad.

    Raises BundlerError where nothing can be built at all, or the manifest can't be written.
    """
    output = Output(workshop.root)
    with disk_faults():
        if prepare:
            output.prepare()
        view = snapshot.view(output.read_clock())
    state = workshop.state(output)
    outcomes: dict[str, BuildResult] = {}
    later: list[Callable[[], None]] = []
    workshop = replace(workshop, recall=workshop.recall and not force, later=later.append)

    def note(outcome: BuildResult) -> None:
        outcomes[outcome.name] = outcome
        shown(outcome)
        if want is not Want.ZIP:
            settled(outcome)

    jobs = []
    for function in functions:
        request = request_of(workshop, function, want=want, locked=locked)
        looked = look_at(request, state, workshop.memory, force=force, once=view.look)
        match looked:
            case Job():
                jobs.append(looked)
            case Built() | Failed():
                note(looked)
            case _:
                assert_never(looked)
    produce(jobs, workshop, output, note, view)
    if want is Want.ZIP:
        if upkeep is not None:
            upkeep.tell(outcomes.values(), state)
        for outcome in outcomes.values():
            settled(outcome)
    while later:  # a kept esbuild context keeps the workshop, and so this list
        later.pop(0)()
    if jobs and upkeep is not None:
        upkeep.collect(state)
    return tuple(outcomes[function.name] for function in functions)


def recorded(
    state: ProjectState, function: str, want: Want, memory: Memory | None
) -> Record | None:
    """What is recorded of the function's last build as what is wanted, if that can be believed.

    Raises BundlerError `not-ours`.
    """
    file = state.record(function, want)
    return record.load(file) if memory is None else record_cache.of(memory).get(file)


def look_at(
    request: BuildRequest,
    state: ProjectState,
    memory: Memory | None,
    *,
    force: bool = False,
    once: Stat,
    most: int = freshness.SHOWN,
) -> BuildResult | Job:
    """As `look`, by what is recorded; where that is not ours, a failure that says so."""
    function = request.function
    try:
        known = recorded(state, function.name, request.want, memory)
        return look(state.project, request, known, force=force, once=once, most=most)
    except BundlerError as fault:
        return Failed(
            name=function.name,
            function=function,
            diagnostics=(error(fault.code, fault.message, hint=fault.hint),),
            machine_fault=True,
        )


def look(
    folder: ProjectFolder,
    request: BuildRequest,
    known: Record | None,
    *,
    force: bool = False,
    once: Stat,
    most: int = freshness.SHOWN,
) -> BuildResult | Job:
    """The outcome of the last build, if that still holds now, else the job of building it anew.

    `known` is what was recorded under the request's function and want. `once` is a Look that
    all share that are checked together. The check ends after `most` reasons.

    Raises BundlerError `not-ours`.
    """
    verdict = freshness.check(folder, request, known, once, most=most)
    if isinstance(verdict, Fresh) and not force:
        return _remembered(folder, request.function, verdict.record)
    reasons = ("it was requested",) if isinstance(verdict, Fresh) else verdict.reasons
    return Job(request=request, record=known, reasons=reasons)


def produce(
    jobs: Sequence[Job],
    workshop: Workshop,
    output: Output,
    note: Callable[[BuildResult], None],
    view: View | None = None,
) -> None:
    """Builds every job; those edited meanwhile are built again, up to ROUNDS times.

    No two jobs are of one function. `note` is called in the caller's thread. `view` is how they
    were found to be stale, if that was just now.
    """
    workshop = replace(workshop, attempts=Attempts())
    for left in range(ROUNDS - 1, -1, -1):
        again: list[Job] = []
        for job, result in _one_round(jobs, workshop, output, view):
            match result:
                case Built() | Failed():
                    note(result)
                case Superseded(changed) if left:
                    reasons = tuple(f"{path} changed during the build" for path in changed)
                    again.append(replace(job, reasons=(*job.reasons, *reasons)))
                case Superseded(changed):
                    note(_restless(job, output, changed))
                case _:
                    assert_never(result)
        if not again:
            return
        jobs, view = again, None


def _one_round(
    jobs: Sequence[Job], workshop: Workshop, output: Output, view: View | None
) -> Iterable[tuple[Job, BuildResult | Superseded]]:
    units = _units(jobs)
    if len(units) == 1:
        yield from _work(units[0], workshop, output, view)
        return
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        futures = [pool.submit(list, _work(unit, workshop, output)) for unit in units]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BaseException:
            # Ctrl-C, or our bug: the answers of running tools are of no use any more.
            pool.shutdown(wait=False, cancel_futures=True)
            tools.end_all()
            raise


def _units(jobs: Sequence[Job]) -> list[list[Job]]:
    """What one worker builds: bundles of one kind together, since they share their parsing."""
    bundled: dict[Want, list[Job]] = {}
    single = []
    for job in jobs:
        if job.request.function.method is Method.ESBUILD:
            bundled.setdefault(job.request.want, []).append(job)
        else:
            single.append([job])
    return [*bundled.values(), *single]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One build of one job, from the moment before anything was read."""

    job: Job
    output: Output
    clock: Clock
    before: Snapshot | None
    started_s: float
    seen: Seen


def _work(
    unit: Sequence[Job], workshop: Workshop, output: Output, view: View | None = None
) -> Iterator[tuple[Job, BuildResult | Superseded]]:
    """Look before, pack, confirm after. The unit's functions have one method and one want."""
    started_s = time.monotonic()
    if view is None:
        with disk_faults():
            view = snapshot.view(output.read_clock())
    clock, workshop = view.clock, replace(workshop, look=view.look)
    turns = {
        job.name: _Turn(
            job=job,
            output=output,
            clock=clock,
            before=_observe_known(job, workshop),
            started_s=started_s,
            seen=Seen(workshop.root, workshop.repository),
        )
        for job in unit
    }
    seen = {name: turn.seen for name, turn in turns.items()}
    packed = iter(packers.make([job.request for job in unit], workshop, seen))
    for some in _ahead(packed) if len(unit) > 1 else packed:
        for name, one in some.items():
            yield turns[name].job, _finish(turns[name], one, workshop)


def _ahead(made: Iterator[T]) -> Iterator[T]:
    """The same things; while the caller works on one, a thread makes the next."""
    aside = ThreadPoolExecutor(1, thread_name_prefix="pack")
    try:
        coming = aside.submit(next, made, None)
        while (one := coming.result()) is not None:
            coming = aside.submit(next, made, None)
            yield one
    except BaseException:
        aside.shutdown(wait=False, cancel_futures=True)
        raise
    aside.shutdown()


def _observe_known(job: Job, workshop: Workshop) -> Snapshot | None:
    if job.record is None:
        return None
    known, look = job.record.inputs, workshop.look
    return snapshot.observe(workshop.root, snapshot.inputs_of(known), known=known, look=look)


def _finish(turn: _Turn, packed: Made, workshop: Workshop) -> BuildResult | Superseded:
    """Keeps the result only if its inputs held still; a fault of the machine is never kept."""
    job, output = turn.job, turn.output
    made: Artifact | Live | None = None
    if isinstance(packed, BundlerError):
        return _machine_fault(job, output, packed)
    diagnostics = packed.diagnostics
    if isinstance(packed, Contents):
        diagnostics = (*diagnostics, *limits.check(packed))
    if not isinstance(packed, ProjectError) and not _has_error(diagnostics):
        try:
            made = _write(job, packed, workshop, output)
        except BundlerError as fault:
            if fault.code == "store-damaged":  # it is mended by now: what was torn is gone
                return Superseded(("the store",))
            return _machine_fault(job, output, fault)
    if made is None and job.record is not None:
        turn.seen.add(snapshot.inputs_of(job.record.inputs))
    inputs = turn.seen.inputs()
    after = snapshot.observe(workshop.root, inputs, since=turn.clock, known=turn.before)
    if moved := snapshot.moved_between(turn.before, after, turn.clock):
        return Superseded(moved)
    try:
        with disk_faults():
            outcome = _keep(turn, made, after, diagnostics, workshop)
    except BundlerError as fault:
        return _machine_fault(job, output, fault)
    if isinstance(made, Artifact) and isinstance(packed, Contents):
        before = job.record.artifact if job.record else None
        known = zip_sources.of(packed, made)
        state = workshop.state()
        workshop.later(functools.partial(zip_sources.keep, output, state, job.name, known, before))
    return outcome


def _keep(
    turn: _Turn,
    made: Artifact | Live | None,
    inputs: Snapshot,
    diagnostics: tuple[Diagnostic, ...],
    workshop: Workshop,
) -> BuildResult:
    """Publishes what was made, then remembers the build: a kill in between costs a build."""
    job, output, function = turn.job, turn.output, turn.job.request.function
    reported = (*function.notes, *diagnostics)
    duration_s = time.monotonic() - turn.started_s
    outcome: BuildResult
    keys: Mapping[str, MadeKey] = {}
    if made is not None:
        keys = freshness.made(output, _publish(job, made, output))
        outcome = Built(
            function=function,
            artifact=made if isinstance(made, Artifact) else None,
            live=made if isinstance(made, Live) else None,
            reasons=job.reasons,
            duration_s=duration_s,
            diagnostics=reported,
        )
    else:
        outcome = replace(_failed(job, output, *reported), duration_s=duration_s)
        if job.record is not None:
            keys = job.record.made
    known = Record(
        request=record.canonical_request(job.request),
        inputs=inputs,
        succeeded=made is not None,
        artifact=outcome.artifact,
        live=outcome.live,
        made=keys,
        diagnostics=diagnostics,
        reasons=job.reasons,
        duration_s=duration_s,
    )
    if record.has_inputs(known):
        memory = workshop.memory
        save = record.save if memory is None else record_cache.of(memory).save
        save(workshop.state().record(job.name, job.request.want), known)
    return outcome


def _write(
    job: Job, packed: Contents | Runnable, workshop: Workshop, output: Output
) -> Artifact | Live:
    """What is wanted, under its digest and not yet published. Raises BundlerError."""
    if isinstance(packed, Runnable):
        with disk_faults():
            return live_folders.write(output, job.name, packed)
    prefix = None
    if workshop.memory is not None and packed.dependencies is not None:
        prefix = archive.prefix_of(packed.dependencies, workshop.memory)
    with disk_faults():
        written = archive.write_file(output.make("artifacts"), packed, prefix)
    return Artifact(
        path=output.zip(job.name),
        immutable_path=output.artifact(written.sha256),
        sha256=written.sha256,
        size=written.size,
        unzipped_size=written.unzipped_size,
    )


def _publish(job: Job, made: Artifact | Live, output: Output) -> Iterable[str]:
    """Puts it under the function's name. Returns the paths that must stay as they are."""
    if isinstance(made, Live):
        return live_folders.publish(output, job.name, made)
    output.publish(made)
    return made.immutable_path, made.path


def _remembered(folder: ProjectFolder, function: Function, known: Record) -> BuildResult:
    diagnostics = (*function.notes, *known.diagnostics)
    if known.succeeded:
        return Built(
            function=function,
            artifact=known.artifact,
            live=known.live,
            cached=True,
            diagnostics=diagnostics,
        )
    artifact, live = freshness.last_good(folder, known)
    return Failed(
        name=function.name,
        function=function,
        artifact=artifact,
        live=live,
        cached=True,
        diagnostics=diagnostics,
    )


def _machine_fault(job: Job, output: Output, fault: BundlerError) -> Failed:
    reported = error(fault.code, fault.message, hint=fault.hint)
    return replace(_failed(job, output, reported), machine_fault=True)


def _restless(job: Job, output: Output, changed: Sequence[RelPath]) -> Failed:
    shown = ", ".join(changed[:3])
    fault = error(
        "restless-sources",
        f"{shown} changed during each of {ROUNDS} builds",
        hint="something writes to the sources all the time; stop it, or exclude what it writes",
    )
    return _failed(job, output, *job.request.function.notes, fault)


def _failed(job: Job, output: Output, *diagnostics: Diagnostic) -> Failed:
    """What was made last stays, and is named if nothing was done to it."""
    artifact, live = freshness.last_good(output, job.record)
    return Failed(
        name=job.name,
        function=job.request.function,
        reasons=job.reasons,
        artifact=artifact,
        live=live,
        diagnostics=diagnostics,
    )


def _has_error(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
