"""`lambdad build`: zips for all functions, or for those named."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import click

from lambdad.bundler import build
from lambdad.bundler.model import Function, NotBuilt, Outcome, Project, Want
from lambdad.bundler.report.render import diagnostic_json, document, outcome_json
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.daemon.cli import last_answer
from lambdad.daemon.cli import project as projects
from lambdad.daemon.cli.gated import gate
from lambdad.daemon.client import asking
from lambdad.daemon.terminal.answer import Results
from lambdad.daemon.wire.address import NoDaemon, address, identity, read_note


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

Exit code: 0 all are built; 1 a function failed or was refused; 2 usage or the machine.""",
)
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@projects.options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--verbose", "-v", is_flag=True, help="Show why each function was built.")
@click.option("--locked", is_flag=True, help="Refuse Python dependencies that no lock pins.")
@click.option(
    "--verify",
    type=click.Choice(["stat", "hash"]),
    default="stat",
    show_default=True,
    help="What proves that a function is unchanged: the size, times and inode of its files, or a "
    "new build of it.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing; use what the store has.")
@click.option("--no-daemon", is_flag=True, help="Build in this process even if a daemon runs.")
def command(
    functions: tuple[str, ...],
    place: projects.CommandPlace,
    **flags: bool | str,
) -> int:
    """Build FUNCTIONs (all by default) into zips that Lambda takes."""
    started_s = time.monotonic()
    kept = last_answer.begin(place.project or os.getcwd())
    as_json, verbose = bool(flags["as_json"]), bool(flags["verbose"])
    app = projects.read(place)
    wanted, not_built = projects.select(app, functions)
    locked = bool(flags["locked"])
    with Results(
        app.root, as_json=as_json, verbose=verbose, names=projects.names_of(app), news_only=True
    ) as results:
        results.diagnostics(map(diagnostic_json, app.diagnostics))
        gated = gate(app, wanted, results, offline=bool(flags["offline"]))
        wanted = list(filter(gated.lets, wanted))
        told = None
        # What only this command line or its environment says, a daemon does not know.
        plain = not (flags["offline"] or flags["verify"] == "hash") and is_plain(app, place)
        if plain and not flags["no_daemon"] and (wanted or not_built):
            names = [*(item.name for item in not_built), *(item.name for item in wanted)]
            told = ask_daemon(app.root, names, results, locked=locked, quiet=as_json)
        if told is None:
            told = build_here(
                app,
                wanted,
                not_built,
                results,
                locked=locked,
                force=flags["verify"] == "hash",
                offline=bool(flags["offline"]),
            )
        gated.add_to(told)
        order = {item.name: index for index, item in enumerate(app.functions)}
        told["functions"].sort(key=lambda item: order.get(item["name"], len(order)))
        code = results.end(told, time.monotonic() - started_s)
    if plain and not locked and not any(item.lint in ("warn", "error") for item in wanted):
        last_answer.keep(kept, app, functions, wanted, told)
    return code


def is_plain(app: Project, place: projects.CommandPlace) -> bool:
    """Whether a daemon reads the project as this command line does."""
    return not (app.environ or place.says_more)


def build_here(
    app: Project,
    wanted: Sequence[Function],
    not_built: Sequence[NotBuilt],
    results: Results,
    *,
    want: Want = Want.ZIP,
    locked: bool = False,
    force: bool = False,
    offline: bool = False,
) -> dict[str, Any]:
    """The answer of a build in this process; each function is shown as it is done."""
    outcomes: list[Outcome] = []

    def show(outcome: Outcome) -> None:
        outcomes.append(outcome)
        results.function(outcome_json(outcome))

    for refused in not_built:
        show(refused.outcome)
    workshop = projects.workshop_for(app, say=results.say, offline=offline)
    build.build(wanted, workshop, Upkeep(app), want=want, locked=locked, force=force, shown=show)
    return document(outcomes, app.diagnostics)


def ask_daemon(
    root: str,
    names: Sequence[str],
    results: Results,
    *,
    locked: bool = False,
    quiet: bool = False,
    start: bool = False,
    timeout_s: float | None = None,
) -> dict[str, Any] | None:
    """The answer of a daemon that runs and is like this process; None if there is none, and none
    is to start."""
    note = read_note(address(root, os.environ))
    if not start and (note is None or note.get("identity") != identity(os.environ)):
        return None
    body: dict[str, Any] = {"functions": list(names) or "all", "want": "zip", "locked": locked}
    limit_s = None
    if timeout_s is not None:
        body["timeout_s"] = timeout_s
        limit_s = timeout_s + asking.LATE_S
    hear = None if quiet else results.hear
    try:
        status, told = asking.request(
            root, "POST", "/v1/fresh", body, limit_s, start=start, hear=hear
        )
    except NoDaemon as fault:
        if start:
            results.clear()
            sys.stderr.write(f"no daemon ({fault}): building without one\n")
        return None
    finally:
        results.clear()
    if status != HTTPStatus.OK:
        return None
    # As a build here shows them: what is built comes after what is known at once.
    for item in sorted(
        told["functions"], key=lambda item: "runtime" in item and not item["cached"]
    ):
        results.function(item)
    return told
