"""poetry.lock, read without Poetry: a versioned format that says all that an installer needs.

So no Poetry is needed where functions are built, nor its export plugin, and none decides the bytes.
From the dependencies that pyproject.toml asks for we follow the lock's own to what the target gets.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from lambdad.bundler.located import anytoml
from lambdad.bundler.model import Diagnostic, Function, Location, ProjectError, RelPath, error
from lambdad.bundler.python import indexes
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import poetry, pylock
from lambdad.bundler.python.locks.lock import Lock, LockedFile, Pinned, anew
from lambdad.bundler.python.locks.manifest import Manifest
from lambdad.bundler.python.locks.poetry import BadDependencyError, Dependency
from lambdad.bundler.python.locks.requirements import WantedPackage
from lambdad.bundler.python.target import Target
from lambdad.bundler.workshop import Workshop

MEND: Final = "poetry lock"

FORMATS: Final = ("1.1", "2.0", "2.1")
"""The lock-versions since there are hashes by file: Poetry 1.1, 1.3 and 2.0."""

_NEWEST: Final = (2, 5)
"""The newest Poetry whose way to digest pyproject.toml we know: it has changed once, with 2.3."""


_UNSAFE: Final = frozenset({"distribute", "pip", "setuptools", "wheel"})
"""What Poetry before 1.4 left out of its locks, whatever needs it; `lock-incomplete` reports it."""


class _File(msgspec.Struct):
    file: str
    hash: str


class _Source(msgspec.Struct):
    type: str = ""
    url: str = ""
    subdirectory: str = ""


class _Package(msgspec.Struct, rename="kebab"):
    name: str
    version: str
    files: list[_File] | None = None
    python_versions: str = "*"
    markers: str | dict[str, str] = ""
    develop: bool = False
    dependencies: dict[str, Any] = {}
    extras: dict[str, list[str]] = {}
    source: _Source | None = None


class _Metadata(msgspec.Struct, rename="kebab"):
    lock_version: str
    content_hash: str = ""
    python_versions: str = "*"
    files: dict[str, list[_File]] = {}


class _Document(msgspec.Struct):
    metadata: _Metadata
    package: list[_Package] = []


def read(
    manifest: Manifest, path: RelPath, function: Function, target: Target, workshop: Workshop
) -> Lock:
    """What poetry.lock pins for the target.

    Raises ProjectError, all faults together: `bad-lock`, `lock-target`, `lock-outdated`,
    `partly-hashed`, `unsupported-requirement`.
    """
    text = locks.text(path, workshop.seen, MEND)
    document = _document(text, path)
    lines = pylock.name_lines(text)
    walk = _Walk(path=path, target=target, document=document, lines=lines)
    try:
        pythons = document.metadata.python_versions
        if not poetry.accepts(target, pythons):
            message = f"{path} is for Python {pythons}, and {target} is asked for"
            raise ProjectError(error("lock-target", message, Location(path), anew(MEND)))
        _check_fit(manifest, document.metadata, text, path)
        _follow(walk, manifest)
    except BadDependencyError as fault:
        message = f"{path} is no valid lock: {fault}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND))) from fault
    return _lock(walk, workshop)


def _document(text: str, path: RelPath) -> _Document:
    try:
        document = msgspec.convert(anytoml.loads(text), _Document)
    except tomllib.TOMLDecodeError as fault:
        where = pylock.toml_place(path, str(fault))
        raise ProjectError(error("bad-lock", f"{path}: {fault}", where, anew(MEND))) from fault
    except (msgspec.ValidationError, ValueError, RecursionError) as fault:
        message = f"{path} is no valid lock: {fault}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND))) from fault
    version = document.metadata.lock_version
    if version not in FORMATS:
        message = f"{path} has the format {version[:20]}, and lambdad knows {', '.join(FORMATS)}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND)))
    return document


# --- whether it still fits -------------------------------------------------------------------


def _check_fit(manifest: Manifest, metadata: _Metadata, text: str, path: RelPath) -> None:
    """Poetry's own test: the lock bears a digest of what pyproject.toml asked for."""
    if not metadata.content_hash or _maker(text) > _NEWEST:
        return
    if metadata.content_hash not in _digests(manifest.document):
        reason = "its dependencies were edited since"
        where = Location(manifest.path)
        raise ProjectError(locks.no_longer_fits(path, reason, where, MEND))


def _maker(text: str) -> tuple[int, int]:
    """The version of Poetry that wrote the lock, as its first line says."""
    found = re.search(r"Poetry (\d{1,4})\.(\d{1,4})", text.partition("\n")[0])
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _digests(said: Mapping[str, Any]) -> Iterator[str]:
    """Of what Poetry's `Locker` counts in pyproject.toml: with PEP 735's groups, and as before
    2.3 without them."""
    project = _chosen(
        said.get("project"), ("requires-python", "dependencies", "optional-dependencies")
    )
    groups = said.get("dependency-groups") or {}
    tool = said.get("tool")
    own = tool.get("poetry") if isinstance(tool, dict) else None
    own = own if isinstance(own, dict) else {}
    for counted in (groups, {}):
        content: dict[str, Any] = {}
        if project:
            content["project"] = project
        if counted:
            content["dependency-groups"] = counted
        table: dict[str, Any] = _chosen(own, (*_OLD_KEYS, "group"))
        if not content:
            table |= {name: own.get(name) for name in _OLD_KEYS}
        content = {**content, "tool": {"poetry": table}} if content else table
        try:
            text = json.dumps(content, sort_keys=True)
        except (TypeError, ValueError):  # a date, say: nothing that Poetry has locked
            continue
        yield hashlib.sha256(text.encode()).hexdigest()


_OLD_KEYS: Final = ("dependencies", "source", "extras", "dev-dependencies")


def _chosen(table: Any, keys: Iterable[str]) -> dict[str, Any]:
    found = table if isinstance(table, dict) else {}
    return {key: found[key] for key in keys if found.get(key) is not None}


# --- from what is required to what is installed ----------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Walk:
    path: RelPath
    target: Target
    document: _Document
    lines: Mapping[str, int]
    taken: dict[str, _Package] = field(default_factory=dict)
    extras: dict[str, frozenset[str]] = field(default_factory=dict)
    by_name: dict[str, list[_Package]] = field(default_factory=dict)

    def where(self, package: _Package) -> Location:
        return Location(self.path, self.lines.get(package.name))


@dataclass(frozen=True, slots=True)
class _Edge:
    one: Dependency
    where: Location
    by: str | None
    """The package that asks; None: the project does."""


def _follow(walk: _Walk, manifest: Manifest) -> None:
    """Takes all that is needed. A package that is locked in several versions is taken in the
    highest that all requirements admit, as an installer's resolver would."""
    for package in walk.document.package:
        walk.by_name.setdefault(canonicalize_name(package.name), []).append(package)
    roots = [
        _Edge(one.one, one.where, None)
        for one in manifest.asked
        if poetry.holds(one.one, walk.target)
    ]
    limits: dict[str, set[str]] = {}
    for _ in range(1 + len(walk.document.package)):
        walk.taken.clear()
        walk.extras.clear()
        if not _take(walk, roots, limits):
            return
    raise BadDependencyError("it holds no set of versions that fit each other")


def _take(walk: _Walk, roots: Sequence[_Edge], limits: dict[str, set[str]]) -> bool:
    """One try; True: a choice was wrong, which `limits` now rules out."""
    faults: list[Diagnostic] = []
    left = list(reversed(roots))
    while left:
        edge = left.pop()
        name = edge.one.name
        wrong = limits.setdefault(name, set())
        package = walk.taken.get(name)
        if package is not None and not _admits(edge.one, package):
            wrong.add(package.version)
            return True
        if package is None:
            package = _choose(walk, edge, wrong)
            if package is None:
                if name not in _UNSAFE:
                    faults.append(_absent(walk, edge))
                continue
            walk.taken[name] = package
        known = walk.extras.get(name)
        if known is None or not known >= edge.one.extras:
            walk.extras[name] = (known or frozenset()) | edge.one.extras
            left += reversed(list(_edges(walk, package, walk.extras[name])))
    if faults:
        raise ProjectError(*dict.fromkeys(faults))
    return False


def _choose(walk: _Walk, edge: _Edge, wrong: set[str]) -> _Package | None:
    fitting = [
        package
        for package in walk.by_name.get(edge.one.name, ())
        if package.version not in wrong
        and _admits(edge.one, package)
        and poetry.accepts(walk.target, package.python_versions)
        and _marked(walk, package)
    ]
    return max(fitting, key=_order, default=None)


def _admits(one: Dependency, package: _Package) -> bool:
    if not one.in_registry:
        return True  # what lies there is locked in one version
    return poetry.allows(one.versions, package.version)


def _marked(walk: _Walk, package: _Package) -> bool:
    """Whether some group has it on the target, where the lock says (2.1) for which."""
    markers = package.markers
    several = [markers] if isinstance(markers, str) else list(markers.values())
    if not all(several) or len(walk.by_name[canonicalize_name(package.name)]) == 1:
        return True
    # Extras count for what they bring in: which of several versions it is, they may decide, too.
    extras = frozenset(re.findall(r"extra == [\"']([^\"']+)[\"']", " ".join(several)))
    return any(targets.holds(walk.target, poetry.marker(text), extras | {""}) for text in several)


def _order(package: _Package) -> tuple[Version, str]:
    try:
        return Version(package.version), package.version
    except InvalidVersion as fault:
        raise BadDependencyError(f"{package.version!r} is no version") from fault


def _edges(walk: _Walk, package: _Package, extras: frozenset[str]) -> Iterator[_Edge]:
    brought = {
        canonicalize_name(found[0])
        for extra, several in package.extras.items()
        if canonicalize_name(extra) in extras
        for text in several
        if (found := re.match(r"[\w.-]+", text))
    }
    for name, value in package.dependencies.items():
        for one in poetry.dependencies(name, value):
            if one.optional and one.name not in brought and "extra" not in str(one.marker or ""):
                continue
            if poetry.holds(one, walk.target, extras):
                yield _Edge(one, walk.where(package), canonicalize_name(package.name))


def _absent(walk: _Walk, edge: _Edge) -> Diagnostic:
    versions = "" if edge.one.versions in ("*", "") else f" {edge.one.versions}"
    if edge.by is None:
        reason = f"it has no {edge.one.name}{versions} for {walk.target}"
        return locks.no_longer_fits(walk.path, reason, edge.where, MEND)
    message = f"{walk.path} has no {edge.one.name}{versions}, which {edge.by} needs"
    return error("bad-lock", message, edge.where, anew(MEND))


# --- what is installed, as pins --------------------------------------------------------------


def _lock(walk: _Walk, workshop: Workshop) -> Lock:
    folder = os.path.normpath(workshop.absolute(os.path.dirname(walk.path) or "."))
    pins: list[Pinned] = []
    folders: list[WantedPackage] = []
    faults: list[Diagnostic] = []
    sources: list[str] = []
    for name in sorted(walk.taken):
        package = walk.taken[name]
        source = package.source or _Source()
        if source.type == "directory":
            place = os.path.join(folder, source.url, source.subdirectory)
            folders.append(
                WantedPackage(
                    text=source.url,
                    path=os.path.normpath(place),
                    editable=package.develop,
                    extras=walk.extras[name],
                    where=walk.where(package),
                )
            )
            continue
        if source.type not in ("", "legacy", "url", "file"):
            faults.append(locks.of_version_control(name, walk.where(package)))
            continue
        files = _files(package, walk.document.metadata)
        if not any(file.hashes for file in files):
            message = f"{name} has no hash in {walk.path}"
            faults.append(error("partly-hashed", message, walk.where(package), anew(MEND)))
            continue
        pins.append(_pin(walk, name, package, files, folder))
        if source.type not in ("url", "file"):
            sources.append(source.url or indexes.default())
    if faults:
        raise ProjectError(*faults)
    return Lock(
        pins=tuple(pins),
        folders=tuple(folders),
        indexes=indexes.of_lock(sources, workshop.environ),
    )


def _pin(
    walk: _Walk, name: str, package: _Package, files: Sequence[LockedFile], folder: str
) -> Pinned:
    source = package.source or _Source()
    extras, where = walk.extras[name], walk.where(package)
    if source.type not in ("url", "file"):
        return locks.pin_of_files(
            name, package.version, files, walk.target, extras=extras, where=where
        )
    url = source.url if source.type == "url" else None
    path = os.path.normpath(os.path.join(folder, source.url)) if url is None else None
    return Pinned(
        name=name,
        version=package.version,
        hashes=tuple(sorted({one for file in files for one in file.hashes})),
        url=url,
        path=path,
        direct=True,
        sdist=not source.url.partition("#")[0].endswith(".whl"),
        extras=extras,
        where=where,
    )


def _files(package: _Package, metadata: _Metadata) -> list[LockedFile]:
    """Before lock-version 2.0 they stood apart, under the package's name, for all its versions."""
    listed = package.files
    if listed is None:
        several = metadata.files.get(package.name, [])
        listed = [one for one in several if _is_of(one.file, package.version)]
    return [LockedFile(name=one.file, hashes=locks.checked([one.hash])) for one in listed]


def _is_of(filename: str, version: str) -> bool:
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[1] == Version(version)
        return parse_sdist_filename(filename)[1] == Version(version)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return False  # an .egg, say
