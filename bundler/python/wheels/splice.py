"""Wheels into a dependency segment: which of their files land where, each copied as it is packed.

The rules are the "Binary distribution format" of the Python Packaging User Guide: a wheel unpacks
into site-packages, and so do `*.data/purelib` and `*.data/platlib`. Left out is what a zip that
nobody installs to has no use for:

- `*.data/{scripts,headers,data}`, which belong outside of site-packages;
- of `*.dist-info`, RECORD with its signatures, which would no longer be true, and what an
  installer adds ("Recording installed projects"), if a wheel should bring it along;
- `__pycache__`: the sources get another time, so Python would not take it ("Cached bytecode
  invalidation", PEP 3147 and 552), and Lambda's folder can't be written to.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from lambdad.bundler.memory import SETS, Memory, Slot
from lambdad.bundler.model import Diagnostic, Entry, warning
from lambdad.bundler.python.wheels import wheel as wheels_
from lambdad.bundler.python.wheels import wheel_record
from lambdad.bundler.python.wheels.wheel import Wheel, WheelFile
from lambdad.bundler.store.store import Store, write_atomic
from lambdad.bundler.zips import archive, names, segments
from lambdad.bundler.zips.member import Contents, Segment
from lambdad.bundler.zips.segments import Spliced

INSTALLED: Final = frozenset(
    {*wheel_record.SIGNATURES, "INSTALLER", "REQUESTED", "direct_url.json"}
)
"""Files of `.dist-info` that describe an installation, not the distribution."""

_SHOWN: Final = 3
"""Names that a warning spells out."""


@dataclass(frozen=True, slots=True)
class Splice:
    """What was made of a set of wheels, for the next build with the same."""

    wheels: tuple[Wheel, ...]
    plan: InstallPlan
    names: tuple[str, ...]
    """Of the plan's parts."""
    segments: dict[tuple[str, ...], Segment] = field(default_factory=dict)
    """By the names left out. Threads may add to it at any time."""


SPLICES: Final = Slot[Splice]("splices", most=SETS)
"""By the wheels' digests and paths."""


@dataclass(frozen=True, slots=True)
class InstallPlan:
    parts: tuple[Spliced, ...]
    """Sorted by name, none of them in another's way."""
    owners: tuple[str, ...]
    """Of each part, the normalised name of its distribution."""
    diagnostics: tuple[Diagnostic, ...]


def install_plan(wheels: Iterable[Wheel]) -> InstallPlan:
    """What the wheels' files are in the zip; the order of `wheels` decides nothing.

    The same path in two wheels is one file if the contents agree. Else the distribution that comes
    first by name has it, with the warning `dependency-overlap`; so too where one has a file and
    the other a folder.
    """
    taken: dict[str, tuple[Wheel, WheelFile]] = {}
    inside: dict[str, Wheel] = {}  # each folder, and the first wheel that has files in it
    lost: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for wheel in sorted(wheels, key=lambda wheel: (wheel.name, wheel.version, wheel.sha256)):
        for target, file in installed(wheel):
            if target in taken:
                winner, theirs = taken[target]
                if theirs.sha256 != file.sha256:
                    lost[winner.name, wheel.name].append(target)
                continue
            above = list(names.folders(target))
            if blocking := inside.get(target):
                lost[blocking.name, wheel.name].append(target)
                continue
            if blocked := next((folder for folder in above if folder in taken), None):
                lost[taken[blocked][0].name, wheel.name].append(target)
                continue
            taken[target] = (wheel, file)
            for folder in reversed(above):
                if folder in inside:
                    break
                inside[folder] = wheel
    ordered = sorted(taken.items())
    return InstallPlan(
        parts=tuple(_part(target, wheel, file) for target, (wheel, file) in ordered),
        owners=tuple(wheel.name for _, (wheel, _) in ordered),
        diagnostics=tuple(_overlap(pair, paths) for pair, paths in sorted(lost.items())),
    )


def segment(
    store: Store,
    wheels: Sequence[Wheel],
    own: Collection[str] = (),
    memory: Memory | None = None,
) -> tuple[Segment, tuple[Diagnostic, ...]]:
    """The dependency segment of these wheels, from the store or made now, and the plan's warnings.

    `own` are the paths of the function's own code. Where a dependency has the same path it is left
    out, with the warning `own-over-dependency`; other own paths change nothing, the segment's key
    included. Raises BundlerError: `store-damaged` if a wheel is not what was proved.
    """
    known = splice(wheels, memory)
    plan = known.plan
    dropped = names.shadowed(own, known.names)
    diagnostics = plan.diagnostics
    if dropped:
        diagnostics += (_hidden(plan, dropped),)
    found = known.segments.get(tuple(dropped))
    if found is None or not segments.is_there(found):
        found = known.segments[tuple(dropped)] = _segment(store, known, dropped)
    return found, diagnostics


def splice(wheels: Sequence[Wheel], memory: Memory | None = None) -> Splice:
    """What the wheels come to; the same object as before, where `memory` has met the set."""
    key = tuple((wheel.sha256, wheel.path) for wheel in wheels)
    known = memory.shelf(SPLICES).get(key) if memory is not None else None
    if known is None:
        plan = install_plan(wheels)
        known = Splice(tuple(wheels), plan, tuple(part.name for part in plan.parts))
        if memory is not None:
            memory.shelf(SPLICES).put(key, known)
    return known


def _segment(store: Store, known: Splice, dropped: Sequence[str]) -> Segment:
    key = segments.key("wheels", sorted(wheel.sha256 for wheel in known.wheels), dropped)
    if found := segments.find(store, key):
        return found
    for wheel in known.wheels:
        wheels_.check(wheel)
    left_out = frozenset(dropped)
    plan = known.plan
    owned = [
        (part, owner)
        for part, owner in zip(plan.parts, plan.owners, strict=True)
        if part.name not in left_out
    ]
    owners = names.owned((part.name, owner) for part, owner in owned)
    return segments.make(store, key, (part for part, _ in owned), owners)


def normalise(built: Path, out: Path) -> Wheel:
    """Writes a wheel built here again, at `out`: the same contents give the same bytes, whatever
    order, times, modes and zlib its builder used. RECORD is written anew, since its rows come in
    the builder's order.

    Returns the proof of `out`, which keeps `built`'s file name. Raises ProjectError as
    wheel.prove.
    """
    if out.name != built.name:
        raise ValueError(f"{out.name}: a wheel's file name says what it is")
    wheel = wheels_.prove(built)
    record = f"{wheel.dist_info}/RECORD"
    unsigned = {f"{wheel.dist_info}/{name}" for name in wheel_record.SIGNATURES}
    kept = [
        file for file in wheel.files if file.name not in unsigned and not _is_bytecode(file.name)
    ]
    entries = [
        Entry(name=file.name, content=wheels_.read(wheel, file), executable=file.member.executable)
        for file in kept
    ]
    rows = [(file.name, file.sha256, file.member.size) for file in kept]
    entries.append(Entry(name=record, content=wheel_record.write(rows, record)))
    contents = Contents(own=tuple(entries), dependencies=None)

    def put(file: BinaryIO) -> None:
        archive.write(file, contents)

    write_atomic(out, put)
    return wheels_.prove(out)


def installed(wheel: Wheel) -> Iterator[tuple[str, WheelFile]]:
    """The wheel's files that are wanted, and where in the zip each belongs."""
    for file in wheel.files:
        top, _, rest = file.name.partition("/")
        target = file.name
        if rest and top.endswith(".data"):
            scheme, _, target = rest.partition("/")
            if scheme not in ("purelib", "platlib"):
                continue
        if top == wheel.dist_info and rest in INSTALLED:
            continue
        if not _is_bytecode(target):
            yield target, file


def _is_bytecode(name: str) -> bool:
    return os.path.basename(os.path.dirname(name)) == "__pycache__"


def _part(target: str, wheel: Wheel, file: WheelFile) -> Spliced:
    return Spliced(replace(file.member, name=target), wheel.path)


def _overlap(pair: tuple[str, str], lost: Sequence[str]) -> Diagnostic:
    winner, loser = pair
    return warning(
        "dependency-overlap",
        f"{winner} and {loser} both install {_some(lost)}; the zip holds {winner}'s",
        hint=f"leave one of the two out if {loser} needs its own",
    )


def _hidden(plan: InstallPlan, dropped: Sequence[str]) -> Diagnostic:
    hidden = frozenset(dropped)
    owners = {
        owner for part, owner in zip(plan.parts, plan.owners, strict=True) if part.name in hidden
    }
    return warning(
        "own-over-dependency",
        f"your own code takes the place of {_some(dropped)} of {', '.join(sorted(owners))}",
        hint="exclude a copy of the dependency from the code folder, or rename your file",
    )


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(sorted(paths)[:_SHOWN])
    more = len(paths) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
