"""Whether what was recorded of a build still holds: Fresh, or Stale with every reason.

Stat is the truth: nothing here asks a watcher, and nothing is believed that was not just looked at.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.snapshot import Stat
from lambdad.bundler.model import Artifact, BuildRequest, BundlerError, Live, Severity
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.record import MadeKey, Record, request_changes

SHOWN: Final = 20
"""So many reasons are worth finding: a checkout that moved 2,000 files needs not all of them."""


@dataclass(frozen=True, slots=True)
class Fresh:
    record: Record


@dataclass(frozen=True, slots=True)
class Stale:
    reasons: tuple[str, ...]


def check(
    folder: ProjectFolder,
    request: BuildRequest,
    record: Record | None,
    look: Stat = snapshot.stat_key,
    *,
    most: int = SHOWN,
) -> Fresh | Stale:
    """Fresh only if the request, every recorded input and what was made are as they were.

    Callers who check many functions at once pass one Look, so that what they share costs once.
    The check ends after `most` reasons. Raises BundlerError `not-ours`.
    """
    if record is None:
        return Stale(("never built",))
    if reasons := request_changes(record.request, request):
        return Stale(reasons)
    if reason := _lock_fault(request, record):
        return Stale((reason,))
    if not record.succeeded and (reason := _retried(record)):
        return Stale((reason,))
    if reasons := tuple(itertools.islice(snapshot.changes(folder.root, record.inputs, look), most)):
        return Stale(reasons)
    if record.succeeded and (reason := _fault_of_made(folder, record)):
        return Stale((reason,))
    return Fresh(record)


def _lock_fault(request: BuildRequest, record: Record) -> str | None:
    """A build of unlocked dependencies does not answer --locked, nor its refusal a plain build."""
    for item in record.diagnostics:
        if item.code == "unlocked" and (item.severity is Severity.ERROR) != request.locked:
            return "--locked was added" if request.locked else "--locked was removed"
    return None


def _retried(record: Record) -> str | None:
    """An index, a tool or this machine made it fail, and none of the inputs shows what they do."""
    for item in record.diagnostics:
        if item.retried and item.severity is Severity.ERROR:
            return f"it failed with {item.code}, which may have been mended since"
    return None


def made(folder: ProjectFolder, paths: Iterable[str]) -> Mapping[str, MadeKey]:
    """The keys of what a build wrote; of a folder only its identity counts. Raises OSError, and
    BundlerError `not-ours`."""
    keys = {}
    for path, status in folder.statuses(paths):
        if status is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        keys[path] = _made_key(status)
    return keys


def _made_key(status: os.stat_result) -> MadeKey:
    if stat.S_ISDIR(status.st_mode):
        return status.st_ino, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def last_good(folder: ProjectFolder, record: Record | None) -> tuple[Artifact | None, Live | None]:
    """What the last build that succeeded left, as far as it is still there as it was made."""
    with contextlib.suppress(BundlerError):
        if record is not None and _fault_of_made(folder, record) is None:
            return record.artifact, record.live
    return None, None


def _fault_of_made(folder: ProjectFolder, record: Record) -> str | None:
    for path, status in folder.statuses(record.made):
        if status is None:
            return f"{path} is gone"
        if _made_key(status) != record.made[path]:
            return f"{path} was modified by another program"
    return None
