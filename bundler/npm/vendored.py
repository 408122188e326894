"""The dependency segment of a JavaScript function: its production set, packed once, found again.

A segment's key is the digest of its files' names and contents, so equal installations share one.
Reading them all on every edit of own code would be slow; so what the last look came to is
remembered with the keys of everything it depended on, and holds while none of them moved:
package.json, the lock, the installer's record, the folders of node_modules that were looked in,
each package's own package.json, and every file of a linked package, because users edit those. The
other files of installed packages change through an installer, which writes package.json anew.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from typing import Any, Final

from bundler import record, sealed, segments, snapshot, tree
from bundler.model import (
    BuildRequest,
    Diagnostic,
    InputSet,
    Location,
    ProjectError,
    RelPath,
    Segment,
    Severity,
    error,
    warning,
)
from bundler.npm import installer, lock, manifest, packaged, placement, production
from bundler.npm.installed import Ground
from bundler.npm.installer import Installer
from bundler.npm.lock import Lock
from bundler.npm.manifest import Manifest
from bundler.npm.packaged import RECIPE, Package
from bundler.npm.placement import Position
from bundler.npm.production import Production
from bundler.output import Output
from bundler.snapshot import Clock
from bundler.workshop import Workshop

MEMO: Final = "locks"
"""The store's kind for what a look came to; such names begin with "npm-"."""

LINKED_STORE: Final = "node_modules/.store"
"""Of npm's `install-strategy=linked`."""

_SCHEMA: Final = 3

_one_at_a_time = threading.Lock()
"""Functions share code folders: the second finds what the first remembered. Compressing uses all
processors anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    segment: Segment | None
    """None if the function has no dependencies."""
    inputs: InputSet
    diagnostics: tuple[Diagnostic, ...]
    """Warnings."""


def vendor(request: BuildRequest, workshop: Workshop, path: RelPath) -> Vendored:
    """What the code folder's package.json, at `path`, needs at run time.

    Raises ProjectError, as many faults together as can be told: bad-package-json, bad-npm-lock,
    unlocked, lock-outdated, not-installed, install-outdated, native-platform,
    unplaceable-packages, symlink-escape, and what bundler/tree.py finds in packages. Raises
    BundlerError `sources-moved`.
    """
    with _one_at_a_time:
        name = _memo_name(request, workshop)
        known = _recall(workshop, name)
        if known is not None:
            return known
        # The clock first: whatever is read after it and changes meanwhile is suspect.
        clock = _clock(workshop)
        declared = manifest.read(workshop, path, own=True)
        if declared is None:
            inputs = InputSet(files=frozenset((path,)))
            return Vendored(segment=None, inputs=inputs, diagnostics=())
        vendored, key = _make(request, workshop, declared)
        if clock is not None:
            _remember(workshop, name, vendored, key, clock)
        return vendored


def _make(
    request: BuildRequest, workshop: Workshop, declared: Manifest
) -> tuple[Vendored, str | None]:
    function = request.function
    ground = Ground(workshop, function.allow)
    ground.files.add(declared.path)
    code = os.path.realpath(workshop.absolute(function.code))
    try:
        by, found = _production(request, ground, code, declared)
        notes = _check(request, by, found, declared)
        placed = placement.place(code, found.edges, declared.path)
        packages, linked = _packages(request, ground, found, placed)
        _check_native(ground, request, by, packages, declared)
        notes += _uncompiled(ground, by, packages, declared)
    except ProjectError as fault:
        inputs = snapshot.union(ground.inputs(), fault.inputs)
        raise ProjectError(*fault.diagnostics, inputs=inputs) from fault
    inputs = snapshot.union(ground.inputs(), linked)
    listed = packaged.listing(placed, packages)
    if not listed:
        return Vendored(segment=None, inputs=inputs, diagnostics=notes), None
    contents = [(name, item.file.executable, item.digest) for name, item in listed]
    key = segments.key("npm", contents)
    segment = segments.find(workshop.store, key)
    if segment is None:
        plural = "" if len(packages) == 1 else "s"
        workshop.say(f"packing {len(packages)} npm package{plural}")
        segment = segments.make(workshop.store, key, packaged.entries(workshop, listed))
    return Vendored(segment=segment, inputs=inputs, diagnostics=notes), key


def _production(
    request: BuildRequest, ground: Ground, code: str, declared: Manifest
) -> tuple[Installer, Production]:
    by = installer.find(ground, code, declared)
    npm_lock = None
    if by.name == "npm" and by.lock is not None:
        npm_lock = _read_lock(ground, by.lock, by.folder)
        member = os.path.relpath(code, by.folder).replace(os.sep, "/")
        if member != "." and member not in npm_lock.packages:
            by, npm_lock = Installer(name="npm", folder=code, lock=None), None
        elif os.path.isdir(f"{by.folder}/{LINKED_STORE}"):
            npm_lock = None  # it tells places in a layout that is not the installed one
    architecture = request.function.architecture
    return by, production.find(
        ground, code=code, declared=declared, by=by, lock=npm_lock, architecture=architecture
    )


def _read_lock(ground: Ground, path: RelPath, folder: str) -> Lock:
    try:
        with open(ground.workshop.absolute(path), "rb") as file:
            content = file.read()
    except OSError as fault:
        message = f"can't read {path}: {fault.strerror}"
        raise ProjectError(error("unreadable-file", message, Location(path))) from fault
    return lock.parse(path, folder, content)


def _check(
    request: BuildRequest, by: Installer, found: Production, declared: Manifest
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
) -> tuple[dict[str, Package], InputSet]:
    """Every folder of the set, read; and the inputs that are the linked ones' files."""
    function = request.function
    linked = {
        edge.found.folder for edges in found.edges.values() for edge in edges if edge.found.linked
    }
    names = {folder: position[-1] for position, folder in placed.items() if position}
    packages: dict[str, Package] = {}
    inputs = InputSet()
    for folder, name in sorted(names.items()):
        patterns = packaged.LINKED if folder in linked else packaged.INSTALLED
        walked = tree.walk(
            ground.workshop, ground.relative(folder), exclude=patterns, allow=function.allow
        )
        packages[folder] = packaged.examine(
            ground.workshop, name, walked.files, function.runtime, function.architecture
        )
        if folder in linked:
            inputs = snapshot.union(inputs, walked.inputs)
    return packages, inputs


def _check_native(
    ground: Ground,
    request: BuildRequest,
    by: Installer,
    packages: dict[str, Package],
    declared: Manifest,
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
    ground: Ground, by: Installer, packages: dict[str, Package], declared: Manifest
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


# --- what is remembered ----------------------------------------------------------------------


def _memo_name(request: BuildRequest, workshop: Workshop) -> str:
    function = request.function
    decided_by: Any = record.canonical(
        (
            _SCHEMA,
            workshop.root,
            workshop.repository,
            function.code,
            function.runtime,
            function.architecture,
            function.allow,
            request.toolchain,
            request.locked,
        )
    )
    return f"npm-{hashlib.sha256(sealed.seal(decided_by)).hexdigest()}.json"


def _clock(workshop: Workshop) -> Clock | None:
    try:
        return snapshot.read_clock(Output(workshop.root).clock)
    except OSError:
        return None  # without a clock nothing can be told to be old enough


def _remember(
    workshop: Workshop, name: str, vendored: Vendored, key: str | None, clock: Clock
) -> None:
    inputs = snapshot.observe(workshop.root, vendored.inputs, since=clock)
    memo = {
        "segment": key,
        "inputs": record.encode_snapshot(inputs),
        "diagnostics": record.canonical(vendored.diagnostics),
    }
    workshop.store.put(MEMO, name, sealed.seal(memo))


def _recall(workshop: Workshop, name: str) -> Vendored | None:
    path = workshop.store.find(MEMO, name)
    if path is None:
        return None
    try:
        memo = sealed.unseal(path.read_bytes())
    except OSError:
        return None
    if memo is None:
        return None
    inputs = record.decode_snapshot(memo["inputs"])
    if any(True for _ in snapshot.changes(workshop.root, inputs)):
        return None
    segment = None
    if memo["segment"] is not None:
        segment = segments.find(workshop.store, memo["segment"])
        if segment is None:
            return None
    return Vendored(
        segment=segment,
        inputs=snapshot.inputs_of(inputs),
        diagnostics=tuple(record.decode_diagnostic(item) for item in memo["diagnostics"]),
    )
