"""Answers what to install where no lock does: for the target, never for the machine this runs on.

The project alone decides by which tool: uv, or pip-tools where it works that way. The answer is
kept under all that it depends on, so nothing is resolved twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.bundler import trust
from lambdad.bundler.inputs.reading import open_regular
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import RelPath, Toolchain, Walk
from lambdad.bundler.python import built, indexes, resolvers
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.local import LocalPackage
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks.lock import Lock
from lambdad.bundler.python.locks.requirements import RequirementsFile, WantedPackage
from lambdad.bundler.python.resolvers import ResolverQuestion
from lambdad.bundler.python.target import Target
from lambdad.bundler.python.wheels import graph
from lambdad.bundler.workshop import Workshop


def ask(
    requirements_: RequirementsFile,
    file: RelPath,
    locals_: Sequence[LocalPackage],
    target: Target,
    workshop: Workshop,
    *,
    pip_tools: bool,
) -> ResolverQuestion:
    user, _ = indexes.of_pip(workshop.environ)
    wheels = {local.wanted: local for local in locals_}
    # pip-tools judges markers by the interpreter it runs under, so none are left to it.
    judge = target if pip_tools else None
    return ResolverQuestion(
        lines=_lines(requirements_.wanted, wheels, judge),
        constraints=_lines(requirements_.constraints, {}, judge),
        sources=indexes.merged(user, requirements_.indexes),
        target=target,
        pip_tools=pip_tools,
        file=file,
        where=tuple(
            (locks.name_of(one), one.where) for one in requirements_.wanted if not one.is_folder
        ),
    )


def _lines(
    wanted: Sequence[WantedPackage],
    wheels: Mapping[WantedPackage, LocalPackage],
    judge: Target | None,
) -> tuple[str, ...]:
    found = []
    for one in wanted:
        if judge is not None and not targets.holds(judge, one.marker):
            continue
        marker = f" ; {one.marker}" if one.marker is not None and judge is None else ""
        extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
        if (local := wheels.get(one)) is not None:
            place = f"{local.wheel.name}{extras} @ {Path(local.wheel.path).as_uri()}"
        elif one.path is not None:
            name, _ = locks.archive_identity(one)
            place = f"{name}{extras} @ {Path(one.path).as_uri()}"
        elif one.url is not None:
            name, _ = locks.archive_identity(one)
            place = f"{name}{extras} @ {one.url}"
        else:
            assert one.requirement is not None  # noqa: S101 - neither local nor a URL
            place = f"{one.requirement.name}{extras}{one.requirement.specifier}"
        found.append(place + marker)
    return tuple(found)


def resolve(
    question: ResolverQuestion,
    locals_: Sequence[LocalPackage],
    tools_: Toolchain,
    workshop: Workshop,
    near: str | None = None,
) -> Lock:
    """The lock that answers the question, without the local packages' own wheels.

    Raises as `answer`.
    """
    text = answer(question, locals_, tools_, workshop, near)
    lock = resolvers.parse(text, question, workshop)
    own = {local.wheel.name for local in locals_}
    return Lock(pins=tuple(pin for pin in lock.pins if pin.name not in own))


def answer(
    question: ResolverQuestion,
    locals_: Sequence[LocalPackage],
    tools_: Toolchain,
    workshop: Workshop,
    near: str | None = None,
) -> str:
    """The resolver's own words. `near` is the answer to a like question, for another target: its
    versions are taken where they fit.

    Raises ProjectError: `dependency-conflict`, `package-not-found`, `no-interpreter`,
    `resolve-failed`. Raises BundlerError: `offline`, `untrusted-build`, and the machine's faults
    (tool_faults).
    """
    identity = _identity(question, locals_, tools_, workshop.seen)
    if near is not None:
        identity += (near,)
    key = f"resolved-{built.key_of('resolved', *identity)}"
    known = built.recall(workshop, key)
    text = known["text"] if known else None
    if text is None:
        if workshop.offline:
            raise built.offline(f"{question.file} must be resolved")
        if not workshop.trusted:
            raise trust.untrusted(
                f"{question.file} must be resolved, which may run code of packages"
            )
        workshop.say(f"resolving {question.file} for {question.target}")
        text = workshop.attempts.once(
            (key, question.file, question.where),
            lambda: resolvers.run(question, tools_, workshop, known=near),
        )
        built.remember(workshop, key, {"text": text})
    return str(text)


def _identity(
    question: ResolverQuestion, locals_: Sequence[LocalPackage], tools_: Toolchain, seen: Seen
) -> tuple[object, ...]:
    """All that the answer depends on. Of local packages only what their metadata asks for."""
    asked = {
        Path(local.wheel.path).as_uri(): [
            local.wheel.version,
            local.wheel.requires_python,
            sorted(map(str, graph.requires(local.wheel))),
        ]
        for local in locals_
    }
    lines = [_without_place(line, asked, seen) for line in question.lines]
    folders = [_listing(place, seen) for place in question.sources.find_links]
    tool = tools_.pip_tools if question.pip_tools else tools_.uv
    return (
        lines,
        question.constraints,
        repr(indexes.without_secrets(question.sources)),
        folders,
        question.target.key,
        question.pip_tools,
        tool,
    )


def _without_place(line: str, asked: Mapping[str, object], seen: Seen) -> object:
    for place, metadata in asked.items():
        if place in line:
            return [line.replace(place, ""), metadata]
    if " @ file:" in line:
        place = line.partition(" @ ")[2].partition(" ;")[0]
        return [line, _digest_of(place, seen)]
    return line


def _digest_of(uri: str, seen: Seen) -> str:
    import hashlib
    from urllib.parse import unquote, urlsplit

    path = unquote(urlsplit(uri).path)
    seen.file(path)
    try:
        with open_regular(seen.absolute(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _listing(place: str, seen: Seen) -> object:
    """A local folder of archives counts by what it offers."""
    is_own = os.path.isabs(place) and seen.leads_inside(place)
    if is_own:  # the user's own elsewhere is as an index is: what is new there makes nothing stale
        seen.listing(place, Walk(seen.relative(place)))
    try:
        with os.scandir(place) as entries:
            found = sorted((entry.name, entry.stat().st_size) for entry in entries)
    except OSError:
        return place
    if is_own:
        seen.file(*(f"{place}/{name}" for name, _size in found))
    return found
