"""`lambdad list`: the functions, where each is declared, what builds it, and its state."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import Artifact, Diagnostic, Function, NotBuilt, Project, Severity
from lambdad.bundler.report.render import diagnostic_json, location_json, status
from lambdad.bundler.report.shown import paint_for, plain, printable, size_text
from lambdad.bundler.store import freshness, record
from lambdad.bundler.store.freshness import Stale
from lambdad.bundler.store.output import artifact_json
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.toolchain import request_of
from lambdad.daemon.cli import project as projects
from lambdad.daemon.terminal.screen import show_diagnostic

if TYPE_CHECKING:
    from lambdad.bundler.report.shown import Paint

NEVER: Final = "never built"
FRAMEWORKS: Final = "framework-function"
"""Code of the diagnostic that a framework's own function has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A declared function and its state."""

    function: Function | NotBuilt
    state: str
    """fresh, stale, never built, failed, refused or skipped."""
    reasons: tuple[str, ...] = ()
    """Why it is stale."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Of one that failed, is refused or is skipped: why."""
    artifact: Artifact | None = None
    """Of the last build that succeeded, as far as it is remembered."""


@click.command(
    "list",
    epilog="""States: fresh, so that `lambdad build` has nothing to do; stale, with the first
reason; never built; failed, with nothing changed since; refused or skipped: lambdad does not build
it. Nothing is built now.

\b
Examples:
  lambdad list
  lambdad list --json | jq -r '.functions[] | select(.state == "stale") | .name'

Exit code: 0; 1 the configuration has a fault; 2 usage or machine.""",
)
@projects.options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--verbose", "-v", is_flag=True, help="List a framework's own functions, too.")
def command(place: projects.CommandPlace, **flags: bool) -> int:
    """List the functions: state, runtime, the last zip's size, and where each is declared."""
    app = projects.read(place, vouches=False)
    items = _items(app)
    ok = not any(item.severity is Severity.ERROR for item in app.diagnostics)
    if flags["as_json"]:
        click.echo(json.dumps(_document(app, items, ok=ok), indent=2))
        return 0 if ok else 1
    for fault in app.diagnostics:
        show_diagnostic(fault, app.root)
    shown = [item for item in items if flags["verbose"] or not _is_frameworks(item)]
    for line in _lines(shown, paint_for(sys.stdout)):
        click.echo(line)
    return 0 if ok else 1


def _items(app: Project) -> list[Item]:
    """Every declared function, in the order of the files that declare them."""
    saved, once = projects.state_of(app), Look()
    found = [_item(app, function, saved, once) for function in app.functions]
    found += [
        Item(function=other, state=status(other.outcome), diagnostics=other.diagnostics)
        for other in app.not_built
    ]
    return sorted(found, key=lambda item: _declared(item.function))


def _item(app: Project, function: Function, saved: ProjectState, once: Look) -> Item:
    known = record.load(saved.record(function.name))
    if known is None:
        return Item(function=function, state=NEVER)
    verdict = freshness.check(saved.project, request_of(app, function), known, once)
    if isinstance(verdict, Stale):
        state, reasons = "stale", verdict.reasons
    else:
        state, reasons = "fresh" if known.succeeded else "failed", ()
    return Item(
        function=function,
        state=state,
        reasons=reasons,
        diagnostics=known.diagnostics if state == "failed" else (),
        artifact=known.artifact,
    )


def _declared(function: Function | NotBuilt) -> tuple[str, int, int, str]:
    where = function.where
    return where.file, where.line or 0, where.column or 0, function.name


def _is_frameworks(item: Item) -> bool:
    return any(told.code == FRAMEWORKS for told in item.diagnostics)


# --- for people ------------------------------------------------------------------------------


def _lines(items: Iterable[Item], paint: Paint) -> Iterator[str]:
    header = ("FUNCTION", "STATE", "BUILT WITH", "ZIP", "DECLARED AT")
    rows = [(item, _cells(item)) for item in items]
    if not rows:
        return
    widths = [max(len(row[at]) for row in (header, *(r for _, r in rows))) for at in range(5)]
    yield paint(_row(header, widths).rstrip(), "dim")
    for item, cells in rows:
        line = _row(cells, widths, paint)
        yield f"{line}  {printable(_why(item))}".rstrip()


_STYLES: Final = {"fresh": "built", "stale": "warning", "failed": "failed", "refused": "refused"}


def _row(cells: Sequence[str], widths: Sequence[int], paint: Paint = plain) -> str:
    name, state, built_with, size, where = cells
    told = paint(f"{state:<{widths[1]}}", _STYLES.get(state, "dim"))
    return (
        f"{printable(name):<{widths[0]}}  {told}  {printable(built_with):<{widths[2]}}  "
        f"{size:>{widths[3]}}  {printable(where):<{widths[4]}}"
    )


def _cells(item: Item) -> tuple[str, str, str, str, str]:
    function = item.function
    built_with = "-"
    if isinstance(function, Function):
        built_with = (
            f"{function.method.value} {function.runtime.name} {function.architecture.value}"
        )
    size = size_text(item.artifact.size) if item.artifact is not None else "-"
    where = f"{function.where.file}:{function.where.line or 1}"
    return function.name, item.state, built_with, size, where


def _why(item: Item) -> str:
    """The first reason, in a line."""
    reasons = item.reasons or [told.message for told in item.diagnostics if _tells(item, told)]
    return reasons[0] if reasons else ""


def _tells(item: Item, told: Diagnostic) -> bool:
    return item.state != "failed" or told.severity is Severity.ERROR


# --- for programs ----------------------------------------------------------------------------


def _document(app: Project, items: Iterable[Item], *, ok: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "ok": ok,
        "diagnostics": [diagnostic_json(item) for item in app.diagnostics],
        "functions": [_item_json(item) for item in items],
    }


def _item_json(item: Item) -> dict[str, Any]:
    function = item.function
    answer: dict[str, Any] = {
        "name": function.name,
        "state": item.state.replace(" ", "-"),
        "where": location_json(function.where),
        "reasons": list(item.reasons),
    }
    if isinstance(function, Function):
        answer |= {
            "method": function.method.value,
            "runtime": function.runtime.name,
            "architecture": function.architecture.value,
            "handler": function.handler.text,
            "code": function.code,
        }
    if item.artifact is not None:
        answer["artifact"] = dict(artifact_json(item.artifact))
    answer["diagnostics"] = [diagnostic_json(told) for told in item.diagnostics]
    return answer
