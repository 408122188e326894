"""Files from beside the code folder: `copy` and `shared`, laid where the zip is to have them.

The zip has one file of a name. Of several the first has the place, in this order: the code folder
(or the bundle), the `shared` folders, what `copy` names, each in the user's order; dependencies
come last. What lost its place to other bytes is told, so that nothing is replaced in silence.
"""

from __future__ import annotations

import os
import posixpath
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from lambdad.bundler.inputs import snapshot, tree
from lambdad.bundler.inputs.tree import Tree, TreeFile
from lambdad.bundler.model import (
    Copy,
    Diagnostic,
    Entry,
    Function,
    InputSet,
    ProjectError,
    RelPath,
    Segment,
    error,
    warning,
)
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import names

WILDCARDS: Final = "*?["

_SHOWN: Final = 3
"""Files that a warning spells out."""

Step = Callable[[], Tree]


def sharing(function: Function, workshop: Workshop) -> list[Step]:
    """A step for each shared folder: its files, with the names they have in the zip. `exclude` and
    `include` hold in each of them as in the code folder.

    They raise ProjectError: `missing-files`, `outside-repository`, and what tree.py finds.
    """
    return [partial(_shared, folder, function, workshop) for folder in function.shared]


def copying(function: Function, workshop: Workshop) -> list[Step]:
    """A step for each `copy`: its files, with the names they have in the zip; the built-in excludes
    hold.

    They raise ProjectError: `missing-files` where there is nothing to copy, `outside-repository`,
    `zip-name`, and what bundler/inputs/tree.py finds.
    """
    return [partial(_copied, one, function, workshop) for one in function.copy]


def gather(steps: Iterable[Step]) -> tuple[Tree, ...]:
    """What the steps give, in order. Raises ProjectError: all that they raised, together."""
    found: list[Tree] = []
    faults: list[Diagnostic] = []
    inputs = InputSet()
    for step in steps:
        try:
            found.append(step())
        except ProjectError as fault:
            faults += fault.diagnostics
            inputs = snapshot.union(inputs, fault.inputs)
    if faults:
        for one in found:
            inputs = snapshot.union(inputs, one.inputs)
        raise ProjectError(*dict.fromkeys(faults), inputs=inputs)
    return tuple(found)


def merged(trees: Sequence[Tree], function: Function, workshop: Workshop) -> Tree:
    """One tree of all; of files with one name the first tree's. Warns of `hidden-files`."""
    if len(trees) == 1:
        return trees[0]
    files: dict[str, TreeFile] = {}
    lost: list[tuple[str, str]] = []
    inputs = InputSet()
    diagnostics: list[Diagnostic] = []
    for one in trees:
        inputs = snapshot.union(inputs, one.inputs)
        diagnostics += one.diagnostics
        for file in one.files:
            kept = files.setdefault(file.name, file)
            if kept.path != file.path and not _are_equal(kept, file, workshop):
                lost.append((file.path, kept.path))
    if lost:
        diagnostics.append(hidden(lost, function))
    return Tree(
        files=tuple(files[name] for name in sorted(files)),
        inputs=inputs,
        diagnostics=tuple(dict.fromkeys(diagnostics)),
    )


def apart(own: Iterable[Entry], segment: Segment | None) -> tuple[Entry, ...]:
    """Those that the dependencies have not brought already. With other bytes they stay: nobody can
    tell which of the two is meant."""
    known = {one.name: one for one in segment.records} if segment is not None else {}
    return tuple(
        entry
        for entry in own
        if (record := known.get(entry.name)) is None
        or (record.size, record.crc) != (len(entry.content), zlib.crc32(entry.content))
    )


def hidden(lost: Sequence[tuple[str, str]], function: Function) -> Diagnostic:
    """Of files that stay out of the zip, each with what has its place."""
    told = [f"{path} ({other} has its place)" for path, other in lost[:_SHOWN]]
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return warning(
        "hidden-files",
        f"left out of the zip: {', '.join(told)}{more}",
        function.where,
        "give the copy another place, or exclude the other file",
    )


def without(own: Tree, copies: Sequence[Tree], function: Function) -> Tree:
    """Of a function that is loaded where the user wrote it: `own`, with the copies as inputs alone.

    Warns of `not-copied-here` where they are not there already.
    """
    inputs, diagnostics = own.inputs, list(own.diagnostics)
    there = {file.name for file in own.files}
    for one in copies:
        inputs = snapshot.union(inputs, one.inputs)
        diagnostics += one.diagnostics
    lacking = sorted({file.name for one in copies for file in one.files} - there)
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        diagnostics.append(
            warning(
                "not-copied-here",
                f"{', '.join(lacking[:_SHOWN])}{more} will be in the zip; on this machine the "
                "function is loaded from its sources, where they are not",
                function.where,
                "local runs must look for them where they come from",
            )
        )
    return replace(own, inputs=inputs, diagnostics=tuple(diagnostics))


# --- one folder, one copy ----------------------------------------------------------------------


def _shared(folder: RelPath, function: Function, workshop: Workshop) -> Tree:
    looked_at = _look("shared", folder, function, workshop)
    if not os.path.isdir(workshop.absolute(folder)):
        raise _missing("shared", f"{folder}, and there is no such folder", function, looked_at)
    walked = tree.walk(
        workshop,
        folder,
        exclude=function.exclude,
        include=function.include,
        allow=function.allow,
    )
    return _looked(walked, looked_at)


def _copied(one: Copy, function: Function, workshop: Workshop) -> Tree:
    prefix = _prefix(one, function)
    looked_at = _look("copy", one.source, function, workshop)
    path = workshop.absolute(one.source)
    if os.path.isfile(path):
        return _file(one, prefix, looked_at, workshop)
    if os.path.isdir(path):
        walked = tree.walk(workshop, one.source, allow=function.allow)
        fault = f"{one.source}, which holds no files"
    else:
        top, rest = _parts(one.source)
        if not rest:
            raise _missing("copy", f"{one.source}, which is not there", function, looked_at)
        looked_at = snapshot.union(looked_at, _look("copy", top, function, workshop))
        if not os.path.isdir(workshop.absolute(top)):
            raise _missing("copy", f"{one.source}, and there is no {top}", function, looked_at)
        walked = tree.walk(workshop, top, only=(f"/{rest}",), allow=function.allow)
        fault = f"{one.source}, which matches no file"
    walked = _looked(walked, looked_at)
    if not walked.files:
        raise _missing("copy", fault, function, walked.inputs)
    files = (replace(file, name=posixpath.join(prefix, file.name)) for file in walked.files)
    return replace(walked, files=tuple(files))


def _prefix(one: Copy, function: Function) -> str:
    """Where the copy goes: "" is the zip's root."""
    prefix = posixpath.normpath(one.to or _parts(one.source)[0])
    if prefix == ".":
        return ""
    if reason := names.check_name(prefix):
        message = f"{one.source} can't be copied to {prefix!r}: the name {reason}"
        raise ProjectError(error("zip-name", message, function.where, "name a place in the zip"))
    return prefix


def _file(one: Copy, prefix: str, looked_at: InputSet, workshop: Workshop) -> Tree:
    into_folder = not prefix or one.to.endswith("/")
    name = posixpath.join(prefix, posixpath.basename(one.source)) if into_folder else prefix
    status = os.stat(workshop.absolute(one.source))
    file = TreeFile(
        name=name,
        path=one.source,
        executable=bool(status.st_mode & 0o111),
        size=status.st_size,
    )
    return Tree(files=(file,), inputs=looked_at, diagnostics=())


def _parts(source: RelPath) -> tuple[RelPath, str]:
    """The folder that a glob starts from, and the pattern below it; "" if it is no glob."""
    parts = source.split("/")
    for at, part in enumerate(parts):
        if any(mark in part for mark in WILDCARDS):
            return "/".join(parts[:at]) or ".", "/".join(parts[at:])
    return source, ""


# --- what was looked at ------------------------------------------------------------------------


def _look(option: str, path: RelPath, function: Function, workshop: Workshop) -> InputSet:
    """The path as an input: symlinks on its way may lead elsewhere, and its key is another then.

    Raises ProjectError `outside-repository`.
    """
    looked_at = InputSet(files=frozenset((path,)))
    try:
        real = os.path.realpath(workshop.absolute(path))
    except ValueError:  # it holds a NUL
        raise _missing(option, f"{path!r}, which is no path", function, InputSet()) from None
    if tree.is_inside(real, tree.homes(workshop, function.allow)):
        return looked_at
    message = f"{option} names {path}, which lies outside the repository"
    hint = f'if that is meant, say so in lambdad.toml: allow = ["{_parts(path)[0]}"]'
    fault = error("outside-repository", message, function.where, hint)
    raise ProjectError(fault, inputs=looked_at)


def _looked(walked: Tree, looked_at: InputSet) -> Tree:
    return replace(walked, inputs=snapshot.union(walked.inputs, looked_at))


def _missing(option: str, what: str, function: Function, inputs: InputSet) -> ProjectError:
    hint = "the path starts at the project's folder"
    fault = error("missing-files", f"{option} names {what}", function.where, hint)
    return ProjectError(fault, inputs=inputs)


def _are_equal(one: TreeFile, other: TreeFile, workshop: Workshop) -> bool:
    if (one.size, one.executable) != (other.size, other.executable):
        return False
    return tree.read(workshop, one) == tree.read(workshop, other)
