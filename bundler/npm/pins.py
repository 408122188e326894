"""What the locks of pnpm, Yarn and Bun pin, as far as comparing it with what is installed needs.

They don't say where packages are, as npm's does; only which versions there are, and what each
package.json asked for. Sources: pnpm's lockfile specification (versions 6 and 9), what Yarn 1 and 4
and Bun write. Nothing here is an error: the managers say themselves what is wrong with their lock,
and what can't be read is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lambdad.bundler.located import anyjson
from lambdad.bundler.model import RelPath
from lambdad.bundler.npm.installed import MODULES
from lambdad.bundler.npm.lock import NpmLock

WantedVersions = Mapping[str, str]
"""Name to wanted version."""

ROOT: Final = "."
_FIELDS: Final = ("dependencies", "optionalDependencies")
_REWRITING: Final = frozenset(
    {"overrides", "pnpmfileChecksum", "packageExtensionsChecksum", "ignoredOptionalDependencies"}
)
"""With these pnpm writes down something else than package.json asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    path: RelPath
    versions: Mapping[str, frozenset[str] | None]
    """Of each package's name those that the lock has; None where one is no release: from a folder,
    an archive or version control."""
    members: Mapping[RelPath, WantedVersions] | None = None
    """Of each package.json's folder, from the lock's on, what it asked for; None if the lock does
    not tell."""
    patterns: frozenset[str] | None = None
    """Yarn 1 writes that down for all of them together: "name@wanted"."""
    compared: bool = True
    """What was asked for is as package.json said it."""
    catalogs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By the catalog's and the package's name, what pnpm's catalogs asked for."""


def parse(path: RelPath, content: bytes) -> Pins | None:
    """What the lock at that path pins; None if that is not known."""
    try:
        text = content.decode("utf-8-sig")
        name = path.rpartition("/")[2]
        if name == "pnpm-lock.yaml":
            return _pnpm(path, text)
        if name == "yarn.lock":
            return _yarn(path, text)
        return _bun(path, text) if name == "bun.lock" else None
    except (ValueError, RecursionError):
        return None


def of_npm(lock: NpmLock) -> Pins:
    """npm's lock without the places it names, for a layout that is not the one it was made for."""
    versions: dict[str, frozenset[str] | None] = {}
    members: dict[RelPath, WantedVersions] = {}
    for key, locked in lock.packages.items():
        _, inner, name = f"/{key}".rpartition(f"/{MODULES}/")
        if inner:
            _add(versions, name, locked.version or "")
        else:
            members[key or ROOT] = locked.wants
    told = members if lock.complete else None
    return Pins(path=lock.path, versions=versions, members=told)


def outdated(
    pins: Pins, member: RelPath, wanted: WantedVersions, catalogs: Mapping[Any, str]
) -> list[str]:
    """Of the wanted, sorted, those that the lock does not have, or has as they were wanted before.

    `catalogs` are those of now. Only plain versions are compared: managers write paths anew.
    """
    if not pins.compared:
        return []
    if pins.patterns is not None:
        return sorted(
            name
            for name, spec in wanted.items()
            if _is_plain(spec) and f"{name}@{spec}" not in pins.patterns
        )
    was = pins.members.get(member) if pins.members is not None else None
    if was is None:
        return []
    found = []
    for name, spec in wanted.items():
        now = _meant(name, spec, catalogs)
        before = _meant(name, was[name], pins.catalogs) if name in was else None
        if before is None or (_is_plain(now) and _is_plain(before) and now != before):
            found.append(name)
    return sorted(found)


def catalogs(content: bytes) -> dict[tuple[str, str], str]:
    """What pnpm-workspace.yaml has in its catalogs; empty if it can't be read."""
    import yaml

    try:
        read = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    named = read.get("catalogs")
    tables = {"default": read.get("catalog"), **(named if isinstance(named, dict) else {})}
    return {
        (str(catalog), str(name)): str(spec)
        for catalog, table in tables.items()
        if isinstance(table, dict)
        for name, spec in table.items()
    }


def _meant(name: str, spec: str, table: Mapping[Any, str]) -> str:
    if spec.startswith("catalog:"):
        return table.get((spec.removeprefix("catalog:") or "default", name), spec)
    return spec


def _is_plain(spec: str) -> bool:
    """A version, a range or a tag, not a place."""
    return bool(spec) and ":" not in spec and "/" not in spec


# --- each manager's ----------------------------------------------------------------------------


def _pnpm(path: RelPath, text: str) -> Pins | None:
    versions: dict[str, frozenset[str] | None] = {}
    members: dict[RelPath, dict[str, str]] = {}
    catalogs: dict[tuple[str, str], str] = {}
    told: set[str] = set()
    for keys, value in _lines(text):
        told.add(keys[0])
        match keys:
            case ("lockfileVersion",) if value.startswith("5"):
                return None
            case ("packages", package):
                _add(versions, *_split(package.removeprefix("/").partition("(")[0]))
            case ("importers", member):
                members[member] = {}
            case ("importers", member, kind, name, "specifier") if kind in _FIELDS:
                members[member][name] = value
            case (kind, name, "specifier") if kind in _FIELDS:  # a lock without a workspace
                members.setdefault(ROOT, {})[name] = value
            case ("catalogs", catalog, name, "specifier"):
                catalogs[catalog, name] = value
    if "lockfileVersion" not in told:
        return None
    if "importers" not in told:
        members.setdefault(ROOT, {})
    compared = not told & _REWRITING
    return Pins(path=path, versions=versions, members=members, compared=compared, catalogs=catalogs)


def _yarn(path: RelPath, text: str) -> Pins | None:
    versions: dict[str, frozenset[str] | None] = {}
    members: dict[RelPath, dict[str, str]] = {}
    patterns: set[str] = set()
    entry: list[str] = []
    modern = False
    member: dict[str, str] | None = None
    for keys, value in _lines(text):
        match keys:
            case ("__metadata",):
                modern = True
            case (header,):
                entry = header.split(", ")
                patterns.update(entry)
                member = None
            case (_, "version") if not modern:
                for pattern in entry:
                    name, wanted = _split(pattern)
                    release = _is_plain(wanted) or wanted.startswith("npm:")
                    _add(versions, name, value if release else "")
            case (_, "resolution"):
                name, place = _split(value)
                kind, _, version = place.partition("::")[0].rpartition(":")
                _add(versions, name, version if kind == "npm" else "")
                if kind == "workspace":
                    member = members[version] = {}
            case (_, "dependencies", name) if member is not None:
                member[name] = value.removeprefix("npm:")
    if modern:
        return Pins(path=path, versions=versions, members=members)
    if "# yarn lockfile v1" not in text:
        return None
    return Pins(path=path, versions=versions, patterns=frozenset(patterns))


_TRAILING: Final = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=\s*[\]}])')
"""A string, kept, or a comma too many. An unclosed string is one: none is looked at twice."""


def _bun(path: RelPath, text: str) -> Pins | None:
    lock = anyjson.loads(_TRAILING.sub(lambda match: match[1] or "", text))
    workspaces = lock.get("workspaces") if isinstance(lock, dict) else None
    packages = lock.get("packages", {}) if isinstance(lock, dict) else None
    if not isinstance(workspaces, dict) or not isinstance(packages, dict):
        return None
    versions: dict[str, frozenset[str] | None] = {}
    for entry in packages.values():
        if isinstance(entry, list) and entry and isinstance(entry[0], str):
            _add(versions, *_split(entry[0]))
    members: dict[RelPath, WantedVersions] = {}
    for folder, said in workspaces.items():
        tables = [said.get(kind) for kind in _FIELDS] if isinstance(said, dict) else []
        members[folder or ROOT] = {
            name: spec
            for table in tables
            if isinstance(table, dict)
            for name, spec in table.items()
            if isinstance(spec, str)
        }
    return Pins(path=path, versions=versions, members=members)


def _split(text: str) -> tuple[str, str]:
    """("@scope/name", "1.0.0") of "@scope/name@1.0.0"."""
    name, _, rest = text[1:].partition("@")
    return text[:1] + name, rest


_RELEASE: Final = re.compile(r"\d+\.\d+\.\d+[-+.\w]*")


def _add(versions: dict[str, frozenset[str] | None], name: str, version: str) -> None:
    before = versions.get(name, frozenset())
    release = _RELEASE.fullmatch(version) is not None
    versions[name] = before | {version} if release and before is not None else None


_DEEPEST: Final = 5
"""Keys within keys; what lies deeper is of no use here."""


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each line's key with those around it, outermost first, and its value.

    Enough of YAML for what pnpm and Yarn 4 write, and of Yarn 1's own format.
    """
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        body = line.strip()
        if not body or body[0] in "#-":
            continue
        indent = len(line) - len(line.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        key, value = _key_and_value(body)
        above.append((indent, key))
        if len(above) <= _DEEPEST:
            yield tuple(name for _, name in above), value


def _key_and_value(body: str) -> tuple[str, str]:
    if body.endswith(":"):  # Yarn 1 quotes each of several patterns
        return body[:-1].replace('"', "").replace("'", ""), ""
    if body[0] in "\"'":
        key, _, value = body[1:].partition(body[0])
        value = value.removeprefix(":")
    else:
        key, _, value = body.partition(": " if ": " in body else " ")
    return key, value.strip().strip("'\"")
