"""`lambdad save` where its options are not the plain ones, and where no daemon can be had.

The usual way is daemon/client/save.py's: the same options, without an argument parser to load.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import click

from lambdad.bundler import build
from lambdad.bundler.model import Outcome, Project, Want
from lambdad.bundler.report.render import document
from lambdad.bundler.store import record
from lambdad.bundler.store.record import Record
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.trust import is_trusted
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.cli import project as projects
from lambdad.daemon.client import save
from lambdad.daemon.linting.save_lint import batch_of, findings_json, quick
from lambdad.daemon.serving.holders import saved, touched
from lambdad.daemon.serving.schedule import Key


@click.command(
    "save",
    epilog="""Up to 8 of the functions that use the files are rebuilt, those requested lately first.
Findings are printed on stdout, one a line: path:line:column: severity[code] message. Linters and
type checkers that are installed in the project run in the background: the next save reports what
they found, and the daemon's events report it as it comes. A file that no function uses is skipped.

\b
Examples:
  lambdad save src/list.ts             after an editor wrote it, removed or renamed it
  lambdad save --json a.py b.py        for programs: one JSON document on stdout

Exit code: 0 no errors; 1 an error among the findings, or a function failed; 2 usage or machine.""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--project",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder. [default: found from each file upwards]",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Answer after this time, even if builds are still running.",
)
@click.option(
    "--trust",
    "trusted",
    is_flag=True,
    help="The project's own tools may run: linters, package builds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--no-daemon", is_flag=True, help="Build in this process, without time-out.")
def command(files: tuple[str, ...], **given: Any) -> int:
    """Rebuild and lint what FILEs touch, for an editor that has just saved them."""
    told = save.SaveOptions()
    told.named = list(files)
    told.project, told.timeout_s = given["project"], given["timeout_s"]
    told.as_json, told.trusted = given["as_json"], given["trusted"]
    if not given["no_daemon"]:
        code = save.save(told)
        if code is not None:
            return code
    places = save.by_project(files, told.project)
    answers = [
        (root, _save_here(root, some, trusted=told.trusted)) for root, some in places.items()
    ]
    return save.show(answers, files, as_json=told.as_json)


def _save_here(root: str, files: list[str], *, trusted: bool) -> dict[str, Any]:
    """As the daemon answers, but for the linters of the background. Raises BundlerError."""
    app = projects.read(projects.CommandPlace(project=root), vouches=False)
    trusted = trusted or is_trusted(app.root, os.environ)
    workshop = replace(projects.workshop_for(app), trusted=trusted)
    state = workshop.state()

    def recorded(key: Key) -> Record | None:
        return record.load(state.record(key.function, key.want))

    named = [saved(app.root, path) for path in files]
    held = touched(app, named, recorded, lately=(), declared={})
    outcomes = _built(app, held.keys, workshop)
    answer = document(outcomes, () if held.is_silent else app.diagnostics)
    if held.stale:
        answer["stale"] = len(held.stale)
    if batch := batch_of(held.holders, trusted=trusted):
        answer |= findings_json(quick(batch, workshop), outcomes)
    return answer


def _built(app: Project, keys: tuple[Key, ...], workshop: Workshop) -> list[Outcome]:
    """Raises BundlerError."""
    outcomes: list[Outcome] = []
    functions = {function.name: function for function in app.functions}
    for want in Want:
        names = [key.function for key in keys if key.want is want]
        wanted = [functions[name] for name in names if name in functions]
        outcomes += build.build(wanted, workshop, Upkeep(app), want=want) if wanted else []
        refused = [item for item in app.not_built if item.name in names]
        outcomes += [item.outcome for item in refused]
    return outcomes
