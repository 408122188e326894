"""What builds of JavaScript functions say: esbuild's messages, whether the handler is exported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from lambdad.bundler.lint.tool import Batch, Findings, Tool, broken, merged
from lambdad.bundler.model import (
    BuildRequest,
    BundlerError,
    Diagnostic,
    Function,
    Language,
    Outcome,
    RelPath,
    Want,
)
from lambdad.bundler.workshop import Workshop


def _lint(batch: Batch, workshop: Workshop) -> Findings:
    functions = [each for each in batch.functions if each.runtime.language is Language.JAVASCRIPT]
    try:
        outcomes = _built(functions, workshop) if functions else []
    except BundlerError as fault:
        return broken("esbuild", f"can't be run: {fault.message}", fault.hint or "try again")
    return merged(_by_place(outcome) for outcome in outcomes)


def _built(functions: Sequence[Function], workshop: Workshop) -> list[Outcome]:
    """Of the last builds, where they still hold; else of such as are made now, as for live use.

    Raises BundlerError.
    """
    from lambdad.bundler import build
    from lambdad.bundler.inputs.snapshot import Look
    from lambdad.bundler.store import record
    from lambdad.bundler.store.disk import disk_faults
    from lambdad.bundler.store.output import Output
    from lambdad.bundler.toolchain import current_toolchain

    output, once = Output(workshop.root), Look()
    toolchain = current_toolchain()
    repository = os.path.relpath(workshop.repository, workshop.root)
    outcomes: list[Outcome] = []
    jobs: list[build.Job] = []
    for function in functions:
        for want in (Want.ZIP, Want.LIVE):
            request = BuildRequest(
                function=function, toolchain=toolchain, repository=repository, want=want
            )
            known = record.load(output.record(function.name, want))
            found = build.look(workshop.root, request, known, once=once)
            if isinstance(found, Outcome):
                outcomes.append(found)
                break
        else:
            assert isinstance(found, build.Job)  # noqa: S101 -- else it would have been enough
            jobs.append(found)
    if jobs:
        with disk_faults():
            output.prepare()
        build.produce(jobs, workshop, output, outcomes.append)
    return outcomes


def _by_place(outcome: Outcome) -> Findings:
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
    )


def _is_source(path: RelPath) -> bool:
    from lambdad.bundler.config.check import JAVASCRIPT, TYPESCRIPT

    return path.endswith((*JAVASCRIPT, *TYPESCRIPT, ".json"))


TOOL: Final = Tool(name="esbuild", lint=_lint)
