"""`lambdad lsp`: a language server for editors, on stdin and stdout."""

from __future__ import annotations

import os

import click

from lambdad.bundler.model import BundlerError


@click.command(
    "lsp",
    epilog="""An editor starts this command; docs/editors.md has the configuration for several.
Findings appear when a file is saved. They come from the project's daemon, which is started if none
runs. Tools that are installed in a project run once you have run `lambdad build` or `lint` there in
a terminal, or if the editor's initializationOptions hold {"trusted": true}.

Exit code: 0 the editor ended it; 1 the editor was gone; 2 usage or the machine.""",
)
@click.option(
    "--stdio",
    is_flag=True,
    help="Use stdin and stdout. This is always so; some editors add the option.",
)
def command(stdio: bool) -> int:
    """Serve an editor: findings, hover, lenses, definitions and quick fixes for handlers."""
    try:
        import pygls  # noqa: F401 -- only what comes after needs it
    except ImportError as fault:
        raise BundlerError(
            "lsp-missing",
            "the language server needs pygls, which is not installed",
            "install lambdad with it: pip install 'lambdad[lsp]'",
        ) from fault
    from lambdad.daemon.lsp.server import serve

    return serve(dict(os.environ))
