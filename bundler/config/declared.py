"""What a reader found of a function, not checked yet.

A reader fills a Draft: settings with their places, and for what it could not read a reason, kept
under the setting's name in lambdad.toml, so that setting it there removes the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lambdad.bundler.config.api_drafts import FoundApis
from lambdad.bundler.config.function_settings import SaidSettings
from lambdad.bundler.model import (
    Copy,
    Diagnostic,
    Failed,
    Location,
    NotBuilt,
    OptionValue,
    Refused,
    RelPath,
    Severity,
    Skipped,
)

T = TypeVar("T")

Ending = type[Failed] | type[Refused] | type[Skipped]
"""What a function can come to that is not built as declared."""


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A setting's value, and its place."""

    value: T
    where: Location


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a function is not built as declared."""

    ending: Ending
    """What it comes to instead."""
    diagnostic: Diagnostic


@dataclass(slots=True, kw_only=True)
class Draft:
    name: str
    alias: str | None = None
    """Another name of it, unless another function has that name."""
    where: Location
    code: Said[RelPath]
    staged: RelPath | None = None
    """The AWS CDK's copy of the code, where nothing names its origin."""
    handler: Said[str] | None = None
    runtime: Said[str] | None = None
    runtime_default: Said[str] | None = None
    """What the framework gives a function that says none; lambdad.toml's defaults go before."""
    architecture: Said[str] | None = None
    bundle: bool | None = None
    """JavaScript; None: only what Node.js can't load as it is."""
    wrapped: bool = False
    """AWS_LAMBDA_EXEC_WRAPPER is set: a program of the user's starts the handler."""
    layers: bool | None = None
    exclude: tuple[str, ...] | None = None
    include: tuple[str, ...] | None = None
    globs: tuple[str, ...] = ()
    """As in Function, for one that is not bundled."""
    beside: tuple[str, ...] = ()
    """As in Function, for one that is."""
    copy: tuple[Copy, ...] | None = None
    entry_points: tuple[str, ...] | None = None
    install: tuple[str, ...] | None = None
    env: dict[str, str] = field(default_factory=dict)
    """JavaScript: by its name, without the "process.env." before it."""
    shared: tuple[RelPath, ...] | None = None
    esbuild: dict[str, OptionValue] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)
    """esbuild's options said to be off, where off is to say nothing: no default counts."""
    requirements: Said[RelPath] | None = None
    extras: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    resolver: str | None = None
    without: tuple[str, ...] | None = None
    settings: Callable[[], SaidSettings] | None = None
    """How its limits and its environment are read, which a build never asks for."""
    lint: str | None = None
    format: bool = False
    own: dict[str, Location] = field(default_factory=dict)
    """What lambdad.toml says for this function by name."""
    reasons: dict[str, list[Reason]] = field(default_factory=dict)
    notes: list[Diagnostic] = field(default_factory=list)

    def why(self, ending: Ending) -> tuple[Diagnostic, ...]:
        """The reasons for that ending; none if there are no such reasons."""
        reasons = [reason for several in self.reasons.values() for reason in several]
        found = [reason.diagnostic for reason in reasons if reason.ending is ending]
        return tuple(sorted(found, key=by_place))

    def failed(self, setting: str, diagnostic: Diagnostic) -> None:
        self._because(setting, Failed, diagnostic)

    def refused(self, setting: str, diagnostic: Diagnostic) -> None:
        self._because(setting, Refused, diagnostic)

    def skipped(self, setting: str, code: str, message: str, where: Location) -> None:
        diagnostic = Diagnostic(code=code, severity=Severity.INFO, message=message, where=where)
        self._because(setting, Skipped, diagnostic)

    def not_built(self, ending: Ending, *diagnostics: Diagnostic) -> NotBuilt:
        return NotBuilt(outcome=ending(name=self.name, diagnostics=diagnostics), where=self.where)

    def _because(self, setting: str, ending: Ending, diagnostic: Diagnostic) -> None:
        self.reasons.setdefault(setting, []).append(Reason(ending, diagnostic))


@dataclass(slots=True)
class Found:
    """What a reader made of a file and those it leads to."""

    drafts: list[Draft] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    parameters: set[str] = field(default_factory=set)
    """Declared, so that a parameter given by mistake can be reported."""
    environ: set[str] = field(default_factory=set)
    """The environment's variables that were asked for."""
    broken: bool = False
    """A file could not be read: there may be more functions than these."""
    apis: list[Callable[[], FoundApis]] = field(default_factory=list)
    """How the HTTP APIs of each file are read, which a build never asks for."""
    settings: dict[str, Callable[[], SaidSettings]] = field(default_factory=dict)
    """By function: how its limits and its environment are read, once lambdad.toml has its say."""


def aliases(drafts: Collection[Draft]) -> dict[str, str]:
    """The functions' names, by those of their other names that are unique."""
    names = {draft.name for draft in drafts}
    found: dict[str, list[str]] = {}
    for draft in drafts:
        if draft.alias is not None and draft.alias not in names:
            found.setdefault(draft.alias, []).append(draft.name)
    return {alias: several[0] for alias, several in found.items() if len(several) == 1}


def by_place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    """The order in which diagnostics are reported."""
    where = diagnostic.where or Location("")
    return where.file, where.line or 0, where.column or 0, diagnostic.code


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that was likely meant."""
    import difflib

    matches = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.7)
    return matches[0] if matches else None
