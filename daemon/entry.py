"""The `lambdad` command's first step: the calls that must be fast go a way of their own."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final, NoReturn


INTERRUPTED: Final = 130
"""The exit code of whoever was ended by Ctrl-C, as shells give it."""


def main() -> None:
    """The entry point of the installed command."""
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # before anything began, else the command would have told
        code = INTERRUPTED
    _leave(code)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["fresh"]:
        from daemon import client

        answer = client.main(arguments[1:])
        if isinstance(answer, int):
            return answer
        arguments = answer
    from daemon.cli.main import run

    return run(arguments)


def _leave(code: int) -> NoReturn:
    """Ends the process when all is written: to take the interpreter down would cost a tenth of a
    short call."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
