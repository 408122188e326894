"""`lambdad build`: zips for all functions, or for those named."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import click

from bundler import build
from bundler.model import Diagnostic, Outcome, Project, Severity
from bundler.render import document, is_ok, outcome_json
from bundler.shown import duration_text, function_line, paint_for
from daemon import client
from daemon.address import NoDaemon, address, identity, read_note
from daemon.cli import answer
from daemon.cli import project as projects
from daemon.cli.screen import Progress, show_diagnostic


@click.command(
    "build",
    epilog="""Zips land in .lambdad/build/, with manifest.json beside them. A function whose inputs
did not change is not built again. One that fails leaves its last good zip in place, and stops no
other function.

\b
Examples:
  lambdad build                        all functions of the app in this folder
  lambdad build ListNotes --verbose    one, with the reason why it was built
  lambdad build --json                 for programs: one JSON document on stdout

Exit code: 0 all built; 1 a function failed or was refused; 2 usage or machine.""",
)
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@projects.options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--verbose", "-v", is_flag=True, help="Tell why each function was built.")
@click.option("--locked", is_flag=True, help="Refuse Python dependencies that no lock pins.")
@click.option(
    "--verify",
    type=click.Choice(["stat", "hash"]),
    default="stat",
    show_default=True,
    help="What proves a function unchanged: its files' stat keys, or a build of their contents.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing; use what the store has.")
@click.option("--no-daemon", is_flag=True, help="Build in this process even if a daemon runs.")
def command(
    functions: tuple[str, ...],
    project: str | None,
    template: tuple[str, ...],
    parameter: tuple[str, ...],
    **flags: bool | str,
) -> int:
    """Build FUNCTIONs (all by default) into zips that Lambda takes."""
    started_s = time.monotonic()
    as_json, verbose = bool(flags["as_json"]), bool(flags["verbose"])
    place = projects.Place(project=project, template=template, parameter=parameter)
    app = projects.read(place)
    wanted, not_built = projects.select(app, functions)
    # What only this command line says, a daemon does not know.
    plain = not (template or parameter or flags["offline"] or flags["verify"] == "hash")
    if plain and not flags["no_daemon"]:
        told = _ask_daemon(app.root, functions, locked=bool(flags["locked"]))
        if told is not None:
            return answer.show(told, app.root, as_json=as_json, verbose=verbose)
    with Progress(quiet=as_json) as progress:
        show = _Results(app, progress, quiet=as_json, verbose=verbose)
        for item in app.diagnostics:
            show.project_diagnostic(item)
        for refused in not_built:
            show.outcome(build.not_built(refused))
        build.build(
            app,
            wanted,
            projects.workshop_for(app, say=progress.say, offline=bool(flags["offline"])),
            locked=bool(flags["locked"]),
            force=flags["verify"] == "hash",
            done=show.outcome,
        )
    return show.end(time.monotonic() - started_s)


def _ask_daemon(root: str, functions: Sequence[str], *, locked: bool) -> Mapping[str, Any] | None:
    """The answer of a daemon that runs and is like this process; None if there is none."""
    note = read_note(address(root, os.environ))
    if note is None or note.get("identity") != identity(os.environ):
        return None
    body = {"functions": list(functions) or "all", "want": "zip", "locked": locked}
    try:
        status, told = client.request(root, "POST", "/v1/fresh", body, start=False)
    except NoDaemon:
        return None
    return told if status == HTTPStatus.OK else None


class _Results:
    """Shows each outcome as it comes, and sums up."""

    def __init__(self, app: Project, progress: Progress, *, quiet: bool, verbose: bool) -> None:
        self._app = app
        self._progress = progress
        self._quiet = quiet
        self._verbose = verbose
        self._outcomes: list[Outcome] = []
        self._told: set[Diagnostic] = set()
        self._held_back = 0
        self._width = max((len(name) for name in projects.names_of(app)), default=0)

    def project_diagnostic(self, item: Diagnostic) -> None:
        if not self._quiet:
            show_diagnostic(item, self._app.root)

    def outcome(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        if self._quiet:
            return
        self._progress.clear()
        line = function_line(outcome_json(outcome), self._width, paint_for(sys.stdout))
        print(line, flush=True)
        for reason in outcome.reasons if self._verbose else ():
            print(f"    because {reason}", file=sys.stderr)
        self._diagnostics(outcome)

    def _diagnostics(self, outcome: Outcome) -> None:
        if outcome.status == "skipped" and not self._verbose:
            return  # its line says why
        for item in outcome.diagnostics:
            if item in self._told:  # functions of one folder share their faults
                continue
            self._told.add(item)
            if outcome.cached and item.severity is not Severity.ERROR and not self._verbose:
                self._held_back += 1  # it was told when that was built
            else:
                show_diagnostic(item, self._app.root, outcome.name)

    def end(self, took_s: float) -> int:
        order = {item.name: index for index, item in enumerate(self._app.functions)}
        outcomes = sorted(self._outcomes, key=lambda item: order.get(item.name, len(order)))
        if self._quiet:
            print(json.dumps(document(outcomes, self._app.diagnostics), indent=2))
            return self._code(outcomes)
        if self._held_back:
            told = f"{self._held_back} earlier warning{'s' if self._held_back > 1 else ''}"
            print(f"{told} of unchanged functions: --verbose shows them", file=sys.stderr)
        if self._verbose or len(outcomes) > 1:
            print(_summary(outcomes, took_s), file=sys.stderr)
        return self._code(outcomes)

    def _code(self, outcomes: list[Outcome]) -> int:
        if any(outcome.machine_fault for outcome in outcomes):
            return 2
        return 0 if is_ok(outcomes, self._app.diagnostics) else 1


def _summary(outcomes: list[Outcome], took_s: float) -> str:
    counts = {"unchanged": sum(1 for item in outcomes if item.status == "built" and item.cached)}
    for outcome in outcomes:
        if not (outcome.status == "built" and outcome.cached):
            counts[outcome.status] = counts.get(outcome.status, 0) + 1
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()) if count)
    return f"{told or 'no functions'} in {duration_text(took_s)}"
