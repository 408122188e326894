"""uv.lock: exported by uv itself, for its format is uv's own affair and changes with it.

uv is among our dependencies, so it is there, in one version, which is part of what is remembered.
It reads what lies there and fetches, builds and writes nothing.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from lambdad.bundler import tool_caches, tool_faults, tools
from lambdad.bundler.located import anytoml
from lambdad.bundler.model import Function, Location, ProjectError, RelPath, error
from lambdad.bundler.python import built, indexes
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import poetry, pylock, uv_workspace
from lambdad.bundler.python.locks.lock import Lock, anew
from lambdad.bundler.python.locks.manifest import DeclaredDependency, Manifest
from lambdad.bundler.python.target import Target
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.toolchain import UV
from lambdad.bundler.workshop import Workshop

MEND: Final = "uv lock"
NAME: Final = "uv.lock"


class _Requirement(msgspec.Struct):
    name: str
    marker: str = ""
    specifier: str = ""
    extras: list[str] = []
    extra: list[str] = []
    directory: str | None = None
    editable: str | None = None
    virtual: str | None = None
    path: str | None = None
    url: str | None = None
    git: str | None = None

    @property
    def in_registry(self) -> bool:
        places = (self.directory, self.editable, self.virtual, self.path, self.url, self.git)
        return not any(place is not None for place in places)


class _Metadata(msgspec.Struct, rename="kebab"):
    requires_dist: list[_Requirement] = []
    requires_dev: dict[str, list[_Requirement]] = {}


class _Package(msgspec.Struct):
    name: str
    source: dict[str, Any] = {}
    metadata: _Metadata | None = None

    @property
    def folder(self) -> str | None:
        """Of a package of the user's own, from the lock's folder."""
        for kind in ("editable", "virtual", "directory"):
            if isinstance(place := self.source.get(kind), str):
                return os.path.normpath(place)
        return None


class _Index(msgspec.Struct):
    url: str
    name: str = ""


class _Uv(msgspec.Struct):
    index: list[_Index] = []


class _Tool(msgspec.Struct):
    uv: _Uv = msgspec.field(default_factory=_Uv)


class _Document(msgspec.Struct):
    version: int
    package: list[_Package] = []


# --- which lock it is ------------------------------------------------------------------------


def find(folder: RelPath, workshop: Workshop) -> RelPath | None:
    """The lock of the project in that folder: its workspace's, if it is a member, else its own."""
    seen = workshop.seen
    own = os.path.normpath(f"{folder}/{NAME}")
    top = _workspace(folder, workshop)
    if top is not None:
        shared = os.path.normpath(f"{top}/{NAME}")
        if seen.is_file(shared) and (_knows(shared, folder, workshop) or not seen.is_file(own)):
            return shared
    return own if seen.is_file(own) else None


def _workspace(folder: RelPath, workshop: Workshop) -> RelPath | None:
    """The nearest folder above with a pyproject.toml, if that is of a workspace. uv looks no
    further: what lies between belongs to no other."""
    here = os.path.normpath(workshop.absolute(folder))
    while here != workshop.repository and here != os.path.dirname(here):
        here = os.path.dirname(here)
        path = os.path.relpath(f"{here}/pyproject.toml", workshop.root)
        try:
            said = anytoml.loads(workshop.seen.content(path).decode())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, RecursionError):
            return None
        tool = said.get("tool")
        uv = tool.get("uv") if isinstance(tool, dict) else None
        return os.path.dirname(path) or "." if isinstance(uv, dict) and "workspace" in uv else None
    return None


def _knows(path: RelPath, folder: RelPath, workshop: Workshop) -> bool:
    try:
        document = _document(locks.text(path, workshop.seen, MEND), path)
    except ProjectError:
        return True  # its reader reports what is wrong
    return _member(document, path, folder, workshop) is not None


def _member(
    document: _Document, path: RelPath, folder: RelPath, workshop: Workshop
) -> _Package | None:
    top = os.path.dirname(workshop.absolute(path))
    wanted = os.path.relpath(workshop.absolute(folder), top)
    return next((one for one in document.package if one.folder == wanted), None)


def _document(text: str, path: RelPath) -> _Document:
    try:
        return msgspec.convert(anytoml.loads(text), _Document)
    except tomllib.TOMLDecodeError as fault:
        where = pylock.toml_place(path, str(fault))
        raise ProjectError(error("bad-lock", f"{path}: {fault}", where, anew(MEND))) from fault
    except (msgspec.ValidationError, ValueError, RecursionError) as fault:
        message = f"{path} is no valid lock: {fault}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND))) from fault


# --- what it pins ----------------------------------------------------------------------------


def read(
    manifest: Manifest, path: RelPath, function: Function, target: Target, workshop: Workshop
) -> Lock:
    """What the lock pins for the target.

    Raises ProjectError: `bad-lock`, `lock-outdated`, and what pylock.parse finds.
    """
    text = locks.text(path, workshop.seen, MEND)
    document = _document(text, path)
    top = os.path.dirname(path) or "."
    manifests = (*_read_by_uv(document, top), *uv_workspace.manifests(top, workshop.seen))
    workshop.seen.file(*manifests)
    member = _member(document, path, manifest.folder, workshop)
    if member is None:
        message = f"{path} does not know the project in {manifest.folder}"
        hint = f"run `{MEND}` in {top}; if it is to be a member, [tool.uv.workspace] must say so"
        raise ProjectError(error("lock-outdated", message, Location(manifest.path), hint))
    _check_fit(manifest, member, path, target)
    answer = _export(manifest, member, path, text, workshop=workshop, manifests=manifests)
    lock = pylock.parse(
        answer,
        path,
        workshop.root,
        target,
        lines=pylock.name_lines(text),
        mend=MEND,
    )
    sources = indexes.of_lock(lock.indexes.extra_index_urls, workshop.environ)
    return replace(lock, indexes=sources, named=_named(top, workshop))


def _named(top: RelPath, workshop: Workshop) -> tuple[tuple[str, str], ...]:
    """The workspace's indexes: a member's credentials are found by their names."""
    try:
        path = os.path.normpath(f"{top}/pyproject.toml")
        said = anytoml.loads(workshop.seen.content(path).decode())
        tables = msgspec.convert(said.get("tool", {}), _Tool).uv.index
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple((one.name, one.url) for one in tables)


def _read_by_uv(document: _Document, top: RelPath) -> Iterator[RelPath]:
    yield os.path.normpath(f"{top}/pyproject.toml")
    for package in document.package:
        if package.folder is not None:
            yield os.path.normpath(f"{top}/{package.folder}/pyproject.toml")


def _export(
    manifest: Manifest,
    member: _Package,
    path: RelPath,
    text: str,
    *,
    workshop: Workshop,
    manifests: Sequence[RelPath],
) -> str:
    """The lock as a pylock.toml whose paths start at the lock's folder."""
    chosen = [
        *(f"--extra={name}" for name in sorted(manifest.extras)),
        *(f"--group={name}" for name in sorted(manifest.groups)),
    ]
    read_ = sorted((name, _digest(name, workshop)) for name in set(manifests))
    key = f"uv-{built.key_of('uv export', UV, text, read_, member.name, chosen)}"
    if known := built.recall(workshop, key):
        return str(known["text"])
    import uv

    _, network = indexes.of_pip(workshop.environ)
    answer = tools.run(
        [
            *(uv.find_uv_bin(), "export", "--frozen", "--offline", "--no-config"),
            *("--no-python-downloads", "--format=pylock.toml", "--no-header", "--quiet"),
            *("--color=never", "--no-emit-project", "--no-default-groups"),
            *(f"--package={member.name}", *chosen),
        ],
        cwd=workshop.absolute(os.path.dirname(path) or "."),
        environ={
            **indexes.uv_environ(workshop.environ, network),
            **tool_caches.chosen(Program.UV, workshop.environ, workshop.store),
        },
        timeout_s=120,
    )
    if fault := tool_faults.machine_fault(Program.UV, answer) if answer.code else None:
        raise fault
    if answer.code:
        lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
        said = "\n  ".join(line.removeprefix("error: ") for line in lines)[:1000]
        message = f"uv {UV} can't read {path}: {said or 'it gave no reason'}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND)))
    built.remember(workshop, key, {"text": answer.stdout})
    return answer.stdout


def _digest(path: RelPath, workshop: Workshop) -> str:
    try:
        return hashlib.sha256(workshop.seen.content(path)).hexdigest()
    except OSError:
        return ""


# --- whether it still fits -------------------------------------------------------------------

_Ask = tuple[str, frozenset[str], SpecifierSet | None]
"""Name, extras, and, where it comes from an index, the versions."""


def _check_fit(manifest: Manifest, member: _Package, path: RelPath, target: Target) -> None:
    """The lock bears what pyproject.toml asked for when it was made; raises `lock-outdated`."""
    if member.metadata is None or manifest.dynamic:
        return
    try:
        locked = set(_locked(manifest, member.metadata, target))
    except (InvalidMarker, InvalidSpecifier) as fault:
        message = f"{path} is no valid lock: {str(fault).splitlines()[0]}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(MEND))) from fault
    asked = {_ask(one): one for one in manifest.asked if poetry.holds(one.one, target)}
    faults = []
    for ask, one in asked.items():
        if not any(_meets(ask, other) for other in locked):
            reason = f"{one.text} is not what it was made for"
            faults.append(locks.no_longer_fits(path, reason, one.where, MEND))
    names = {ask[0] for ask in asked}
    for other in sorted(locked, key=lambda one: one[0]):
        if other[0] not in names:
            reason = f"{other[0]}{other[2] or ''} is no longer asked for"
            faults.append(locks.no_longer_fits(path, reason, Location(manifest.path), MEND))
    if faults:
        raise ProjectError(*faults)


def _meets(ask: _Ask, locked: _Ask) -> bool:
    if ask[:2] != locked[:2]:
        return False
    return ask[2] == locked[2] or locked[2] is None


def _ask(asked: DeclaredDependency) -> _Ask:
    one = asked.one
    versions = one.versions if isinstance(one.versions, SpecifierSet) else SpecifierSet()
    return one.name, frozenset(map(canonicalize_name, one.extras)), versions


def _locked(manifest: Manifest, metadata: _Metadata, target: Target) -> Iterator[_Ask]:
    """Of what the lock was made for, what holds for the target and was chosen."""
    groups: Mapping[str, Iterable[_Requirement]] = {
        canonicalize_name(name): several for name, several in metadata.requires_dev.items()
    }
    chosen = [one for name in manifest.groups for one in groups.get(name, ())]
    for one in (*metadata.requires_dist, *chosen):
        name = canonicalize_name(one.name)
        marker = Marker(one.marker) if one.marker else None
        if name == manifest.name or not targets.holds(target, marker, manifest.extras):
            continue
        versions = SpecifierSet(one.specifier) if one.in_registry else None
        yield name, frozenset(map(canonicalize_name, (*one.extras, *one.extra))), versions
