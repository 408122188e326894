"""`lambdad lint`: what is wrong in the sources, and what would fail on Lambda."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

import click

from lambdad.bundler.lint import outputs
from lambdad.bundler.lint import run as linting
from lambdad.bundler.lint.outputs import OUTPUTS
from lambdad.bundler.lint.run import Report
from lambdad.bundler.model import BundlerError, Function, NotBuilt, Project, RelPath
from lambdad.bundler.report.shown import paint_for
from lambdad.bundler.store.output import Output
from lambdad.daemon.cli import project as projects
from lambdad.daemon.terminal.answer import MACHINE
from lambdad.daemon.terminal.screen import Progress

TEXT: Final = "text"


@click.command(
    "lint",
    epilog="""A name that the project declares is a FUNCTION, any other a FILE; write ./NAME for
a file with the name of a function. A FILE may be a folder.

\b
Examples:
  lambdad lint                         all functions of the app in this folder
  lambdad lint ListNotes src/util.py   one of them, and a file
  lambdad lint --output github         annotations in a GitHub workflow
  lambdad lint --output sarif > lint.sarif

Exit code: 0 no errors; 1 an error among the findings; 2 usage or machine.""",
)
@click.argument("what", nargs=-1, metavar="[FUNCTION|FILE]...")
@projects.options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--output",
    type=click.Choice([TEXT, *OUTPUTS]),
    default=TEXT,
    show_default=True,
    help="The format of the findings.",
)
@click.option("--format", "formatting", is_flag=True, help="Report unformatted files, too.")
@click.option(
    "--trust/--no-trust",
    default=True,
    show_default=True,
    help="Whether the project's own tools may run: they are code from its folder.",
)
def command(
    what: tuple[str, ...],
    place: projects.CommandPlace,
    output: str,
    **flags: bool,
) -> int:
    """Lint the code of FUNCTIONs (all by default), or FILEs.

    ruff checks Python, esbuild checks JavaScript and TypeScript, and so do eslint, oxlint, biome,
    tsc, pyright and mypy where the project has them. Beyond style, lint reports what would fail on
    Lambda: a handler that can't be called, syntax that the runtime does not know, an import that
    nothing provides.
    """
    if flags["as_json"] and output != TEXT:
        raise click.UsageError("--json and --output exclude each other")
    app = projects.read(place, vouches=flags["trust"])
    functions, not_built, files = _meant(app, what)
    with contextlib.suppress(OSError):  # then nothing is kept
        Output(app.root).prepare()
    quiet = flags["as_json"] or output != TEXT
    with Progress(quiet=quiet) as progress:
        progress.wait("linting")
        report = linting.lint(
            app,
            functions,
            projects.workshop_for(app, say=progress.say),
            files=files,
            not_built=not_built,
            trusted=flags["trust"],
            formatting=flags["formatting"],
        )
    _print(report, app, "json" if flags["as_json"] else output)
    if not quiet:
        sys.stderr.write(_summary(report) + "\n")
    if report.machine_fault:
        return MACHINE
    return 0 if report.ok else 1


def _meant(
    app: Project, what: Sequence[str]
) -> tuple[list[Function], list[NotBuilt], list[RelPath]]:
    """The functions and files that are named; all functions where nothing is.

    Raises BundlerError `unknown-function` for what is neither.
    """
    known = {*projects.names_of(app), *app.aliases}
    names = [one for one in what if one in known]
    files = [one for one in what if one not in known]
    for one in files:
        if not os.path.lexists(one):
            told = f"{', '.join(sorted(known)) or 'none'}"
            raise BundlerError(
                "unknown-function",
                f"{one} is neither a function nor a file",
                f"the functions are: {told}",
            )
    if files and not names:
        return [], [], [_from_project(app, one) for one in files]
    functions, not_built = projects.select(app, names)
    return functions, not_built, [_from_project(app, one) for one in files]


def _from_project(app: Project, path: str) -> RelPath:
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.relpath(os.path.join(os.path.realpath(folder), name), app.root)


def _print(report: Report, app: Project, output: str) -> None:
    if output == "json":
        told = json.dumps(outputs.document(report), indent=2) + "\n"
    elif output == TEXT:
        told = outputs.text(report.findings, paint_for(sys.stdout))
    else:
        told = OUTPUTS[output](report, app)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(told.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _summary(report: Report) -> str:
    counts = Counter(item.severity.value for item in report.findings)
    kinds = (("error", "error"), ("warning", "warning"), ("info", "hint"))
    told = [
        f"{counts[kind]} {one if counts[kind] == 1 else f'{one}s'}"
        for kind, one in kinds
        if counts[kind]
    ]
    count = len(report.files)
    return f"{', '.join(told) or 'no findings'} in {count} file{'' if count == 1 else 's'}"
