"""A Python function loaded where the user wrote it, with dependencies for this machine.

Trap for the caller that starts the worker: Python believes bytecode whose source has the same size
and was written in the same second, so a reload after a quick edit can run the old text. A worker is
to be started with PYTHONDONTWRITEBYTECODE=1 (-B), or with a PYTHONPYCACHEPREFIX of its digest's
own.
"""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.tree import Tree, TreeFile
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
    warning,
)
from lambdad.bundler.python import handler, host, interpreters, package
from lambdad.bundler.python.package import Gathered
from lambdad.bundler.store.live_folders import digest_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import names


def make(request: BuildRequest, workshop: Workshop) -> Runnable:
    """The handler's file, and `sys.path`: own code, dependencies, the user's own packages.

    Raises ProjectError as package.pack, and `handler-not-here`.
    """
    return _load(request.function, package.gather(request, workshop), workshop)


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
    single = workshop.seen.is_file(function.code)
    code = os.path.dirname(function.code) or "." if single else function.code
    diagnostics += _split(function, (code, *function.shared), found.own)
    major, minor = function.runtime.version
    interpreter = interpreters.for_worker((major, minor), workshop)
    if interpreter is None:
        diagnostics.append(_no_interpreter(function))
    own = (
        Entry(name=file.name, content=tree.read(workshop.seen, file), executable=file.executable)
        for file in found.own.files
    )
    return Runnable(
        live=Live(
            entry=entry,
            path=(code, *function.shared, *site.folders),
            digest=digest_of(own, [site.digest]),
            interpreter=interpreter,
        ),
        diagnostics=tuple(diagnostics),
    )


def _no_interpreter(function: Function) -> Diagnostic:
    version = ".".join(map(str, function.runtime.version))
    return warning(
        "python-not-here",
        f"there is no Python {version} on this machine to run the function",
        function.where,
        f"install it, e.g. by `uv python install {version}`; the zip for Lambda needs none",
    )


def _split(function: Function, folders: Sequence[str], own: Tree) -> Iterator[Diagnostic]:
    """Python takes a package from the first folder of `sys.path` that has it; the zip has one of
    all folders' files."""
    if len(folders) == 1:
        return
    owners: defaultdict[str, set[str]] = defaultdict(set)
    there = {file.name for file in own.files}
    for file in own.files:
        owner = next(
            one for one in folders if posixpath.normpath(f"{one}/{file.name}") == file.path
        )
        stem = file.name.removesuffix(".py")
        modules = [stem] if f"{stem}/__init__.py" in there else []
        for name in (*names.folders(file.name), *modules):
            owners[name].add(owner)
    told: set[str] = set()
    for name, homes in sorted(owners.items()):
        if f"{name}/__init__.py" not in there or told.intersection(names.folders(name)):
            continue
        if len(homes) > 1:
            told.add(name)
            shown = " and ".join(one for one in folders if one in homes)
            yield warning(
                "split-package",
                f"{shown} both have {name}: on Lambda it holds the files of both, here only "
                "those of one",
                function.where,
                "keep the package in one folder, or rename one of them",
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
