"""What type checkers print, as diagnostics.

Each reader raises CheckerRefusalError if the checker refuses its configuration, and
msgspec.MsgspecError or ValueError if what it printed is nothing that it would print.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from lambdad.bundler.lint.positions import Places, Units
from lambdad.bundler.lint.reports import Named, place
from lambdad.bundler.model import Diagnostic, Location, Severity
from lambdad.bundler.tools import Completed

SEVERITIES: Final[Mapping[str, Severity]] = {
    "error": Severity.ERROR,
    "warning": Severity.WARNING,
}
"""Others (note, information, message) are of no weight."""


class CheckerRefusalError(Exception):
    """The checker refuses its configuration; the text is its own."""


# --- tsc -----------------------------------------------------------------------------------------

_TSC: Final = re.compile(
    r"(?:(?P<file>.+?)\((?P<line>\d+),(?P<column>\d+)\): )?(?P<severity>error|warning|message)"
    r" (?P<code>TS\d+): (?P<text>.*)"
)


def tsc(answer: Completed, named: Named, places: Places) -> Iterable[Diagnostic]:
    """`--pretty false`: a line for a finding, and indented ones that go on."""
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in answer.stdout.splitlines():
        if line[:1].isspace() and found:
            found[-1][1].append(line.strip())
        elif match := _TSC.fullmatch(line):
            found.append((match, [match["text"]]))
        elif line.strip():
            raise ValueError(line)
    if answer.code and not found:
        raise ValueError(answer.stderr)
    for match, text in found:
        if match["file"] is None:
            raise CheckerRefusalError(" ".join(text))
        path = named(match["file"])
        number, column = int(match["line"]), int(match["column"])
        yield Diagnostic(
            code=match["code"],
            severity=SEVERITIES.get(match["severity"], Severity.INFO),
            message="\n".join(text),
            where=place(path, number, column, Units.UTF16, places),
        )


# --- pyright -------------------------------------------------------------------------------------


class _Point(msgspec.Struct):
    """From 0."""

    line: int
    character: int


class _Range(msgspec.Struct):
    start: _Point


class _PyrightMessage(msgspec.Struct):
    severity: str
    message: str
    file: str | None = None
    range: _Range | None = None
    rule: str | None = None

    @property
    def code(self) -> str:
        return self.rule or "pyright"


class _Pyright(msgspec.Struct, rename="camel"):
    general_diagnostics: list[_PyrightMessage]


def pyright(answer: Completed, named: Named, places: Places) -> Iterable[Diagnostic]:
    """https://microsoft.github.io/pyright/#/command-line, which lists its exit codes, too."""
    if answer.code == 3 or "could not be parsed" in answer.stderr:
        raise CheckerRefusalError(answer.stderr or answer.stdout)
    text = answer.stdout
    if text.startswith("No configuration file found."):
        text = text[max(text.find("{"), 0) :]
    for item in msgspec.json.decode(text, type=_Pyright).general_diagnostics:
        where: Location | None = None
        if item.file is not None:
            start = item.range.start if item.range is not None else None
            line, column = (start.line + 1, start.character + 1) if start else (None, None)
            where = place(named(item.file), line, column, Units.UTF16, places)
        yield Diagnostic(
            code=item.code,
            severity=SEVERITIES.get(item.severity, Severity.INFO),
            message=item.message,
            where=where,
        )


# --- mypy ----------------------------------------------------------------------------------------


class _MypyMessage(msgspec.Struct):
    file: str
    line: int
    column: int
    """From 0; -1 where there is none."""
    message: str
    severity: str
    hint: str | None = None
    rule: str | None = msgspec.field(name="code", default=None)

    @property
    def code(self) -> str:
        return self.rule or "mypy"


_MYPY: Final = re.compile(
    r"(?P<file>.+?):(?:(?P<line>\d+):)?(?:(?P<column>\d+):)? (?P<severity>error|note|warning): "
    r"(?P<text>.*?)(?:  \[(?P<code>[a-z0-9-]+)\])?"
)


def mypy(answer: Completed, named: Named, places: Places, *, units: Units) -> Iterable[Diagnostic]:
    """A JSON object in each line; text before 1.11, and later of what can't be parsed."""
    if answer.code not in (0, 1, 2):
        raise ValueError(answer.stderr)
    lines = [line for line in answer.stdout.splitlines() if line.strip()]
    if answer.code == 2 and not lines:
        raise CheckerRefusalError(answer.stderr.rpartition("mypy: error: ")[2])
    for line in lines:
        item = _mypy_json(line) if line.startswith("{") else _mypy_text(line)
        column = item.column + 1 if item.column >= 0 else None
        yield Diagnostic(
            code=item.code,
            severity=SEVERITIES.get(item.severity, Severity.INFO),
            message=item.message,
            where=place(named(item.file), item.line, column, units, places),
            hint=item.hint or None,
        )


def _mypy_json(line: str) -> _MypyMessage:
    return msgspec.json.decode(line, type=_MypyMessage)


def _mypy_text(line: str) -> _MypyMessage:
    found = _MYPY.fullmatch(line)
    if found is None:
        raise ValueError(line)
    return _MypyMessage(
        file=found["file"],
        line=int(found["line"] or 0),
        column=int(found["column"] or 0) - 1,
        message=found["text"],
        severity=found["severity"],
        rule=found["code"],
    )
