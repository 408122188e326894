"""Which AWS SDK packages a bundle leaves out: the runtime has them, the project names none."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lambdad.bundler import aws_sdk
from lambdad.bundler.model import Runtime

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


@dataclass(frozen=True, slots=True)
class Declared:
    """What a project says of the SDK."""

    packages: frozenset[str]
    """SDK packages it brings along: declared in `dependencies`, and what those need."""
    manifests: frozenset[str]
    """The package.json files looked at or for: absolute paths."""


def declared(folders: Iterable[str], top: str) -> Declared:
    """What the package.json files from `folders` up to `top` declare, and those of the workspace's
    packages that they lead to.

    `devDependencies` do not count: npm installs none of them for production. What a declared
    package needs of the SDK itself counts as declared, so that one bundle never mixes the
    project's SDK with the image's.
    """
    manifests: set[str] = set()
    todo: list[tuple[str, str]] = []

    def read(home: str) -> object:
        manifests.add(f"{home}/package.json")
        return _read(f"{home}/package.json")

    homes = list(_homes(folders, top))
    seen = set(homes)
    while homes:
        home = homes.pop()
        manifest = read(home)
        for name in (*_names(manifest, "dependencies"), *_names(manifest, "optionalDependencies")):
            if _is_sdk(name):
                todo.append((name, home))
            elif (linked := _linked(name, home)) is not None and linked not in seen:
                seen.add(linked)
                homes.append(linked)
    brought: set[str] = set()
    while todo:
        name, asker = todo.pop()
        if name in brought:
            continue
        brought.add(name)
        installed = _installed(name, asker)
        if installed is not None:
            needs = _names(read(installed), "dependencies")
            todo += [(need, installed) for need in needs if _is_sdk(need)]
    return Declared(frozenset(brought), frozenset(manifests))


def externals(runtime: Runtime, brought: Declared, folders: Collection[str]) -> tuple[str, ...]:
    """What is left out of a bundle because the runtime has it, as esbuild's patterns.

    Where the project brings packages that a pattern covers, those others that are installed
    without being declared are named one by one. One that is neither installed nor declared fails
    to resolve, and is left out by its name after that.
    """
    if aws_sdk.provided(runtime, aws_sdk.V2):
        return () if aws_sdk.V2 in brought.packages else (aws_sdk.V2,)
    found: list[str] = []
    for pattern in (CLIENTS, *HELPERS):
        own = {name for name in brought.packages if _covers(pattern, name)}
        if not own:
            found.append(pattern)
        elif pattern.endswith("*"):
            there = {name for name in _installed_above(folders) if _covers(pattern, name)}
            found += sorted(there - own)
    return tuple(found)


def absent(runtime: Runtime, brought: Declared, folders: Collection[str]) -> tuple[str, ...]:
    """The same for a bundle that runs on this machine, where no runtime provides anything: what is
    installed is bundled. One package that is not, among others that are, is left out by its name
    once it fails to resolve.
    """
    v2 = aws_sdk.provided(runtime, aws_sdk.V2)
    installed = (
        any(_installed(aws_sdk.V2, folder) for folder in folders)
        if v2
        else _installed_above(folders)
    )
    return () if installed else externals(runtime, brought, folders)


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


def _read(path: str) -> object:
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None  # esbuild says what is wrong with it


def _names(manifest: object, field: str) -> Iterable[str]:
    table = manifest.get(field) if isinstance(manifest, dict) else None
    return tuple(table) if isinstance(table, dict) else ()


def _installed(name: str, asker: str) -> str | None:
    for folder in _upwards(os.path.realpath(asker)):
        candidate = f"{folder}/node_modules/{name}"
        if os.path.isdir(candidate):
            return candidate
    return None


def _linked(name: str, asker: str) -> str | None:
    """The folder of a package that is linked to: one of the workspace, not out of a store."""
    installed = _installed(name, asker)
    if installed is None:
        return None
    real = os.path.realpath(installed)
    return None if "/node_modules/" in real else real


def _installed_above(folders: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for home in {home for folder in folders for home in _upwards(folder)}:
        try:
            names = os.listdir(f"{home}/node_modules/@aws-sdk")
        except OSError:
            continue
        found.update(f"@aws-sdk/{name}" for name in names)
    return found
