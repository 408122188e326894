"""A plain JavaScript function packaged as SAM does: the code folder, and what it needs of npm.

- Own code is the folder's walk, without node_modules. It is not parsed and not changed;
  package.json stays in it, because its `type` and `imports` decide at run time.
- With a package.json, the zip's node_modules is its production set (bundler/npm/production.py).
- Without one nothing says what is needed: a node_modules in the folder goes along as it is, and
  one further up stays out, as in SAM's build.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from lambdad.bundler import aws_sdk
from lambdad.bundler.ecmascript import imports, syntax
from lambdad.bundler.ecmascript.imports import Use
from lambdad.bundler.inputs import counted, tree
from lambdad.bundler.inputs.tree import Tree
from lambdad.bundler.javascript import handler, parse
from lambdad.bundler.model import (
    BuildRequest,
    Diagnostic,
    Entry,
    Function,
    Location,
    ProjectError,
    Severity,
    warning,
)
from lambdad.bundler.npm import installer, manifest
from lambdad.bundler.npm.installed import MODULES
from lambdad.bundler.npm.manifest import PackageJson
from lambdad.bundler.npm.vendored import Vendored, recalled
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import copied
from lambdad.bundler.zips.member import Contents, Segment, missing_from

INSTALLERS_OWN: Final = (
    *(".npmrc", ".npmignore", ".yarnrc", ".yarnrc.yml", "npm-debug.log*", "yarn-error.log*"),
    *("bunfig.toml", ".pnpmfile.*js", ".pnp.*", f"/{installer.PNPM_ROOT}"),
    *(f"/{name}" for name, _ in installer.LOCKS),
)
"""Left out as by `npm pack`, which SAM runs: .npmrc may hold a token, and a lock changes with tools
that are used in development only. So with what other managers have in their place."""

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
    single = workshop.seen.is_file(function.code)
    faults: list[Diagnostic] = []
    declared: PackageJson | None = None
    vendored: Vendored | None = None
    if not single:
        path = posixpath.normpath(posixpath.join(function.code, manifest.NAME))
        try:
            declared = manifest.read(workshop.seen, path, own=True)
            if declared is not None and not _is_shut_out(function):
                vendored = recalled(request, workshop, path)
        except ProjectError as fault:
            faults += fault.diagnostics
    try:
        bare = declared is None and not faults
        code = partial(own_tree, workshop, function, bare=bare)
        trees = copied.gather((code, *copied.copying(function, workshop.seen)))
        walked = copied.merged(trees, function, workshop.seen)
        own = tuple(read(workshop, walked))
    except ProjectError as fault:
        raise ProjectError(*faults, *fault.diagnostics) from fault
    segment = None
    if vendored is not None:
        segment = vendored.segment
        own = missing_from(segment, own)
        faults += vendored.diagnostics
    faults += walked.diagnostics
    told = any(fault.severity is Severity.ERROR for fault in faults)
    by = vendored.by if vendored is not None else "npm"
    faults += _check(function, declared, own, segment, installed=not told, by=by)
    faults += unparsed(function, walked, own, workshop)
    if any(fault.severity is Severity.ERROR for fault in faults):
        raise ProjectError(*faults)
    return Contents(own=own, dependencies=segment, diagnostics=tuple(faults))


def own_tree(workshop: Workshop, function: Function, *, bare: bool = False) -> Tree:
    """The code folder's walk without node_modules, unless it is `bare` of any package.json; or the
    one file that is all of the code."""
    if workshop.seen.is_file(function.code):
        name = posixpath.basename(function.code)
        return Tree(files=(tree.single(workshop.seen, function.code, name),))
    bare = bare and not _is_shut_out(function)
    ours = AS_IT_IS if bare else ()
    patterns = (*INSTALLERS_OWN, *ours, *function.exclude, *(() if bare else (f"/{MODULES}",)))
    include = function.include
    walked = tree.walk(
        workshop.seen,
        function.code,
        exclude=patterns,
        include=include,
        globs=function.globs,
        allow=function.allow,
    )
    if bare:
        return walked
    # An exclude of the user's such as "!*" outranks ours.
    kept = (
        file
        for file in walked.files
        if not file.name.startswith(f"{MODULES}/") or counted.covers(include, file.name)
    )
    return replace(walked, files=tuple(kept))


def _is_shut_out(function: Function) -> bool:
    """Whether nothing of node_modules goes along: a layer brings it, or no package is needed."""
    if not function.globs:
        return False
    from lambdad.bundler.inputs import globs

    return globs.enters(function.globs, MODULES) is False


def read(workshop: Workshop, walked: Tree) -> Iterator[Entry]:
    for file in walked.files:
        content = tree.read(workshop.seen, file)
        yield Entry(name=file.name, content=content, executable=file.executable)


# --- checks ----------------------------------------------------------------------------------


def _check(
    function: Function,
    declared: PackageJson | None,
    own: tuple[Entry, ...],
    segment: Segment | None,
    *,
    installed: bool,
    by: str,
) -> Iterator[Diagnostic]:
    """What Lambda would stumble over; of packages only if they are `installed`, which `by` does."""
    entries = {entry.name: entry for entry in own}

    def read(name: str) -> str:
        return entries[name].content.decode(errors="replace")

    files = {entry.name: entry.executable for entry in own}
    if segment is not None:
        files |= {member.name: member.executable for member in segment.members}
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
        if not aws_sdk.provided(function.runtime, package)
    } - _present(files)
    if declared is not None:
        lacking.discard(declared.name)
    if lacking:
        uses = [
            use
            for use in imports.uses(found, frozenset(entries), read)
            if use.package in lacking and not use.imported.guarded
        ]
        install = partial(_install, function, declared, by)
        yield from _lacking(function, declared, uses, read, install)


def unparsed(
    function: Function, walked: Tree, own: Iterable[Entry], workshop: Workshop
) -> tuple[Diagnostic, ...]:
    """The syntax errors of the handler's file and of what it loads."""
    texts = {entry.name: entry.content for entry in own}
    found = handler.find(function, dict.fromkeys(texts, False))
    if function.handler.export is None or found is None or not found.endswith(imports.SOURCES):
        return ()

    def read(name: str) -> str:
        return texts[name].decode(errors="replace")

    files = {file.name: file.path for file in walked.files if file.name in texts}
    return parse.check(function, found, files, read, workshop) if found in files else ()


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
    declared: PackageJson | None,
    uses: Iterable[Use],
    read: Callable[[str], str],
    install: Callable[[str], str],
) -> Iterator[Diagnostic]:
    """A diagnostic for each package that is used and lacking."""
    told: dict[str, Diagnostic] = {}
    for use in uses:
        file = posixpath.normpath(posixpath.join(function.code, use.file))
        where = syntax.location(file, read(use.file), use.imported.offset)
        if use.package == aws_sdk.V2:
            fault = aws_sdk.v2_missing(function.runtime, where, install(use.package))
            if not use.imported.loading:
                # It may be where no request comes by.
                fault = replace(fault, severity=Severity.WARNING)
        elif use.imported.loading:
            fault = _undeclared(function, declared, use.package, where, install)
        else:
            continue
        before = told.get(use.package)
        if before is None or before.severity is Severity.WARNING:
            told[use.package] = fault
    yield from (told[package] for package in sorted(told))


def _undeclared(
    function: Function,
    declared: PackageJson | None,
    package: str,
    where: Location,
    install: Callable[[str], str],
) -> Diagnostic:
    if declared is None:
        reason = f"{function.code} has no package.json that declares it"
    else:
        reason = f"{declared.path} does not have it among its dependencies"
    return warning(
        "undeclared-package",
        f'{where.file} loads "{package}", which will not be in the zip: {reason}',
        where,
        f"run {install(package)}, or have the function bundled",
    )


def _install(function: Function, declared: PackageJson | None, by: str, package: str) -> str:
    """The command that adds a package. Without --prefix npm goes up to a package.json that is there
    already, whose packages stay out of the zip."""
    if declared is None:
        command, folder = f"npm install --prefix {shlex.quote(function.code)} {package}", "."
    elif by == "npm":
        command, folder = f"npm install --save-prod {package}", function.code
    else:
        command, folder = installer.adding(by, package), function.code
    at = "the project's folder" if folder == "." else folder
    return f"`{command}` in {at}"
