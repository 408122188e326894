"""Lint before a build, of the functions whose `lint` in lambdad.toml says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from lambdad.bundler.lint import builds
from lambdad.bundler.lint.run import first_builds, formatted, holders_of, of_function, run, tools
from lambdad.bundler.lint.tool import Batch
from lambdad.bundler.model import Diagnostic, Failed, Function, Method, Severity
from lambdad.bundler.store import record
from lambdad.bundler.workshop import Workshop

LEVELS: Final = {"warn": Severity.WARNING, "error": Severity.ERROR}
"""What `lint` makes of errors and warnings."""


def findings(
    functions: Sequence[Function], workshop: Workshop
) -> Mapping[str, tuple[Diagnostic, ...]]:
    """By the function's name, with the severity that its `lint` gives them.

    Tools of the project's own run: who builds it has it run already. What the build will tell is
    not among the findings.
    """
    asked = [function for function in functions if function.lint in LEVELS]
    if not asked:
        return {}
    bundles = [function for function in asked if function.method is Method.ESBUILD]
    first_builds(bundles, workshop, trusted=True)  # the build to come tells what is wrong
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
    return told


def refuses(items: Sequence[Diagnostic]) -> bool:
    """Whether the findings keep a function from being built."""
    return any(item.severity is Severity.ERROR for item in items)


def failed(function: Function, items: Sequence[Diagnostic], workshop: Workshop) -> Failed:
    """What a function comes to whose findings keep it from being built; the last zip stays."""
    known = record.load(workshop.state().record(function.name))
    return Failed(
        name=function.name,
        function=function,
        artifact=known.artifact if known is not None else None,
        diagnostics=(*function.notes, *items),
    )
