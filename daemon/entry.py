"""The `lambdad` command's first step: the calls that must be fast go a way of their own."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn


def main() -> None:
    """The entry point of the installed command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["fresh"]:
        from daemon import client

        answer = client.main(arguments[1:])
        if isinstance(answer, int):
            _leave(answer)
        arguments = answer
    from daemon.cli.main import run

    _leave(run(arguments))


def _leave(code: int) -> NoReturn:
    """Ends the process when all is written: to take the interpreter down would cost a tenth of a
    short call."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
