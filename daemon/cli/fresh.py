"""`lambdad fresh` where its options are not the plain ones, and where no daemon can be had.

The usual way is daemon/client.py's: the same options, without an argument parser to load.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from bundler.model import BundlerError, Outcome
from bundler.render import document
from daemon import client
from daemon.cli import answer
from daemon.cli import project as projects


@click.command(
    "fresh",
    epilog="""Answers once what it names was built from files as they are now, or later: an answer
never holds a build older than a save that was finished before. If no daemon can be had, this
process builds, and says so.

\b
Examples:
  lambdad fresh ListNotes              something to load on this machine
  lambdad fresh --want zip             zips of all functions
  lambdad fresh ListNotes --json       for programs: one JSON document on stdout

Exit code: 0 all fresh; 1 a function failed or was refused; 2 usage, machine, or time was up.""",
)
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@click.option(
    "--project",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder. [default: found from here upwards]",
)
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
    help="Answer after so long, whatever is still being built.",
)
@click.option("--locked", is_flag=True, help="Refuse Python dependencies that no lock pins.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--verbose", "-v", is_flag=True, help="Tell why each function was built.")
@click.option("--no-daemon", is_flag=True, help="Build in this process, without time-out.")
def command(
    functions: tuple[str, ...],
    project: str | None,
    want: str,
    timeout_s: float | None,
    **flags: bool,
) -> int:
    """Have FUNCTIONs (all by default) fresh: the project's daemon builds what is stale.

    The daemon is started if none runs.
    """
    wanted = client.Wanted()
    wanted.functions = list(functions)
    wanted.project, wanted.want, wanted.timeout_s = project, want, timeout_s
    wanted.locked, wanted.as_json, wanted.verbose = (
        flags[name] for name in ("locked", "as_json", "verbose")
    )
    if not flags["no_daemon"]:
        code = client.fresh(wanted)
        if code is not None:
            return code
    return build_here(wanted)


def build_here(wanted: client.Wanted) -> int:
    """The daemon's own builds, in this process."""
    from daemon.builds import Builds
    from daemon.schedule import Key

    place = projects.Place(project=wanted.project, template=(), parameter=())
    root = projects.read(place).root
    builds = Builds(root, dict(os.environ))
    outcomes: dict[str, Outcome] = {}
    try:
        project = builds.project()
        names = _chosen(projects.names_of(project), wanted.functions)
        keys = [Key(name, wanted.want, wanted.locked) for name in names]
        builds.build(keys, lambda key, outcome: outcomes.update({key.function: outcome}))
    finally:
        builds.close()
    found = [outcomes[name] for name in names]
    code = answer.show(
        document(found, project.diagnostics),
        root,
        as_json=wanted.as_json,
        verbose=wanted.verbose,
    )
    return 2 if any(outcome.machine_fault for outcome in found) else code


def _chosen(known: Sequence[str], asked: Sequence[str]) -> list[str]:
    if unknown := [name for name in asked if name not in known]:
        raise BundlerError(
            "unknown-function",
            f"no function is called {', '.join(unknown)}",
            f"there {'is' if len(known) == 1 else 'are'}: {', '.join(sorted(known)) or 'none'}",
        )
    return list(dict.fromkeys(asked)) or sorted(known)
