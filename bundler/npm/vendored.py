"""The dependency segment of a JavaScript function: its production set, packed once, found again.

A segment's key is the digest of its files' names and contents, so equal installations share one.
Reading them all on every edit of own code would be slow; so what the last look came to is kept with
the keys of everything it depended on, and holds while none of them moved:
package.json, the lock, the installer's record, the folders of node_modules that were looked in,
each package's own package.json, and every file of a package that is linked to, or copied from, a
folder of the user's, because users edit those. The other files of installed packages change through
an installer, which writes package.json anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.kept import Kept, recall
from lambdad.bundler.inputs.reading import LOCK, reason
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.memory import FUNCTIONS, SETS, Memory, Slot
from lambdad.bundler.model import (
    BuildRequest,
    Diagnostic,
    Location,
    ProjectError,
    RelPath,
    Severity,
    error,
    warning,
)
from lambdad.bundler.npm import (
    installer,
    lock,
    manifest,
    package_files,
    pins,
    placement,
    production,
)
from lambdad.bundler.npm.installed import Ground
from lambdad.bundler.npm.installer import Installer
from lambdad.bundler.npm.manifest import PackageJson
from lambdad.bundler.npm.package_files import RECIPE, ProductionPackage
from lambdad.bundler.npm.placement import Position
from lambdad.bundler.npm.production import Production
from lambdad.bundler.store import record
from lambdad.bundler.store.kept_files import Coding, KeptFiles
from lambdad.bundler.store.record import Json
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import segments
from lambdad.bundler.zips.member import Segment

LINKED_STORE: Final = "node_modules/.store"
"""Of npm's `install-strategy=linked`."""

_one_at_a_time = threading.Lock()
"""Functions share code folders: the second finds what the first kept. Compressing uses all
processors anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    segment: Segment | None
    """None if the function has no dependencies."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings."""
    by: str = "npm"
    """Which manager installs here."""


VENDORED: Final = Slot[Kept[Vendored]]("vendored", most=FUNCTIONS)
SEGMENTS: Final = Slot[Segment]("npm-segments", most=SETS)
"""By their digests."""


def recalled(
    request: BuildRequest, workshop: Workshop, path: RelPath, named: frozenset[str] = frozenset()
) -> Vendored:
    """`vendor`, or what it gave as long as nothing that depends on has moved."""
    memory = workshop.memory
    if memory is None:
        return vendor(request, workshop, path, named)

    def make(seen: Seen) -> Vendored:
        found = vendor(request, replace(workshop, seen=seen), path, named)
        if found.segment is not None:
            found = replace(found, segment=_shared(found.segment, memory))
        return found

    key = (request, request.locked, request.function.where, path)
    shelf = memory.shelf(VENDORED)
    return recall(shelf, key, workshop, make, _is_there)


def _is_there(found: Vendored) -> bool:
    return found.segment is None or segments.is_there(found.segment)


def _shared(segment: Segment, memory: Memory) -> Segment:
    """The same segment, as one object for all functions that have it."""
    shelf = memory.shelf(SEGMENTS)
    known = shelf.get(segment.digest)
    if known is not None and known == segment:
        return known
    shelf.put(segment.digest, segment)
    return segment


def vendor(
    request: BuildRequest, workshop: Workshop, path: RelPath, named: frozenset[str] = frozenset()
) -> Vendored:
    """What the package.json at `path` needs at run time; if some are `named`, those packages alone
    as code beside it finds them, and what they need.

    Raises ProjectError, as many faults together as are known: bad-package-json, bad-npm-lock,
    unlocked, lock-outdated, not-installed, install-outdated, native-platform,
    unplaceable-packages, symlink-escape, and what bundler/inputs/tree.py finds in packages. Raises
    BundlerError `sources-moved`.
    """

    def make(seen: Seen) -> Vendored:
        declared = manifest.read(seen, path, own=True)
        if named:
            declared = _only(declared, path, named)
        if declared is None:
            return Vendored(segment=None)
        return _make(request, replace(workshop, seen=seen), declared)

    with _one_at_a_time:
        key = _key(request, workshop, path, named)
        return recall(_place(workshop), key, workshop, make)


def _only(declared: PackageJson | None, path: RelPath, named: frozenset[str]) -> PackageJson:
    """The manifest as if it asked for these packages alone; without any, one that asks for them."""
    if declared is None:
        declared = PackageJson(path=path, dependencies={}, optional={}, lines={})
    return replace(
        declared,
        dependencies={
            name: declared.dependencies[name] for name in named & declared.dependencies.keys()
        },
        optional={name: declared.optional[name] for name in named & declared.optional.keys()},
        peers=frozenset(),
        bundled=frozenset(),
        named=named,
    )


def _make(request: BuildRequest, workshop: Workshop, declared: PackageJson) -> Vendored:
    function = request.function
    ground = Ground(workshop, function.allow)
    code = workshop.seen.real(os.path.dirname(declared.path) or ".")
    by, found = _production(request, ground, code, declared)
    notes = _check(request, by, found, declared)
    placed = placement.place(code, found.edges, declared.path)
    packages = _packages(request, ground, found, placed)
    _check_native(ground, request, by, packages, declared)
    notes += _uncompiled(ground, by, packages, declared)
    listed = package_files.listing(placed, packages)
    if not listed:
        return Vendored(segment=None, diagnostics=notes, by=by.name)
    contents = [(name, item.file.executable, item.digest) for name, item in listed]
    key = segments.key("npm", contents)
    segment = segments.find(workshop.store, key)
    if segment is None:
        plural = "" if len(packages) == 1 else "s"
        workshop.say(f"packing {len(packages)} npm package{plural}")
        segment = segments.make(
            workshop.store, key, package_files.entries(workshop.recording(), listed)
        )
    return Vendored(segment=segment, diagnostics=notes, by=by.name)


def _production(
    request: BuildRequest, ground: Ground, code: str, declared: PackageJson
) -> tuple[Installer, Production]:
    by = installer.find(ground, code, declared)
    npm_lock, pinned = None, None
    if by.lock is not None:
        member = os.path.relpath(code, by.folder).replace(os.sep, "/")
        if by.name == "npm":
            npm_lock = lock.parse(by.lock, by.folder, _content(ground, by.lock))
            is_member = member == "." or member in npm_lock.packages
        else:
            pinned = pins.parse(by.lock, _content(ground, by.lock))
            is_member = pinned is None or pinned.members is None or member in pinned.members
        if not is_member:
            by, npm_lock, pinned = replace(by, folder=code, lock=None), None, None
        elif npm_lock is not None and ground.seen.is_folder(f"{by.folder}/{LINKED_STORE}"):
            pinned, npm_lock = pins.of_npm(npm_lock), None
    return by, production.find(
        ground,
        code=code,
        declared=declared,
        by=by,
        lock=npm_lock,
        pins=pinned,
        catalogs=_catalogs(ground, by, declared),
        architecture=request.function.architecture,
    )


def _catalogs(ground: Ground, by: Installer, declared: PackageJson) -> dict[tuple[str, str], str]:
    wanted = (*declared.dependencies.values(), *declared.optional.values())
    path = f"{by.folder}/{installer.PNPM_ROOT}"
    if not any(spec.startswith("catalog:") for spec in wanted) or not ground.exists(path):
        return {}
    return pins.catalogs(_content(ground, ground.relative(path)))


def _content(ground: Ground, path: RelPath) -> bytes:
    try:
        return ground.seen.content(path, LOCK)
    except OSError as fault:
        message = f"can't read {path}: {reason(fault)}"
        raise ProjectError(error("unreadable-file", message, Location(path))) from fault


def _check(
    request: BuildRequest, by: Installer, found: Production, declared: PackageJson
) -> tuple[Diagnostic, ...]:
    """The warnings; an error raises all of them."""
    notes = list(found.diagnostics)
    if any(note.severity is Severity.ERROR for note in notes):
        raise ProjectError(*notes)
    if by.lock is None and len(found.edges) > 1:
        message = f"no lock pins the dependencies of {declared.path}"
        where = Location(declared.path)
        if request.locked:
            hint = f"run `{by.command}` and commit the lock it writes"
            raise ProjectError(error("unlocked", message, where, hint), *notes)
        hint = "commit the lock that your package manager writes"
        told = f"{message}: the zip holds what happens to be installed"
        notes.append(warning("unlocked", told, where, hint))
    return tuple(notes)


def _packages(
    request: BuildRequest, ground: Ground, found: Production, placed: dict[Position, str]
) -> dict[str, ProductionPackage]:
    """Every folder of the set, read. The files of local ones are inputs; what is installed changes
    through an installer, which writes package.json and its own record anew."""
    function = request.function
    edges = [edge for some in found.edges.values() for edge in some]
    linked = {edge.found.folder for edge in edges if edge.found.linked}
    local = {edge.found.folder for edge in edges if edge.local} | linked
    names = {folder: position[-1] for position, folder in placed.items() if position}
    packages: dict[str, ProductionPackage] = {}
    for folder, name in sorted(names.items()):
        patterns = package_files.LINKED if folder in linked else package_files.INSTALLED
        looking = ground.workshop if folder in local else ground.workshop.recording()
        walked = tree.walk(
            looking.seen, ground.relative(folder), exclude=patterns, allow=function.allow
        )
        packages[folder] = package_files.examine(
            looking, name, walked.files, function.runtime, function.architecture
        )
    return packages


def _check_native(
    ground: Ground,
    request: BuildRequest,
    by: Installer,
    packages: dict[str, ProductionPackage],
    declared: PackageJson,
) -> None:
    faults = sorted({package.native_fault for package in packages.values() if package.native_fault})
    if faults:
        hint = (
            f"{by.command_for(request.function.architecture)} in {ground.shown(by.folder)}; "
            "a package that is compiled when installed must be installed on such a machine, "
            "for example in Lambda's build image"
        )
        where = Location(declared.path)
        raise ProjectError(*(error("native-platform", fault, where, hint) for fault in faults))


def _uncompiled(
    ground: Ground, by: Installer, packages: dict[str, ProductionPackage], declared: PackageJson
) -> tuple[Diagnostic, ...]:
    """Installed without its install script, a native package has only its sources."""
    names = sorted(package.name for package in packages.values() if package.uncompiled)
    hint = (
        f"if it needs it, let npm run install scripts in {ground.shown(by.folder)}, "
        "on a machine like Lambda's: `npm rebuild`"
    )
    return tuple(
        warning(
            "native-uncompiled",
            f"{name} has a native module to compile ({RECIPE}), and none was compiled",
            Location(declared.path),
            hint,
        )
        for name in names
    )


# --- what is kept on disk --------------------------------------------------------------------


def _place(workshop: Workshop) -> KeptFiles[Vendored]:
    return workshop.kept(Coding("npm", 7, _encode, partial(_decode, workshop.store)))


def _key(
    request: BuildRequest, workshop: Workshop, path: RelPath, named: frozenset[str]
) -> Hashable:
    """Functions that differ in nothing of this share what is kept."""
    function = request.function
    return (
        workshop.repository,
        path,
        named,
        function.runtime,
        function.architecture,
        function.allow,
        request.toolchain,
        request.locked,
    )


def _encode(vendored: Vendored) -> Json:
    segment = vendored.segment
    return {
        "segment": segments.key_of(segment) if segment is not None else None,
        "diagnostics": record.canonical(vendored.diagnostics),
        "by": vendored.by,
    }


def _decode(store: Store, saved: Json) -> Vendored:
    return Vendored(
        segment=segments.named(store, saved["segment"]),
        diagnostics=tuple(map(record.decode_diagnostic, saved["diagnostics"])),
        by=saved["by"],
    )
