"""Which wheels of a function need which, by their own metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from email.parser import BytesHeaderParser

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambdad.bundler.python import target as targets
from lambdad.bundler.python.target import Target
from lambdad.bundler.python.wheels import wheel as wheels_
from lambdad.bundler.python.wheels.wheel import Wheel

_KNOWN: dict[str, tuple[Requirement, ...]] = {}
"""By the wheel's digest, which decides it."""


def requires(wheel: Wheel) -> tuple[Requirement, ...]:
    """What its metadata asks for; what can't be read there is left out, as its own build passed."""
    if wheel.sha256 not in _KNOWN:
        found = []
        for text in BytesHeaderParser().parsebytes(_metadata(wheel)).get_all("Requires-Dist", []):
            with contextlib.suppress(InvalidRequirement):
                found.append(Requirement(text))
        _KNOWN[wheel.sha256] = tuple(found)
    return _KNOWN[wheel.sha256]


def _metadata(wheel: Wheel) -> bytes:
    name = f"{wheel.dist_info}/METADATA"
    return next(wheels_.read(wheel, file) for file in wheel.files if file.name == name)


Needs = Mapping[str, frozenset[str]]


def needs(
    wheels: Mapping[str, Wheel], asked: Mapping[str, frozenset[str]], target: Target
) -> Needs:
    """Of each wheel the names it needs on the target.

    `asked` are the extras that people asked for, by name; those that wheels ask of each other are
    followed from there.
    """
    extras: dict[str, set[str]] = {name: set(asked.get(name, ())) for name in wheels}
    found: dict[str, frozenset[str]] = {}
    left = list(wheels)
    while left:
        name = left.pop()
        needed = set()
        for requirement in requires(wheels[name]):
            if not targets.holds(target, requirement.marker, frozenset(extras[name])):
                continue
            other = canonicalize_name(requirement.name)
            needed.add(other)
            if other in extras and not extras[other] >= requirement.extras:
                extras[other] |= requirement.extras
                left.append(other)
        found[name] = frozenset(needed)
    return found


def left_out(without: Collection[str], needs_: Needs, roots: Collection[str]) -> frozenset[str]:
    """The names of `without`, and what only they need.

    `roots` are what the project requires itself; where no file says that, what nothing else needs
    takes their place. A dependency of anything that stays, stays.
    """
    gone = frozenset(without) & needs_.keys()
    if not gone:
        return gone
    if not roots:
        inner = {other for name, others in needs_.items() for other in others if other != name}
        roots = needs_.keys() - inner
    reachable = _reach(roots, needs_, frozenset())
    staying = _reach([name for name in roots if name not in gone], needs_, gone)
    return gone | (_reach(gone, needs_, frozenset()) & reachable - staying)


def _reach(start: Iterable[str], needs_: Needs, closed: frozenset[str]) -> frozenset[str]:
    seen: set[str] = set()
    left = [name for name in start if name in needs_ and name not in closed]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += [other for other in needs_[name] if other in needs_ and other not in closed]
    return frozenset(seen)
