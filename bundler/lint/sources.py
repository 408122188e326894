"""Which source files a function holds: those that are linted for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lambdad.bundler.config.check import JAVASCRIPT, TYPESCRIPT
from lambdad.bundler.inputs import tree
from lambdad.bundler.model import Function, Language, Method, RelPath, Want
from lambdad.bundler.store import record
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop

SCRIPTS = (*JAVASCRIPT, *TYPESCRIPT)
PYTHON = (".py", ".pyi")


def held(function: Function, workshop: Workshop) -> frozenset[RelPath]:
    """Of a bundle what its last build took in, of others what lies in the code folder.

    Raises ProjectError where that can't be walked.
    """
    if function.method is Method.ESBUILD:
        return frozenset(_bundled(function, workshop))
    if function.runtime.language is Language.PYTHON:
        from lambdad.bundler.python import package

        files = package.own_tree(request_of(workshop, function), workshop).files
        return frozenset(file.path for file in files if file.path.endswith(PYTHON))
    if not workshop.seen.is_folder(function.code):
        return frozenset({function.code})
    files = tree.walk(
        workshop.seen,
        function.code,
        exclude=function.exclude,
        include=function.include,
        globs=function.globs,
        allow=function.allow,
    ).files
    return frozenset(file.path for file in files if file.path.endswith(SCRIPTS))


def beside(function: Function, workshop: Workshop) -> frozenset[RelPath]:
    """What `held` found beside the faults that it reports: `workshop` recorded nothing else."""
    endings = PYTHON if function.runtime.language is Language.PYTHON else SCRIPTS
    found = (path for path in workshop.seen.inputs().files if path.endswith(endings))
    return frozenset(path for path in found if os.path.isfile(workshop.absolute(path)))


def _bundled(function: Function, workshop: Workshop) -> Iterator[RelPath]:
    found = False
    for want in Want:
        known = record.load(workshop.state().record(function.name, want))
        for path, key in known.inputs.files.items() if known is not None else ():
            if key is not None and path.endswith(SCRIPTS) and "node_modules" not in path.split("/"):
                found = True
                yield path
    if not found:
        yield from _entries(function, workshop)


def _entries(function: Function, workshop: Workshop) -> Iterator[RelPath]:
    """Of one that was never built, where its build will begin."""
    if os.path.isfile(workshop.absolute(function.code)):
        yield function.code
        return
    module = function.handler.module
    names = function.entry_points or [module + ending for ending in SCRIPTS]
    for name in names:
        path = os.path.normpath(os.path.join(function.code, name))
        if os.path.isfile(workshop.absolute(path)):
            yield path
