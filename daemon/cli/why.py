"""`lambdad why`: what the last build took in, and what would make it stale."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from lambdad.bundler.model import Function, Project, Skipped, Snapshot
from lambdad.bundler.report.explain import counted_text, document, stale_because
from lambdad.bundler.report.render import status
from lambdad.bundler.report.shown import duration_text, printable
from lambdad.bundler.store import record
from lambdad.bundler.store.record import Record
from lambdad.daemon.cli import project as projects

SHOWN = 12


@click.command("why")
@click.argument("function")
@projects.options
@click.option("--all", "show_all", is_flag=True, help="List every input, not the first few.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    function: str,
    place: projects.CommandPlace,
    **flags: bool,
) -> int:
    """Show the inputs of FUNCTION's last build, why it ran, and what would make it stale.

    A file counts by its size, times and inode, a folder by the names in it that can matter. A file
    that the build looked for and did not find counts, too: creating it makes the function stale.
    """
    app = projects.read(place, vouches=False)
    wanted, not_built = projects.select(app, (function,))
    if not_built:
        outcome = not_built[0].outcome
        reasons = "; ".join(item.message for item in outcome.diagnostics)
        click.echo(printable(f"{function} is {status(outcome)}: {reasons}"))
        return 0 if isinstance(outcome, Skipped) else 1
    known = record.load(projects.state_of(app).record(wanted[0].name))
    stale = stale_because(app, wanted[0], known)
    if flags["as_json"]:
        click.echo(json.dumps(document(function, stale, known), indent=2))
    else:
        for line in _lines(app, wanted[0], stale, known, show_all=flags["show_all"]):
            click.echo(printable(line))
    return 0


def _lines(
    app: Project,
    function: Function,
    stale: tuple[str, ...],
    known: Record | None,
    *,
    show_all: bool,
) -> Iterator[str]:
    failed = known is not None and not known.succeeded
    fresh = "unchanged since it failed" if failed else "fresh"
    yield f"{function.name} is {'stale' if stale else fresh}"
    for reason in stale:
        yield f"  because {reason}"
    yield f"  declared at {function.where.file}:{function.where.line or 1}"
    yield (
        f"  {function.method.value} build of {function.code} for {function.runtime.name} "
        f"on {function.architecture.value}"
    )
    if known is None:
        return
    ending = "succeeded" if known.succeeded else "failed"
    yield f"last build: {ending} in {duration_text(known.duration_s)}"
    for reason in known.reasons:
        yield f"  because {reason}"
    yield from _input_lines(known.inputs, len(known.inputs.files) if show_all else SHOWN)


def _input_lines(inputs: Snapshot, most: int) -> Iterator[str]:
    present = [path for path, key in inputs.files.items() if key is not None]
    absent = [path for path, key in inputs.files.items() if key is None]
    folders = [f"{path}/ ({counted_text(item.counted)})" for path, item in inputs.listings.items()]
    for title, items in (
        ("would be stale if one of these files changed", present),
        ("... or one of these appeared", absent),
        ("... or one of these symlinks led elsewhere", list(inputs.links)),
        ("... or in these folders a name that counts came or went", folders),
    ):
        if items:
            yield f"{title}: {len(items)}"
            yield from (f"  {item}" for item in sorted(items)[:most])
            if len(items) > most:
                yield f"  and {len(items) - most} more (--all lists them)"
