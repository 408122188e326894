"""Python: ruff's findings, and what would fail when Lambda loads or calls the handler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from lambdad.bundler.inputs import tree
from lambdad.bundler.lint import graph, imports, installed, modules, ruff, signature, tool, unused
from lambdad.bundler.lint.graph import OwnCode
from lambdad.bundler.lint.installed import InstalledModules
from lambdad.bundler.lint.ruff_run import SYNTAX
from lambdad.bundler.lint.tool import Batch, Findings, Tool
from lambdad.bundler.model import (
    BundlerError,
    Diagnostic,
    Function,
    Language,
    Location,
    ProjectError,
    RelPath,
    Severity,
)
from lambdad.bundler.python import handler, package
from lambdad.bundler.python.handler import module_file
from lambdad.bundler.python.syntax import Module, parse
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop

ENDINGS: Final = (".py", ".pyi")


def lint(batch: Batch, workshop: Workshop) -> Findings:
    """What ruff says of the batch's Python files, and what Lambda would say of the functions."""
    files = [path for path in batch.files if path.endswith(ENDINGS)]
    checked = [
        _check(function, batch, workshop)
        for function in batch.functions
        if function.runtime.language is Language.PYTHON
    ]
    found = ruff.lint(batch, files, workshop)
    return tool.merged([found, *(_news(one, found) for one in checked)])


TOOL: Final = Tool(name="python", lint=lint)


def _news(checked: Findings, found: Findings) -> Findings:
    """Without the syntax errors of files that ruff has read: it says more of them."""
    kept = {
        path: tuple(item for item in items if not _is_told(item, found.files.get(path)))
        for path, items in checked.files.items()
    }
    return replace(checked, files=kept)


def _is_told(item: Diagnostic, by_ruff: Sequence[Diagnostic] | None) -> bool:
    if by_ruff is None:
        return False
    if item.code == "syntax-unchecked":  # ruff knows that version
        return True
    return item.code == "syntax-error" and any(
        told.code in (SYNTAX, "E999", "syntax-error") for told in by_ruff
    )


def _check(function: Function, batch: Batch, workshop: Workshop) -> Findings:
    request = request_of(workshop, function)
    try:
        walked = package.own_tree(request, workshop)
        own = OwnCode.of({file.name: file for file in walked.files})
        known = _installed(function, batch, workshop)
        found = _by_place(function, _faults(function, own, known, batch, workshop))
        return found if known is not None else replace(found, pending=frozenset((function.name,)))
    except ProjectError as fault:  # as a build reports it
        return _by_place(function, () if batch.building else fault.diagnostics)


def _faults(
    function: Function,
    own: OwnCode,
    known: InstalledModules | None,
    batch: Batch,
    workshop: Workshop,
) -> Iterable[Diagnostic]:
    """Raises ProjectError."""
    names = known.names if known is not None else frozenset[str]()
    for item in () if batch.building else handler.check(function, own.files, names, workshop):
        # While the dependencies are unknown, one of them may have the handler.
        if known is not None or item.code != "missing-handler-file":
            yield item
    start = module_file(function.handler.module, own.files)
    if start is not None and function.handler.export is not None:
        content = tree.read(workshop.seen, own.files[start])
        yield from _called(content, own.files[start].path, function, workshop)
        reached = graph.reached(function, own, start, workshop)
        yield from modules.check(function, own, reached, known, workshop)
    if batch.hints and known is not None:
        request = request_of(workshop, function)
        yield from unused.check(request, own, known, workshop)
    elif batch.hints:
        yield _unchecked(function)


def _installed(function: Function, batch: Batch, workshop: Workshop) -> InstalledModules | None:
    try:
        return installed.find(function, workshop, resolve=batch.building)
    except (ProjectError, BundlerError):  # the build that follows reports it
        return None


def _called(
    content: bytes, path: RelPath, function: Function, workshop: Workshop
) -> Iterable[Diagnostic]:
    body, name = imports.parsed(content), function.handler.export
    module = parse(content, function.runtime.version, workshop.environ)
    if body is not None and name and isinstance(module, Module) and module.is_certain:
        fault = signature.check(body, name, path)
        yield from () if fault is None else (fault,)


def _unchecked(function: Function) -> Diagnostic:
    return Diagnostic(
        code="imports-unchecked",
        severity=Severity.INFO,
        message="its dependencies are not known before its first build: "
        "imports of them were not checked",
        where=function.where,
        hint=f"run `lambdad build {function.name}` once",
    )


def _by_place(function: Function, diagnostics: Iterable[Diagnostic]) -> Findings:
    """Faults of Python files are those files'; of others they are the function's."""
    files: dict[RelPath, list[Diagnostic]] = {}
    rest: list[Diagnostic] = []
    for item in diagnostics:
        where = item.where or Location("")
        (files.setdefault(where.file, []) if where.file.endswith(ENDINGS) else rest).append(item)
    return Findings(
        files={path: tuple(found) for path, found in files.items()},
        functions={function.name: tuple(rest)} if rest else {},
    )
