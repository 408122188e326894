"""Shows an answer of the daemon as `lambdad build` shows its own. It imports little: clients do."""

from __future__ import annotations

import json
import sys

from bundler.shown import function_line, paint_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bundler.model import Diagnostic

MACHINE = 2
"""The exit code where time was up: that is no fault of the project."""


def show(answer: Mapping[str, Any], root: str, *, as_json: bool, verbose: bool) -> int:
    """Results on stdout, diagnostics on stderr. Returns the exit code."""
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        _show_text(answer, root, verbose=verbose)
    sys.stdout.flush()
    if answer.get("building"):
        return MACHINE
    return 0 if answer["ok"] else 1


def _show_text(answer: Mapping[str, Any], root: str, *, verbose: bool) -> None:
    functions, building = answer["functions"], answer.get("building", ())
    width = max(
        (len(name) for name in (*(item["name"] for item in functions), *building)), default=0
    )
    paint = paint_for(sys.stdout)
    told: list[Any] = []
    for item in answer["diagnostics"]:
        _show_diagnostic(item, root)
    for item in functions:
        sys.stdout.write(function_line(item, width, paint) + "\n")
        if verbose:
            sys.stderr.writelines(f"    because {reason}\n" for reason in item["reasons"])
        for diagnostic in item["diagnostics"] if item["status"] != "skipped" or verbose else ():
            if diagnostic not in told:  # functions of one folder share their faults
                told.append(diagnostic)
                sys.stdout.flush()
                _show_diagnostic(diagnostic, root, item["name"])
    for name in building:
        sys.stdout.write(f"{paint('building', 'building')} {name:<{width}}  time is up\n")


def diagnostic_of(item: Mapping[str, Any]) -> Diagnostic:
    from bundler.model import Diagnostic, Location, Severity

    where = item.get("where")
    return Diagnostic(
        code=item["code"],
        severity=Severity(item["severity"]),
        message=item["message"],
        where=Location(**where) if where else None,
        hint=item.get("hint"),
    )


def _show_diagnostic(item: Mapping[str, Any], root: str, function: str | None = None) -> None:
    from daemon.cli.screen import show_diagnostic

    show_diagnostic(diagnostic_of(item), root, function)
