"""Shows an answer of the daemon as `lambdad build` shows its own. It imports little: clients do."""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TextIO

    from bundler.model import Diagnostic

COLOURS = {"built": 32, "failed": 31, "refused": 33, "building": 36, "skipped": 2}
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
    told: list[Any] = []
    for item in answer["diagnostics"]:
        _show_diagnostic(item, root)
    for item in functions:
        sys.stdout.write(line(item, width, _painted(sys.stdout)) + "\n")
        if verbose:
            sys.stderr.writelines(f"    because {reason}\n" for reason in item["reasons"])
        for diagnostic in item["diagnostics"] if item["status"] != "skipped" or verbose else ():
            if diagnostic not in told:  # functions of one folder share their faults
                told.append(diagnostic)
                sys.stdout.flush()
                _show_diagnostic(diagnostic, root, item["name"])
    for name in building:
        sys.stdout.write(
            f"{_paint('building', _painted(sys.stdout))} {name:<{width}}  time is up\n"
        )


def line(item: Mapping[str, Any], width: int, painted: bool = False) -> str:
    """As bundler/render.py's `outcome_line`, which takes longer to load than a fresh answer."""
    status = item["status"]
    text = f"{_paint(f'{status:<7}', painted, status)}  {item['name']:<{width}}"
    artifact, live = item.get("artifact"), item.get("live")
    if status == "built":
        took = "unchanged" if item["cached"] else _duration(item["duration_ms"])
        if artifact:
            text += f"  {_size(artifact['size']):>9}  {took:>9}  {artifact['path']}"
        elif live:
            text += f"  {took:>9}  {live['entry']}"
    elif artifact:
        text += f"  the last good build stays: {artifact['path']}"
    elif status == "skipped" and item["diagnostics"]:
        text += f"  {item['diagnostics'][0]['message']}"
    return text.rstrip()


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


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _duration(duration_ms: float) -> str:
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def _painted(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return terminal or bool(os.environ.get("FORCE_COLOR"))


def _paint(text: str, painted: bool, status: str | None = None) -> str:
    return f"\x1b[{COLOURS[status or text]}m{text}\x1b[0m" if painted else text
