"""What linters of JavaScript print, as diagnostics.

Each reader raises msgspec.MsgspecError or ValueError if that is nothing the tool would print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from lambdad.bundler.lint.positions import Places, Units
from lambdad.bundler.model import Diagnostic, Location, RelPath, Severity

Named = Callable[[str], RelPath]
"""The path of a file, by what the tool calls it."""
Read = Callable[[str, Named, Places], Iterable[Diagnostic]]
"""Of what was printed on stdout. A diagnostic has a place, in the project's terms."""

SYNTAX: Final = "syntax-error"
"""The code of what these tools have none for: that a file can't be parsed."""
_SEVERITIES: Final[Mapping[str, Severity]] = {
    "fatal": Severity.ERROR,
    "error": Severity.ERROR,
    "warning": Severity.WARNING,
}
"""Others (information, advice, hint) are of no weight."""


def place(
    path: RelPath, line: int | None, column: int | None, units: Units, places: Places
) -> Location:
    """Without a line where there is none; tools write 0 for that, too."""
    if not line or line < 1:
        return Location(path)
    return Location(path, line, places.column(path, line, column or 1, units))


def _at(path: RelPath, offset: int, places: Places) -> Location:
    found = places.at(path, offset)
    return Location(path, *found) if found else Location(path)


# --- eslint --------------------------------------------------------------------------------------


class _EslintMessage(msgspec.Struct, rename="camel"):
    severity: int
    message: str
    rule_id: str | None = None
    line: int | None = None
    column: int | None = None
    fatal: bool = False

    @property
    def code(self) -> str:
        return self.rule_id or (SYNTAX if self.fatal else "eslint")


class _EslintFile(msgspec.Struct, rename="camel"):
    file_path: str
    messages: list[_EslintMessage]


def eslint(text: str, named: Named, places: Places) -> Iterable[Diagnostic]:
    """https://eslint.org/docs/latest/use/formatters/#json"""
    for file in msgspec.json.decode(text, type=list[_EslintFile]):
        path = named(file.file_path)
        for item in file.messages:
            if item.rule_id is None and not item.fatal and item.message.startswith("File ignored"):
                continue  # it was asked for by name, and the project's configuration leaves it out
            yield Diagnostic(
                code=item.code,
                severity=Severity.ERROR if item.severity > 1 else Severity.WARNING,
                message=item.message,
                where=place(path, item.line, item.column, Units.UTF16, places),
            )


# --- oxlint --------------------------------------------------------------------------------------


class _Span(msgspec.Struct):
    offset: int
    """In bytes."""


class _Label(msgspec.Struct):
    span: _Span


class _OxlintMessage(msgspec.Struct):
    message: str
    severity: str
    filename: str
    rule: str | None = msgspec.field(name="code", default=None)
    help: str | None = None
    labels: list[_Label] = []

    @property
    def code(self) -> str:
        return self.rule or SYNTAX


class _Oxlint(msgspec.Struct):
    diagnostics: list[_OxlintMessage]


def oxlint(text: str, named: Named, places: Places) -> Iterable[Diagnostic]:
    """Before 1.0 it printed the list alone. Where it lints nothing, it says so in front of it."""
    start = min((at for sign in "[{" if (at := text.find(sign)) >= 0), default=0)
    if text.startswith("[", start):
        items = msgspec.json.decode(text[start:], type=list[_OxlintMessage])
    else:
        items = msgspec.json.decode(text[start:], type=_Oxlint).diagnostics
    for item in items:
        path = named(item.filename)
        yield Diagnostic(
            code=item.code,
            severity=_SEVERITIES.get(item.severity, Severity.INFO),
            message=item.message,
            where=_at(path, item.labels[0].span.offset, places) if item.labels else Location(path),
            hint=item.help,
        )


# --- biome ---------------------------------------------------------------------------------------


class _BiomePath(msgspec.Struct):
    file: str


class _BiomePoint(msgspec.Struct):
    line: int
    column: int
    """In characters."""


class _BiomeLocation(msgspec.Struct):
    path: str | _BiomePath | None = None
    start: _BiomePoint | None = None
    span: tuple[int, int] | None = None
    """In bytes: versions up to 2.3 gave places so."""


class _BiomeMessage(msgspec.Struct):
    severity: str
    location: _BiomeLocation
    category: str | None = None
    message: str | list[msgspec.Raw] = ""
    description: str = ""
    """The message, where that comes in parts."""

    @property
    def code(self) -> str:
        return SYNTAX if self.category in (None, "parse") else str(self.category)


class _Biome(msgspec.Struct):
    diagnostics: list[_BiomeMessage]


def biome(text: str, named: Named, places: Places) -> Iterable[Diagnostic]:
    """https://biomejs.dev/reference/reporters/#json, which calls itself experimental."""
    for item in msgspec.json.decode(text, type=_Biome).diagnostics:
        name = item.location.path
        path = named(name.file if isinstance(name, _BiomePath) else name or ".")
        yield Diagnostic(
            code=item.code,
            severity=_SEVERITIES.get(item.severity, Severity.INFO),
            message=item.message if isinstance(item.message, str) else item.description,
            where=_biome_place(path, item.location, places),
        )


def _biome_place(path: RelPath, told: _BiomeLocation, places: Places) -> Location:
    if told.start is not None:
        return place(path, told.start.line, told.start.column, Units.CHARACTERS, places)
    return _at(path, told.span[0], places) if told.span is not None else Location(path)
