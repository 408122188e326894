"""The InputSet of a bundle: what esbuild read, and all that decided what it read.

The metafile names sources only. What decided (folders, package.json, tsconfig.json, symlinks,
names looked for in vain) follows from the imports it lists, by resolution.py. A failed build has no
metafile: a tracing build lists its imports instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.esbuild import pnp
from lambdad.bundler.esbuild.engine import ModuleRequest, Trace
from lambdad.bundler.esbuild.prober import Disk, Prober
from lambdad.bundler.esbuild.resolution import Resolver, Settings
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import RelPath, Walk

_DISABLED: Final = "(disabled):"
_ODD: Final = re.compile(r"[:?#}]")
_TAIL: Final = re.compile(r"( with \{.*\}|[?#].*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSources:
    """A bundle's source files and what they import, with absolute paths."""

    files: frozenset[str]
    imports: frozenset[ModuleRequest]


def from_metafile(
    metafile: Mapping[str, Any], roots: Iterable[str], folder: str, disk: Disk
) -> BundleSources:
    """What is reachable from `roots`, which are names of the metafile's inputs.

    An import with a pattern has no edges to what it brought in: those inputs must be roots too.
    """
    inputs = metafile["inputs"]
    places: dict[str, str | None] = {}

    def place(name: str) -> str | None:
        if name not in places:
            places[name] = _place(name, folder, disk)
        return places[name]

    files: set[str] = set()
    imports: set[ModuleRequest] = set()
    todo = [root for root in roots if root in inputs]
    met = set(todo)
    while todo:
        name = todo.pop()
        path = place(name)
        if path is None:
            continue
        files.add(path)
        here = os.path.dirname(path)
        archived = path.endswith(".zip")  # what it imports, Plug'n'Play's data and archives decide
        for item in inputs[name]["imports"]:
            wanted = item["path"]
            if item.get("external"):
                if not archived:
                    imports.add(ModuleRequest(here, wanted))
                continue
            if not archived:
                imports.add(ModuleRequest(here, item.get("original", wanted), place(wanted)))
            if wanted not in met and wanted in inputs:
                met.add(wanted)
                todo.append(wanted)
    return BundleSources(files=frozenset(files), imports=frozenset(imports))


def from_trace(trace: Trace) -> BundleSources:
    files = (pnp.real(path) for path in trace.files)
    return BundleSources(
        files=frozenset(pnp.archive(path) or path for path in files),
        imports=frozenset(
            wanted for wanted in trace.imports if pnp.archive(f"{pnp.real(wanted.folder)}/") is None
        ),
    )


UNPACKAGED: Final = ("node_modules", "package.json", "tsconfig.json")
"""What decides in a folder of which every packaged name counts."""


def closure(
    sources: BundleSources,
    seen: Seen,
    *,
    settings: Settings,
    disk: Disk,
    left_out: Iterable[str] = (),
    probes: Iterable[str] = (),
) -> None:
    """Records everything that could make that bundle another.

    `left_out` are the patterns of what is external by decision and so is never looked for.
    `probes` are further paths that decided something, there or not.
    """
    prober = Prober(disk, seen)
    resolver = Resolver(prober, settings)
    external = Patterns(left_out)
    folders = set()
    for path in sources.files:
        prober.seen.file(path)
        folders.add(os.path.dirname(path))
        if settings.keeps_symlinks:
            prober.real(path)
    folders.add(settings.folder)
    for folder in folders:
        resolver.enter(prober.real(folder) or folder)
    for wanted in sources.imports:
        if wanted.specifier.startswith(("node:", "data:", "http:", "https:", "//")):
            continue
        if external.cover(wanted.specifier):
            continue
        if wanted.found is None and "*" in wanted.specifier:
            resolver.pattern(wanted.folder, wanted.specifier)
        else:
            resolver.resolve(wanted)
    for path in probes:
        prober.seen.file(path)
        prober.real(path)
    for folder in resolver.walks:
        # A walk passes over what is never packaged; resolution does not.
        seen.file(*(f"{folder}/{name}" for name in UNPACKAGED))
        seen.listing(folder, Walk(seen.relative(folder)))


class Patterns:
    """esbuild's `external`: names with all that is below them, or with one "*"."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact = set()
        self._wild = []
        for pattern in patterns:
            before, star, after = pattern.partition("*")
            if star:
                self._wild.append((before, after))
            else:
                self._exact.add(pattern)

    def cover(self, specifier: str) -> bool:
        if specifier in self._exact:
            return True
        if any(specifier.startswith(f"{name}/") for name in self._exact):
            return True
        return any(
            specifier.startswith(before)
            and specifier.endswith(after)
            and len(specifier) >= len(before) + len(after)
            for before, after in self._wild
        )


def relative(path: str, root: str) -> RelPath:
    if path.startswith(f"{root}/"):
        return path[len(root) + 1 :]
    return os.path.relpath(path, root)


def _place(name: str, folder: str, disk: Disk) -> str | None:
    """The file that the metafile means by an input's name; None for what is no file."""
    if name.startswith("<"):
        return None
    path = pnp.real(os.path.normpath(f"{folder}/{name.removeprefix(_DISABLED)}"))
    if ".zip/" in path and (archive := pnp.archive(path)) is not None:
        return archive
    if not _ODD.search(name) or disk.kind(path):
        return path
    shorter = _TAIL.sub("", path)
    return shorter if disk.kind(shorter) else None
