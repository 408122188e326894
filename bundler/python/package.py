"""A Python function's contents: its own code as it is, and its locked dependencies.

Start reading here: `pack`. The long way from requirement files to wheels is dependencies.py; it is
loaded only where dependency_cache.py does not spare it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.tree import Tree
from lambdad.bundler.model import (
    BuildRequest,
    Diagnostic,
    Entry,
    Function,
    InputSet,
    ProjectError,
    Severity,
    Want,
    error,
)
from lambdad.bundler.python import dependency_cache, handler
from lambdad.bundler.python.dependency_cache import InstalledDependencies
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import copied, names
from lambdad.bundler.zips.member import Contents

if TYPE_CHECKING:
    from lambdad.bundler.python.dependencies import Dependencies


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Own code and dependencies, as far as they could be had."""

    own: Tree
    known: Dependencies | None
    faults: tuple[Diagnostic, ...]
    decided: InputSet
    """What decided the dependencies."""


def pack(request: BuildRequest, workshop: Workshop) -> Contents:
    """What goes into the function's zip. Raises ProjectError with every fault that is found."""
    on_disk = workshop.memory is None
    if on_disk and (contents := _pack_remembered(request, workshop)):
        return contents
    clock = workshop.clock() if on_disk else None
    found = gather(request, workshop)
    installed = _installed(found, workshop)
    contents = _assemble(request.function, found.own, installed, found.faults, workshop)
    if on_disk and installed is not None and _lasts(installed):
        dependency_cache.keep(request, installed, found.decided, clock, workshop)
    return contents


def _pack_remembered(request: BuildRequest, workshop: Workshop) -> Contents | None:
    """The contents, if all but own code is as it was; faults are reported by the long way."""
    installed = dependency_cache.find(request, workshop)
    if installed is None:
        return None
    with contextlib.suppress(ProjectError):
        own = own_tree(request, workshop)
        if not names.shadowed((file.name for file in own.files), installed.names):
            return _assemble(request.function, own, installed, (), workshop)
    return None


def _lasts(installed: InstalledDependencies) -> bool:
    """Whether its inputs are all that decides it: what no lock pins, the indexes decide, too; and
    what own code hides may be there again."""
    return not any(one.code in ("unlocked", "own-over-dependency") for one in installed.diagnostics)


def gather(request: BuildRequest, workshop: Workshop) -> Gathered:
    """Both halves of a function, with the faults of both. Raises ProjectError without own code."""
    from lambdad.bundler.python import dependencies

    faults: list[Diagnostic] = []
    walked: Tree | None = None
    known: Dependencies | None = None
    try:
        walked = own_tree(request, workshop)
    except ProjectError as fault:
        faults += fault.diagnostics
    with workshop.seen.apart() as deciding:
        try:
            known = dependencies.known(request, replace(workshop, seen=deciding))
        except ProjectError as fault:
            faults += fault.diagnostics
    if walked is None:
        raise ProjectError(*faults)
    return Gathered(own=walked, known=known, faults=tuple(faults), decided=deciding.inputs())


def _installed(found: Gathered, workshop: Workshop) -> InstalledDependencies | None:
    """The segment of the dependencies, made where the store lacks it; None: they are unknown."""
    known = found.known
    if known is None:
        return None
    segment, notes = None, known.diagnostics
    if known.wheels:
        from lambdad.bundler.python.wheels import splice

        own = [file.name for file in found.own.files]
        segment, more = splice.segment(workshop.store, known.wheels, own, workshop.memory)
        notes += more
    return InstalledDependencies(segment=segment, diagnostics=notes)


def _assemble(
    function: Function,
    own: Tree,
    installed: InstalledDependencies | None,
    faults: Sequence[Diagnostic],
    workshop: Workshop,
) -> Contents:
    files = {file.name: file for file in own.files}
    found = [*faults, *own.diagnostics]
    if installed is not None:
        found += installed.diagnostics
    taken = frozenset(installed.names) if installed is not None else frozenset()
    checked = handler.check(function, files, taken, workshop)
    # While the dependencies are unknown, one of them may have the handler.
    found += [one for one in checked if installed or one.code != "missing-handler-file"]
    if any(diagnostic.severity is Severity.ERROR for diagnostic in found):
        raise ProjectError(*found)
    return Contents(
        own=tuple(
            Entry(
                name=file.name, content=tree.read(workshop.seen, file), executable=file.executable
            )
            for file in own.files
        ),
        dependencies=installed.segment if installed is not None else None,
        diagnostics=tuple(found),
    )


def own_tree(request: BuildRequest, workshop: Workshop) -> Tree:
    """Own code: the code folder's, the shared folders', and what is copied beside it.

    A live tree goes without the copies, and says so.
    """
    function = request.function
    if not function.shared and not function.copy:
        return _code_tree(function, workshop)
    code = partial(_code_tree, function, workshop)
    shared, copying = (
        copied.sharing(function, workshop.seen),
        copied.copying(function, workshop.seen),
    )
    trees = copied.gather((code, *shared, *copying))
    if request.want is Want.ZIP:
        return copied.merged(trees, function, workshop.seen)
    own = copied.merged(trees[: 1 + len(shared)], function, workshop.seen)
    return copied.without(own, trees[1 + len(shared) :], function)


def _code_tree(function: Function, workshop: Workshop) -> Tree:
    """The code folder's walk, or the one file that is all of the code."""
    if workshop.seen.is_folder(function.code):
        return tree.walk(
            workshop.seen,
            function.code,
            exclude=function.exclude,
            include=function.include,
            globs=function.globs,
            allow=function.allow,
        )
    if not workshop.seen.exists(function.code):
        message, hint = f"there is no {function.code}", "correct the path of the code"
        raise ProjectError(error("missing-code", message, function.where, hint))
    return Tree(files=(tree.single(workshop.seen, function.code, os.path.basename(function.code)),))
