"""The `lambdad` command's first step: the calls that must be fast go a way of their own."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells give it."""


def main() -> None:
    """The entry point of the installed command."""
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # before anything began, else the command reports it
        code = INTERRUPTED
    _leave(code)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["build"]:
        from lambdad.daemon.client import unchanged

        code = unchanged.main(arguments[1:])
        if code is not None:
            return code
    elif arguments[:1] in (["fresh"], ["save"]):
        answer = _quick(arguments[0], arguments[1:])
        if isinstance(answer, int):
            return answer
        arguments = answer
    from lambdad.daemon.cli.main import run

    return run(arguments)


def _quick(command: str, arguments: list[str]) -> int | list[str]:
    """The exit code, or the command line that daemon/cli is to run instead."""
    if command == "save":
        from lambdad.daemon.client import save

        return save.main(arguments)
    from lambdad.daemon.client import fresh

    return fresh.main(arguments)


def _leave(code: int) -> NoReturn:
    """Ends the process when all is written: to take the interpreter down would cost a tenth of a
    short call."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105, contextlib would cost as much as all else here
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)
