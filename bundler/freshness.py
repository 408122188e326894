"""Whether what was recorded of a build still holds: Fresh, or Stale with every reason.

Stat is the truth: nothing here asks a watcher, and nothing is believed that was not just looked at.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Final

from bundler import snapshot
from bundler.model import Artifact, BuildRequest, Severity
from bundler.record import Record, request_changes

SHOWN: Final = 20
"""So many reasons are worth finding: a checkout that moved 2,000 files needs not all of them."""


@dataclass(frozen=True, slots=True)
class Fresh:
    record: Record


@dataclass(frozen=True, slots=True)
class Stale:
    reasons: tuple[str, ...]


def check(root: str, request: BuildRequest, record: Record | None) -> Fresh | Stale:
    """Fresh only if the request, every recorded input and the artifact are as they were."""
    if record is None:
        return Stale(("never built here",))
    if reasons := request_changes(record.request, request):
        return Stale(reasons)
    if reason := _lock_fault(request, record):
        return Stale((reason,))
    if reasons := tuple(itertools.islice(snapshot.changes(root, record.inputs), SHOWN)):
        return Stale(reasons)
    if record.succeeded and (reason := _artifact_fault(root, record)):
        return Stale((reason,))
    return Fresh(record)


def _lock_fault(request: BuildRequest, record: Record) -> str | None:
    """A build of unlocked dependencies does not answer --locked, nor its refusal a plain build."""
    for item in record.diagnostics:
        if item.code == "unlocked" and (item.severity is Severity.ERROR) != request.locked:
            return "--locked was asked for" if request.locked else "--locked is no longer asked for"
    return None


def artifact_keys(root: str, artifact: Artifact) -> tuple[tuple[int, int, int], ...]:
    """Of both its paths: what stays the same for an untouched zip whatever links to it.

    Raises OSError.
    """
    return tuple(_zip_key(f"{root}/{path}") for path in _paths(artifact))


def _paths(artifact: Artifact) -> tuple[str, str]:
    return artifact.immutable_path, artifact.path


def _zip_key(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _artifact_fault(root: str, record: Record) -> str | None:
    if record.artifact is None:
        return "its zip was never written"
    for path, key in zip(_paths(record.artifact), record.artifact_keys, strict=True):
        try:
            if _zip_key(f"{root}/{path}") != key:
                return f"{path} was changed by another hand"
        except OSError:
            return f"{path} is gone"
    return None
