"""npm's lock file, all its versions, as one table of what belongs where.

Source: npm's documentation, "package-lock.json". Version 1 nests `dependencies`; 2 and 3 have
`packages`, keyed by folder. npm-shrinkwrap.json is the same under a name that is published, and
wins over package-lock.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.model import Location, ProjectError, RelPath, error
from lambdad.bundler.npm.manifest import load_object, texts

NAMES: Final = ("npm-shrinkwrap.json", "package-lock.json")
SUPPORTED: Final = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What the lock says of one folder."""

    version: str | None
    """None where it names no version: links, and version 1's packages from git or a path."""
    os: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()
    libc: tuple[str, ...] = ()
    wants: Mapping[str, str]
    """Dependencies and optional ones, as that folder's package.json had them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmLock:
    path: RelPath
    folder: str
    """Absolute, real: the keys of `packages` are relative to it."""
    packages: Mapping[str, Locked]
    complete: bool
    """It records what each package.json asked for (not so in version 1)."""


def parse(path: RelPath, folder: str, content: bytes) -> NpmLock:
    """Raises ProjectError: `bad-package-json`, `bad-npm-lock`."""
    fields, _ = load_object(path, content, own=True)
    version = fields.get("lockfileVersion", 1)
    packages = fields.get("packages", {})
    if version not in SUPPORTED or not isinstance(packages, dict):
        raise ProjectError(
            error(
                "bad-npm-lock",
                f"{path} has lockfileVersion {version!r}; known are 1, 2 and 3",
                Location(path),
                "write it anew with a released npm: `npm install --package-lock-only`",
            )
        )
    if version == 1:
        table = dict(_nested("", fields.get("dependencies")))
    else:
        table = {key: _locked(entry) for key, entry in packages.items() if isinstance(entry, dict)}
    return NpmLock(path=path, folder=folder, packages=table, complete=version != 1)


def _nested(prefix: str, dependencies: object) -> Iterator[tuple[str, Locked]]:
    if not isinstance(dependencies, dict):
        return
    for name, entry in dependencies.items():
        if isinstance(entry, dict):
            key = f"{prefix}node_modules/{name}"
            yield key, _locked(entry)
            yield from _nested(f"{key}/", entry.get("dependencies"))


def _locked(entry: Mapping[str, Any]) -> Locked:
    version = entry.get("version")
    # Version 1 writes "file:../x", a URL or an alias ("npm:other@1.0.0") where a version would be.
    plain = isinstance(version, str) and ":" not in version and "/" not in version
    return Locked(
        version=version if plain and not entry.get("link") else None,
        os=texts(entry.get("os")),
        cpu=texts(entry.get("cpu")),
        libc=texts(entry.get("libc")),
        wants=_wants(entry),
    )


def _wants(entry: Mapping[str, Any]) -> dict[str, str]:
    wants: dict[str, str] = {}
    for key in ("dependencies", "optionalDependencies"):
        value = entry.get(key)
        if isinstance(value, dict):
            wants |= {name: spec for name, spec in value.items() if isinstance(spec, str)}
    return wants
