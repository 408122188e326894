"""`lambdad lsp`: a language server for editors, on stdin and stdout."""

from __future__ import annotations

import os

import click

from lambdad.bundler.model import BundlerError


@click.command(
    "lsp",
    epilog="""An editor starts it; docs/editors.md has the configuration for several. Findings are
shown as files are saved: the project's daemon tells them, and is started when there is none. Tools
that are installed in a project run once you have run `lambdad build` or `lint` there in a terminal,
or if the editor's initializationOptions say {"trusted": true}.

Exit code: 0 the editor ended it; 1 the editor was gone; 2 usage or machine.""",
)
@click.option(
    "--stdio",
    is_flag=True,
    help="Serve on stdin and stdout, as it does in any case; some editors say so unasked.",
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
