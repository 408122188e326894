"""`lambdad init`: a lambdad.toml from what is found."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lambdad.bundler.config.find import project_folder
from lambdad.bundler.config.init import propose
from lambdad.bundler.model import BundlerError
from lambdad.bundler.store.store import write_atomic


@click.command("init")
@click.option("--print", "only_print", is_flag=True, help="Print it instead of writing it.")
@click.option("--force", is_flag=True, help="Replace a lambdad.toml that exists.")
def command(only_print: bool, force: bool) -> int:
    """Write a lambdad.toml from what is found in this folder.

    Beside a SAM template, a serverless.yml or the like, the new file only shows which options it
    could override: all of it is a comment. Without one, it declares each handler that is found in
    the sources.
    """
    text = propose(os.getcwd())
    if not only_print and not force:
        _check_alone()
    if only_print:
        click.echo(text, nl=False)
        return 0
    path = Path("lambdad.toml")
    if path.exists() and not force:
        raise BundlerError(
            "config-exists",
            "lambdad.toml exists already",
            "--force replaces it; --print shows what would be written",
        )
    write_atomic(path, text.encode())
    click.echo(f"wrote {path}; next: lambdad build")
    return 0


def _check_alone() -> None:
    """A lambdad.toml below a project's folder would hide that project from commands run there."""
    here = os.path.realpath(os.getcwd())
    try:
        above = project_folder(here)
    except BundlerError:
        return
    if above != here:
        raise BundlerError(
            "inside-project",
            f"this folder is in a project that is described in {above}",
            "run lambdad init there; --force makes this folder a project of its own",
        )
