"""What a zip has beside the bundle: included and copied files, packages left unbundled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lambdad.bundler.inputs import tree
from lambdad.bundler.model import (
    BuildRequest,
    BundlerError,
    Diagnostic,
    Entry,
    Failure,
    Function,
    ProjectError,
    RelPath,
    Severity,
    Want,
    error,
)
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import copied, names
from lambdad.bundler.zips.member import Contents, missing_from

if TYPE_CHECKING:
    from lambdad.bundler.npm.installed import Ground
    from lambdad.bundler.npm.vendored import Vendored


def lay(
    request: BuildRequest, bundle: Contents | Failure, workshop: Workshop
) -> Contents | Failure:
    """The bundle with all that its function wants beside it, or what is wrong with any of that.

    On this machine the packages that `install` names are loaded from where they are installed, so
    a live tree goes without them.
    """
    function = request.function
    if isinstance(bundle, BundlerError) or not (
        function.copy or function.include or function.install or function.globs
    ):
        return bundle
    faults: list[Diagnostic] = []
    own = bundle.own if isinstance(bundle, Contents) else ()
    try:
        more, files = _files(function, own, workshop)
        own += files
        faults += more.diagnostics
    except ProjectError as fault:
        faults += fault.diagnostics
    segment = None
    try:
        if vendored := _installed(request, workshop):
            segment = vendored.segment
            faults += vendored.diagnostics
    except ProjectError as fault:
        faults += fault.diagnostics
    except BundlerError as fault:
        return fault
    told = (*bundle.diagnostics, *faults)
    if isinstance(bundle, ProjectError) or any(one.severity is Severity.ERROR for one in faults):
        return ProjectError(*told)
    return replace(
        bundle,
        own=tuple(sorted(missing_from(segment, own), key=lambda entry: entry.name)),
        dependencies=segment,
        external=tuple(sorted({*bundle.external, *function.install})),
        diagnostics=told,
    )


def _files(
    function: Function, bundled: Sequence[Entry], workshop: Workshop
) -> tuple[tree.Tree, tuple[Entry, ...]]:
    """The included and copied files, with the bytes of those whose place no bundle has."""
    including = []
    if function.include and workshop.seen.is_folder(function.code):
        walk = partial(
            tree.walk,
            workshop.seen,
            function.code,
            exclude=function.exclude,
            include=function.include,
            only=function.include,
            allow=function.allow,
        )
        including.append(walk)
    if function.globs and workshop.seen.is_folder(function.code):
        walk = partial(
            tree.walk,
            workshop.seen,
            function.code,
            exclude=function.exclude,
            globs=function.globs,
            allow=function.allow,
        )
        including.append(walk)
    trees = copied.gather((*including, *copied.copying(function, workshop.seen)))
    if not trees:
        return tree.Tree(files=()), ()
    found = copied.merged(trees, function, workshop.seen)
    known = {entry.name: entry.content for entry in bundled}
    files = [
        Entry(name=file.name, content=tree.read(workshop.seen, file), executable=file.executable)
        for file in found.files
        if file.name not in known
    ]
    lost = [
        (file.path, "the bundle")
        for file in found.files
        if file.name in known and tree.read(workshop.seen, file) != known[file.name]
    ]
    if lost:
        warned = copied.hidden(lost, function)
        found = replace(found, diagnostics=(*found.diagnostics, warned))
    if faults := names.faults([*known, *(entry.name for entry in files)]):
        raise ProjectError(*faults, *found.diagnostics)
    return found, tuple(files)


def _installed(request: BuildRequest, workshop: Workshop) -> Vendored | None:
    """The packages that `install` names, and what those need, as the handler's code finds them; of
    a live tree only that they are there.

    Raises ProjectError: `not-installed`, and as vendored.vendor.
    """
    function = request.function
    if not function.install:
        return None
    from lambdad.bundler.npm import manifest, vendored
    from lambdad.bundler.npm.installed import Ground

    ground = Ground(workshop, function.allow)
    start = home(function, workshop)
    holders = (one for one in ground.above(start) if ground.exists(f"{one}/{manifest.NAME}"))
    folder = next(holders, start)
    path = ground.relative(f"{folder}/{manifest.NAME}")
    _check_there(function, ground, path, folder)
    if request.want is Want.LIVE:
        return vendored.Vendored(segment=None)
    return vendored.recalled(request, workshop, path, frozenset(function.install))


def _check_there(function: Function, ground: Ground, path: RelPath, folder: str) -> None:
    from lambdad.bundler.npm import installer, manifest

    absent = [name for name in function.install if ground.find(name, folder) is None]
    if not absent:
        return
    declared = manifest.read(ground.seen, path, own=True)
    declared = declared or manifest.PackageJson(path=path, dependencies={}, optional={}, lines={})
    by = installer.find(ground, folder, declared)
    if by.plug_and_play:
        return  # vendored.py finds what that needs
    undeclared = [
        name for name in absent if name not in {**declared.dependencies, **declared.optional}
    ]
    command = installer.adding(by.name, " ".join(undeclared)) if undeclared else by.command
    raise ProjectError(
        *ground.faults.values(),
        error(
            "not-installed",
            f"install names {', '.join(absent)}: not installed",
            function.where,
            f"run `{command}` in {ground.shown(by.folder)}",
        ),
    )


def home(function: Function, workshop: Workshop) -> str:
    """The real folder of the handler's code: from there it finds its packages."""
    seen, code = workshop.seen, function.code
    if seen.is_file(code):
        return seen.real(os.path.dirname(code) or ".")
    folder = os.path.dirname(os.path.join(workshop.absolute(code), function.handler.module))
    return seen.real(folder) if seen.is_folder(folder) else seen.real(code)
