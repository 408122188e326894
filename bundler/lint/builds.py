"""What builds of JavaScript functions say: esbuild's messages, whether the handler is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lambdad.bundler.lint.tool import Batch, Findings, Tool, by_machine, merged
from lambdad.bundler.model import (
    BuildResult,
    BundlerError,
    Diagnostic,
    Failed,
    Function,
    Language,
    RelPath,
    Want,
)
from lambdad.bundler.workshop import Workshop


def _lint(batch: Batch, workshop: Workshop) -> Findings:
    functions = [each for each in batch.functions if each.runtime.language is Language.JAVASCRIPT]
    try:
        outcomes = _built(functions, workshop) if functions else []
    except BundlerError as fault:
        return by_machine("esbuild", fault)
    return merged(_by_place(outcome) for outcome in outcomes)


def _built(functions: Sequence[Function], workshop: Workshop) -> list[BuildResult]:
    """Of the last builds, where they still hold; else of such as are made now, as for live use.

    Raises BundlerError.
    """
    from lambdad.bundler import build
    from lambdad.bundler.inputs.snapshot import Look
    from lambdad.bundler.toolchain import request_of

    state, once = workshop.state(), Look()
    fresh: list[BuildResult] = []
    others: list[Function] = []
    for function in functions:
        known = build.recorded(state, function.name, Want.ZIP, workshop.memory)
        found = build.look(state.project, request_of(workshop, function), known, once=once, most=1)
        if isinstance(found, BuildResult):
            fresh.append(found)
        else:
            others.append(function)
    return [*fresh, *(build.build(others, workshop, want=Want.LIVE) if others else ())]


def _by_place(outcome: BuildResult) -> Findings:
    files: dict[RelPath, list[Diagnostic]] = {}
    rest: list[Diagnostic] = []
    for item in outcome.diagnostics:
        if item.where is not None and _is_source(item.where.file):
            files.setdefault(item.where.file, []).append(item)
        else:
            rest.append(item)
    return Findings(
        files={path: tuple(found) for path, found in files.items()},
        functions={outcome.name: tuple(rest)} if rest else {},
        machine_fault=isinstance(outcome, Failed) and outcome.machine_fault,
    )


def _is_source(path: RelPath) -> bool:
    from lambdad.bundler.config.check import JAVASCRIPT, TYPESCRIPT

    return path.endswith((*JAVASCRIPT, *TYPESCRIPT, ".json"))


TOOL: Final = Tool(name="esbuild", lint=_lint)
