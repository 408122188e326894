"""What a function's dependencies came to, kept on disk for processes that do not live long.

An edit of own code alone then need not go the long way from requirement files to a segment, nor
load the code for it. A file per function in .lambdad/state/python: a cache as record.py's is one,
believed only while stat shows what it was made of unmoved.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.snapshot import Clock
from lambdad.bundler.model import BuildRequest, Diagnostic, InputSet
from lambdad.bundler.store import record
from lambdad.bundler.store.record import Json
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import segments
from lambdad.bundler.zips.member import Segment

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A function's dependencies as its zip takes them."""

    segment: Segment | None
    """None: there are none."""
    diagnostics: tuple[Diagnostic, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files in the segment, sorted."""
        return tuple(each.name for each in self.segment.members) if self.segment else ()


def find(request: BuildRequest, workshop: Workshop) -> Installed | None:
    """What the last build kept, if all that decided it is as it was, which is then recorded;
    damage is a miss."""
    try:
        saved = workshop.state().dependencies(request.function.name).read()
        if not isinstance(saved, dict) or saved["key"] != _key(request):
            return None
        kept = record.decode_snapshot(saved["inputs"])
        diagnostics = tuple(map(record.decode_diagnostic, saved["diagnostics"]))
        key = saved["segment"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not (kept.files or kept.listings):
        return None  # nothing would ever end it
    if next(snapshot.changes(workshop.root, kept), None) is not None:
        return None
    segment = segments.find(workshop.store, key) if key is not None else None
    if key is not None and segment is None:
        return None
    workshop.seen.add(snapshot.inputs_of(kept))
    return Installed(segment=segment, diagnostics=diagnostics)


def keep(
    request: BuildRequest,
    installed: Installed,
    inputs: InputSet,
    since: Clock,
    workshop: Workshop,
) -> None:
    """For `find`, where nothing moved `since` the build read it; failure costs time alone.

    `inputs` are what decided it.
    """
    if not inputs.files and not inputs.listings:
        return  # nothing would ever end it
    seen = snapshot.observe(workshop.root, inputs, since=since)
    if seen.suspects:
        return
    document = {
        "key": _key(request),
        "inputs": record.encode_snapshot(seen),
        "diagnostics": record.canonical(installed.diagnostics),
        "segment": segments.key_of(installed.segment) if installed.segment else None,
    }
    with contextlib.suppress(OSError):
        workshop.state().dependencies(request.function.name).write(document)


def _key(request: BuildRequest) -> Json:
    """Where a setting stands is part of it: the diagnostics point there."""
    where = record.canonical(request.function.where)
    return [_VERSION, record.canonical(request), request.locked, where]
