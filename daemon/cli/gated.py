"""What zips that are built wait for: lint, of the functions of which lambdad.toml says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lambdad.bundler.model import Diagnostic, Function, Outcome, Project
from lambdad.bundler.report.render import diagnostic_json, outcome_json
from lambdad.daemon.cli import project as projects
from lambdad.daemon.terminal.answer import Results


@dataclass(frozen=True, slots=True)
class Gated:
    """What lint found, and which functions it keeps from being built."""

    findings: Mapping[str, Sequence[Diagnostic]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    failed: tuple[Outcome, ...] = ()

    def lets(self, function: Function) -> bool:
        return all(outcome.name != function.name for outcome in self.failed)

    def add_to(self, answer: dict[str, Any]) -> None:
        """The findings, in the answer of the build of all others."""
        for item in answer["functions"]:
            told = self.findings.get(item["name"], ())
            item["diagnostics"] = [*item["diagnostics"], *map(diagnostic_json, told)]
        answer["functions"] += map(outcome_json, self.failed)
        answer["ok"] = answer["ok"] and not self.failed


def gate(app: Project, functions: Sequence[Function], results: Results, *, offline: bool) -> Gated:
    """Lints the functions that say so, and shows what that finds. Nothing where none does."""
    if not any(function.lint in ("warn", "error") for function in functions):
        return Gated()
    from lambdad.bundler.lint import gate as gates

    workshop = projects.workshop_for(app, say=results.say, offline=offline)
    found = gates.findings(functions, workshop)
    findings = found.by_function
    failed = tuple(
        gates.failed(function, findings[function.name], workshop, machine_fault=found.machine_fault)
        for function in functions
        if gates.refuses(findings.get(function.name, ()))
    )
    refused = {outcome.name for outcome in failed}
    for name, told in findings.items():
        if name not in refused:
            results.diagnostics(map(diagnostic_json, told))
    for outcome in failed:
        results.function(outcome_json(outcome))
    return Gated(findings, failed)
