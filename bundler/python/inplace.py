"""A Python function loaded where the user wrote it, with dependencies for this machine.

Trap for whoever starts the worker: Python believes bytecode whose source has the same size and was
written in the same second, so a reload after a quick edit can run the old text. A worker is to be
started with PYTHONDONTWRITEBYTECODE=1 (-B), or with a PYTHONPYCACHEPREFIX of its digest's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from bundler import tree
from bundler.live import digest_of
from bundler.model import (
    BuildRequest,
    Entry,
    Function,
    Live,
    ProjectError,
    Runnable,
    Severity,
    error,
)
from bundler.python import handler, host, package
from bundler.python.package import Gathered
from bundler.snapshot import union
from bundler.tree import TreeFile
from bundler.workshop import Workshop


def make(request: BuildRequest, workshop: Workshop) -> Runnable:
    """The handler's file, and `sys.path`: own code, dependencies, the user's own packages.

    Raises ProjectError as package.pack, and `handler-not-here`.
    """
    found = package.gather(request, workshop)
    try:
        return _load(request.function, found, workshop)
    except ProjectError as fault:
        inputs = union(found.inputs, fault.inputs)
        raise ProjectError(*fault.diagnostics, inputs=inputs) from fault


def _load(function: Function, found: Gathered, workshop: Workshop) -> Runnable:
    files = {file.name: file for file in found.own.files}
    diagnostics = [*found.faults, *found.own.diagnostics]
    site = None
    if found.known is not None:
        site = host.install(found.known, workshop)
        diagnostics += [*found.known.diagnostics, *site.diagnostics]
    installed = site.files if site is not None else {}
    checked = handler.check(function, files, installed.keys(), workshop)
    # While the dependencies are unknown, one of them may have the handler.
    diagnostics += [one for one in checked if site or one.code != "missing-handler-file"]
    if site is None or any(one.severity is Severity.ERROR for one in diagnostics):
        raise ProjectError(*diagnostics)
    entry = _entry(function, files, installed)
    single = os.path.isfile(workshop.absolute(function.code))
    code = os.path.dirname(function.code) or "." if single else function.code
    own = (
        Entry(name=file.name, content=tree.read(workshop, file), executable=file.executable)
        for file in found.own.files
    )
    return Runnable(
        live=Live(entry=entry, path=(code, *site.folders), digest=digest_of(own, [site.digest])),
        inputs=found.inputs,
        diagnostics=tuple(diagnostics),
    )


def _entry(function: Function, files: Mapping[str, TreeFile], installed: Mapping[str, str]) -> str:
    module = function.handler.module
    names = (module,) if function.handler.export is None else handler.candidates(module)
    for name in names:
        if name in files:
            return files[name].path
    for name in names:
        if name in installed:
            return f"{installed[name]}/{name}"
    raise ProjectError(
        error(
            "handler-not-here",
            f"the handler {function.handler.text} comes from a layer, which is not on this machine",
            function.handler_where,
            "install what the layer brings, or name your own handler for local runs",
        )
    )
