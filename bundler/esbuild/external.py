"""Which AWS SDK packages a bundle leaves out: the runtime has them, the project names none."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from lambdad.bundler import aws_sdk
from lambdad.bundler.inputs.reading import LOCK
from lambdad.bundler.inputs.seen import Seen, is_inside
from lambdad.bundler.model import Runtime, Walk

CLIENTS: Final = "@aws-sdk/client-*"
HELPERS: Final = (
    "@aws-sdk/credential-providers",
    "@aws-sdk/lib-*",
    "@aws-sdk/s3-presigned-post",
    "@aws-sdk/s3-request-presigner",
    "@aws-sdk/util-dynamodb",
)
"""What code asks for beside the clients, as esbuild's patterns. The SDK's other packages are
bundled where they are installed, which always works, and left out where they are not."""


def declared(folders: Iterable[str], seen: Seen) -> frozenset[str]:
    """The AWS SDK packages that a project brings along, and what those need.

    Those are declared by the package.json files from `folders` up to the repository's root, and by
    those of the workspace's packages that they lead to. `devDependencies` do not count: npm
    installs none of them for production. What a declared package needs of the SDK itself counts as
    declared, so that one bundle never mixes the project's SDK with the image's.
    """
    todo: list[tuple[str, str]] = []
    homes = list(_homes(folders, seen.repository))
    met = set(homes)
    while homes:
        home = homes.pop()
        manifest = _read(f"{home}/package.json", seen)
        for name in (*_names(manifest, "dependencies"), *_names(manifest, "optionalDependencies")):
            if _is_sdk(name):
                todo.append((name, home))
            elif (linked := _linked(name, home, seen)) is not None and linked not in met:
                met.add(linked)
                homes.append(linked)
    brought: set[str] = set()
    while todo:
        name, asker = todo.pop()
        if name in brought:
            continue
        brought.add(name)
        installed = _installed(name, asker, seen)
        if installed is not None:
            needs = _names(_read(f"{installed}/package.json", seen), "dependencies")
            todo += [(need, installed) for need in needs if _is_sdk(need)]
    return frozenset(brought)


def externals(
    runtime: Runtime, brought: frozenset[str], folders: Collection[str], seen: Seen
) -> tuple[str, ...]:
    """What is left out of a bundle because the runtime has it, as esbuild's patterns.

    Where the project brings packages that a pattern covers, those others that are installed
    without being declared are named one by one. One that is neither installed nor declared fails
    to resolve, and is left out by its name after that.
    """
    if aws_sdk.provided(runtime, aws_sdk.V2):
        return () if aws_sdk.V2 in brought else (aws_sdk.V2,)
    found: list[str] = []
    for pattern in (CLIENTS, *HELPERS):
        own = {name for name in brought if _covers(pattern, name)}
        if not own:
            found.append(pattern)
        elif pattern.endswith("*"):
            there = {name for name in _installed_above(folders, seen) if _covers(pattern, name)}
            found += sorted(there - own)
    return tuple(found)


def absent(
    runtime: Runtime, brought: frozenset[str], folders: Collection[str], seen: Seen
) -> tuple[str, ...]:
    """The same for a bundle that runs on this machine, where no runtime provides anything: what is
    installed is bundled. One package that is not, among others that are, is left out by its name
    once it fails to resolve.
    """
    v2 = aws_sdk.provided(runtime, aws_sdk.V2)
    installed = (
        any(_installed(aws_sdk.V2, folder, seen) for folder in folders)
        if v2
        else _installed_above(folders, seen)
    )
    return () if installed else externals(runtime, brought, folders, seen)


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _is_sdk(name: str) -> bool:
    return name == aws_sdk.V2 or name.startswith(aws_sdk.SCOPE)


def _homes(folders: Iterable[str], top: str) -> dict[str, None]:
    """The folders and all above them, each once; no further than `top`."""
    homes: dict[str, None] = {}
    for folder in folders:
        for home in _upwards(folder):
            homes[home] = None
            if home == top:
                break
    return homes


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _read(path: str, seen: Seen) -> object:
    try:
        return json.loads(seen.content(path, LOCK))
    except (OSError, ValueError, RecursionError):
        return None  # esbuild says what is wrong with it


def _names(manifest: object, field: str) -> Iterable[str]:
    table = manifest.get(field) if isinstance(manifest, dict) else None
    return tuple(table) if isinstance(table, dict) else ()


def _installed(name: str, asker: str, seen: Seen) -> str | None:
    scope, _, last = name.rpartition("/")
    for folder in _upwards(seen.real(asker)):
        modules = f"{folder}/node_modules"
        candidate = f"{modules}/{name}"
        if not is_inside(folder, (seen.repository,)):
            if seen.is_folder(candidate):
                return candidate
            continue
        if scope and not seen.has(modules, scope):
            continue
        if seen.has(f"{modules}/{scope}" if scope else modules, last) and os.path.isdir(candidate):
            return candidate
    return None


def _linked(name: str, asker: str, seen: Seen) -> str | None:
    """The folder of a package that is linked to: one of the workspace, not out of a store."""
    installed = _installed(name, asker, seen)
    if installed is None:
        return None
    real = seen.real(installed)
    return None if "/node_modules/" in real else real


def _installed_above(folders: Iterable[str], seen: Seen) -> set[str]:
    found: set[str] = set()
    for home in {home for folder in folders for home in _upwards(folder)}:
        place = f"{home}/node_modules/@aws-sdk"
        seen.listing(place, Walk(seen.relative(place)))
        try:
            names = os.listdir(place)
        except OSError:
            continue
        found.update(f"@aws-sdk/{name}" for name in names)
    return found
