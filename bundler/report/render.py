"""What people and programs are told: outcomes and diagnostics as text or as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lambdad.bundler.model import Diagnostic, Language, Location, Outcome, Severity
from lambdad.bundler.report.shown import plain
from lambdad.bundler.store.output import artifact_json

if TYPE_CHECKING:
    from lambdad.bundler.report.shown import Paint


def document(outcomes: Sequence[Outcome], diagnostics: Sequence[Diagnostic]) -> dict[str, object]:
    """The one JSON shape of `build`, `fresh` and `save`."""
    return {
        "schema": 1,
        "ok": is_ok(outcomes, diagnostics),
        "diagnostics": [diagnostic_json(item) for item in diagnostics],
        "functions": [outcome_json(outcome) for outcome in outcomes],
    }


def is_ok(outcomes: Iterable[Outcome], diagnostics: Iterable[Diagnostic]) -> bool:
    """Every function is built or skipped, and nothing of the project as a whole is an error."""
    return all(outcome.status in {"built", "skipped"} for outcome in outcomes) and not any(
        item.severity is Severity.ERROR for item in diagnostics
    )


def outcome_json(outcome: Outcome) -> dict[str, object]:
    answer: dict[str, object] = {
        "name": outcome.name,
        "status": outcome.status,
        "cached": outcome.cached,
        "reasons": list(outcome.reasons),
        "duration_ms": round(outcome.duration_s * 1000, 1),
    }
    if outcome.machine_fault:
        answer["machine_fault"] = True
    if function := outcome.function:
        answer |= {
            "runtime": function.runtime.name,
            "architecture": function.architecture.value,
            "handler": function.handler.text,
        }
    if outcome.artifact is not None:
        answer["artifact"] = dict(artifact_json(outcome.artifact))
    if (live := outcome.live) is not None:
        loaded: dict[str, object] = {
            "entry": live.entry,
            "path": list(live.path),
            "digest": live.digest,
        }
        if function is not None and function.runtime.language is Language.PYTHON:
            loaded["interpreter"] = live.interpreter
        answer["live"] = loaded
    answer["diagnostics"] = [diagnostic_json(item) for item in outcome.diagnostics]
    return answer


def diagnostic_json(item: Diagnostic) -> dict[str, object]:
    answer: dict[str, object] = {
        "code": item.code,
        "severity": item.severity.value,
        "message": item.message,
    }
    if item.where is not None:
        answer["where"] = location_json(item.where)
    if item.hint is not None:
        answer["hint"] = item.hint
    return answer


def diagnostic_text(
    item: Diagnostic, *, function: str | None = None, root: str | None = None, paint: Paint = plain
) -> str:
    """As docs/diagnostics.md shows: what is wrong, the place with its line, what to do next."""
    label = paint(f"{item.severity.value}[{item.code}]", item.severity.value)
    named = f" {paint(function, 'bold')}:" if function else ":"
    lines = [f"{label}{named} {item.message}"]
    if item.where is not None:
        source = source_line(root, item.where) if root else ""
        lines.append(f"  {place(item.where)}{'  ' + paint(source, 'dim') if source else ''}")
    if item.hint is not None:
        first, *more = item.hint.splitlines()
        lines += [f"  hint: {first}", *(f"        {line}" for line in more)]
    return "\n".join(lines)


def place(where: Location) -> str:
    numbers = [str(number) for number in (where.line, where.column) if number is not None]
    return ":".join([where.file, *numbers])


def source_line(root: str, where: Location) -> str:
    """The line a location names, trimmed; empty where it can't be had or is not for reading."""
    if where.line is None:
        return ""
    try:
        with open(os.path.join(root, where.file), encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if number == where.line:
                    text = line.strip()
                    return text if len(text) <= 100 and text.isprintable() else ""
    except (OSError, ValueError):
        return ""
    return ""


def location_json(where: Location) -> dict[str, object]:
    answer: dict[str, object] = {"file": where.file}
    if where.line is not None:
        answer["line"] = where.line
    if where.column is not None:
        answer["column"] = where.column
    return answer
