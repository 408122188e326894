"""Files from beside the code folder: `copy` and `shared`, laid where the zip is to have them.

The zip has one file of a name. Of several the first has the place, in this order: the code folder
(or the bundle), the `shared` folders, what `copy` names, each in the user's order; dependencies
come last. What lost its place to other bytes is reported, so that nothing is replaced in silence.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.inputs.tree import Tree, TreeFile
from lambdad.bundler.model import (
    Copy,
    Diagnostic,
    Function,
    ProjectError,
    RelPath,
    error,
    warning,
)
from lambdad.bundler.zips import names

WILDCARDS: Final = "*?["

_SHOWN: Final = 3
"""Files that a warning spells out."""

Step = Callable[[], Tree]


def sharing(function: Function, seen: Seen) -> list[Step]:
    """A step for each shared folder: its files, with the names they have in the zip. `exclude` and
    `include` hold in each of them as in the code folder.

    They raise ProjectError: `missing-files`, `outside-repository`, and what tree.py finds.
    """
    return [partial(_shared, folder, function, seen) for folder in function.shared]


def copying(function: Function, seen: Seen) -> list[Step]:
    """A step for each `copy`: its files, with the names they have in the zip; the built-in excludes
    hold.

    They raise ProjectError: `missing-files` where there is nothing to copy, `outside-repository`,
    `zip-name`, and what bundler/inputs/tree.py finds.
    """
    return [partial(_copied, one, function, seen) for one in function.copy]


def gather(steps: Iterable[Step]) -> tuple[Tree, ...]:
    """What the steps give, in order. Raises ProjectError: all that they raised, together."""
    found: list[Tree] = []
    faults: list[Diagnostic] = []
    for step in steps:
        try:
            found.append(step())
        except ProjectError as fault:
            faults += fault.diagnostics
    if faults:
        raise ProjectError(*dict.fromkeys(faults))
    return tuple(found)


def merged(trees: Sequence[Tree], function: Function, seen: Seen) -> Tree:
    """One tree of all; of files with one name the first tree's. Warns of `hidden-files`."""
    if len(trees) == 1:
        return trees[0]
    files: dict[str, TreeFile] = {}
    lost: list[tuple[str, str]] = []
    diagnostics: list[Diagnostic] = []
    for one in trees:
        diagnostics += one.diagnostics
        for file in one.files:
            kept = files.setdefault(file.name, file)
            if kept.path != file.path and not _are_equal(kept, file, seen):
                lost.append((file.path, kept.path))
    if lost:
        diagnostics.append(hidden(lost, function))
    return Tree(
        files=tuple(files[name] for name in sorted(files)),
        diagnostics=tuple(dict.fromkeys(diagnostics)),
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
    """Of a function that is loaded where the user wrote it: `own` alone, the copies being inputs.

    Warns of `not-copied-here` where they are not there already.
    """
    diagnostics = list(own.diagnostics)
    there = {file.name for file in own.files}
    for one in copies:
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
    return replace(own, diagnostics=tuple(diagnostics))


# --- one folder, one copy ----------------------------------------------------------------------


def _shared(folder: RelPath, function: Function, seen: Seen) -> Tree:
    _check_place("shared", folder, function, seen)
    if not seen.is_folder(folder):
        raise _missing("shared", f"{folder}, and there is no such folder", function)
    return tree.walk(
        seen,
        folder,
        exclude=function.exclude,
        include=function.include,
        allow=function.allow,
    )


def _copied(one: Copy, function: Function, seen: Seen) -> Tree:
    prefix = _prefix(one, function)
    _check_place("copy", one.source, function, seen)
    kind = seen.kind(one.source)
    if kind == "file":
        return _file(one, prefix, seen)
    if kind == "folder":
        walked = tree.walk(seen, one.source, allow=function.allow)
        fault = f"{one.source}, which holds no files"
    else:
        top, rest = _parts(one.source)
        if not rest:
            raise _missing("copy", f"{one.source}, which is not there", function)
        _check_place("copy", top, function, seen)
        if not seen.is_folder(top):
            raise _missing("copy", f"{one.source}, and there is no {top}", function)
        walked = tree.walk(seen, top, only=(f"/{rest}",), allow=function.allow)
        fault = f"{one.source}, which matches no file"
    if not walked.files:
        raise _missing("copy", fault, function)
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


def _file(one: Copy, prefix: str, seen: Seen) -> Tree:
    into_folder = not prefix or one.to.endswith("/")
    name = posixpath.join(prefix, posixpath.basename(one.source)) if into_folder else prefix
    return Tree(files=(tree.single(seen, one.source, name),))


def _parts(source: RelPath) -> tuple[RelPath, str]:
    """The folder that a glob starts from, and the pattern below it; "" if it is no glob."""
    parts = source.split("/")
    for at, part in enumerate(parts):
        if any(mark in part for mark in WILDCARDS):
            return "/".join(parts[:at]) or ".", "/".join(parts[at:])
    return source, ""


# --- checks ------------------------------------------------------------------------------------


def _check_place(option: str, path: RelPath, function: Function, seen: Seen) -> None:
    """Raises ProjectError: `outside-repository`, or `missing-files` where it is no path at all."""
    if "\0" in path:
        raise _missing(option, f"{path!r}, which is no path", function)
    if seen.leads_inside(path, function.allow):
        return
    message = f"{option} names {path}, which is outside the repository"
    hint = f'if that is meant, say so in lambdad.toml: allow = ["{_parts(path)[0]}"]'
    raise ProjectError(error("outside-repository", message, function.where, hint))


def _missing(option: str, what: str, function: Function) -> ProjectError:
    hint = "the path starts at the project's folder"
    return ProjectError(error("missing-files", f"{option} names {what}", function.where, hint))


def _are_equal(one: TreeFile, other: TreeFile, seen: Seen) -> bool:
    if (one.size, one.executable) != (other.size, other.executable):
        return False
    return tree.read(seen, one) == tree.read(seen, other)
