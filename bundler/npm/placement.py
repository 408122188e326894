"""Where packages go in the zip, so that each one gets exactly the packages it got on disk.

On disk there are many layouts: npm's nesting, packages hoisted into a folder above the code,
pnpm's store behind symlinks, workspaces. The zip has one root and no symlinks. A package goes
where its layout had it, if that lies below the code; else to the zip's node_modules if the place
is free; else below who asks for it. Then every lookup is checked, as Node.js would do it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from bundler.model import Location, ProjectError, RelPath, error
from bundler.npm.installed import MODULES
from bundler.npm.production import Edge

Position = tuple[str, ...]
"""Package names from the zip's root inwards: ("a", "b") is node_modules/a/node_modules/b."""

DEEPEST: Final = 40
"""Packages that need each other in conflicting versions, round and round, fit no finite tree."""


def path(position: Position) -> str:
    return "/".join(f"{MODULES}/{name}" for name in position)


def place(
    code: str, edges: Mapping[str, tuple[Edge, ...]], near: Mapping[str, int], manifest: RelPath
) -> dict[Position, str]:
    """The real folder that each position holds, () being own code's.

    `near` tells how many folders above the code a home lies, 0 being the code itself.
    Raises ProjectError `unplaceable-packages`, located in `manifest`.
    """
    placed: dict[Position, str] = {(): code}
    reserved = _reserved(edges, near)
    waiting: deque[Position] = deque([()])
    while waiting:
        position = waiting.popleft()
        if len(position) > DEEPEST:
            raise _unplaceable(position, manifest)
        for edge in edges[placed[position]]:
            if found(placed, position, edge.name) == edge.found.folder:
                continue
            slot = _slot(placed, position, edge, near, reserved)
            if slot in placed:
                raise _unplaceable(slot, manifest)
            placed[slot] = edge.found.folder
            waiting.append(slot)
            if len(slot) > 1:
                # It may now stand before what those around it had found further out.
                around = slot[:-1]
                waiting.extend(other for other in placed if other[: len(around)] == around)
    return placed


def found(placed: Mapping[Position, str], position: Position, name: str) -> str | None:
    """What Node.js finds from that position under that name."""
    for depth in range(len(position), -1, -1):
        folder = placed.get((*position[:depth], name))
        if folder is not None:
            return folder
    return None


def _reserved(edges: Mapping[str, tuple[Edge, ...]], near: Mapping[str, int]) -> dict[str, str]:
    """Who may stand in the zip's node_modules: of several, the nearest to the code on disk."""
    best: dict[str, tuple[int, str]] = {}
    for outgoing in edges.values():
        for edge in outgoing:
            distance = near.get(edge.found.home)
            if distance is not None:
                claim = (distance, edge.found.folder)
                best[edge.name] = min(claim, best.get(edge.name, claim))
    return {name: folder for name, (_, folder) in best.items()}


def _slot(
    placed: Mapping[Position, str],
    position: Position,
    edge: Edge,
    near: Mapping[str, int],
    reserved: Mapping[str, str],
) -> Position:
    """The position nearest to where the layout had the package, and seen from `position`."""
    folder, home = edge.found.folder, edge.found.home
    below = (*position, edge.name)
    if home not in near:
        for depth in range(len(position), 0, -1):
            slot = (*position[:depth], edge.name)
            if slot in placed:
                break
            if placed[position[:depth]] == home:
                return slot
    outermost = (edge.name,)
    hidden = found(placed, position, edge.name) is not None
    if not hidden and reserved.get(edge.name, folder) == folder:
        return outermost
    return below


def _unplaceable(position: Position, manifest: RelPath) -> ProjectError:
    chain = " > ".join(position[:4])
    return ProjectError(
        error(
            "unplaceable-packages",
            f"packages need each other in versions that no folder tree can hold: {chain}",
            Location(manifest),
            "update them until one version of each remains",
        )
    )
