"""A plain JavaScript function packaged as SAM does: the code folder, and what it needs of npm.

- Own code is the folder's walk, without node_modules. It is not parsed and not changed;
  package.json stays in it, because its `type` and `imports` decide at run time.
- With a package.json, the zip's node_modules is its production set (bundler/npm/production.py).
- Without one nothing says what is needed: a node_modules in the folder goes along as it is, and
  one further up stays out, as in SAM's build.
"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from bundler import sdk, segments, snapshot, tree
from bundler.memory import recall
from bundler.model import (
    BuildRequest,
    Contents,
    Diagnostic,
    Entry,
    Function,
    InputSet,
    Location,
    ProjectError,
    RelPath,
    Segment,
    Severity,
    warning,
)
from bundler.npm import handler, imports, installer, manifest, syntax
from bundler.npm.imports import Use
from bundler.npm.installed import MODULES
from bundler.npm.manifest import Manifest
from bundler.npm.vendored import Vendored, vendor
from bundler.tree import Tree, TreeFile
from bundler.workshop import Workshop

INSTALLERS_OWN: Final = (
    *(".npmrc", ".npmignore", ".yarnrc", ".yarnrc.yml", "npm-debug.log*", "yarn-error.log*"),
    *(f"/{name}" for name, _ in installer.LOCKS),
)
"""Left out as by `npm pack`, which SAM runs: .npmrc may hold a token, and a lock changes with tools
that are used in development only."""

AS_IT_IS: Final = (f"!{MODULES}", f"/{MODULES}/.bin", f"/{MODULES}/.cache", f"/{MODULES}/.*.json")
"""For the walk of a folder whose node_modules nothing declares."""


def pack(request: BuildRequest, workshop: Workshop) -> Contents:
    """The zip to be, and what decided it.

    Raises ProjectError, what own code, handler and dependencies have together:
    missing-handler-file, missing-export, handler-not-executable, aws-sdk-v2-missing, and the codes
    of `vendored.vendor` and `tree.walk`. Warns of undeclared-package and optional-missing.
    Raises BundlerError `sources-moved` if an installation is still going on.
    """
    function = request.function
    single = os.path.isfile(workshop.absolute(function.code))
    faults: list[Diagnostic] = []
    inputs = InputSet()
    declared: Manifest | None = None
    vendored: Vendored | None = None
    if not single:
        path = posixpath.normpath(posixpath.join(function.code, manifest.NAME))
        inputs = InputSet(files=frozenset((path,)))
        try:
            declared = manifest.read(workshop, path, own=True)
            if declared is not None:
                vendored = _vendored(request, workshop, path)
        except ProjectError as fault:
            faults += fault.diagnostics
            inputs = snapshot.union(inputs, fault.inputs)
    try:
        bare = declared is None and not faults
        walked = own_tree(workshop, function, bare=bare)
        own = tuple(read(workshop, walked))
    except ProjectError as fault:
        inputs = snapshot.union(inputs, fault.inputs)
        raise ProjectError(*faults, *fault.diagnostics, inputs=inputs) from fault
    inputs = snapshot.union(inputs, walked.inputs)
    segment = None
    if vendored is not None:
        inputs = snapshot.union(inputs, vendored.inputs)
        segment = vendored.segment
        faults += vendored.diagnostics
    faults += walked.diagnostics
    told = any(fault.severity is Severity.ERROR for fault in faults)
    faults += _check(function, declared, own, segment, installed=not told)
    if any(fault.severity is Severity.ERROR for fault in faults):
        raise ProjectError(*faults, inputs=inputs)
    return Contents(own=own, dependencies=segment, inputs=inputs, diagnostics=tuple(faults))


def _vendored(request: BuildRequest, workshop: Workshop, path: RelPath) -> Vendored:
    """`vendor`, or what it gave as long as nothing that depends on has moved."""
    memory = workshop.memory
    if memory is None:
        return vendor(request, workshop, path)

    def make() -> tuple[Vendored, InputSet]:
        found = vendor(request, workshop, path)
        if found.segment is not None:
            found = replace(found, segment=memory.shared(found.segment))
        return found, found.inputs

    key = (request, request.locked, request.function.where)
    found = recall(memory.vendored, key, workshop.root, make)
    if found.segment is not None and not segments.is_there(found.segment):
        memory.vendored.drop(key)
        found = recall(memory.vendored, key, workshop.root, make)
    return found


def own_tree(workshop: Workshop, function: Function, *, bare: bool = False) -> Tree:
    """The code folder's walk without node_modules, unless it is `bare` of any package.json; or the
    one file that is all of the code."""
    if os.path.isfile(workshop.absolute(function.code)):
        return _single(workshop, function)
    if bare:
        patterns = (*INSTALLERS_OWN, *AS_IT_IS, *function.exclude)
        return tree.walk(workshop, function.code, exclude=patterns, allow=function.allow)
    patterns = (*INSTALLERS_OWN, *function.exclude, f"/{MODULES}")
    walked = tree.walk(workshop, function.code, exclude=patterns, allow=function.allow)
    # An exclude of the user's such as "!*" outranks ours.
    kept = (file for file in walked.files if not file.name.startswith(f"{MODULES}/"))
    return replace(walked, files=tuple(kept))


def _single(workshop: Workshop, function: Function) -> Tree:
    status = os.stat(workshop.absolute(function.code))
    file = TreeFile(
        name=posixpath.basename(function.code),
        path=function.code,
        executable=bool(status.st_mode & 0o111),
        size=status.st_size,
    )
    return Tree(files=(file,), inputs=InputSet(files=frozenset((function.code,))), diagnostics=())


def read(workshop: Workshop, walked: Tree) -> Iterator[Entry]:
    for file in walked.files:
        content = tree.read(workshop, file)
        yield Entry(name=file.name, content=content, executable=file.executable)


# --- checks ----------------------------------------------------------------------------------


def _check(
    function: Function,
    declared: Manifest | None,
    own: tuple[Entry, ...],
    segment: Segment | None,
    *,
    installed: bool,
) -> Iterator[Diagnostic]:
    """What Lambda would stumble over; of packages only if they are `installed`."""
    entries = {entry.name: entry for entry in own}

    def read(name: str) -> str:
        return entries[name].content.decode(errors="replace")

    files = {entry.name: entry.executable for entry in own}
    if segment is not None:
        files |= {record.name: record.executable for record in segment.records}
    yield from handler.check(function, files, read)
    found = handler.find(function, files)
    # A layer may bring any package.
    if not installed or function.layers or found not in entries:
        return
    if not found.endswith(imports.SOURCES):
        return
    lacking = {
        package
        for name in entries
        if name.endswith(imports.SOURCES) and f"{MODULES}/" not in name
        for package in imports.glance(read(name))
        if not sdk.provided(function.runtime, package)
    } - _present(files)
    if declared is not None:
        lacking.discard(declared.name)
    if lacking:
        uses = imports.uses(found, frozenset(entries), read)
        yield from _lacking(function, declared, uses, read, lacking)


def _present(files: Iterable[str]) -> set[str]:
    """The packages in the zip's own node_modules."""
    found = set()
    for name in files:
        top, _, rest = name.partition("/")
        if top == MODULES:
            found.add("/".join(rest.split("/")[: 2 if rest.startswith("@") else 1]))
    return found


def _lacking(
    function: Function,
    declared: Manifest | None,
    uses: Iterable[Use],
    read: Callable[[str], str],
    lacking: set[str],
) -> Iterator[Diagnostic]:
    """A diagnostic for each of the `lacking` packages that is used."""
    told: dict[str, Diagnostic] = {}
    for use in uses:
        if use.package not in lacking or use.imported.guarded:
            continue
        file = posixpath.normpath(posixpath.join(function.code, use.file))
        where = syntax.location(file, read(use.file), use.imported.offset)
        if use.package == sdk.V2:
            install = _install(function, declared, use.package)
            fault = sdk.v2_missing(function.runtime, where, install)
            if not use.imported.loading:
                # It may stand where no request comes by.
                fault = replace(fault, severity=Severity.WARNING)
        elif use.imported.loading:
            fault = _undeclared(function, declared, use.package, where)
        else:
            continue
        before = told.get(use.package)
        if before is None or before.severity is Severity.WARNING:
            told[use.package] = fault
    yield from (told[package] for package in sorted(told))


def _undeclared(
    function: Function, declared: Manifest | None, package: str, where: Location
) -> Diagnostic:
    if declared is None:
        reason = f"{function.code} has no package.json that declares it"
    else:
        reason = f"{declared.path} does not have it among its dependencies"
    return warning(
        "undeclared-package",
        f'{where.file} loads "{package}", which will not be in the zip: {reason}',
        where,
        f"run {_install(function, declared, package)}, or have the function bundled",
    )


def _install(function: Function, declared: Manifest | None, package: str) -> str:
    """The command that adds a package. Without --prefix npm goes up to a package.json that is there
    already, whose packages stay out of the zip."""
    if declared is None:
        place, folder = f"--prefix {shlex.quote(function.code)}", "."
    else:
        place, folder = "--save-prod", function.code
    at = "the project's folder" if folder == "." else folder
    return f"`npm install {place} {package}` in {at}"
