"""`lambdad why`: what the last build took in, and what would make it stale."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from bundler import freshness, record
from bundler.freshness import Fresh
from bundler.model import BuildRequest, Function, Names, Project, Snapshot, Stems
from bundler.output import Output
from bundler.record import Record
from bundler.render import duration_text
from bundler.toolchain import current_toolchain
from daemon.cli import project as projects

SHOWN = 12


@click.command("why")
@click.argument("function")
@projects.options
@click.option("--all", "show_all", is_flag=True, help="List every input, not the first few.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    function: str,
    project: str | None,
    template: tuple[str, ...],
    parameter: tuple[str, ...],
    **flags: bool,
) -> int:
    """Tell what FUNCTION's last build took in, why it ran, and what would make it stale.

    Files count by their contents' stat keys, folders by the names in them that could matter, and
    files that were looked for and absent count too: creating one makes the function stale.
    """
    place = projects.Place(project=project, template=template, parameter=parameter)
    app = projects.read(place)
    wanted, not_built = projects.select(app, (function,))
    if not_built:
        reasons = "; ".join(item.message for item in not_built[0].diagnostics)
        click.echo(f"{function} is {not_built[0].status}: {reasons}")
        return 0 if not_built[0].status == "skipped" else 1
    known = record.load(Output(app.root).record(function))
    request = BuildRequest(function=wanted[0], toolchain=current_toolchain())
    verdict = freshness.check(app.root, request, known)
    stale = () if isinstance(verdict, Fresh) else verdict.reasons
    if flags["as_json"]:
        click.echo(json.dumps(_document(function, stale, known), indent=2))
    else:
        for line in _lines(app, wanted[0], stale, known, show_all=flags["show_all"]):
            click.echo(line)
    return 0


def _document(function: str, stale: tuple[str, ...], known: Record | None) -> dict[str, object]:
    answer: dict[str, object] = {
        "schema": 1,
        "name": function,
        "fresh": not stale,
        "stale_because": list(stale),
    }
    if known is not None:
        answer["last_build"] = {
            "succeeded": known.succeeded,
            "reasons": list(known.reasons),
            "duration_ms": round(known.duration_s * 1000, 1),
            "sha256": known.artifact.sha256 if known.artifact else None,
            "request": known.request,
            "files": sorted(path for path, key in known.inputs.files.items() if key),
            "absent": sorted(path for path, key in known.inputs.files.items() if not key),
            "symlinks": sorted(known.inputs.links),
            "folders": {
                path: _counted(listing.counted) for path, listing in known.inputs.listings.items()
            },
        }
    return answer


def _lines(
    app: Project,
    function: Function,
    stale: tuple[str, ...],
    known: Record | None,
    *,
    show_all: bool,
) -> Iterator[str]:
    yield f"{function.name} is {'stale' if stale else 'fresh'}"
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
    folders = [f"{path}/ ({_counted(item.counted)})" for path, item in inputs.listings.items()]
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


def _counted(names: Names) -> str:
    if isinstance(names, Stems):
        return ", ".join(sorted(names.names))
    left_out = f", less {', '.join(names.patterns)}" if names.patterns else ""
    return f"any name{left_out}"
