"""What a person sees: colour only on a terminal, progress on stderr, results on stdout."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

from lambdad.bundler.model import BundlerError, Diagnostic, error
from lambdad.bundler.report.render import diagnostic_text
from lambdad.bundler.report.shown import paint_for

if TYPE_CHECKING:
    from rich.status import Status


def show_diagnostic(item: Diagnostic, root: str | None = None, function: str | None = None) -> None:
    text = diagnostic_text(item, function=function, root=root, paint=paint_for(sys.stderr))
    print(text, file=sys.stderr)


def show_fault(fault: BundlerError) -> None:
    show_diagnostic(error(fault.code, fault.message, hint=fault.hint))


class Progress:
    """Shows long work on stderr: a line that changes on a terminal, a line a step elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._status: Status | None = None

    def say(self, what: str) -> None:
        if self._quiet:
            return
        if not self._terminal:
            print(f"{what} ...", file=sys.stderr, flush=True)
        elif self._status is not None:
            self._status.update(what)
        else:
            # rich is a heavy import: only work that takes a while pays for it.
            from rich.console import Console
            from rich.status import Status

            self._status = Status(what, console=Console(stderr=True))
            self._status.start()

    def wait(self, what: str) -> None:
        """As `say`, where a line that changes can be had: it is no step that logs need."""
        if self._terminal:
            self.say(what)

    def clear(self) -> None:
        """Gives the terminal back; the next `say` takes it again."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ending: object) -> None:
        self.clear()
