"""Outcomes and diagnostics as text for people, or as JSON for programs."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, assert_never

from lambdad.bundler.inputs.reading import SETTINGS, read_regular
from lambdad.bundler.inputs.snapshot import file_key
from lambdad.bundler.model import (
    BuildResult,
    Built,
    Diagnostic,
    Failed,
    FileKey,
    Function,
    Language,
    Linted,
    Live,
    Location,
    Outcome,
    Refused,
    Severity,
    Skipped,
)
from lambdad.bundler.report.shown import LINES, plain, printable
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
    return all(isinstance(outcome, Built | Skipped) for outcome in outcomes) and not any(
        item.severity is Severity.ERROR for item in diagnostics
    )


def status(outcome: Outcome) -> str:
    """The word for it in JSON and in text."""
    match outcome:
        case Built():
            return "built"
        case Failed():
            return "failed"
        case Refused():
            return "refused"
        case Skipped():
            return "skipped"
        case Linted():
            return "linted"
        case _:
            assert_never(outcome)


def outcome_json(outcome: Outcome) -> dict[str, object]:
    answer: dict[str, object] = {"name": outcome.name, "status": status(outcome)}
    match outcome:
        case Built() | Failed():
            answer |= _build_json(outcome)
        case Refused():
            answer |= _NO_BUILD
        case Skipped() | Linted():
            answer |= {**_NO_BUILD, **_function_json(outcome.function)}
        case _:
            assert_never(outcome)
    answer["diagnostics"] = [diagnostic_json(item) for item in outcome.diagnostics]
    return answer


_NO_BUILD: Final = {"cached": False, "reasons": [], "duration_ms": 0.0}


def _build_json(result: BuildResult) -> dict[str, object]:
    answer: dict[str, object] = {
        "cached": result.cached,
        "reasons": list(result.reasons),
        "duration_ms": round(result.duration_s * 1000, 1),
    }
    if isinstance(result, Failed) and result.machine_fault:
        answer["machine_fault"] = True
    answer |= _function_json(result.function)
    if result.artifact is not None:
        answer["artifact"] = dict(artifact_json(result.artifact))
    if result.live is not None:
        answer["live"] = _live_json(result.live, result.function)
    return answer


def _live_json(live: Live, function: Function | None) -> dict[str, object]:
    answer: dict[str, object] = {
        "entry": live.entry,
        "path": list(live.path),
        "digest": live.digest,
    }
    if function is not None and function.runtime.language is Language.PYTHON:
        answer["interpreter"] = live.interpreter
    return answer


def _function_json(function: Function | None) -> dict[str, object]:
    if function is None:
        return {}
    return {
        "runtime": function.runtime.name,
        "architecture": function.architecture.value,
        "handler": function.handler.text,
    }


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
    named = f" {paint(printable(function), 'bold')}:" if function else ":"
    lines = [f"{label}{named} {printable(item.message, LINES)}"]
    if item.where is not None:
        source = source_line(root, item.where) if root else ""
        lines.append(
            f"  {printable(place(item.where))}{'  ' + paint(source, 'dim') if source else ''}"
        )
    if item.hint is not None:
        first, *more = printable(item.hint, LINES).splitlines() or [""]
        lines += [f"  hint: {first}", *(f"        {line}" for line in more)]
    return "\n".join(lines)


def place(where: Location) -> str:
    numbers = [str(number) for number in (where.line, where.column) if number is not None]
    return ":".join([where.file, *numbers])


def source_line(root: str, where: Location) -> str:
    """The line a location names, trimmed; empty where it can't be had or is not for reading."""
    if where.line is None:
        return ""
    path = os.path.join(root, where.file)
    lines = _lines(path, file_key(path))
    text = lines[where.line - 1].strip() if where.line <= len(lines) else ""
    return text if len(text) <= 100 and text.isprintable() else ""


@functools.lru_cache(maxsize=4)
def _lines(path: str, _key: FileKey | None) -> list[str]:
    """Of the file in that state: a file with many faults is read once for all of them."""
    try:
        return read_regular(path, SETTINGS).decode().split("\n")
    except (OSError, ValueError):
        return []


def location_json(where: Location) -> dict[str, object]:
    answer: dict[str, object] = {"file": where.file}
    if where.line is not None:
        answer["line"] = where.line
    if where.column is not None:
        answer["column"] = where.column
    return answer
