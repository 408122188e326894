"""What is shown of one project: findings by file, as far as they are known to hold.

Only the loop's thread touches a board. What is shown of a file comes from three sides, each of
which replaces all that it said before: the configuration as it is, what each function's last build
said, and the lint of the files that were asked about, in the daemon's latest answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.model import Diagnostic, Location, Project, RelPath, Severity, Skipped
from lambdad.daemon.terminal.answer import diagnostic_of

_ORDER: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class ShownBuild:
    """What a function's build said."""

    items: tuple[Diagnostic, ...]
    is_machines: bool = False
    """It failed for want of something on this machine: that is remembered nowhere."""


class Board:
    """One project's."""

    def __init__(self) -> None:
        self._declared: tuple[Diagnostic, ...] = ()
        self._homes: Mapping[str, Location] = {}
        """Where functions' handlers are written."""
        self.builds: dict[str, ShownBuild] = {}
        self._findings: tuple[Diagnostic, ...] = ()

    @property
    def linted(self) -> list[RelPath]:
        """The files that lint says something of: asked about with every save, since it may be
        another file that mends them."""
        return sorted({item.where.file for item in self._findings if item.where is not None})

    def declare(self, project: Project | None) -> None:
        """What the configuration says by itself. What is not declared any more was not built."""
        if project is None:
            self._declared, self._homes, self.builds, self._findings = (), {}, {}, ()
            return
        # That something is skipped as it should be is no news to a reader of the file.
        wrong = [each for each in project.not_built if not isinstance(each.outcome, Skipped)]
        faults = (item for each in wrong for item in each.diagnostics)
        self._declared = (*project.diagnostics, *faults)
        self._homes = {each.name: each.handler_where for each in project.functions}
        self.builds = {name: each for name, each in self.builds.items() if name in self._homes}

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Of /v1/save: all of lint, and the functions that it rebuilt or looked at."""
        for item in answer["functions"]:
            if item["name"] in self._homes:
                told = tuple(map(diagnostic_of, item["diagnostics"]))
                self.builds[item["name"]] = ShownBuild(told, bool(item.get("machine_fault")))
        for name in answer.get("building", ()):
            self.builds.pop(name, None)
        self._findings = tuple(map(diagnostic_of, answer.get("findings", ())))

    def is_machines(self, function: str) -> bool:
        """Whether its build failed for want of something on this machine."""
        return function in self.builds and self.builds[function].is_machines

    def files(self) -> dict[RelPath, list[Diagnostic]]:
        """All that has a place, by file and place, each once: where two judge one differently, as
        the stricter does. A function's finding without a place is shown at its handler."""
        found: dict[tuple[Any, ...], tuple[Location, Diagnostic]] = {}
        for where, item in self._placed():
            key = (item.code, where, item.message)
            if key not in found or _ORDER[item.severity] < _ORDER[found[key][1].severity]:
                found[key] = where, item
        by_file: dict[RelPath, list[Diagnostic]] = {}
        for where, item in sorted(found.values(), key=_place):
            by_file.setdefault(where.file, []).append(_at(where, item))
        return by_file

    def rest(self) -> list[Diagnostic]:
        """What has no place: a linter that can't be run."""
        items = (*self._declared, *self._findings)
        return [item for item in dict.fromkeys(items) if item.where is None]

    def _placed(self) -> Iterator[tuple[Location, Diagnostic]]:
        for name, build in self.builds.items():
            for item in build.items:
                where = item.where or self._homes.get(name)
                if where is not None:
                    yield where, item
        for item in (*self._declared, *self._findings):
            if item.where is not None:
                yield item.where, item


def _at(where: Location, item: Diagnostic) -> Diagnostic:
    if item.where is not None:
        return item
    return Diagnostic(
        code=item.code, severity=item.severity, message=item.message, where=where, hint=item.hint
    )


def _place(found: tuple[Location, Diagnostic]) -> tuple[Any, ...]:
    where, item = found
    return where.file, where.line or 0, where.column or 0, _ORDER[item.severity], item.code
