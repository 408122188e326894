"""The files of installed packages: what each one ships, and whether the target can load it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.tree import TreeFile
from lambdad.bundler.model import Architecture, BundlerError, Entry, Runtime
from lambdad.bundler.npm import placement
from lambdad.bundler.npm.installed import MODULES
from lambdad.bundler.npm.placement import Position
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import native

INSTALLED: Final = ("!/*", "!*/*", f"/{MODULES}")
"""As the walk's excludes: all it has, but the packages in it, which have places of their own. Not
"!*": to pathspec that outranks whatever follows."""
LINKED: Final = (f"/{MODULES}",)
"""Of the user's own folders the built-in excludes are left out too."""

NATIVE_MODULE: Final = ".node"
RECIPE: Final = "binding.gyp"


@dataclass(frozen=True, slots=True)
class PackagedFile:
    file: TreeFile
    digest: str
    """SHA-256 of its content, in hex."""


@dataclass(frozen=True, slots=True)
class ProductionPackage:
    """One real folder of the production set."""

    name: str
    files: tuple[PackagedFile, ...]
    native_fault: str | None
    """Why none of its native modules loads on the target; None if one does, or there are none."""
    uncompiled: bool
    """It has a recipe for a native module (node-gyp's binding.gyp), and no such module."""


def examine(
    workshop: Workshop,
    name: str,
    files: tuple[TreeFile, ...],
    runtime: Runtime,
    architecture: Architecture,
) -> ProductionPackage:
    """Reads the package's files once. Raises ProjectError `unreadable-file`.

    Packages that carry modules for many machines are right to: one that fits is enough.
    """
    packaged = []
    faults: list[str] = []
    fits = False
    for file in files:
        content = tree.read(workshop.seen, file)
        packaged.append(PackagedFile(file, hashlib.sha256(content).hexdigest()))
        if file.name.endswith(NATIVE_MODULE) and not fits:
            described = native.describe(content)
            if described is not None:
                found = native.faults(file.name, described, runtime, architecture)
                faults += [f"{name}: {file.name} {fault}" for fault in found]
                fits = not found
    return ProductionPackage(
        name,
        tuple(packaged),
        native_fault=faults[0] if faults and not fits else None,
        uncompiled=any(file.name == RECIPE for file in files)
        and not any(file.name.endswith(NATIVE_MODULE) for file in files),
    )


def listing(
    placed: Mapping[Position, str], packages: Mapping[str, ProductionPackage]
) -> list[tuple[str, PackagedFile]]:
    """Each file with its name in the zip, sorted by it."""
    return sorted(
        (
            (f"{placement.path(position)}/{packaged.file.name}", packaged)
            for position, folder in placed.items()
            if position
            for packaged in packages[folder].files
        ),
        key=lambda item: item[0],
    )


def entries(workshop: Workshop, listed: list[tuple[str, PackagedFile]]) -> Iterator[Entry]:
    """The files' contents, read one by one.

    Raises BundlerError `sources-moved` if one is no longer what its digest says: what is stored
    under a key of digests must have them.
    """
    for name, packaged in listed:
        content = tree.read(workshop.seen, packaged.file)
        if hashlib.sha256(content).hexdigest() != packaged.digest:
            raise BundlerError(
                "sources-moved",
                f"{packaged.file.path} changed while it was packed",
                "build again once the installation has finished",
            )
        yield Entry(name=name, content=content, executable=packaged.file.executable)
