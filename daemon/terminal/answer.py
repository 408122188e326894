"""Shows results as they come, from this process or from the daemon. It imports little, since
the quick `lambdad fresh` comes here too."""

from __future__ import annotations

import sys

from lambdad.bundler.report.shown import duration_text, function_line, paint_for, printable
from lambdad.daemon.wire import quick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Self

    from lambdad.bundler.model import Diagnostic
    from lambdad.daemon.terminal.screen import Progress

MACHINE = 2
"""The exit code where time was up, or the machine is to blame: that is no fault of the project."""


class Results:
    """What one command shows of functions: lines on stdout, the rest on stderr.

    All comes as the JSON that answers hold. With `as_json` nothing is shown before the end.
    `names` are those that lines leave room for. With `news_only`, warnings of functions that were
    not built now are only counted. Without `lines`, functions show their faults alone.
    """

    def __init__(
        self,
        root: str,
        *,
        as_json: bool,
        verbose: bool,
        names: Iterable[str] = (),
        news_only: bool = False,
        lines: bool = True,
    ) -> None:
        self._root = root
        self._lines = lines
        self._as_json = as_json
        self._verbose = verbose
        self._news_only = news_only
        self._width = 0
        self._make_room(names)
        self._shown: dict[str, str] = {}
        self._told: set[str] = set()
        self._held_back = 0
        self._progress: Progress | None = None

    # --- while it goes on ------------------------------------------------------------------------

    def hear(self, kind: str, data: dict[str, Any]) -> None:
        """What the daemon sends of a request that takes long (daemon/serving/events.py)."""
        if kind == "asked":
            self._make_room(data["functions"])
            waited = data["building"]
            what = waited[0] if len(waited) == 1 else f"{len(waited)} functions"
            self._screen().wait(f"building {what}")
        elif kind == "progress":
            self.say(data["text"])
        elif kind == "function":
            self.function(data)

    def say(self, what: str) -> None:
        """A step that may take long begins."""
        self._screen().say(what)

    def diagnostics(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Of the project as a whole."""
        for item in items:
            self._diagnostic(item)

    def function(self, item: Mapping[str, Any]) -> None:
        """A function's outcome; sent again it is shown again only if it differs."""
        if self._as_json or self._shown.get(item["name"]) == item["status"]:
            return
        self._shown[item["name"]] = item["status"]
        if not self._verbose and any(
            told["code"] == "framework-function" for told in item["diagnostics"]
        ):
            return  # a framework's own, and there can be many
        self.clear()
        if self._lines:
            sys.stdout.write(function_line(item, self._width, paint_for(sys.stdout)) + "\n")
            sys.stdout.flush()
        if self._verbose:
            sys.stderr.writelines(
                f"    because {printable(reason)}\n" for reason in item["reasons"]
            )
        if item["status"] == "skipped" and not self._verbose:
            return  # its line says why
        for told in item["diagnostics"]:
            is_old = self._news_only and item["cached"] and told["severity"] != "error"
            self._diagnostic(told, item["name"], hold_back=is_old and not self._verbose)

    # --- at the end ------------------------------------------------------------------------------

    def end(self, answer: Mapping[str, Any], took_s: float | None = None) -> int:
        """Shows what is left to show, sums up what took so long, and returns the exit code."""
        functions, building = answer["functions"], answer.get("building", ())
        if self._as_json:
            sys.stdout.write(quick.dumps(answer, 2) + "\n")
        else:
            self._make_room([*(item["name"] for item in functions), *building])
            self.diagnostics(answer["diagnostics"])
            for item in functions:
                self.function(item)
            self._last_words(functions, building, took_s)
        sys.stdout.flush()
        if building or any(item.get("machine_fault") for item in functions):
            return MACHINE
        return 0 if answer["ok"] else 1

    def _last_words(
        self, functions: list[Mapping[str, Any]], building: Iterable[str], took_s: float | None
    ) -> None:
        self.clear()
        paint = paint_for(sys.stdout)
        for name in building:
            line = f"{paint('building', 'building')} {printable(name):<{self._width}}  time is up\n"
            sys.stdout.write(line)
        sys.stdout.flush()
        if self._held_back:
            told = f"{self._held_back} earlier warning{'s' if self._held_back > 1 else ''}"
            sys.stderr.write(f"{told} of unchanged functions: --verbose shows them\n")
        if took_s is not None and (self._verbose or len(functions) > 1):
            sys.stderr.write(_summary(functions, took_s) + "\n")

    def _make_room(self, names: Iterable[str]) -> None:
        self._width = max(self._width, max(map(len, names), default=0))

    # --- the screen ------------------------------------------------------------------------------

    def clear(self) -> None:
        """Gives the terminal back, for others to write to."""
        if self._progress is not None:
            self._progress.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ending: object) -> None:
        self.clear()

    def _screen(self) -> Progress:
        if self._progress is None:
            from lambdad.daemon.terminal.screen import Progress

            self._progress = Progress(quiet=self._as_json)
        return self._progress

    def _diagnostic(
        self, item: Mapping[str, Any], function: str | None = None, *, hold_back: bool = False
    ) -> None:
        key = repr(item)
        if self._as_json or key in self._told:  # functions of one folder share their faults
            return
        self._told.add(key)
        if hold_back:
            self._held_back += 1  # it was shown when that was built
            return
        from lambdad.daemon.terminal.screen import show_diagnostic

        self.clear()
        show_diagnostic(diagnostic_of(item), self._root, function)


def diagnostic_of(item: Mapping[str, Any]) -> Diagnostic:
    from lambdad.bundler.model import Diagnostic, Location, Severity

    where = item.get("where")
    return Diagnostic(
        code=item["code"],
        severity=Severity(item["severity"]),
        message=item["message"],
        where=Location(**where) if where else None,
        hint=item.get("hint"),
    )


def _summary(functions: Iterable[Mapping[str, Any]], took_s: float) -> str:
    counts: dict[str, int] = {}
    for item in functions:
        what = "unchanged" if item["status"] == "built" and item["cached"] else item["status"]
        counts[what] = counts.get(what, 0) + 1
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return f"{told or 'no functions'} in {duration_text(took_s)}"
