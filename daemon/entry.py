"""The `lambdad` command's first step: the calls that must be fast go a way of their own."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The entry point of the installed command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["fresh"]:
        from daemon import client

        answer = client.main(arguments[1:])
        if isinstance(answer, int):
            # All is written. To take the interpreter down would cost a tenth of the whole call.
            sys.stderr.flush()
            os._exit(answer)
        arguments = answer
    from daemon.cli.main import run

    sys.exit(run(arguments))
