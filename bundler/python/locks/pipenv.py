"""Pipfile and Pipfile.lock, as pipenv has them ("Pipfile & Pipfile.lock" in its documentation)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from lambdad.bundler.located import anyjson, located_toml
from lambdad.bundler.located.located import Node, decode, plain
from lambdad.bundler.model import Diagnostic, Function, Location, ProjectError, RelPath, error
from lambdad.bundler.python import credentials, indexes
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import manifest as manifests
from lambdad.bundler.python.locks import poetry
from lambdad.bundler.python.locks.lock import Lock, Pinned, anew
from lambdad.bundler.python.locks.manifest import DeclaredDependency, Manifest, needs_lock
from lambdad.bundler.python.locks.poetry import BadDependencyError, Dependency
from lambdad.bundler.python.locks.requirements import WantedPackage
from lambdad.bundler.python.target import Target
from lambdad.bundler.workshop import Workshop

MEND: Final = "pipenv lock"

_NOT_PACKAGES: Final = frozenset(
    {"source", "requires", "pipenv", "pipfile", "scripts", "dev-packages"}
)
"""Tables of a Pipfile that are no category of packages to choose."""

_MARKERS: Final = (
    "os_name", "sys_platform", "platform_machine", "platform_python_implementation",
    "platform_release", "platform_system", "platform_version", "python_version",
    "python_full_version", "implementation_name", "implementation_version",
)  # fmt: skip


# --- Pipfile ---------------------------------------------------------------------------------


def read(path: RelPath, function: Function, workshop: Workshop) -> Manifest | None:
    """What the file asks for: [packages], and the categories that `groups` names; None if there is
    none.

    Raises ProjectError, all faults together: `broken-config`, `bad-requirement`, `unknown-extra`.
    """
    content = workshop.seen.read(path)
    if content is None:
        return None
    top = located_toml.parse(decode(content, path), path).top
    tables: dict[str, Node] = {canonicalize_name(name): node for name, node in top.fields.items()}
    categories = [name for name in tables if name not in (*_NOT_PACKAGES, "packages")]
    faults = [
        *locks.unknown("extras", function.extras, (), path),
        *locks.unknown("groups", function.groups, categories, path),
    ]
    asked = []
    for name in ("packages", *function.groups):
        if name in tables:
            asked += list(_asked(tables[name], faults))
    if faults:
        raise ProjectError(*faults)
    document = plain(top)
    assert isinstance(document, dict)  # noqa: S101 - what TOML is
    known, named = _sources(document.get("source"), workshop)
    problems = [manifests.only_locked(one, MEND) for one in asked]
    if len(named) > 1:
        message = "only pipenv knows which of its sources has which package"
        problems.append(needs_lock(message, Location(path), MEND))
    return Manifest(
        path=path,
        tool="pipenv",
        asked=tuple(asked),
        groups=frozenset(function.groups),
        indexes=known,
        named=named,
        needs_lock=tuple(one for one in problems if one is not None),
        document=document,
    )


def _asked(table: Node, faults: list[Diagnostic]) -> Iterator[DeclaredDependency]:
    for name, node in table.fields.items():
        try:
            one = _dependency(name, plain(node))
        except BadDependencyError as fault:
            message = f"can't read what {name} is to be: {fault}"
            faults.append(error("bad-requirement", message, node.where, "correct it"))
            continue
        text = f"{name} {node.value}" if isinstance(node.value, str) else name
        yield DeclaredDependency(one=one, text=text, where=node.key_where)


def _dependency(name: str, value: Any) -> Dependency:
    """An entry of the Pipfile or of its lock. Raises BadDependencyError."""
    if isinstance(value, str):
        value = {"version": value}
    if not isinstance(value, Mapping):
        raise BadDependencyError("it is neither a version nor a table")
    texts = {key: text for key, text in value.items() if isinstance(text, str)}
    versions = texts.get("version", "*")
    # pipenv takes a bare version for the only one that will do.
    exactly = "==" if versions[:1].isdigit() else ""
    try:
        specifier = SpecifierSet("" if versions == "*" else f"{exactly}{versions}")
    except InvalidSpecifier as fault:
        raise BadDependencyError(f"{versions!r} is no version") from fault
    conditions = [f"({texts['markers']})"] if texts.get("markers") else []
    conditions += [f"({key} {texts[key]})" for key in _MARKERS if key in texts]
    file = texts.get("file")
    return Dependency(
        name=poetry.normal_name(name),
        versions=specifier,
        extras=poetry.extras_of(value),
        marker=poetry.marker(" and ".join(conditions)) if conditions else None,
        url=file if file and "://" in file else None,
        path=texts.get("path") or (file if file and "://" not in file else None),
        develop=value.get("editable") is True,
        vcs=bool({"git", "hg", "svn", "bzr"} & texts.keys()),
        source=texts.get("index"),
    )


def _sources(value: Any, workshop: Workshop) -> tuple[Indexes, tuple[tuple[str, str], ...]]:
    """Where the packages come from; pipenv, too, fills in variables of the environment."""
    named = []
    for one in value if isinstance(value, list) else []:
        if isinstance(one, dict) and isinstance(one.get("url"), str):
            # An untrusted project's sources are not asked, so it is enough that they are named.
            variables = workshop.environ if workshop.trusted else {}
            url = credentials.expanded(one["url"], variables)
            named.append((str(one.get("name") or ""), url))
    return indexes.of_lock([url for _, url in named], workshop.environ), tuple(named)


# --- Pipfile.lock ----------------------------------------------------------------------------


class _Meta(msgspec.Struct, rename={"pipfile_spec": "pipfile-spec"}):
    hash: dict[str, str] = {}
    pipfile_spec: int = 6
    sources: list[dict[str, Any]] = []


class _Document(msgspec.Struct, rename={"meta": "_meta"}):
    meta: _Meta
    default: dict[str, dict[str, Any]] = {}


def lock(
    manifest: Manifest, path: RelPath, function: Function, target: Target, workshop: Workshop
) -> Lock:
    """What Pipfile.lock pins for the target.

    Raises ProjectError, all faults together: `bad-lock`, `lock-outdated`, `partly-hashed`,
    `not-pinned`, `unsupported-requirement`.
    """
    text = locks.text(path, workshop.seen, MEND)
    try:
        raw = anyjson.loads(text)
        document = msgspec.convert(raw, _Document)
        sections = [document.default]
        for name in sorted(manifest.groups):
            sections.append(msgspec.convert(raw.get(name, {}), dict[str, dict[str, Any]]))
    except (ValueError, RecursionError, msgspec.ValidationError, AttributeError) as fault:
        message = f"{path} is no valid lock: {fault}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND))) from fault
    if document.meta.pipfile_spec != 6:
        message = f"{path} has a format that lambdad does not know"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND)))
    _check_fit(manifest, document.meta, path)
    lines = _lines(text)
    folder = workshop.absolute(os.path.dirname(path) or ".")
    conditions = {one.one.name: one.one for one in manifest.asked}
    pins: dict[str, Pinned] = {}
    folders: list[WantedPackage] = []
    faults: list[Diagnostic] = []
    for section in sections:
        for name, entry in section.items():
            where = Location(path, lines.get(name))
            try:
                one = _dependency(name, entry)
            except BadDependencyError as fault:
                message = f"can't read what {name} is pinned to: {fault}"
                faults.append(error("bad-lock", message, where, anew(MEND)))
                continue
            # pipenv leaves out of the lock what the Pipfile says of platforms.
            asked = conditions.get(one.name)
            if not targets.holds(target, one.marker) or (
                asked is not None and not poetry.holds(asked, target)
            ):
                continue
            if one.vcs:
                faults.append(locks.of_version_control(name, where))
                continue
            wanted = manifests.wanted(
                DeclaredDependency(one=one, text=one.path or name, where=where), folder
            )
            if wanted.is_folder:
                folders.append(wanted)
            elif isinstance(found := _pin(wanted, entry), Pinned):
                pins.setdefault(one.name, found)
            else:
                faults.append(found)
    if faults:
        raise ProjectError(*faults)
    return Lock(
        pins=tuple(pins[name] for name in sorted(pins)),
        folders=tuple(folders),
        indexes=_sources(document.meta.sources, workshop)[0],
    )


def _pin(wanted: WantedPackage, entry: Mapping[str, Any]) -> Pinned | Diagnostic:
    hashes = entry.get("hashes")
    found = locks.checked(hashes if isinstance(hashes, list) else [])
    name = locks.name_of(wanted)
    if not found:
        return error("partly-hashed", f"{name} has no hash", wanted.where, anew(MEND))
    pin = locks.pin_of(replace(wanted, hashes=found))
    return pin or error("not-pinned", f"{name} has no one version", wanted.where, anew(MEND))


def _lines(text: str) -> Mapping[str, int]:
    """Where each entry begins: a name is a key of the second level."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith('        "') and line.endswith('": {'):
            found.setdefault(line.strip()[1:-4], number)
    return found


def _check_fit(manifest: Manifest, meta: _Meta, path: RelPath) -> None:
    """pipenv's own test: the lock bears a digest of what the Pipfile said."""
    said = manifest.document
    if not said or "sha256" not in meta.hash:
        return
    data: dict[str, Any] = {
        "_meta": {
            "sources": said.get("source", _default_sources()),
            "requires": said.get("requires", {}),
        },
        "default": said.get("packages", {}),
        "develop": said.get("dev-packages", {}),
    }
    known = (*_NOT_PACKAGES, "packages", "default", "develop")
    more = {name: table for name, table in said.items() if name not in known}
    # Before pipenv had further categories, its digest left them out.
    if meta.hash["sha256"] not in (_digest({**data, **more}), _digest(data)):
        message = f"{path} no longer fits {os.path.basename(manifest.path)}, which was edited since"
        raise ProjectError(error("lock-outdated", message, Location(manifest.path), anew(MEND)))


def _digest(data: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError):  # a date, say: no Pipfile that pipenv has locked
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


def _default_sources() -> list[dict[str, Any]]:
    """What a Pipfile without a source means."""
    return [{"name": "pypi", "url": indexes.default(), "verify_ssl": True}]
