"""Dependencies on this machine: a folder for `sys.path`, unpacked once and shared by functions.

It holds what a zip's dependency segment would hold, for this machine: what an installer puts into
site-packages, without scripts and without a record of the installation. The user's own packages
are not in it where they can be imported from their source; only their metadata is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambdad.bundler.model import Diagnostic
from lambdad.bundler.python import built
from lambdad.bundler.python.dependencies import Dependencies
from lambdad.bundler.python.wheels import splice
from lambdad.bundler.python.wheels import wheel as wheels_
from lambdad.bundler.python.wheels.splice import Splice
from lambdad.bundler.store.anchored import open_file
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import reader
from lambdad.bundler.zips.segments import Spliced

KIND: Final = "trees"

_SCHEMA: Final = 1

_ONE_AT_A_TIME: Final = threading.Lock()
"""Functions often share dependencies: the second finds what the first unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDependencies:
    """What the dependencies add to `sys.path`."""

    folders: tuple[str, ...]
    """What is unpacked, absolute; then the user's own packages, relative to the project."""
    files: Mapping[str, str]
    """Of every file that is installed the folder it is imported from."""
    digest: str
    """Of all contents; "" if there are none."""
    diagnostics: tuple[Diagnostic, ...]


def install(known: Dependencies, workshop: Workshop) -> HostDependencies:
    """The dependencies, found in the store or unpacked now: whole or absent.

    Raises BundlerError: `store-damaged` if a wheel is not what was proved.
    """
    if not known.wheels:
        return HostDependencies(folders=(), files={}, digest="", diagnostics=())
    spliced = splice.splice(known.wheels, workshop.memory)
    sources = {one.wheel.name: one.source for one in known.local if one.source is not None}
    infos = tuple(f"{one.wheel.dist_info}/" for one in known.local if one.wheel.name in sources)
    decided_by = sorted([one.sha256, one.name in sources] for one in known.wheels)
    key = built.key_of("tree", _SCHEMA, decided_by)
    with _ONE_AT_A_TIME:
        name = workshop.store.private(f"{KIND}/{key}")
        folder = workshop.store.find(KIND, name)
        if folder is None:
            folder = _unpack(spliced, sources, infos, store=workshop.store, name=name)
    files = dict.fromkeys(spliced.names, str(folder))
    if sources:
        for part, owner in zip(spliced.plan.parts, spliced.plan.owners, strict=True):
            if owner in sources and not part.name.startswith(infos):
                files[part.name] = sources[owner]
    own = sorted((one.wheel.name, one.digest) for one in known.local if one.wheel.name in sources)
    return HostDependencies(
        folders=(str(folder), *dict.fromkeys(sources.values())),
        files=files,
        digest=built.key_of("site", key, own),
        diagnostics=spliced.plan.diagnostics,
    )


def _unpack(
    spliced: Splice,
    sources: Mapping[str, str],
    infos: tuple[str, ...],
    *,
    store: Store,
    name: str,
) -> Path:
    for one in spliced.wheels:
        wheels_.check(one)
    by_wheel: dict[str, list[Spliced]] = {}
    for part, owner in zip(spliced.plan.parts, spliced.plan.owners, strict=True):
        if owner not in sources or part.name.startswith(infos):
            by_wheel.setdefault(part.source, []).append(part)
    with store.workspace() as folder:
        top = folder / "tree"
        top.mkdir()
        for path, parts in by_wheel.items():
            with open_file(path) as source:
                _copy(source.fileno(), parts, top)
        return store.adopt(top, KIND, name)


def _copy(descriptor: int, parts: Iterable[Spliced], top: Path) -> None:
    folders: set[Path] = set()
    for part in parts:
        path = top / part.name
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        with open(path, "wb") as out:
            out.writelines(reader.content(descriptor, part.member))
        if part.member.executable:
            path.chmod(0o755)
