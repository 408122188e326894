"""From declared functions to zips: start reading here.

`build` looks at each function, answers the fresh ones at once and hands the stale ones to
`produce`, which packs, writes and publishes them, and remembers what each build looked at.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final

from bundler import archive, freshness, limits, record, snapshot, tools
from bundler.freshness import Fresh
from bundler.model import (
    Artifact,
    BuildRequest,
    BundlerError,
    Contents,
    Diagnostic,
    Function,
    Method,
    NotBuilt,
    Outcome,
    Project,
    ProjectError,
    Severity,
    Snapshot,
    Superseded,
    error,
)
from bundler.output import Output
from bundler.record import Record
from bundler.snapshot import Clock
from bundler.toolchain import current_toolchain
from bundler.workshop import Workshop

ROUNDS: Final = 5
"""A function edited during so many builds in a row is not built: its sources never held still."""

Packed = Contents | ProjectError | BundlerError
Pack = Callable[[Sequence[BuildRequest], Workshop], Mapping[str, Packed]]


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
    project: Project,
    functions: Sequence[Function],
    workshop: Workshop,
    *,
    locked: bool = False,
    force: bool = False,
    done: Callable[[Outcome], None] = lambda _outcome: None,
) -> tuple[Outcome, ...]:
    """Every function's outcome, in the order given; `done` hears each as it is known.

    A fresh function is not built again unless `force`. One function's fault stops no other.
    Raises BundlerError where nothing can be built at all.
    """
    output = Output(project.root)
    with _disk_faults():
        output.prepare()
    outcomes: dict[str, Outcome] = {}

    def note(outcome: Outcome) -> None:
        outcomes[outcome.name] = outcome
        done(outcome)

    jobs = []
    for function in functions:
        request = BuildRequest(function=function, toolchain=current_toolchain(), locked=locked)
        known = record.load(output.record(function.name))
        verdict = freshness.check(project.root, request, known)
        if isinstance(verdict, Fresh) and not force:
            note(_remembered(function, verdict.record))
        else:
            reasons = ("it was asked for",) if isinstance(verdict, Fresh) else verdict.reasons
            jobs.append(Job(request=request, record=known, reasons=reasons))
    produce(jobs, workshop, output, note)
    if jobs:
        _tidy(project, output, outcomes.values())
    return tuple(outcomes[function.name] for function in functions)


def not_built(function: NotBuilt) -> Outcome:
    """What a function that is not built comes to."""
    return Outcome(
        name=function.name,
        function=None,
        status=function.status,
        diagnostics=function.diagnostics,
    )


def produce(
    jobs: Sequence[Job], workshop: Workshop, output: Output, note: Callable[[Outcome], None]
) -> None:
    """Builds every job; those edited meanwhile are built again, up to ROUNDS times."""
    for left in range(ROUNDS - 1, -1, -1):
        again: list[Job] = []
        for job, result in _one_round(jobs, workshop, output):
            if isinstance(result, Outcome):
                note(result)
            elif left:
                reasons = tuple(f"{path} changed during the build" for path in result.changed)
                again.append(replace(job, reasons=(*job.reasons, *reasons)))
            else:
                note(_restless(job, result))
        if not again:
            return
        jobs = again


def _one_round(
    jobs: Sequence[Job], workshop: Workshop, output: Output
) -> Iterable[tuple[Job, Outcome | Superseded]]:
    units = _units(jobs)
    if len(units) == 1:
        yield from _work(units[0], workshop, output)
        return
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        futures = [pool.submit(_work, unit, workshop, output) for unit in units]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BaseException:
            # Ctrl-C, or our bug: waiting for tools that nobody wants the answer of is no help.
            pool.shutdown(wait=False, cancel_futures=True)
            tools.end_all()
            raise


def _units(jobs: Sequence[Job]) -> list[list[Job]]:
    """What one worker builds: every bundle together, since they share their parsing."""
    bundled = [job for job in jobs if job.request.function.method is Method.ESBUILD]
    single = [[job] for job in jobs if job.request.function.method is not Method.ESBUILD]
    return [bundled, *single] if bundled else single


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One build of one job, from the moment before anything was read."""

    job: Job
    clock: Clock
    before: Snapshot | None
    started_s: float


def _work(
    unit: Sequence[Job], workshop: Workshop, output: Output
) -> list[tuple[Job, Outcome | Superseded]]:
    """Look before, pack, confirm after. The unit's functions have one method."""
    started_s = time.monotonic()
    with _disk_faults():
        clock = snapshot.read_clock(output.clock)
    turns = [
        _Turn(job=job, clock=clock, before=_observe_known(job, workshop.root), started_s=started_s)
        for job in unit
    ]
    packed = PACKERS[unit[0].request.function.method]([job.request for job in unit], workshop)
    return [(turn.job, _finish(turn, packed[turn.job.name], workshop, output)) for turn in turns]


def _observe_known(job: Job, root: str) -> Snapshot | None:
    if job.record is None:
        return None
    return snapshot.observe(root, snapshot.inputs_of(job.record.inputs))


def _finish(
    turn: _Turn, packed: Packed, workshop: Workshop, output: Output
) -> Outcome | Superseded:
    """Keeps the result only if its inputs held still; a fault of the machine is never kept."""
    job = turn.job
    artifact: Artifact | None = None
    if isinstance(packed, BundlerError):
        return _machine_fault(job, packed)
    inputs, diagnostics = packed.inputs, packed.diagnostics
    if isinstance(packed, Contents):
        diagnostics = (*diagnostics, *limits.check(packed))
        if not _has_error(diagnostics):
            try:
                artifact = _write(job, packed, output)
            except BundlerError as fault:
                if fault.code == "store-damaged":  # it is mended by now: what was torn is gone
                    return Superseded(("the store",))
                return _machine_fault(job, fault)
    if artifact is None and job.record is not None:
        inputs = snapshot.union(snapshot.inputs_of(job.record.inputs), inputs)
    after = snapshot.observe(workshop.root, inputs, since=turn.clock)
    if turn.before is not None and (moved := snapshot.moved_between(turn.before, after)):
        return Superseded(moved)
    with _disk_faults():
        return _keep(turn, artifact, after, diagnostics, output)


def _keep(
    turn: _Turn,
    artifact: Artifact | None,
    inputs: Snapshot,
    diagnostics: tuple[Diagnostic, ...],
    output: Output,
) -> Outcome:
    """Publishes the zip, then remembers the build: a kill in between costs a build."""
    job = turn.job
    last_good: Artifact | None = artifact
    keys: tuple[tuple[int, int, int], ...] = ()
    if artifact is not None:
        output.publish(artifact)
        keys = freshness.artifact_keys(output.root, artifact)
    elif job.record is not None:
        last_good, keys = job.record.artifact, job.record.artifact_keys
    duration_s = time.monotonic() - turn.started_s
    if inputs.files or inputs.listings:  # else nothing would ever make it stale
        known = Record(
            request=record.canonical(job.request),
            inputs=inputs,
            succeeded=artifact is not None,
            artifact=last_good,
            artifact_keys=keys,
            diagnostics=diagnostics,
            reasons=job.reasons,
            duration_s=duration_s,
        )
        record.save(output.record(job.name), known)
    return Outcome(
        name=job.name,
        function=job.request.function,
        status="built" if artifact is not None else "failed",
        reasons=job.reasons,
        duration_s=duration_s,
        artifact=last_good,
        diagnostics=(*job.request.function.notes, *diagnostics),
    )


def _write(job: Job, contents: Contents, output: Output) -> Artifact:
    """The zip under its digest; its name is not there yet. Raises BundlerError."""
    with _disk_faults():
        written = archive.write_file(output.folder / "artifacts", contents)
    return Artifact(
        path=output.zip(job.name),
        immutable_path=output.artifact(written.sha256),
        sha256=written.sha256,
        size=written.size,
        unzipped_size=written.unzipped_size,
    )


def _remembered(function: Function, known: Record) -> Outcome:
    return Outcome(
        name=function.name,
        function=function,
        status="built" if known.succeeded else "failed",
        cached=True,
        artifact=known.artifact,
        diagnostics=(*function.notes, *known.diagnostics),
    )


def _machine_fault(job: Job, fault: BundlerError) -> Outcome:
    return Outcome(
        name=job.name,
        function=job.request.function,
        status="failed",
        reasons=job.reasons,
        artifact=job.record.artifact if job.record else None,
        diagnostics=(error(fault.code, fault.message, hint=fault.hint),),
        machine_fault=True,
    )


def _restless(job: Job, result: Superseded) -> Outcome:
    shown = ", ".join(result.changed[:3])
    fault = error(
        "restless-sources",
        f"{shown} changed during each of {ROUNDS} builds",
        hint="something writes to the sources all the time; stop it, or exclude what it writes",
    )
    return Outcome(
        name=job.name,
        function=job.request.function,
        status="failed",
        reasons=job.reasons,
        artifact=job.record.artifact if job.record else None,
        diagnostics=(*job.request.function.notes, fault),
    )


def _has_error(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)


def _tidy(project: Project, output: Output, outcomes: Iterable[Outcome]) -> None:
    with _disk_faults():
        output.write_manifest(outcomes, (function.name for function in project.functions))
    records = (record.load(output.record(function.name)) for function in project.functions)
    output.collect(known.artifact for known in records if known and known.artifact)


@contextlib.contextmanager
def _disk_faults() -> Iterator[None]:
    """What the file system refuses is the machine's fault, told with the path and a next step."""
    try:
        yield
    except OSError as fault:
        code, hint = _DISK_FAULTS.get(fault.errno or 0, ("not-writable", None))
        where = f"{fault.filename}: " if fault.filename else ""
        raise BundlerError(code, f"can't write {where}{fault.strerror or fault}", hint) from fault


_FULL: Final = ("disk-full", "free some room; `lambdad cache prune` empties the store")
_DISK_FAULTS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: ("not-writable", "the project lies on a file system that is mounted read-only"),
    errno.EACCES: ("not-writable", "the .lambdad folder must be yours: who ran lambdad last?"),
}


def _bundle(requests: Sequence[BuildRequest], workshop: Workshop) -> Mapping[str, Packed]:
    from bundler.esbuild import bundle

    try:
        return bundle.pack(requests, workshop)
    except BundlerError as fault:  # no esbuild: the functions of other languages still build
        return {request.function.name: fault for request in requests}


def _node(request: BuildRequest, workshop: Workshop) -> Contents:
    from bundler.npm import package

    return package.pack(request, workshop)


def _python(request: BuildRequest, workshop: Workshop) -> Contents:
    from bundler.python import package

    return package.pack(request, workshop)


def _each(pack: Callable[[BuildRequest, Workshop], Contents]) -> Pack:
    def pack_each(requests: Sequence[BuildRequest], workshop: Workshop) -> Mapping[str, Packed]:
        packed: dict[str, Packed] = {}
        for request in requests:
            try:
                packed[request.function.name] = pack(request, workshop)
            except (ProjectError, BundlerError) as fault:
                packed[request.function.name] = fault
        return packed

    return pack_each


PACKERS: Final[Mapping[Method, Pack]] = {
    Method.ESBUILD: _bundle,
    Method.NODE: _each(_node),
    Method.PYTHON: _each(_python),
}
"""A language is a line here. The imports are late: a build loads only what it uses."""
