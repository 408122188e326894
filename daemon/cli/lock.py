"""`lambdad lock`: pins Python dependencies, with hashes."""

from __future__ import annotations

import click

from lambdad.bundler.model import BundlerError, ProjectError
from lambdad.bundler.toolchain import current_toolchain
from lambdad.daemon.cli import project as projects
from lambdad.daemon.terminal.screen import Progress, show_diagnostic


@click.command(
    "lock",
    epilog="""For a requirements.in, pip-tools writes requirements.txt; for a plain
requirements.txt, uv writes pylock.toml (PEP 751). Projects of uv, Poetry and pipenv are locked by
their own tools. Commit what is written: then every machine builds the same bytes, and
`lambdad build --locked` fails where it could not.""",
)
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@projects.options
def command(
    functions: tuple[str, ...],
    place: projects.CommandPlace,
) -> int:
    """Pin the Python dependencies of FUNCTIONs (all by default), with hashes.

    They are resolved for Lambda's Python, platform and architecture, never for this machine's.
    Versions that are already locked and still fit stay as they are.
    """
    from lambdad.bundler.python import locking

    app = projects.read(place)
    wanted, _not_built = projects.select(app, functions)
    faults = 0
    for item in app.diagnostics:
        show_diagnostic(item, app.root)
    with Progress(quiet=False) as progress:
        workshop = projects.workshop_for(app, say=progress.say)
        groups = locking.groups(wanted, workshop)
        for group in groups:
            names = ", ".join(function.name for function in group)
            try:
                written = locking.write_lock(group, current_toolchain(), workshop)
            except ProjectError as fault:
                faults += 1
                progress.clear()
                for item in fault.diagnostics:
                    show_diagnostic(item, app.root, names)
                continue
            progress.clear()
            told = f"{'wrote' if written.changed else 'kept '}  {written.path}  for {names}"
            click.echo(f"{told}; `{written.by}` writes it" if written.by else told)
    if not groups:
        raise BundlerError(
            "nothing-to-lock",
            "no function here has Python dependencies to lock",
            "they are declared in the code folder: in a requirements.txt, requirements.in, "
            "pyproject.toml or Pipfile",
        )
    return 1 if faults else 0
