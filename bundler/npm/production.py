"""The production set: what package.json's dependencies come to, in what is installed.

With npm's lock every package must lie where the lock puts it, in its version, and what the lock
does not know is not taken; so the set is the same on every machine. Without, what is installed
decides. Peers are taken where they are installed, devDependencies only as another package's
dependency.
"""

from __future__ import annotations

import enum
import posixpath
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lambdad.bundler.model import Architecture, Diagnostic, Location, RelPath, error, warning
from lambdad.bundler.npm import target
from lambdad.bundler.npm.installed import MODULES, FoundPackage, Ground
from lambdad.bundler.npm.installer import Installer
from lambdad.bundler.npm.lock import Locked, NpmLock
from lambdad.bundler.npm.manifest import GENERATED, NAME, PackageJson, read
from lambdad.bundler.npm.pins import Pins, outdated

SHOWN: Final = 8
"""Names in a message; more are counted."""


class Need(enum.Enum):
    REQUIRED = "required"
    OPTIONAL = "optional"
    IF_THERE = "if-there"
    """Peers, and what a package carries itself."""


@dataclass(frozen=True, slots=True)
class Edge:
    """That a package, or own code, gets another by a name."""

    name: str
    found: FoundPackage
    local: bool = False
    """It was asked for by its place: a link, or a copy. pnpm's and Bun's copies are hard links, so
    that an edit of the original changes them without an installation. Or it is GENERATED."""


@dataclass(frozen=True, slots=True)
class Production:
    edges: Mapping[str, tuple[Edge, ...]]
    """Of each real folder of the set, own code's included: sorted by name."""
    diagnostics: tuple[Diagnostic, ...]


@dataclass(slots=True)
class _Search:
    ground: Ground
    code: str
    declared: PackageJson
    by: Installer
    lock: NpmLock | None
    pins: Pins | None
    catalogs: Mapping[tuple[str, str], str]
    architecture: Architecture
    for_development: frozenset[str]
    """Optional peers that are not taken."""
    carriers: set[str] = field(default_factory=set)
    """Folders of packages that carry others, which no lock but npm's knows."""
    edges: dict[str, tuple[Edge, ...]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    """Which package requires ("" for own code), and what."""
    outdated: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """The target's variants that are not installed."""
    gone: list[str] = field(default_factory=list)
    """Optional packages that the lock has and the installation has not."""


def find(
    ground: Ground,
    *,
    code: str,
    declared: PackageJson,
    by: Installer,
    lock: NpmLock | None,
    pins: Pins | None = None,
    catalogs: Mapping[tuple[str, str], str] = MappingProxyType({}),
    architecture: Architecture,
) -> Production:
    """Everything that own code in the real folder `code` can reach; faults are diagnostics.

    Of `lock`, npm's, and `pins`, another's, at most one is given; `catalogs` are pnpm's. Raises
    ProjectError `bad-package-json`.
    """
    unwanted = _for_development(ground, declared, by)
    search = _Search(ground, code, declared, by, lock, pins, catalogs, architecture, unwanted)
    waiting = deque([(code, declared)])
    while waiting:
        folder, manifest = waiting.popleft()
        if folder in search.edges:
            continue
        if manifest.bundled:
            search.carriers.add(folder)
        edges = tuple(_edges(search, folder, manifest))
        search.edges[folder] = edges
        waiting.extend((edge.found.folder, edge.found.manifest) for edge in edges)
    return Production(search.edges, tuple(_diagnostics(search)))


def _for_development(ground: Ground, declared: PackageJson, by: Installer) -> frozenset[str]:
    """What is installed for development alone, where packages are named one by one.

    A whole production set has it if a package has it for an optional peer, as package managers
    do: typescript, for instance. A package that is named brings what it can't do without.
    """
    if not declared.named:
        return frozenset()
    root = read(ground.seen, ground.relative(f"{by.folder}/{NAME}"), own=True) or declared
    return (declared.dev | root.dev) - declared.main - root.main


def _edges(search: _Search, folder: str, manifest: PackageJson) -> Iterator[Edge]:
    unwanted = manifest.optional_peers & search.for_development
    for name, need in sorted(needs(manifest).items()):
        if name in unwanted and need is Need.IF_THERE:
            continue
        found = search.ground.find(name, folder)
        if found is None:
            _note_absent(search, folder, manifest, name, need)
        elif not target.fits(
            found.manifest.os, found.manifest.cpu, found.manifest.libc, search.architecture
        ):
            if need is Need.REQUIRED:
                search.foreign.append(f"{name} {found.manifest.version}".strip())
        else:
            is_local = name in manifest.local or name in GENERATED.values()
            edge = Edge(name, found, local=is_local)
            if _agrees(search, folder, edge, need):
                yield edge


def needs(manifest: PackageJson) -> dict[str, Need]:
    """What a package asks for at run time; the stronger need wins."""
    return {
        **dict.fromkeys((*manifest.peers, *manifest.bundled), Need.IF_THERE),
        **({GENERATED[manifest.name]: Need.IF_THERE} if manifest.name in GENERATED else {}),
        **dict.fromkeys(manifest.dependencies, Need.REQUIRED),
        **dict.fromkeys(manifest.optional, Need.OPTIONAL),
        **dict.fromkeys(manifest.named, Need.REQUIRED),
    }


def _agrees(search: _Search, asker: str, edge: Edge, need: Need) -> bool:
    """Whether the package is taken: with a lock only if the lock put it there.

    What a linked package outside the lock's folder has installed for itself is not the lock's.
    """
    if edge.name in GENERATED.values():
        return True  # which no lock knows
    if search.pins is not None and f"{asker}/".startswith(f"{search.by.folder}/"):
        return _is_pinned(search, search.pins, edge, need)
    if search.lock is None or not f"{asker}/".startswith(f"{search.lock.folder}/"):
        return True
    found = edge.found
    key = posixpath.relpath(f"{found.home}/{MODULES}/{edge.name}", search.lock.folder)
    locked = search.lock.packages.get(key)
    shown = f"{edge.name} {found.manifest.version}".strip()
    if locked is None:
        if need is Need.REQUIRED:
            search.outdated.append(f"{shown} (not in the lock)")
        return need is Need.REQUIRED
    if locked.version is not None and locked.version != found.manifest.version:
        search.outdated.append(f"{shown} (the lock says {locked.version})")
    return True


def _is_pinned(search: _Search, pins: Pins, edge: Edge, need: Need) -> bool:
    """`_agrees` for a lock that names versions, but no places: the one installed must be among
    them, and what no package requires must be known by name."""
    found = edge.found
    if found.linked or edge.local or found.home in search.carriers:
        return True
    names = {edge.name, found.manifest.name} & pins.versions.keys()
    known = [pins.versions[name] for name in names]
    if not known:
        return need is Need.REQUIRED
    if all(one is not None and found.manifest.version not in one for one in known):
        locked = ", ".join(sorted(version for one in known for version in one or ()))
        shown = f"{edge.name} {found.manifest.version}".strip()
        search.outdated.append(f"{shown} (the lock says {locked})")
    return True


def _note_absent(
    search: _Search, folder: str, manifest: PackageJson, name: str, need: Need
) -> None:
    asker = "" if folder == search.code else manifest.name
    if any(f"/{path}".endswith(f"/{MODULES}/{name}") for path in search.ground.faults):
        return  # it is there, and reported already
    if need is Need.REQUIRED:
        search.missing.append((asker, name))
    elif need is Need.OPTIONAL:
        locked = _locked(search, folder, name)
        if _is_variant(name, locked):
            if _fits_target(name, locked, search.architecture):
                search.lacking.append(name)
        elif locked is not None:
            search.gone.append(name)


def _locked(search: _Search, folder: str, name: str) -> Locked | None:
    """What the lock has for `name`, as asked for from that folder."""
    if search.lock is None:
        return None
    for home in search.ground.above(folder):
        key = posixpath.relpath(f"{home}/{MODULES}/{name}", search.lock.folder)
        if key in search.lock.packages:
            return search.lock.packages[key]
    return None


def _is_variant(name: str, locked: Locked | None) -> bool:
    """Whether the package is for some machines only."""
    if locked is not None and (locked.os or locked.cpu or locked.libc):
        return True
    return any(target.fits_by_name(name, architecture) for architecture in Architecture)


def _fits_target(name: str, locked: Locked | None, architecture: Architecture) -> bool:
    if locked is None or not (locked.os or locked.cpu):
        return target.fits_by_name(name, architecture)
    if not locked.libc and target.says_musl(name):
        return False
    return target.fits(locked.os, locked.cpu, locked.libc, architecture)


# --- what is reported ------------------------------------------------------------------------


def _diagnostics(search: _Search) -> Iterator[Diagnostic]:
    yield from search.ground.faults.values()
    stale = _stale_names(search)
    lock = search.by.lock
    if lock is not None and stale:
        yield _lock_outdated(search, lock, stale)
    elif lock is not None and search.outdated:
        yield error(
            "install-outdated",
            f"what is installed is not what {lock} says: {_some(search.outdated)}",
            Location(lock),
            _again(search),
        )
    # What was added to package.json and not yet locked is reported once.
    missing = [(asker, name) for asker, name in search.missing if asker or name not in stale]
    if missing:
        yield _not_installed(search, missing)
    if search.foreign or search.lacking:
        yield _for_other_machines(search)
    if search.gone:
        yield warning(
            "optional-missing",
            f"optional dependencies in the lock are not installed: {_some(search.gone)}",
            Location(search.declared.path),
            f"where they are, the zip has other bytes; {_again(search)}",
        )


def _again(search: _Search) -> str:
    return f"run `{search.by.command}` in {search.ground.shown(search.by.folder)}"


def _lock_outdated(search: _Search, lock: RelPath, stale: Sequence[str]) -> Diagnostic:
    folder = search.ground.shown(search.by.folder)
    return error(
        "lock-outdated",
        f"{lock} does not fit {search.declared.path}: {_some(stale)}",
        _where(search.declared, stale),
        f"run `{search.by.name} install` in {folder}, and commit the lock",
    )


def _not_installed(search: _Search, missing: Sequence[tuple[str, str]]) -> Diagnostic:
    path, hint = search.declared.path, _again(search)
    names = [f"{name} (for {asker})" if asker else name for asker, name in missing]
    own = [name for asker, name in missing if not asker]
    if search.by.plug_and_play:
        return error(
            "plug-and-play",
            f"Yarn's Plug'n'Play keeps the dependencies of {path} in archives, which Node.js on "
            f"Lambda can't load: {_some(names)}",
            _where(search.declared, own),
            f"set `nodeLinker: node-modules` in .yarnrc.yml, then {hint}; or have the function "
            "bundled",
        )
    return error(
        "not-installed",
        f"dependencies of {path} are not installed: {_some(names)}",
        _where(search.declared, own),
        hint,
    )


def _for_other_machines(search: _Search) -> Diagnostic:
    what = [
        *(f"{name} is for other machines" for name in search.foreign),
        *(f"{name} is not installed" for name in search.lacking),
    ]
    cpu = target.CPU[search.architecture]
    folder = search.ground.shown(search.by.folder)
    return error(
        "native-platform",
        f"the function runs on {target.OS} {cpu}, but {_some(what)}",
        Location(search.declared.path),
        f"{search.by.command_for(search.architecture)} in {folder}",
    )


def _stale_names(search: _Search) -> list[str]:
    """Dependencies that the lock does not have, or has as they were wanted before."""
    wanted = {**search.declared.dependencies, **search.declared.optional}
    if search.pins is not None:
        member = posixpath.relpath(search.code, search.by.folder)
        stale = outdated(search.pins, member, wanted, search.catalogs)
        if search.pins.patterns is None:
            return stale
        # Yarn 1 keeps no note of members of the workspace that need each other.
        return [name for name in stale if _is_copied(search, name)]
    lock = search.lock
    if lock is None:
        return []
    own = posixpath.relpath(search.code, lock.folder)
    entry = lock.packages.get("" if own == "." else own)
    if lock.complete and entry is not None:
        return sorted(name for name, spec in wanted.items() if entry.wants.get(name) != spec)
    return sorted(name for name in wanted if f"{MODULES}/{name}" not in lock.packages)


def _is_copied(search: _Search, name: str) -> bool:
    found = search.ground.find(name, search.code)
    return found is not None and not found.linked


def _where(declared: PackageJson, names: Sequence[str]) -> Location:
    lines = [declared.lines[name] for name in names if name in declared.lines]
    return Location(declared.path, min(lines) if lines else None)


def _some(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
