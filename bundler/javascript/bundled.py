"""Bundles functions: one esbuild build for all that share their options, same bytes as one each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from lambdad.bundler import aws_sdk
from lambdad.bundler.esbuild import decorators
from lambdad.bundler.esbuild.closure import (
    UNPACKAGED,
    BundleSources,
    closure,
    from_metafile,
    from_trace,
)
from lambdad.bundler.esbuild.contexts import Contexts
from lambdad.bundler.esbuild.engine import (
    Esbuild,
    EsbuildGone,
    EsbuildJob,
    EsbuildOutput,
    Message,
    check_system,
)
from lambdad.bundler.esbuild.known import BUNDLES, Known, decided_by, imports_of, recall
from lambdad.bundler.esbuild.outputs import Share, Success, share
from lambdad.bundler.esbuild.plan import SOURCES, BundlePlan, plan
from lambdad.bundler.esbuild.prober import Disk
from lambdad.bundler.esbuild.start import start
from lambdad.bundler.inputs import walking
from lambdad.bundler.inputs.kept import prove
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.javascript import checks, natives
from lambdad.bundler.javascript.messages import Scene, diagnostics_of, unresolved_packages
from lambdad.bundler.model import (
    BuildRequest,
    Entry,
    InputSet,
    ProjectError,
    Walk,
    Want,
)
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents

_MAX_ROUNDS: Final = 10
_FIRST: Final = 4
"""Functions that are built together before anything is known of their sizes."""
_MOST: Final = 50
"""That are built together at all. 200 small ones at once take 430 MB, in fifties 160 MB, and no
less time."""
_HELD: Final = 16 << 20
"""Bytes of outputs that one build may have. Fifty functions of 3.4 MB, with an AWS SDK client each,
take esbuild 900 MB and us 550 MB at once, 260 MB and 130 MB in fives, and no less time."""


def packed(
    requests: Sequence[BuildRequest],
    workshop: Workshop,
    seen: Mapping[str, Seen],
    esbuild: Esbuild | None = None,
) -> Iterator[Mapping[str, Contents | ProjectError]]:
    """The contents of each function's zip, by the function's name, or what is wrong with it; so
    many at a time as memory holds, so the caller is to be done with some before it takes more.

    What a function depends on is in its recorder, `seen`, once it is given: what functions share,
    in that of each.

    With an `esbuild` of the caller's, raises EsbuildGone if it dies on the way. Without, it is the
    one in the workshop's memory, or one that is started for this call; if it dies, another goes on,
    once. Raises BundlerError as binary.find does, `esbuild-gone`, and what tool_faults.py finds in
    esbuild's words and end.
    """
    if esbuild is not None:
        yield from _pack(requests, workshop, seen, esbuild)
        return
    memory = workshop.memory
    if memory is not None:
        engine = memory.engine(lambda: Contexts(lambda limit: start(workshop, soft_limit=limit)))
    else:
        engine = Contexts(lambda _limit: start(workshop))
    try:
        yield from _pack(requests, workshop, seen, engine)
    except EsbuildGone as fault:
        raise fault.told(_TWICE) from fault
    finally:
        if memory is None:
            engine.close()


_TWICE: Final = "esbuild ended twice before it was done"


def _pack(
    requests: Sequence[BuildRequest],
    workshop: Workshop,
    seen: Mapping[str, Seen],
    esbuild: Esbuild,
) -> Iterator[Mapping[str, Contents | ProjectError]]:
    packer = _Packer(workshop, seen, esbuild)
    faulty: dict[str, Contents | ProjectError] = {}
    plans = []
    for request in requests:
        try:
            plans.append(packer.plan(request))
        except ProjectError as fault:
            faulty[request.function.name] = fault
    if faulty:
        yield faulty
    for group in _groups(plans):
        yield from packer.pack_group(group)


class _Packer:
    def __init__(self, workshop: Workshop, seen: Mapping[str, Seen], esbuild: Esbuild) -> None:
        self._workshop = workshop
        self._seen = seen
        self._esbuild = esbuild
        self._disk = Disk()
        self._known: dict[str, Known] = {}
        self._plans: dict[str, BundlePlan] = {}
        self._planned: dict[str, InputSet] = {}
        self._clock = workshop.clock() if workshop.memory is not None else None

    def plan(self, request: BuildRequest) -> BundlePlan:
        """The function's plan, as it was where nothing has moved. Raises ProjectError."""
        function, live = request.function, request.want is Want.LIVE
        seen = self._seen[function.name]
        known = recall((function, live), self._workshop)
        if known is not None:
            self._known[function.name] = known
            one, planned = replace(known.plan, function=function), known.planned
            seen.add(planned)
        else:
            with seen.apart() as inner:
                one = plan(function, replace(self._workshop, seen=inner), live=live)
            planned = inner.inputs()
        self._plans[function.name], self._planned[function.name] = one, planned
        return one

    def pack_group(
        self, group: Sequence[BundlePlan]
    ) -> Iterator[dict[str, Contents | ProjectError]]:
        """All of them, together as far as memory allows: esbuild and we hold every output."""
        begun, count = 0, _FIRST
        while begun < len(group):
            some = group[begun : begun + count]
            packed = self._pack_together(some)
            begun += len(some)
            fitting = _HELD * len(some) // max(1, _bytes_of(packed.values()))
            count = max(1, min(_MOST, fitting))
            yield packed

    def _pack_together(self, group: Sequence[BundlePlan]) -> dict[str, Contents | ProjectError]:
        if len(group) == 1:
            return {group[0].function.name: self._pack_alone(group[0])}
        entries: dict[str, str] = {}
        for one in group:
            entries |= {_absolute_out(one, out): path for out, path in one.entries}
        # One folder for all outputs would be none of theirs: they are distinguished by where they
        # would lie, and source maps are relative to that.
        job = _job(group[0], entries, "/", self._workshop.repository)
        output = self._esbuild.build(job, self._workshop.look)
        if not output.errors:
            built = Success.of(job, output)
            return {one.function.name: self._from_group(one, built) for one in group}
        # Halved, so that a few faults among many functions cost a few builds.
        middle = len(group) // 2
        return self._pack_together(group[:middle]) | self._pack_together(group[middle:])

    def _from_group(self, one: BundlePlan, built: Success) -> Contents | ProjectError:
        made = share(one, built, self._workshop.root)
        if made.has_assets:
            # An asset lies in the output folder itself: not where the bundle looks in its zip.
            return self._pack_alone(one)
        return self._contents(one, built, made, self._inputs(one, built, made))

    def _pack_alone(self, one: BundlePlan) -> Contents | ProjectError:
        known = self._known.get(one.function.name)
        if known is not None and known.provided:
            job, output = self._build_alone(_without(one, known.provided))
            # With other imports it might not be nowhere to be found.
            if not output.errors and imports_of(output.metafile, known.roots) == known.imports:
                return self._from_alone(one, job, output)
        for _ in range(_MAX_ROUNDS):
            job, output = self._build_alone(one)
            if not output.errors:
                return self._from_alone(one, job, output)
            provided = self._provided(one, output.errors)
            if not provided:
                break
            # Asked for again by its closure, so that installing it makes the bundle stale.
            one = _without(one, provided)
        check_system(output.errors)
        self._record_failed(one, job, output)
        return ProjectError(*diagnostics_of(output.errors, output.warnings, self._scene(one)))

    def _build_alone(self, one: BundlePlan) -> tuple[EsbuildJob, EsbuildOutput]:
        job = _job(one, dict(one.entries), one.code, self._workshop.repository)
        return job, self._esbuild.build(job, self._workshop.look)

    def _from_alone(
        self, one: BundlePlan, job: EsbuildJob, output: EsbuildOutput
    ) -> Contents | ProjectError:
        built = Success.of(job, output)
        root = self._workshop.root
        made = share(one, built, root)
        inputs = self._inputs(one, built, made)
        found = self._contents(one, built, made, inputs)
        self._esbuild.reads(job, output, [f"{root}/{path}" for path in inputs.files])
        return found

    def _provided(self, one: BundlePlan, errors: Iterable[Message]) -> list[str]:
        """Packages that are not there when bundling but will be when running."""
        function = one.function
        names = unresolved_packages(errors)
        return sorted(
            name
            for name in names
            if (
                function.layers
                or (aws_sdk.provided(function.runtime, name) and name not in one.brought)
            )
            and f"--external:{name}" not in one.flags
        )

    def _contents(
        self, one: BundlePlan, built: Success, made: Share, inputs: InputSet
    ) -> Contents | ProjectError:
        output, seen = built.output, self._seen[one.function.name]
        # In a build of many, a warning is for those that have its place among their inputs.
        found = tuple(
            warned
            for warned in diagnostics_of((), output.warnings, self._scene(one))
            if warned.where in (None, one.function.where) or warned.where.file in inputs.files
        )
        found += checks.sdk_v2(one, made) + checks.requires(one, made)
        found += decorators.metadata(one, made, seen, self._disk)
        if not one.live:
            found += checks.archives(one, made, inputs, self._workshop)
        natively = made.has_assets and not one.live
        faults = natives.faults(output, one.code, self._scene(one)) if natively else ()
        if fault := checks.missing_export(one, output, made, seen):
            faults = (fault, *faults)
        if faults:
            return ProjectError(*faults, *found)
        own = [Entry(name=name, content=content) for name, content in made.files.items()]
        own += one.extra
        return Contents(
            own=tuple(sorted(own, key=lambda entry: entry.name)),
            dependencies=None,
            external=made.external,
            bundled=made.sources,
            diagnostics=found,
        )

    def _inputs(self, one: BundlePlan, built: Success, made: Share) -> InputSet:
        """The closure of a build that went well; it is kept for the next one."""
        workshop, name = self._workshop, one.function.name
        known = self._known.get(name)
        imports = b"" if workshop.memory is None else imports_of(built.output.metafile, made.roots)
        if known is not None and (made.roots, imports) == (known.roots, known.imports):
            self._seen[name].add(known.inputs)
            return known.inputs
        sources = from_metafile(built.output.metafile, made.roots, one.folder, self._disk)
        with self._seen[name].apart() as seen:
            self._closure(one, sources, seen)
        inputs = seen.inputs()
        if workshop.memory is not None:
            known = Known(
                plan=self._plans[name],
                provided=_added(one, self._plans[name]),
                roots=made.roots,
                imports=imports,
                planned=self._planned[name],
                inputs=workshop.memory.pool.inputs(inputs),
            )
            seen.add(known.planned)
            decided = decided_by(seen.inputs(), sources, workshop.root)
            kept = prove(workshop.root, known, decided, self._clock)
            if kept is not None:
                kept = replace(kept, proof=workshop.memory.pool.snapshot(kept.proof))
                workshop.memory.shelf(BUNDLES).put((one.function, one.live), kept)
        return inputs

    def _closure(self, one: BundlePlan, sources: BundleSources, seen: Seen) -> None:
        closure(
            sources,
            seen,
            settings=one.settings,
            disk=self._disk,
            left_out=one.left_out,
            probes=_probes(one, self._workshop),
        )

    def _record_failed(self, one: BundlePlan, job: EsbuildJob, output: EsbuildOutput) -> None:
        """What a build that failed depends on."""
        trace, seen = self._esbuild.trace(job), self._seen[one.function.name]
        entries = {path for _out, path in one.entries}
        if trace is not None:
            sources = from_trace(trace)
            self._closure(one, replace(sources, files=sources.files | entries), seen)
            return
        # No trace to be had: whatever the errors name, and every name in the code folder.
        named = {
            os.path.normpath(os.path.join(job.folder, message.place.file))
            for message in (*output.errors, *output.warnings)
            if message.place is not None
        }
        sources = BundleSources(files=frozenset(entries | named), imports=frozenset())
        self._closure(one, sources, seen)
        folders = {one.code, *map(os.path.dirname, named)}
        for top in list(folders):
            for folder, _below, _names in walking.folders(top, _may_hold_sources):
                folders.add(folder)
        for folder in folders:
            seen.file(*(f"{folder}/{name}" for name in UNPACKAGED))
            seen.listing(folder, Walk(seen.relative(folder)))

    def _scene(self, one: BundlePlan) -> Scene:
        return Scene(function=one.function, folder=one.folder, seen=self._seen[one.function.name])


def _may_hold_sources(name: str) -> bool:
    return name != "node_modules" and not name.startswith(".")


def _groups(plans: Iterable[BundlePlan]) -> list[list[BundlePlan]]:
    """Plans whose functions may be built together: same options, and no two different files
    that would lie at the same place."""
    groups: list[tuple[object, dict[str, str], list[BundlePlan]]] = []
    for one in plans:
        key = (one.flags, one.folder, one.node_paths)
        outs = {_absolute_out(one, out): path for out, path in one.entries}
        for known, taken, members in groups:
            fits = all(taken.get(out, path) == path for out, path in outs.items())
            if not one.alone and known == key and fits:
                taken.update(outs)
                members.append(one)
                break
        else:
            groups.append((object() if one.alone else key, outs, [one]))
    return [members for _key, _outs, members in groups]


def _bytes_of(packed: Iterable[Contents | ProjectError]) -> int:
    return sum(
        len(entry.content) for one in packed if isinstance(one, Contents) for entry in one.own
    )


def _without(one: BundlePlan, names: Iterable[str]) -> BundlePlan:
    """The plan with these packages left out."""
    return replace(one, flags=(*one.flags, *(f"--external:{name}" for name in names)))


def _added(one: BundlePlan, first: BundlePlan) -> tuple[str, ...]:
    """What `_without` left out on the way from the first plan to this."""
    more = one.flags[len(first.flags) :]
    return tuple(flag.removeprefix("--external:") for flag in more)


def _absolute_out(one: BundlePlan, out: str) -> str:
    return f"{one.code}/{out}".lstrip("/")


def _job(
    one: BundlePlan, entries: Mapping[str, str], out_folder: str, repository: str
) -> EsbuildJob:
    return EsbuildJob(
        entries=tuple(sorted(entries.items())),
        flags=one.flags,
        folder=one.folder,
        out_folder=out_folder,
        node_paths=one.node_paths,
        repository=repository,
    )


def _probes(one: BundlePlan, workshop: Workshop) -> tuple[str, ...]:
    """Where the function's own settings led us, there or not."""
    code = os.path.normpath(workshop.absolute(one.function.code))
    wrappers = [f"{one.code}/{entry.name}" for entry in one.extra]
    rivals = []
    if not one.function.entry_points and os.path.isdir(code):
        stem, extension = os.path.splitext(one.entries[0][1])
        rivals = [f"{stem}{other}" for other in SOURCES[: SOURCES.index(extension)]]
    chosen = {path for _out, path in one.entries}
    for text in one.function.entry_points:
        stem = os.path.normpath(f"{one.code}/{text}")
        tried = (f"{stem}{other}" for other in ("", *SOURCES))
        rivals += itertools.takewhile(lambda path: path not in chosen, tried)
    return (code, *one.injected, *wrappers, *rivals, *(p for _o, p in one.entries))
