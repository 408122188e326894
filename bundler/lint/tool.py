"""What every linter of ours is: a named function from files to findings, each result kept by what
decided it, so that an unchanged file is never linted twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from lambdad.bundler.inputs.reading import open_regular
from lambdad.bundler.model import (
    BundlerError,
    Diagnostic,
    Function,
    Location,
    RelPath,
    Severity,
    error,
)
from lambdad.bundler.store import record
from lambdad.bundler.workshop import Workshop

TIMEOUT_S: Final = 60.0
"""A linter that is quick by nature and has not answered by then hangs."""

_VERSION: Final = 1
_MOST: Final = 20_000
"""Results kept of one tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be linted."""

    files: tuple[RelPath, ...]
    """Sorted. One that is gone, or no file of the tool's language, is skipped by a tool."""
    holders: Mapping[RelPath, tuple[Function, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """The functions that hold a file; a file that no function holds has no entry."""
    trusted: bool = False
    """Tools of the project's own folder may run: they are code of that project."""
    formatting: frozenset[RelPath] = frozenset()
    """Files of which the formatting is checked, too."""
    hints: bool = False
    """Report what is no fault, too, though that takes a look at all of a function's code."""
    building: bool = False
    """A build follows: what that reports is left out. What dependencies bring is found out as it
    does that, where no build has yet: it may fetch."""

    @property
    def functions(self) -> tuple[Function, ...]:
        """All that hold a file of the batch, by name."""
        found = {each.name: each for several in self.holders.values() for each in several}
        return tuple(found[name] for name in sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a tool made of a batch."""

    files: Mapping[RelPath, tuple[Diagnostic, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Of each file that was linted, none for a clean one. Other files than the batch's may be among
    them: removing one file breaks those that import it."""
    functions: Mapping[str, tuple[Diagnostic, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Of functions as such, by name: a handler that is not there."""
    failed: tuple[Diagnostic, ...] = ()
    """What could not be run, one for each cause, with a way out."""
    machine_fault: bool = False
    """Something on this machine kept a tool from its work: that nothing is found says nothing."""
    pending: frozenset[str] = frozenset()
    """Functions of which more is known once they are built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A linter."""

    name: str
    lint: Callable[[Batch, Workshop], Findings]
    """Raises nothing: whatever goes wrong is in `Findings.failed`."""
    is_slow: bool = False
    """A daemon runs it in the background; its answer is awaited by `lambdad lint` alone."""
    concerns: Callable[[Batch, Workshop], bool] = lambda _batch, _workshop: True
    """Of a slow tool: whether it would do anything about the batch; that is quickly known."""
    stamp: Callable[[Batch, Workshop], str] = lambda batch, workshop: digest(
        *(content_digest(workshop, path) for path in batch.files)
    )
    """Of a slow tool: equal as long as nothing differs that decides its findings."""


def merged(several: Iterable[Findings]) -> Findings:
    """All of them as one; what two tools both find is reported once."""
    several = tuple(several)
    files: dict[RelPath, list[Diagnostic]] = {}
    functions: dict[str, list[Diagnostic]] = {}
    failed: list[Diagnostic] = []
    for one in several:
        for path, found in one.files.items():
            _add(files.setdefault(path, []), found)
        for name, found in one.functions.items():
            _add(functions.setdefault(name, []), found)
        _add(failed, one.failed)
    return Findings(
        files={path: tuple(found) for path, found in sorted(files.items())},
        functions={name: tuple(found) for name, found in sorted(functions.items())},
        failed=tuple(failed),
        machine_fault=any(one.machine_fault for one in several),
        pending=frozenset[str]().union(*(one.pending for one in several)),
    )


def _add(known: list[Diagnostic], more: Iterable[Diagnostic]) -> None:
    known += [item for item in dict.fromkeys(more) if item not in known]


def by_file(
    items: Iterable[Diagnostic], linted: Iterable[RelPath] = ()
) -> Mapping[RelPath, tuple[Diagnostic, ...]]:
    """Each once, at its place; of `linted` files those without any, too."""
    found: dict[RelPath, list[Diagnostic]] = {path: [] for path in linted}
    for item in dict.fromkeys(items):
        if item.where is not None:
            found.setdefault(item.where.file, []).append(item)
    return {path: tuple(several) for path, several in found.items()}


def as_errors(items: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """What is found, for a function that says `lint = "error"`: no mere warnings."""
    return tuple(
        replace(item, severity=Severity.ERROR) if item.severity is Severity.WARNING else item
        for item in items
    )


# --- what goes wrong -----------------------------------------------------------------------------


def broken(tool: str, what: str, hint: str, where: Location | None = None) -> Findings:
    """The tool is absent, hangs, dies or prints something that is not its format."""
    return Findings(failed=(error("lint-tool", f"{tool} {what}", where, hint),))


def by_machine(tool: str, fault: BundlerError) -> Findings:
    """Something on this machine kept the tool from its work, which says nothing of the project."""
    message = fault.message if tool in fault.message else f"{tool}: {fault.message}"
    hint = fault.hint or "try again"
    return Findings(failed=(error(fault.code, message, hint=hint),), machine_fault=True)


def misconfigured(tool: str, what: str, hint: str, where: Location | None = None) -> Findings:
    """The tool refuses its configuration."""
    message = f"{tool} refuses its configuration: {what}"
    return Findings(failed=(error("lint-config", message, where, hint),))


def untrusted(tool: str, path: str) -> Diagnostic:
    """Of a tool of the project's own that may not run."""
    return Diagnostic(
        code="lint-untrusted",
        severity=Severity.INFO,
        message=f"the project's own {tool} was not run: {path} is code of that project",
        hint="run `lambdad lint` once in a terminal in this project, if you trust it",
    )


def not_run(tool: str, fault: BundlerError, hint: str) -> Findings:
    """As `broken`, of what `tools.run` raised, or `by_machine`."""
    if fault.code not in _FAULTS and fault.code != "tool-missing":
        return by_machine(tool, fault)
    what = _FAULTS.get(fault.code, "can't be run")
    return broken(tool, f"{what}: {fault.message}", fault.hint or hint)


_FAULTS: Final = {
    "tool-timeout": "gave no answer in time",
    "tool-output": "gave an answer without end",
}


# --- results kept by what decided them -----------------------------------------------------------


def digest(*parts: object) -> str:
    """Of what decides a result, for its key."""
    told = "\0".join(part.hex() if isinstance(part, bytes) else str(part) for part in parts)
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()


def content_digest(workshop: Workshop, path: RelPath) -> str | None:
    """Of a file's bytes; None if it can't be read."""
    try:
        with open_regular(workshop.absolute(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def kept(
    tool: str,
    files: Sequence[RelPath],
    key_of: Callable[[RelPath], str | None],
    lint: Callable[[Sequence[RelPath]], Findings],
    workshop: Workshop,
) -> Findings:
    """The files' findings: as they were found where the key is the same, else by `lint` now.

    `key_of` returns all that decides a file's result (its content, its path where that matters, the
    tool's version and settings); None: that is not known, and nothing is kept. It is called again
    once `lint` is done: a file that was edited meanwhile has no result, and no finding is shown.
    `tool` names what is kept, so it has no "/".
    """
    before = {path: key_of(path) for path in files}
    saved = _load(tool, workshop)
    found: dict[RelPath, tuple[Diagnostic, ...]] = {}
    for path, key in before.items():
        if key is not None and path in saved and saved[path][0] == key:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                found[path] = tuple(map(record.decode_diagnostic, saved[path][1]))
    left = [path for path in files if path not in found]
    if not left:
        return Findings(files=found)
    made = lint(left)
    news: dict[RelPath, Any] = {}
    for path, diagnostics in made.files.items():
        key = before.get(path)
        if path in before and key_of(path) != key:
            continue
        found[path] = diagnostics
        if key is not None:
            news[path] = [key, record.canonical(diagnostics)]
    if news:
        _save(tool, saved | news, workshop)
    return replace(made, files=found)


def _load(tool: str, workshop: Workshop) -> dict[RelPath, Any]:
    """Damage, or another version's file, is a miss."""
    try:
        saved = workshop.state().lint(tool).read()
        if isinstance(saved, dict) and saved["version"] == _VERSION:
            return {path: (key, items) for path, (key, items) in saved["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}


def _save(tool: str, files: dict[RelPath, Any], workshop: Workshop) -> None:
    """Failure costs time alone; so does another process that writes at the same moment."""
    if len(files) > _MOST:
        there = [path for path in files if os.path.lexists(workshop.absolute(path))]
        files = {path: files[path] for path in there[-_MOST:]}
    with contextlib.suppress(OSError):
        document = {"version": _VERSION, "files": files}
        workshop.state().lint(tool).write(document)
