"""The paths that files have in a zip: which are possible, and which can't be together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from lambdad.bundler.model import Diagnostic, error

LONGEST = 0xFFFF
"""Bytes of a name; the format has two for its length."""


def check_name(name: str) -> str | None:
    """Why `name` can't be a file's path in a zip, or None if it can."""
    if not name:
        return "is empty"
    if "\0" in name:
        return "holds a NUL"
    if "\\" in name:
        return "holds a backslash, which some systems take for a folder's end"
    if name[0] == "/":
        return "is absolute"
    if name[1:2] == ":" and name[0].isalpha():
        return "begins with a drive letter"
    parts = name.split("/")
    if ".." in parts:
        return 'leads out of the zip by ".."'
    if "." in parts or "" in parts:
        return "has an empty part, or one that is only a dot"
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            return "is not UTF-8"
    if len(name) * 4 > LONGEST and len(name.encode()) > LONGEST:
        return "is longer than 65,535 bytes"
    return None


def folders(name: str) -> Iterator[str]:
    """The folders that `name` lies in, the outermost first."""
    end = name.find("/")
    while end != -1:
        yield name[:end]
        end = name.find("/", end + 1)


def owned(files: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Of files with their owners the few paths that say as much: each file's own, or that of the
    outermost folder in which all is its owner's. Sorted."""
    sole: dict[str, str | None] = {}
    for name, owner in files:
        for path in (*folders(name), name):
            if sole.setdefault(path, owner) != owner:
                sole[path] = None
    return tuple(
        sorted(
            (path, owner)
            for path, owner in sole.items()
            if owner is not None and sole.get(path.rpartition("/")[0]) is None
        )
    )


def shadowed(own: Iterable[str], names: Sequence[str]) -> list[str]:
    """Those of the sorted `names` that can't be unpacked beside `own`: the same path, or one of
    the two a folder where the other is a file. Sorted."""
    present = frozenset(names)
    found: set[str] = set()
    for name in own:
        found.update(folder for folder in (name, *folders(name)) if folder in present)
        # "0" is the character after "/": the range is all that lies below `name`.
        found.update(names[bisect_left(names, name + "/") : bisect_left(names, name + "0")])
    return sorted(found)


def faults(names: Iterable[str]) -> tuple[Diagnostic, ...]:
    """An error `zip-name` for each name that is not fit, and `zip-clash` for each that comes
    twice, or is a file where another has its folder."""
    found = []
    seen = set()
    for name in names:
        if reason := check_name(name):
            found.append(error("zip-name", f"{name!r} can't be packaged: the name {reason}"))
        elif name in seen:
            found.append(error("zip-clash", f"two files would be {name} in the zip"))
        seen.add(name)
    found += [
        error("zip-clash", f"{folder} would be a file in the zip, and the folder of {name}")
        for name in sorted(seen)
        for folder in folders(name)
        if folder in seen
    ]
    return tuple(found)
