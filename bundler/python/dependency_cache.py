"""What a function's dependencies came to, kept on disk for processes that do not live long.

An edit of own code alone then need not go the long way from requirement files to a segment, nor
load the code for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lambdad.bundler.inputs import kept
from lambdad.bundler.inputs.snapshot import Clock
from lambdad.bundler.model import BuildRequest, Diagnostic, InputSet, Location
from lambdad.bundler.store import record
from lambdad.bundler.store.kept_files import Coding, KeptFiles
from lambdad.bundler.store.record import Json
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import segments
from lambdad.bundler.zips.member import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledDependencies:
    """A function's dependencies as its zip takes them."""

    segment: Segment | None
    """None: there are none."""
    diagnostics: tuple[Diagnostic, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files in the segment, sorted."""
        return tuple(each.name for each in self.segment.members) if self.segment else ()


def find(request: BuildRequest, workshop: Workshop) -> InstalledDependencies | None:
    """What an earlier build kept, if all that decided it is as it was, which is then recorded."""
    return kept.find(_place(workshop), _key(request), workshop)


def keep(
    request: BuildRequest,
    installed: InstalledDependencies,
    inputs: InputSet,
    since: Clock | None,
    workshop: Workshop,
) -> None:
    """For `find`, if nothing of the inputs has moved `since` the build read them.

    `inputs` are what decided it. A failure costs time alone.
    """
    kept.keep(_place(workshop), _key(request), installed, inputs, root=workshop.root, since=since)


def _key(request: BuildRequest) -> tuple[BuildRequest, bool, Location]:
    """The place of a setting is part of it: the diagnostics point there."""
    return request, request.locked, request.function.where


def _place(workshop: Workshop) -> KeptFiles[InstalledDependencies]:
    coding = Coding("python", 1, _encode, partial(_decode, workshop.store))
    return workshop.kept(coding)


def _encode(installed: InstalledDependencies) -> Json:
    segment = installed.segment
    return {
        "segment": segments.key_of(segment) if segment is not None else None,
        "diagnostics": record.canonical(installed.diagnostics),
    }


def _decode(store: Store, saved: Json) -> InstalledDependencies:
    return InstalledDependencies(
        segment=segments.named(store, saved["segment"]),
        diagnostics=tuple(map(record.decode_diagnostic, saved["diagnostics"])),
    )
