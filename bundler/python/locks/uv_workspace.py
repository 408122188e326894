"""The folders that uv takes for members of a workspace, whether or not uv.lock knows them.

uv reads the pyproject.toml of each of them before it reads the lock, and refuses a lock that lacks
one. What it finds by is recorded here, since uv itself records nothing.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence

from lambdad.bundler.inputs.counted import LEFT_OUT
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import anytoml
from lambdad.bundler.model import RelPath, Walk

_WILD = frozenset("*?[")


def manifests(top: RelPath, seen: Seen) -> Iterator[RelPath]:
    """Where a pyproject.toml makes a folder a member of the workspace in `top`, there or absent."""
    for pattern in _patterns(top, seen):
        for folder in _matching(top, pattern.split("/"), seen):
            yield seen.relative(os.path.normpath(seen.absolute(f"{folder}/pyproject.toml")))


def _patterns(top: RelPath, seen: Seen) -> list[str]:
    try:
        said = anytoml.loads(seen.content(os.path.normpath(f"{top}/pyproject.toml")).decode())
        members = said["tool"]["uv"]["workspace"]["members"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []  # uv says itself what is wrong
    return [one for one in members if isinstance(one, str)] if isinstance(members, list) else []


def _matching(folder: RelPath, segments: Sequence[str], seen: Seen) -> Iterator[RelPath]:
    """The folders that the segments of a pattern lead to from `folder` on."""
    if not segments:
        yield folder
        return
    first, *rest = segments
    if not _WILD & set(first):
        yield from _matching(os.path.normpath(f"{folder}/{first}"), rest, seen)
        return
    if first == "**":
        yield from _matching(folder, rest, seen)
    for name in _folders(folder, seen):
        below = os.path.normpath(f"{folder}/{name}")
        if first == "**":
            yield from _matching(below, segments, seen)
        elif fnmatch.fnmatchcase(name, first):
            yield from _matching(below, rest, seen)


def _folders(folder: RelPath, seen: Seen) -> list[str]:
    seen.listing(folder, Walk(seen.relative(folder)))
    try:
        with os.scandir(seen.absolute(folder)) as entries:
            return sorted(one.name for one in entries if one.is_dir() and one.name not in LEFT_OUT)
    except OSError:
        return []
