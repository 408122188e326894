"""`lambdad fresh` where its options are not the plain ones, and where no daemon can be had.

The usual way is daemon/client/fresh.py's: the same options, without an argument parser to load.
"""

from __future__ import annotations

import click

from lambdad.bundler.model import Want
from lambdad.bundler.report.render import diagnostic_json
from lambdad.daemon.cli import project as projects
from lambdad.daemon.cli.build import ask_daemon, build_here
from lambdad.daemon.cli.gated import Gated, gate
from lambdad.daemon.client import fresh
from lambdad.daemon.terminal.answer import Results


@click.command(
    "fresh",
    epilog="""The command returns once each function is built from its files as they are now,
or later: no build in the answer is older than a save that was finished before it began. If no
daemon answers, this process builds, and says so. With --template, --parameter, --opt or --stage
this process always builds: a daemon builds what the project's own files declare.

\b
Examples:
  lambdad fresh ListNotes              something to load on this machine
  lambdad fresh --want zip             zips of all functions
  lambdad fresh ListNotes --json       for programs: one JSON document on stdout

Exit code: 0 all are fresh; 1 a function failed or was refused; 2 usage, the machine, or the
time was up.""",
)
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@projects.options
@click.option(
    "--want",
    type=click.Choice(["live", "zip"]),
    default="live",
    show_default=True,
    help="Something to load on this machine, or a zip for Lambda.",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Answer after this time, even if builds are still running.",
)
@click.option("--locked", is_flag=True, help="Refuse Python dependencies that no lock pins.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--verbose", "-v", is_flag=True, help="Show why each function was built.")
@click.option("--no-daemon", is_flag=True, help="Build in this process, without time-out.")
def command(
    functions: tuple[str, ...],
    place: projects.CommandPlace,
    want: str,
    timeout_s: float | None,
    **flags: bool,
) -> int:
    """Bring FUNCTIONs (all by default) up to date: the project's daemon builds what is stale.

    The daemon is started if none runs.
    """
    wanted = fresh.FreshOptions()
    wanted.named = list(functions)
    wanted.project, wanted.want, wanted.timeout_s = place.project, want, timeout_s
    wanted.locked, wanted.as_json, wanted.verbose = (
        flags[name] for name in ("locked", "as_json", "verbose")
    )
    by_daemon = not (flags["no_daemon"] or place.says_more)
    if by_daemon and not fresh.is_linted(wanted):
        code = fresh.fresh(wanted)
        if code is not None:
            return code
        by_daemon = False
    return _fresh(wanted, place, by_daemon=by_daemon)


def _fresh(wanted: fresh.FreshOptions, place: projects.CommandPlace, *, by_daemon: bool) -> int:
    """As `lambdad build` builds, whatever is wanted: zips pass its lint."""
    app = projects.read(place)
    functions, not_built = projects.select(app, wanted.named)
    names = dict.fromkeys(projects.called(app, wanted.named) or sorted(projects.names_of(app)))
    with Results(app.root, as_json=wanted.as_json, verbose=wanted.verbose, names=names) as results:
        results.diagnostics(map(diagnostic_json, app.diagnostics))
        want = Want(wanted.want)
        gated = gate(app, functions, results, offline=False) if want is Want.ZIP else Gated()
        functions = list(filter(gated.lets, functions))
        asked = [*(item.name for item in not_built), *(item.name for item in functions)]
        told = None
        if by_daemon and asked:
            told = ask_daemon(
                app.root,
                asked,
                results,
                locked=wanted.locked,
                quiet=wanted.as_json,
                start=True,
                timeout_s=wanted.timeout_s,
            )
        if told is None:
            told = build_here(app, functions, not_built, results, want=want, locked=wanted.locked)
        gated.add_to(told)
        order = {name: index for index, name in enumerate(names)}
        told["functions"].sort(key=lambda item: order[item["name"]])
        return results.end(told)
