"""From functions and files to a report: start reading here.

`lint` is what `lambdad lint` does; what a build does of it is in gate.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler import tools as processes
from lambdad.bundler.lint import sources
from lambdad.bundler.lint.tool import Batch, Findings, Tool, as_errors, merged
from lambdad.bundler.model import (
    Diagnostic,
    Failed,
    Function,
    Language,
    Linted,
    Location,
    NotBuilt,
    Outcome,
    Project,
    ProjectError,
    RelPath,
    Severity,
    Skipped,
)
from lambdad.bundler.workshop import Workshop

_ORDER: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def tools() -> tuple[Tool, ...]:
    """All there are; those that are not asked for are not loaded."""
    from lambdad.bundler.lint import builds, javascript, python, types

    return (python.TOOL, builds.TOOL, *javascript.TOOLS, *types.TOOLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a lint came to."""

    outcomes: tuple[Outcome, ...]
    """The functions', each with its findings: linted, or as declared."""
    diagnostics: tuple[Diagnostic, ...]
    """Of the project, of files that no function holds, of what could not be run."""
    files: tuple[RelPath, ...]
    """What was linted, sorted."""
    machine_fault: bool = False
    """Something on this machine kept a tool from its work."""

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """All, each once, by place; where functions judge one differently, as the strictest."""
        found: dict[tuple[object, ...], Diagnostic] = {}
        for item in (
            *self.diagnostics,
            *(each for one in self.outcomes for each in one.diagnostics),
        ):
            key = (item.code, item.where, item.message)
            known = found.get(key)
            if known is None or _ORDER[item.severity] < _ORDER[known.severity]:
                found[key] = item
        return tuple(sorted(found.values(), key=_by_place))

    @property
    def ok(self) -> bool:
        """No error is among the findings."""
        return not any(item.severity is Severity.ERROR for item in self.findings)


def lint(
    project: Project,
    functions: Sequence[Function],
    workshop: Workshop,
    *,
    files: Sequence[RelPath] = (),
    not_built: Sequence[NotBuilt] = (),
    trusted: bool,
    formatting: bool = False,
) -> Report:
    """Lints all that the functions hold, and the files alone, each with whatever functions hold it;
    a folder means the files below it that functions use.

    Functions whose `lint` is "off" are named, and not linted. Of `not_built`, what is wrong with
    their declaration is reported.
    """
    whole, off = _split(functions)
    early = first_builds(whole, workshop, trusted=trusted)
    holders, walked = holders_of(whole, workshop)
    asked = list(whole)
    if files:
        on, shut = _split(project.functions)
        known, of_shut = holders_of(on, workshop)[0], holders_of(shut, workshop)[0]
        named = {path: known.get(path, ()) for path in _expanded(files, known, workshop)}
        holders |= {path: held for path, held in named.items() if held or path not in of_shut}
        asked += [function for function in _of(named, on) if function not in whole]
        off += [function for function in _of(of_shut, shut, files) if function not in off]
    batch = Batch(
        files=tuple(sorted(holders)),
        holders={path: held for path, held in holders.items() if held},
        trusted=trusted,
        formatting=formatted(holders, formatting),
        hints=bool(whole),
    )
    found = merged([early, walked, run(tools(), batch, workshop)])
    if not whole:
        found = replace(found, files={path: found.files.get(path, ()) for path in batch.files})
    outcomes: list[Outcome] = [
        Linted(
            function=function,
            diagnostics=_in_order(
                (
                    *(function.notes if function in whole else ()),
                    *_judged(function, of_function(function, batch, found)),
                )
            ),
        )
        for function in asked
    ]
    outcomes += [
        Skipped(name=function.name, function=function, diagnostics=(_off(function),))
        for function in off
    ]
    outcomes += [item.outcome for item in not_built if isinstance(item.outcome, Failed)]
    loose = (path for path in found.files if not batch.holders.get(path))
    rest = (item for path in loose for item in found.files[path])
    return Report(
        outcomes=tuple(outcomes),
        diagnostics=(*project.diagnostics, *found.failed, *rest),
        files=batch.files,
        machine_fault=found.machine_fault,
    )


def _split(functions: Iterable[Function]) -> tuple[list[Function], list[Function]]:
    """Those that are linted, and those of which lambdad.toml says no."""
    several = list(functions)
    on = [function for function in several if function.lint != "off"]
    return on, [function for function in several if function.lint == "off"]


def _expanded(
    files: Iterable[RelPath], known: Iterable[RelPath], workshop: Workshop
) -> Iterator[RelPath]:
    held = sorted(known)
    for path in files:
        below = "" if path == "." else f"{path}/"
        yield from (other for other in held if other.startswith(below))
        if not os.path.isdir(workshop.absolute(path)):
            yield path


def _of(
    holders: Mapping[RelPath, Iterable[Function]],
    functions: Iterable[Function],
    files: Iterable[RelPath] | None = None,
) -> list[Function]:
    """Those of the functions that hold one of the files, in their order."""
    paths = holders.keys() if files is None else set(files)
    names = {each.name for path in paths for each in holders.get(path, ())}
    return [function for function in functions if function.name in names]


def run(wanted: Sequence[Tool], batch: Batch, workshop: Workshop) -> Findings:
    """What all the tools say, each in a thread of its own."""
    if not batch.files and not batch.holders:
        return Findings()
    pool = ThreadPoolExecutor(max_workers=max(1, len(wanted)), thread_name_prefix="lint")
    try:
        futures = [pool.submit(tool.lint, batch, workshop) for tool in wanted]
        found = merged([future.result() for future in futures])
    except BaseException:
        # Ctrl-C, or our bug: what running tools would find is of no use any more.
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end_all()
        raise
    pool.shutdown()
    return found


def first_builds(functions: Sequence[Function], workshop: Workshop, *, trusted: bool) -> Findings:
    """Bundles are built: only then is it known which files they hold."""
    from lambdad.bundler.lint import builds

    scripts = [each for each in functions if each.runtime.language is Language.JAVASCRIPT]
    holders, _walked = holders_of(scripts, workshop)
    batch = Batch(files=tuple(sorted(holders)), holders=holders, trusted=trusted)
    return builds.TOOL.lint(batch, workshop) if holders else Findings()


def holders_of(
    functions: Iterable[Function], workshop: Workshop
) -> tuple[dict[RelPath, tuple[Function, ...]], Findings]:
    """By whom each file is held, and the faults of folders that hold what no zip can."""
    found: dict[RelPath, list[Function]] = {}
    faults: dict[str, tuple[Diagnostic, ...]] = {}
    for function in functions:
        recording = workshop.recording()
        try:
            held = sources.held(function, recording)
        except ProjectError as fault:
            faults[function.name] = fault.diagnostics
            held = sources.beside(function, recording)
        for path in held:
            found.setdefault(path, []).append(function)
    return {path: tuple(several) for path, several in found.items()}, Findings(functions=faults)


def formatted(
    holders: Mapping[RelPath, Sequence[Function]], everything: bool
) -> frozenset[RelPath]:
    """Files of which the formatting is checked, too."""
    return frozenset(
        path
        for path, several in holders.items()
        if everything or any(function.format for function in several)
    )


# --- whose findings they are ---------------------------------------------------------------------


def of_function(function: Function, batch: Batch, found: Findings) -> Iterator[Diagnostic]:
    """What is found of the function, and in files that it holds."""
    yield from found.functions.get(function.name, ())
    for path, items in found.files.items():
        if function in batch.holders.get(path, ()):
            yield from items


def _judged(function: Function, items: Iterable[Diagnostic]) -> Iterable[Diagnostic]:
    """What is found; of JavaScript functions the build reports notes of the configuration, too."""
    found = [item for item in items if item not in function.notes]
    return as_errors(found) if function.lint == "error" else found


def _in_order(items: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(items, key=_by_place))


def _off(function: Function) -> Diagnostic:
    return Diagnostic(
        code="told-to-skip",
        severity=Severity.INFO,
        message='lint = "off" skips it',
        where=function.where,
    )


def _by_place(item: Diagnostic) -> tuple[object, ...]:
    where = item.where or Location("")
    place = (where.file, where.line or 0, where.column or 0)
    return (*place, _ORDER[item.severity], item.code, item.message)
