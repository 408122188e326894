"""What a Python project's own file asks for, whichever file and tool it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import Requirement

from lambdad.bundler.model import Diagnostic, Location, RelPath, error
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import poetry
from lambdad.bundler.python.locks.poetry import Dependency
from lambdad.bundler.python.locks.requirements import WantedPackage


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredDependency:
    """A dependency that the file names, and where."""

    one: Dependency
    text: str
    """As a person finds it there."""
    where: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The main dependencies, and those of the extras and groups that the function has chosen."""

    path: RelPath
    tool: str
    """Whose project it is: uv, poetry or pipenv."""
    name: str | None = None
    """Normalised."""
    asked: tuple[DeclaredDependency, ...] = ()
    constraints: tuple[WantedPackage, ...] = ()
    extras: frozenset[str] = frozenset()
    """Those that were chosen, and those that they lead to; normalised."""
    groups: frozenset[str] = frozenset()
    indexes: Indexes = field(default_factory=Indexes)
    named: tuple[tuple[str, str], ...] = ()
    """Indexes with the names by which credentials are found: (name, URL)."""
    dynamic: bool = False
    """Only its build backend knows the dependencies."""
    unknown: bool = False
    """The file is not there: only its lock is."""
    needs_lock: tuple[Diagnostic, ...] = ()
    """What only the project's own tool can resolve."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All that the file says."""

    @property
    def asks(self) -> bool:
        """Whether it declares any dependency."""
        return bool(self.asked) or self.dynamic or self.unknown

    @property
    def is_project(self) -> bool:
        """Whether it declares at all: a pyproject.toml may hold the settings of linters alone."""
        tool = self.document.get("tool")
        is_poetry = isinstance(tool, Mapping) and "poetry" in tool
        return self.tool == "pipenv" or "project" in self.document or is_poetry

    @property
    def mend(self) -> str:
        """The command that locks the project."""
        return f"{self.tool} lock"

    @property
    def folder(self) -> RelPath:
        return os.path.dirname(self.path) or "."


def wanted(asked: DeclaredDependency, folder: str) -> WantedPackage:
    """The same as a requirement; `folder`, which its paths start at, is absolute."""
    one = asked.one
    extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    versions = poetry.specifier(one.versions) if one.in_registry else None
    path = os.path.normpath(os.path.join(folder, one.path)) if one.path else None
    return WantedPackage(
        text=asked.text,
        where=asked.where,
        requirement=Requirement(f"{one.name}{extras}{versions or ''}"),
        url=None if one.vcs else one.url,
        path=path,
        editable=one.develop,
        extras=one.extras,
        marker=one.marker,
    )


def only_locked(asked: DeclaredDependency, mend: str) -> Diagnostic | None:
    """Why only the project's own tool can resolve it; None if others can."""
    if asked.one.vcs:
        hint = (
            "build it into a wheel and refer to that by its path, or check the package out into "
            "the repository and refer to its folder"
        )
        message = f"{asked.one.name} is under version control"
        return error("unsupported-requirement", message, asked.where, hint)
    if asked.one.in_registry and poetry.specifier(asked.one.versions) is None:
        message = f"{asked.text}: only Poetry can resolve these versions"
        return needs_lock(message, asked.where, mend)
    return None


def needs_lock(message: str, where: Location, mend: str) -> Diagnostic:
    return error("needs-lock", message, where, f"run `{mend}` and commit what it writes")
