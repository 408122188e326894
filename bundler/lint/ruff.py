"""ruff, with the project's own rules and its own version, each file for the Python it is for.

Start reading here: `lint`. The rules run with the target version that the project says, else
that of the oldest runtime the file is for. What that runtime can't parse is an error in any case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lambdad.bundler.lint import ruff_binary, ruff_run, text, tool
from lambdad.bundler.lint.ruff_config import Configs
from lambdad.bundler.lint.ruff_run import NAME, SYNTAX, Call
from lambdad.bundler.lint.tool import Batch, Findings
from lambdad.bundler.model import BundlerError, Diagnostic, Language, RelPath, Severity
from lambdad.bundler.workshop import Workshop

_ADDED: Final = re.compile(r"added in Python 3\.(\d+)")


@dataclass(frozen=True, slots=True)
class _Job:
    """Files that go to one binary with one target version."""

    binary: str
    target: tuple[int, int] | None
    """Of the rules; None: the project's own word, or ruff's default."""
    syntax: tuple[int, int] | None
    """An older runtime, of which the rules' answer says nothing."""


@dataclass(slots=True, kw_only=True)
class _Errand:
    """What the steps of one call of `lint` share."""

    batch: Batch
    workshop: Workshop
    configs: Configs
    own: dict[str, str | None] = field(default_factory=dict)
    """The project's own ruff, by folder."""
    notes: dict[str, Diagnostic] = field(default_factory=dict)
    """Of each that may not run."""

    def config(self, path: RelPath) -> str:
        return self.configs.of(self.folder(path)).digest

    def folder(self, path: RelPath) -> str:
        return os.path.dirname(os.path.normpath(self.workshop.absolute(path)))


def lint(batch: Batch, files: Sequence[RelPath], workshop: Workshop) -> Findings:
    """What ruff finds in the files, and what is reported of those it can't read; one that is gone
    has no entry."""
    errand = _Errand(
        batch=batch, workshop=workshop, configs=Configs(workshop.root, workshop.environ)
    )
    unread = {path: found for path in files if (found := text.faults(path, workshop)) is not None}
    jobs: dict[_Job, list[RelPath]] = {}
    try:
        for path in files:
            if path not in unread:
                jobs.setdefault(_job(errand, path), []).append(path)
    except BundlerError as fault:
        return tool.broken(NAME, fault.message, fault.hint or "install lambdad again")
    done = [found for job, several in jobs.items() for found in _do(errand, job, several)]
    told = {path: found for path, found in unread.items() if found}
    return tool.merged([Findings(files=told, failed=tuple(errand.notes.values())), *done])


def oldest_runtime(batch: Batch, path: RelPath) -> tuple[int, int] | None:
    """Of the Python functions that hold the file; None: there are none."""
    versions = [
        function.runtime.version
        for function in batch.holders.get(path, ())
        if function.runtime.language is Language.PYTHON
    ]
    return (min(versions)[0], min(versions)[1]) if versions else None


def _job(errand: _Errand, path: RelPath) -> _Job:
    """Raises BundlerError where there is no ruff."""
    folder = errand.folder(path)
    config, oldest = errand.configs.of(folder), oldest_runtime(errand.batch, path)
    binary = _binary(errand, folder)
    if not config.says_target:
        return _Job(binary, oldest, None)
    is_covered = oldest is None or (config.target is not None and config.target <= oldest)
    # Said again on the command line: ruff reads requires-python in fewer places than we do, and
    # would take its own default.
    return _Job(binary, config.target, None if is_covered else oldest)


def _binary(errand: _Errand, folder: str) -> str:
    if folder not in errand.own:
        errand.own[folder] = ruff_binary.own(folder, errand.workshop)
    own = errand.own[folder]
    if own is None:
        return ruff_binary.ours()
    if errand.batch.trusted:
        return own
    shown = os.path.relpath(own, errand.workshop.root)
    errand.notes.setdefault(own, tool.untrusted(NAME, shown))
    return ruff_binary.ours()


def _do(errand: _Errand, job: _Job, files: Sequence[RelPath]) -> Iterator[Findings]:
    """The rules, the older runtime's syntax, the format."""
    found = _kept(errand, "ruff", Call(job.binary, "check", job.target), files)
    judged = {
        path: tuple(_judged(item, oldest_runtime(errand.batch, path)) for item in items)
        for path, items in found.files.items()
    }
    yield replace(found, files=judged)
    if job.syntax is not None:
        found = _kept(errand, "ruff-syntax", Call(job.binary, "check", job.syntax), files)
        only = {
            path: tuple(item for item in items if item.code in (SYNTAX, "E999"))
            for path, items in found.files.items()
        }
        yield replace(found, files=only)
    if formatted := [path for path in files if path in errand.batch.formatting]:
        yield _kept(errand, "ruff-format", Call(job.binary, "format", job.target), formatted)


def _kept(errand: _Errand, name: str, call: Call, files: Sequence[RelPath]) -> Findings:
    decided = (ruff_binary.stamp(call.binary), call.target)

    def key_of(path: RelPath) -> str | None:
        content = tool.content_digest(errand.workshop, path)
        return content and tool.digest(*decided, errand.config(path), content)

    def run(left: Sequence[RelPath]) -> Findings:
        made = ruff_run.run(call, left, errand.config, errand.workshop)
        errand.configs = Configs(
            errand.workshop.root, errand.workshop.environ
        )  # for what moved meanwhile
        return made

    found = tool.kept(name, files, key_of, run, errand.workshop)
    moved = [path for path in files if path not in found.files and key_of(path) is not None]
    if not moved or found.failed:
        return found
    # They were edited, or files came or went beside them. With edits that never stop, nothing is
    # reported.
    return tool.merged([found, tool.kept(name, moved, key_of, run, errand.workshop)])


def _judged(item: Diagnostic, oldest: tuple[int, int] | None) -> Diagnostic:
    """What only the project's own word makes a fault, while its runtimes can read it, fails
    nowhere."""
    added = _ADDED.search(item.message) if item.code == SYNTAX else None
    if added is None or oldest is None or (3, int(added[1])) > oldest:
        return item
    return replace(item, severity=Severity.WARNING)
