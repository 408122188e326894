"""Lint before a build, of the functions whose `lint` in lambdad.toml says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from lambdad.bundler.lint import builds
from lambdad.bundler.lint.run import first_builds, formatted, holders_of, of_function, run, tools
from lambdad.bundler.lint.tool import Batch
from lambdad.bundler.model import Diagnostic, Failed, Function, Method, Severity
from lambdad.bundler.store import freshness, record
from lambdad.bundler.workshop import Workshop

LEVELS: Final = {"warn": Severity.WARNING, "error": Severity.ERROR}
"""What `lint` makes of errors and warnings."""


@dataclass(frozen=True, slots=True)
class GateFindings:
    """What lint finds before a build."""

    by_function: Mapping[str, tuple[Diagnostic, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """With the severity that the function's `lint` gives them."""
    machine_fault: bool = False
    """Something on this machine kept a tool from its work."""


def findings(functions: Sequence[Function], workshop: Workshop) -> GateFindings:
    """The findings of those functions whose `lint` asks for them.

    Tools of the project's own run: a build runs them anyway. What the build will report is
    not among the findings.
    """
    asked = [function for function in functions if function.lint in LEVELS]
    if not asked:
        return GateFindings()
    bundles = [function for function in asked if function.method is Method.ESBUILD]
    first_builds(bundles, workshop, trusted=True)  # the build that follows reports what is wrong
    holders, _walked = holders_of(asked, workshop)
    batch = Batch(
        files=tuple(sorted(holders)),
        holders=holders,
        trusted=True,
        formatting=formatted(holders, False),
        building=True,
    )
    found = run([tool for tool in tools() if tool is not builds.TOOL], batch, workshop)
    told = {}
    for function in asked:
        level = LEVELS[function.lint or "warn"]
        told[function.name] = tuple(
            item if item.severity is Severity.INFO else replace(item, severity=level)
            for item in (*found.failed, *of_function(function, batch, found))
        )
    return GateFindings(told, found.machine_fault)


def refuses(items: Sequence[Diagnostic]) -> bool:
    """Whether the findings keep a function from being built."""
    return any(item.severity is Severity.ERROR for item in items)


def failed(
    function: Function,
    items: Sequence[Diagnostic],
    workshop: Workshop,
    *,
    machine_fault: bool = False,
) -> Failed:
    """What a function comes to whose findings keep it from being built; the last zip stays."""
    state = workshop.state()
    artifact, _live = freshness.last_good(state.project, record.load(state.record(function.name)))
    return Failed(
        name=function.name,
        function=function,
        artifact=artifact,
        diagnostics=(*function.notes, *items),
        machine_fault=machine_fault,
    )
