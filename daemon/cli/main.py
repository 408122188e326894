"""The `lambdad` command: finds the subcommand, and turns every ending into an exit code.

0 ok; 1 the project is at fault; 2 usage or machine; 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Final

import click

from lambdad.bundler.model import BundlerError
from lambdad.bundler.toolchain import LAMBDAD

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "build": ("lambdad.daemon.cli.build", "Build functions into zips that Lambda takes."),
    "fresh": (
        "lambdad.daemon.cli.fresh",
        "Bring functions up to date: the daemon builds what is stale.",
    ),
    "save": ("lambdad.daemon.cli.save", "Rebuild and lint what an editor has just saved."),
    "start": (
        "lambdad.daemon.cli.start",
        "Run functions on this machine: HTTP and Lambda's API, always with fresh code.",
    ),
    "invoke": (
        "lambdad.daemon.cli.invoke",
        "Run a function once on this machine, with an event of yours or an example.",
    ),
    "lint": (
        "lambdad.daemon.cli.lint",
        "Report what is wrong in the sources, and what would fail on Lambda.",
    ),
    "lsp": (
        "lambdad.daemon.cli.lsp",
        "Serve an editor: findings on save, hover, lenses, quick fixes.",
    ),
    "daemon": ("lambdad.daemon.cli.daemon", "Start, stop or look at this project's daemon."),
    "why": (
        "lambdad.daemon.cli.why",
        "Show what a function's last build used, and what makes it stale.",
    ),
    "list": (
        "lambdad.daemon.cli.list",
        "List the functions: where each is declared, its state, its size.",
    ),
    "size": (
        "lambdad.daemon.cli.size",
        "Show what takes the space in a function's zip, and what grew.",
    ),
    "lock": (
        "lambdad.daemon.cli.lock",
        "Pin Python dependencies, with hashes, for Lambda's platform.",
    ),
    "init": ("lambdad.daemon.cli.init", "Write a lambdad.toml from what is found here."),
    "doctor": (
        "lambdad.daemon.cli.doctor",
        "Check what this machine has for building, and what it lacks.",
    ),
    "cache": ("lambdad.daemon.cli.cache", "Show or prune the store that your projects share."),
}
"""Name -> (module, one line of help). The module is imported when its command runs."""


WATCHING: Final = ("watch", "dev")
"""What other tools call it."""


class Commands(click.Group):
    """A group that imports a command only to run it or to show its own help."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if name not in COMMANDS and not name.startswith("-"):
            if name in WATCHING:
                context.fail(
                    f"No such command {name!r}. `lambdad start` runs functions while you "
                    "edit them; builds need no watching."
                )
            near = difflib.get_close_matches(name, COMMANDS, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            context.fail(f"No such command {name!r}.{meant}")
        return super().resolve_command(context, arguments)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="In the folder of a SAM or Serverless Framework app, `lambdad build` is all it takes.",
)
@click.version_option(LAMBDAD, prog_name="lambdad")
def lambdad() -> None:
    """Build AWS Lambda functions: never stale, and the same bytes on every machine."""


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; what went wrong is on stderr."""
    try:
        code = lambdad.main(arguments, prog_name="lambdad", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as fault:
        fault.show()
        return 2
    except BundlerError as fault:
        from lambdad.daemon.terminal.screen import show_fault

        show_fault(fault)
        return 2
    except (KeyboardInterrupt, click.Abort):
        from lambdad.bundler import tools

        tools.end_all()
        click.echo("\ninterrupted: what was built so far is kept", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output has left: no fault, and Python's exit must not write again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
