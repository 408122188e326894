"""Where packages go in the zip, so that each one gets exactly the packages it got on disk.

On disk there are many layouts: npm's nesting, packages hoisted into a folder above the code,
pnpm's store behind symlinks, workspaces. The zip has one root and no symlinks. A package goes
where its layout had it, if that lies below the code; else to the zip's node_modules if the place
is free; else below the package that needs it. Then every lookup is checked, as Node.js would do it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Final

from lambdad.bundler.model import Location, ProjectError, RelPath, error
from lambdad.bundler.npm.installed import MODULES
from lambdad.bundler.npm.production import Edge

Position = tuple[str, ...]
"""Package names from the zip's root inwards: ("a", "b") is node_modules/a/node_modules/b."""

COPIES: Final = 20
"""Positions per package, on average, beyond which a tree is taken to have no end: packages that
need each other in conflicting versions, round and round, fit no finite one."""

DEEPEST: Final = 32
"""Levels of node_modules beyond which it is taken to have no end, too; npm's are below 10."""


def path(position: Position) -> str:
    return "/".join(f"{MODULES}/{name}" for name in position)


def place(
    code: str, edges: Mapping[str, tuple[Edge, ...]], manifest: RelPath
) -> dict[Position, str]:
    """The real folder that each position holds, () being own code's.

    Raises ProjectError `unplaceable-packages`, located in `manifest`.
    """
    placed: dict[Position, str] = {(): code}
    inside: defaultdict[Position, list[Position]] = defaultdict(list)
    """Of each position but the outermost, those within it."""
    most = COPIES * (len(edges) + 10)
    waiting: deque[Position] = deque([()])
    while waiting:
        position = waiting.popleft()
        for edge in edges[placed[position]]:
            if found(placed, position, edge.name) == edge.found.folder:
                continue
            slot = _slot(placed, position, edge)
            if slot in placed or len(placed) > most or len(slot) > DEEPEST:
                raise _unplaceable(slot, manifest)
            placed[slot] = edge.found.folder
            waiting.append(slot)
            # It may now stand before what those around it had found further out. (Of what stands
            # in the zip's own node_modules that is not so: nothing is further out.)
            waiting.extend(inside[slot[:-1]])
            for depth in range(1, len(slot)):
                inside[slot[:depth]].append(slot)
    return placed


def found(placed: Mapping[Position, str], position: Position, name: str) -> str | None:
    """What Node.js finds from that position under that name."""
    for depth in range(len(position), -1, -1):
        folder = placed.get((*position[:depth], name))
        if folder is not None:
            return folder
    return None


def _slot(placed: Mapping[Position, str], position: Position, edge: Edge) -> Position:
    """The position nearest to where the layout had the package, and seen from `position`."""
    for depth in range(len(position), 0, -1):
        slot = (*position[:depth], edge.name)
        if slot in placed:
            break  # whatever lies further out is hidden
        if placed[position[:depth]] == edge.found.home:
            return slot
    hidden = found(placed, position, edge.name) is not None
    return (*position, edge.name) if hidden else (edge.name,)


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
