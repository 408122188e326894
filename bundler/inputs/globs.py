"""Ordered globs of files, as the Serverless Framework's `package.patterns` has them.

Each pattern that matches a file decides about it, and the last one does for good: "!" before it
leaves the file out. A pattern is anchored to the top folder, matches names that begin with a dot
too, and never a folder: "src" is the file of that name, "src/**" is what lies below the folder.
Source: micromatch and picomatch, which the framework matches with.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

ANY: Final = None
"""A segment "**": any folders, none too."""

ALTERNATIVES: Final = 500
"""The most patterns that the braces of one may expand to."""
LONGEST: Final = 1000
"""Characters of a pattern."""

WILD: Final = re.compile(r"[*?\[\\]")
EXTENDED: Final = re.compile(r"([?*+@!])\(")
RANGE: Final = re.compile(r"\{[^{},/]*\.\.[^{},/]*\}")
SPECIAL: Final = re.compile(r"\\.|\*+|\?|\[(?:\^?\]?(?:\\.|[^\]\\/])*)\]|[^\\*?\[]+|.", re.DOTALL)

Segments = tuple[re.Pattern[str] | None, ...]


class Glob(NamedTuple):
    keeps: bool
    """Else it leaves out."""
    ways: tuple[Segments, ...]
    """Its braces expanded: it matches what any of them does."""
    names: frozenset[str]
    """The segments without wildcards."""


def fault(pattern: str) -> str | None:
    """Why the pattern can't be used, if so."""
    try:
        _glob(pattern)
    except ValueError as problem:
        return str(problem)
    except re.error:
        return "it is no glob"
    return None


def verdict(patterns: Sequence[str], path: str) -> bool | None:
    """Whether the file is in; None: no pattern matches it."""
    parts = path.split("/")
    for glob in reversed(_globs(tuple(patterns))):
        if any(_matches(way, parts) for way in glob.ways):
            return glob.keeps
    return None


def enters(patterns: Sequence[str], folder: str) -> bool | None:
    """False: no file below the folder is in. True: a pattern names files that may lie there.
    None: no pattern matches it."""
    parts = folder.split("/")
    for glob in reversed(_globs(tuple(patterns))):
        if glob.keeps:
            if any(_may_match_below(way, parts) for way in glob.ways):
                return True
        elif any(_covers(way, parts) for way in glob.ways):
            return False
    return None


def spells_out(patterns: Sequence[str], name: str) -> bool:
    """Whether a pattern that takes files in has the name, without wildcards, on its way."""
    return any(glob.keeps and name in glob.names for glob in _globs(tuple(patterns)))


# --- matching --------------------------------------------------------------------------------


def _matches(way: Segments, parts: Sequence[str]) -> bool:
    return len(way) in _states(way, parts)


def _may_match_below(way: Segments, parts: Sequence[str]) -> bool:
    return any(at < len(way) for at in _states(way, parts))


def _covers(way: Segments, parts: Sequence[str]) -> bool:
    """Whether it matches every file below: it ends in "**" behind the folder or one above."""
    above = way[:-1] if way[-1] is not ANY and way[-1].pattern == ".*" else way
    if not above or above[-1] is not ANY:
        return False
    above = above[:-1]
    return any(_matches(above, parts[:count]) for count in range(len(parts) + 1))


def _states(way: Segments, parts: Sequence[str]) -> set[int]:
    """How many segments may have been used up by these parts: never more work than one
    times the other, whatever the pattern."""
    states = _skipped(way, {0})
    for part in parts:
        further: set[int] = set()
        for at in states:
            if at == len(way):
                continue
            segment = way[at]
            if segment is ANY:
                further.add(at)
            elif segment.fullmatch(part):
                further.add(at + 1)
        states = _skipped(way, further)
    return states


def _skipped(way: Segments, states: set[int]) -> set[int]:
    found = set(states)
    for at in states:
        while at < len(way) and way[at] is ANY:
            at += 1  # noqa: PLW2901 -- the loop's variable is no more than a start
            found.add(at)
    return found


# --- reading ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _globs(patterns: tuple[str, ...]) -> tuple[Glob, ...]:
    return tuple(glob for pattern in patterns if (glob := _glob(pattern)).ways)


def _glob(pattern: str) -> Glob:
    if len(pattern) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    keeps = not pattern.startswith("!")
    text = pattern.removeprefix("!")
    if EXTENDED.search(text):
        raise ValueError("it has an extended glob such as +(a|b)")
    if RANGE.search(text):
        raise ValueError("it has a range such as {1..3}")
    ways = []
    names: set[str] = set()
    for plain in _expanded(text):
        segments = [part for part in plain.split("/") if part not in ("", ".")]
        if not segments or plain.endswith("/"):
            continue  # of a folder alone: micromatch matches files
        if ".." in segments:
            if not keeps:
                continue  # nothing of it would be in
            raise ValueError("it leads out of the service's folder")
        names.update(part for part in segments if not WILD.search(part))
        if len(segments) == 1 and segments[0].startswith("**."):
            segments = ["**", segments[0][1:]]
        elif segments[-1] == "**" and _ends_in_star(segments):
            segments.append("*")  # below a/** lies a too, below */** nothing but what is below
        ways.append(tuple(ANY if part == "**" else _segment(part) for part in segments))
    return Glob(keeps, tuple(ways), frozenset(names))


def _ends_in_star(segments: Sequence[str]) -> bool:
    before = [segment for segment in segments if segment != "**"]
    return bool(before) and before[-1].endswith("*")


def _segment(text: str) -> re.Pattern[str]:
    pieces = [""]
    for match in SPECIAL.finditer(text):
        found = match[0]
        if found[0] == "*":
            pieces.append("")
        elif found == "?":
            pieces[-1] += "."
        elif found[0] == "[" and len(found) > 1:
            pieces[-1] += _class(found[1:-1])
        else:
            pieces[-1] += re.escape(found[1] if found[0] == "\\" and len(found) == 2 else found)
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    # Atomic: a star takes as little as will do, and is never tried again. The last piece is the
    # name's end.
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1] if piece)
    return re.compile(f"{pieces[0]}{middle}.*{pieces[-1]}", re.DOTALL)


def _class(inner: str) -> str:
    negated = inner.startswith("^")
    inner = inner[negated:]
    # What Python's sets mean something else by.
    inner = re.sub(r"[\[&~|^]", r"\\\g<0>", inner)
    return f"[{'^' if negated else ''}{inner}]"


def _expanded(text: str) -> list[str]:
    """ "a{b,c}" is "ab" and "ac"; braces without a comma stay as they are."""
    done: list[str] = []
    left = [text]
    while left:
        one = left.pop()
        braces = _first_braces(one)
        if braces is None:
            done.append(one)
        else:
            start, end, choices = braces
            left += [one[:start] + choice + one[end:] for choice in reversed(choices)]
        if len(done) + len(left) > ALTERNATIVES:
            raise ValueError(f"its braces stand for more than {ALTERNATIVES} patterns")
    return done


def _first_braces(text: str) -> tuple[int, int, list[str]] | None:
    """The first, outermost braces that mean alternatives: start, end, and what they hold."""
    start = -1
    while (start := text.find("{", start + 1)) >= 0:
        if start and text[start - 1] in "\\$":
            continue
        depth, commas = 0, []
        for at in range(start, len(text)):
            if text[at] == "{":
                depth += 1
            elif text[at] == "," and depth == 1:
                commas.append(at)
            elif text[at] == "}":
                depth -= 1
                if depth == 0:
                    break
        else:
            continue
        if commas:
            ends = [start, *commas, at]
            choices = [text[one + 1 : other] for one, other in itertools.pairwise(ends)]
            return start, at + 1, choices
    return None
