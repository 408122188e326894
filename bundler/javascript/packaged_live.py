"""A plain JavaScript function loaded where the user wrote it, with whatever is installed there.

No production set and no platform is needed: those are Lambda's. What a worker would load decides
the digest: own code, and the packages it can reach (bundler/npm/reach.py).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from functools import partial

from lambdad.bundler.ecmascript import imports
from lambdad.bundler.javascript import handler, packaged
from lambdad.bundler.model import (
    BuildRequest,
    Diagnostic,
    Entry,
    Function,
    Live,
    ProjectError,
    Runnable,
    Severity,
    error,
)
from lambdad.bundler.npm import manifest, production, reach
from lambdad.bundler.npm.installed import Ground
from lambdad.bundler.npm.reach import Reach
from lambdad.bundler.store.live_folders import digest_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import copied


def make(request: BuildRequest, workshop: Workshop) -> Runnable:
    """The handler's file, and a digest of what it can load.

    Raises ProjectError: `bad-package-json`, `missing-handler-file`, `missing-export`,
    `handler-not-executable`, `handler-not-here`, and what bundler/inputs/tree.py finds.
    """
    function = request.function
    ground = Ground(workshop, function.allow)
    code = partial(packaged.own_tree, workshop, function)
    walked, *copies = copied.gather((code, *copied.copying(function, workshop.seen)))
    walked = copied.without(walked, copies, function)
    own = tuple(packaged.read(workshop, walked))
    reached = _reach(function, own, ground)
    installed = reach.digest(reached, workshop)
    entry, diagnostics = _entry(function, own, ground)
    diagnostics += packaged.unparsed(function, walked, own, workshop)
    if any(one.severity is Severity.ERROR for one in diagnostics):
        raise ProjectError(*diagnostics)
    return Runnable(
        live=Live(entry=entry, path=(), digest=digest_of(own, [installed])),
        diagnostics=(*walked.diagnostics, *diagnostics),
    )


def _reach(function: Function, own: Iterable[Entry], ground: Ground) -> Reach:
    """What package.json asks for, and what the sources name: the AWS SDK is often undeclared."""
    code = ground.seen.real(function.code)
    names: set[str] = set()
    local: frozenset[str] = frozenset()
    if os.path.isdir(code):
        path = posixpath.normpath(posixpath.join(function.code, manifest.NAME))
        declared = manifest.read(ground.seen, path, own=True)
        if declared is not None:
            names.update(production.needs(declared))
            local = declared.local
    else:
        code = os.path.dirname(code)
    for entry in own:
        if entry.name.endswith(imports.SOURCES):
            names |= imports.glance(entry.content.decode(errors="replace"))
    return reach.reach(ground, filter(manifest.is_package_name, names), code, local)


def _entry(
    function: Function, own: Iterable[Entry], ground: Ground
) -> tuple[str, tuple[Diagnostic, ...]]:
    workshop = ground.workshop
    texts = {entry.name: entry.content for entry in own}
    files = {entry.name: entry.executable for entry in own}
    single = workshop.seen.is_file(function.code)
    folder = posixpath.dirname(function.code) if single else function.code
    if not single:
        files |= _in_packages(function, folder, ground)
    found = handler.check(function, files, lambda name: texts[name].decode(errors="replace"))
    if any(one.severity is Severity.ERROR for one in found):
        raise ProjectError(*found)
    name = handler.find(function, files)
    if name is None:
        raise ProjectError(
            error(
                "handler-not-here",
                f"the handler {function.handler.text} comes from a layer, which is not on this "
                "machine",
                function.handler_where,
                "install what the layer brings, or name your own handler for local runs",
            )
        )
    return posixpath.normpath(posixpath.join(folder, name)), found


def _in_packages(function: Function, folder: str, ground: Ground) -> dict[str, bool]:
    """Where the handler could lie among installed packages, as a monitoring vendor's does."""
    found: dict[str, bool] = {}
    module = posixpath.normpath(function.handler.module)
    if module.startswith("node_modules/"):
        for ending in (*handler.ENDINGS, *handler.FOLDER_ENDINGS):
            path = posixpath.normpath(posixpath.join(folder, module + ending))
            if ground.exists(ground.workshop.absolute(path)):
                found[module + ending] = os.access(ground.workshop.absolute(path), os.X_OK)
    return found
