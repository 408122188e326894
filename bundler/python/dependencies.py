"""What a Python function installs: the long way from requirement files to proved wheels.

Start reading at `dependencies` (declared, local, resolve, fetch, graph).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler.inputs.kept import Kept, recall
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.memory import FUNCTIONS, Slot
from lambdad.bundler.model import (
    BuildRequest,
    Diagnostic,
    Function,
    Location,
    ProjectError,
    error,
    warning,
)
from lambdad.bundler.python import fetch, local, resolve
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.local import LocalPackage
from lambdad.bundler.python.locks import declared, projects
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks.declared import Declared
from lambdad.bundler.python.locks.lock import Lock
from lambdad.bundler.python.target import Target
from lambdad.bundler.python.wheels import graph, splice
from lambdad.bundler.python.wheels import wheel as wheels_
from lambdad.bundler.python.wheels.wheel import Wheel
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What a function installs; it holds as long as its inputs do, whatever own code does."""

    wheels: tuple[Wheel, ...]
    """Sorted by name."""
    local: tuple[LocalPackage, ...] = ()
    """Those of the wheels that were built of the user's own folders."""
    diagnostics: tuple[Diagnostic, ...] = ()


DEPENDENCIES: Final = Slot[Kept[Dependencies]]("dependencies", most=FUNCTIONS)

_ONE_AT_A_TIME: Final = threading.Lock()
"""Functions often share requirements: the second finds what the first resolved and fetched."""


def known(request: BuildRequest, workshop: Workshop) -> Dependencies:
    """`dependencies`, or what they were as long as nothing they depend on has moved."""
    memory = workshop.memory
    if memory is None:
        return dependencies(request, workshop)

    def make(seen: Seen) -> Dependencies:
        found = dependencies(request, replace(workshop, seen=seen))
        if found.wheels:  # one copy for all functions that have the same
            found = replace(found, wheels=splice.splice(found.wheels, memory).wheels)
        return found

    key = (request, request.locked, request.function.where)
    shelf = memory.shelf(DEPENDENCIES)
    return recall(shelf, key, workshop, make, _are_there)


def _are_there(found: Dependencies) -> bool:
    return all(wheels_.is_there(wheel) for wheel in found.wheels)


def dependencies(request: BuildRequest, workshop: Workshop) -> Dependencies:
    """The wheels that the function's requirement files lead to; none where there are no such files.

    Raises ProjectError as declared.read, local.build, resolve.resolve and fetch.wheels, and
    `unlocked`.
    """
    function = request.function
    target = targets.wanted(request)
    what = declared.read(function, target, workshop)
    if what is None:
        return Dependencies(wheels=())
    if what.lock is None and what.open is None and not function.layers:
        unread = projects.unread(function, workshop)
        return Dependencies(wheels=(), diagnostics=(unread,) if unread else ())
    with _ONE_AT_A_TIME:
        locals_ = build_locals(what, target, workshop, function)
        lock, notes = _lock(request, what, locals_, target, workshop)
        fetched, more = fetch.wheels(lock.pins, target, what.indexes, workshop)
    wheels = {**fetched, **{one.wheel.name: one.wheel for one in locals_}}
    kept, missing = _keep(function, target, wheels, what, lock, locals_=locals_)
    return Dependencies(
        wheels=kept,
        local=tuple(one for one in locals_ if one.wheel in kept),
        diagnostics=(*notes, *more, *missing),
    )


def build_locals(
    what: Declared, target: Target, workshop: Workshop, function: Function
) -> list[LocalPackage]:
    """The wheels of all local packages. Raises ProjectError, all their faults together."""
    found: list[LocalPackage] = []
    faults: list[Diagnostic] = []
    for wanted in dict.fromkeys(what.folders):
        if not targets.holds(target, wanted.marker):
            continue
        try:
            found.append(local.build(wanted, target, workshop, function.allow))
        except ProjectError as fault:
            faults += fault.diagnostics
    if faults:
        raise ProjectError(*faults)
    return found


def _lock(
    request: BuildRequest,
    what: Declared,
    locals_: Sequence[LocalPackage],
    target: Target,
    workshop: Workshop,
) -> tuple[Lock, tuple[Diagnostic, ...]]:
    if what.lock is not None:
        _check_locals(what, what.lock, locals_, target)
        return what.lock, ()
    if what.open is None or what.open_path is None:
        return Lock(pins=()), ()
    asked = [one for one in what.open.wanted if targets.holds(target, one.marker)]
    if all(one.is_folder for one in asked) and not any(map(_asks, locals_)):
        return Lock(pins=()), ()  # their content is all there is to pin
    where = Location(what.open_path)
    message = f"{what.open_path} does not pin what it installs"
    hint = f"run `{what.mend}` and commit what it writes"
    if request.locked:
        raise ProjectError(error("unlocked", message, where, hint))
    question = resolve.ask(
        what.open, what.open_path, locals_, target, workshop, pip_tools=what.pip_tools
    )
    near = None
    if target.host is not None:
        # The versions that Lambda gets, as far as they are to be had for this machine.
        like = resolve.ask(
            what.open,
            what.open_path,
            locals_,
            targets.of(request.function),
            workshop,
            pip_tools=what.pip_tools,
        )
        with contextlib.suppress(ProjectError):
            near = resolve.answer(like, locals_, request.toolchain, workshop)
    lock = resolve.resolve(question, locals_, request.toolchain, workshop, near)
    note = warning(
        "unlocked",
        f"{message}: what a build takes can change when new versions appear",
        where,
        hint,
    )
    return lock, (note,)


def _asks(one: LocalPackage) -> bool:
    return bool(graph.requires(one.wheel))


def _check_locals(
    what: Declared, lock: Lock, locals_: Iterable[LocalPackage], target: Target
) -> None:
    """A local package's own requirements can outgrow the lock, too."""
    faults = []
    for one in locals_:
        problems = locks.unmet(
            graph.requires(one.wheel),
            lock,
            {other.wheel.name for other in locals_},
            target,
            one.wanted.extras,
        )
        for reason in problems:
            faults.append(
                locks.no_longer_fits(
                    what.lock_path or "",
                    f"{one.wanted.text}: {reason}",
                    one.wanted.where,
                    what.mend,
                )
            )
    if faults:
        raise ProjectError(*faults)


def _keep(
    function: Function,
    target: Target,
    wheels: Mapping[str, Wheel],
    what: Declared,
    lock: Lock,
    *,
    locals_: Sequence[LocalPackage],
) -> tuple[tuple[Wheel, ...], tuple[Diagnostic, ...]]:
    """The wheels less those left out, and what they need but no one installs."""
    # What the runtime has is not on this machine.
    without = () if target.host is not None else function.without
    asked: dict[str, frozenset[str]] = {pin.name: pin.extras for pin in lock.pins}
    roots = set()
    for wanted in what.direct:
        if targets.holds(target, wanted.marker) and not wanted.is_folder:
            name = locks.name_of(wanted)
            roots.add(name)
            asked[name] = asked.get(name, frozenset()) | wanted.extras
    for one in locals_:
        roots.add(one.wheel.name)
        asked[one.wheel.name] = one.wanted.extras
    needs = graph.needs(wheels, asked, target)
    gone = graph.left_out(without, needs, roots)
    kept = tuple(wheels[name] for name in sorted(wheels) if name not in gone)
    missing = sorted(
        (name, other)
        for name, others in needs.items()
        if name not in gone
        for other in others
        if other not in wheels and other not in without
    )
    if not missing or function.layers:
        return kept, ()
    shown = ", ".join(f"{other} (for {name})" for name, other in missing[:5])
    note = warning(
        "lock-incomplete",
        f"the zip will lack {shown}, which the lock does not hold",
        Location(what.lock_path or what.open_path or function.code),
        f"run `{what.mend}`; if the runtime or a layer has it, say so with `without`",
    )
    return kept, (note,)
