"""Poetry's way to write dependencies: in its tables of pyproject.toml, and in poetry.lock.

The format is described in Poetry's documentation, "Dependency specification". What versions mean
is left to poetry-core, Poetry's own library.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

from lambdad.bundler.python import target as targets
from lambdad.bundler.python.target import Target

_LONGEST: Final = 1000
"""Characters of a constraint or a marker: what is longer is no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One entry, or one of a list of them."""

    name: str
    """Normalised."""
    versions: str | SpecifierSet = "*"
    """A constraint in Poetry's syntax, or in PEP 440's."""
    extras: frozenset[str] = frozenset()
    marker: Marker | None = None
    """What `markers`, `python` and `platform` say together."""
    optional: bool = False
    """Installed only with an extra."""
    url: str | None = None
    path: str | None = None
    """As written."""
    develop: bool = False
    vcs: bool = False
    source: str | None = None
    """Of the index that is to have it, its name."""

    @property
    def in_registry(self) -> bool:
        return not (self.url or self.path or self.vcs)


class BadDependencyError(ValueError):
    """What an entry says can't be read."""


def dependencies(name: str, value: Any) -> tuple[Dependency, ...]:
    """What an entry of a table of dependencies asks for. Raises BadDependencyError."""
    several = value if isinstance(value, list) else [value]
    return tuple(_dependency(name, one) for one in several)


def _dependency(name: str, value: Any) -> Dependency:
    normal = normal_name(name)
    if isinstance(value, str):
        _constraint(value)
        return Dependency(name=normal, versions=value)
    if not isinstance(value, Mapping):
        raise BadDependencyError("it is neither a version nor a table")

    def text(key: str) -> str | None:
        found = value.get(key)
        if found is not None and not isinstance(found, str):
            raise BadDependencyError(f"its {key} is no text")
        return found

    versions = text("version") or "*"
    _constraint(versions)
    path = text("path") or text("file")
    if path and (below := text("subdirectory")):
        path = f"{path}/{below}"
    return Dependency(
        name=normal,
        versions=versions,
        extras=extras_of(value),
        marker=_marker(text("markers"), text("python"), text("platform")),
        optional=value.get("optional") is True,
        url=text("url"),
        path=path,
        develop=value.get("develop") is True,
        vcs=text("git") is not None,
        source=text("source"),
    )


def normal_name(text: str) -> str:
    """Raises BadDependencyError."""
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName as fault:
        raise BadDependencyError(f"{text!r} is no name") from fault


def extras_of(value: Mapping[str, Any]) -> frozenset[str]:
    """What an entry's `extras` name, normalised. Raises BadDependencyError."""
    extras = value.get("extras", [])
    if not isinstance(extras, list) or not all(isinstance(one, str) for one in extras):
        raise BadDependencyError("its extras are no list of texts")
    return frozenset(map(normal_name, extras))


def of_requirement(text: str) -> Dependency:
    """A requirement as PEP 508 has it. Raises BadDependencyError."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as fault:
        raise BadDependencyError(str(fault).splitlines()[0]) from fault
    url: str | None = requirement.url
    path: str | None = None
    if url is not None and url.startswith("file:"):
        path = url.removeprefix("file://").removeprefix("file:")
        url = None
    return Dependency(
        name=canonicalize_name(requirement.name),
        versions=requirement.specifier,
        extras=frozenset(map(canonicalize_name, requirement.extras)),
        marker=requirement.marker,
        url=url,
        path=path,
        vcs=url is not None and "+" in url.partition(":")[0],
    )


# --- versions --------------------------------------------------------------------------------


def allows(versions: str | SpecifierSet, version: str) -> bool:
    """Whether the constraint admits the version; neither may be nonsense."""
    if isinstance(versions, SpecifierSet):
        return versions.contains(version, prereleases=True)
    from poetry.core.constraints.version import Version

    constraint = _constraint(versions)
    try:
        return bool(constraint.allows(Version.parse(version)))
    except ValueError as fault:
        raise BadDependencyError(f"{version[:_LONGEST]!r} is no version") from fault


def specifier(versions: str | SpecifierSet) -> SpecifierSet | None:
    """The same in PEP 440's syntax; None where that has no words for it ("^1 || ^3")."""
    if isinstance(versions, SpecifierSet):
        return versions
    text = str(_constraint(versions))
    if text == "*":
        return SpecifierSet()
    if "||" in text:
        return None
    try:
        return SpecifierSet(text if text[0] in "<>=!~" else f"=={text}")
    except InvalidSpecifier:
        return None


@functools.lru_cache(maxsize=4096)
def _constraint(text: str) -> Any:
    from poetry.core.constraints.version import parse_constraint

    if len(text) > _LONGEST:
        raise BadDependencyError("its version is far too long")
    try:
        return parse_constraint(text)
    except (ValueError, RecursionError) as fault:
        raise BadDependencyError(f"{text!r} is no version constraint") from fault


# --- markers ---------------------------------------------------------------------------------


def holds(one: Dependency, target: Target, extras: frozenset[str] = frozenset()) -> bool:
    return targets.holds(target, one.marker, extras)


def accepts(target: Target, pythons: str) -> bool:
    """Whether a constraint on Python's version admits the target."""
    return allows(pythons, target.full)


def _marker(markers: str | None, python: str | None, platform: str | None) -> Marker | None:
    parts = [
        *([markers] if markers else []),
        *([_any_of(_pythons(python))] if python and str(_constraint(python)) != "*" else []),
        *([_any_of(_platforms(platform))] if platform else []),
    ]
    if not parts:
        return None
    text = " and ".join(f"({part})" for part in parts)
    return marker(text)


def marker(text: str) -> Marker:
    """Raises BadDependencyError."""
    if len(text) > _LONGEST * 10:
        raise BadDependencyError("its marker is far too long")
    try:
        return Marker(text)
    except (InvalidMarker, RecursionError) as fault:
        raise BadDependencyError(f"{text!r} is no marker") from fault


def _any_of(alternatives: Iterator[str]) -> str:
    return " or ".join(f"({one})" for one in alternatives)


_CLAUSE: Final = re.compile(r"(<=|>=|==|!=|<|>|)\s*(\S+)")


def _pythons(constraint: str) -> Iterator[str]:
    for alternative in str(_constraint(constraint)).split("||"):
        clauses = []
        for clause in alternative.split(","):
            found = _CLAUSE.fullmatch(clause.strip())
            if found is None:
                raise BadDependencyError(f"{constraint!r} is no version of Python")
            # "3.9" alone is all of it; a bound is 3.9.0.
            name = "python_full_version"
            if not found[1] and found[2].count(".") < 2:
                name = "python_version"
            clauses.append(f'{name} {found[1] or "=="} "{found[2]}"')
        yield " and ".join(clauses)


def _platforms(constraint: str) -> Iterator[str]:
    for alternative in constraint.split("|"):
        if alternative.strip():
            clauses = []
            for clause in alternative.split(","):
                found = re.fullmatch(r"\s*(==|!=|)\s*([\w.-]+)\s*", clause)
                if found is None:
                    raise BadDependencyError(f"{constraint!r} is no platform")
                clauses.append(f'sys_platform {found[1] or "=="} "{found[2]}"')
            yield " and ".join(clauses)
