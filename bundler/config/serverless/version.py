"""Which major version of the Serverless Framework a service is for.

Its defaults differ: the runtime of a function that names none, whether TypeScript is bundled, and
whether .env files count. Sources: the framework's own source, versions 1 to 4.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

NEWEST: Final = 4

DEFAULT_RUNTIMES: Final = {1: "nodejs12.x", 2: "nodejs14.x", 3: "nodejs16.x", 4: "nodejs20.x"}
"""Of a function that names none, by the major version."""

PART: Final = r"([0-9]{1,9}|[xX*])"
VERSION: Final = rf"v?{PART}(?:\.{PART})?(?:\.{PART})?(?:-[\w.-]+)?(?:\+[\w.-]+)?"
COMPARATOR: Final = re.compile(rf"(<=|>=|<|>|=|\^|~>?|)\s*{VERSION}")
HYPHEN: Final = re.compile(rf"\s*({VERSION})\s+-\s+({VERSION})\s*")

Version = tuple[int, int, int]
FIRST: Final = (0, 0, 0)
LAST: Final = (1 << 30, 0, 0)


def newest_major(ranges: str) -> int | None:
    """The newest major version that has releases in these semver ranges; None if they can't be
    read, or leave none."""
    sets = ranges[:500].split("||")
    for major in range(NEWEST, 0, -1):
        whole = ((major, 0, 0), (major + 1, 0, 0))
        for one in sets:
            span = _span(one)
            if span is None:
                return None
            if max(span[0], whole[0]) < min(span[1], whole[1]):
                return major
    return None


def _span(comparators: str) -> tuple[Version, Version] | None:
    """What all of them leave: from, and up to but without."""
    text = comparators.strip()
    if hyphen := HYPHEN.fullmatch(text):
        groups = hyphen.groups()
        low, high = _partial(groups[1:4]), _partial(groups[5:8])
        return _from(low), _behind(high)
    low_most, high_most = FIRST, LAST
    at = 0
    while at < len(text):
        match = COMPARATOR.match(text, at)
        if match is None:
            return None
        low, high = _bounds(match[1], _partial(match.groups()[1:4]))
        low_most, high_most = max(low_most, low), min(high_most, high)
        at = match.end()
        while at < len(text) and text[at] in " ,":
            at += 1
    return low_most, high_most


def _partial(groups: tuple[str | None, ...]) -> tuple[int, ...]:
    """The numbers up to the first that is left open: "3.x" is (3,)."""
    said = itertools.takewhile(lambda part: part.isdigit(), (part or "" for part in groups))
    return tuple(map(int, said))


def _bounds(operator: str, version: tuple[int, ...]) -> tuple[Version, Version]:
    match operator:
        case ">=":
            return _from(version), LAST
        case ">":
            return _behind(version), LAST
        case "<":
            return FIRST, _from(version)
        case "<=":
            return FIRST, _behind(version)
        case "^":
            # Up to the first number that is not zero; only 0.x has others, and is no major of ours.
            return _from(version), _behind(version[:1])
        case "~" | "~>":
            return _from(version), _behind(version[:2])
    return _from(version), _behind(version)


def _from(version: tuple[int, ...]) -> Version:
    major, minor, patch = (*version, 0, 0, 0)[:3]
    return major, minor, patch


def _behind(version: tuple[int, ...]) -> Version:
    """The first version that is newer than all of these."""
    if not version:
        return LAST
    return _from((*version[:-1], version[-1] + 1))
