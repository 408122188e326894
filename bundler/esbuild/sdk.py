"""Which AWS SDK packages each Node.js runtime's image has, and which of them a bundle may leave out.

Sources: AWS Lambda Developer Guide, "Building Lambda functions with Node.js" (SDK v2 up to
nodejs16.x, v3 after) and issues of aws/aws-sdk-js-v3 about what the images lack (4401, 6169). An
image's SDK is some months older than npm's, so a package stands here only if it is known to be
in all images since nodejs18.x. Any other, `@smithy/*` included, is bundled: that always works.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bundler.model import Runtime

V2: Final = "aws-sdk"

CLIENTS: Final = "@aws-sdk/client-*"

V3: Final = (
    "@aws-sdk/credential-providers",
    "@aws-sdk/lib-dynamodb",
    "@aws-sdk/lib-storage",
    "@aws-sdk/polly-request-presigner",
    "@aws-sdk/rds-signer",
    "@aws-sdk/s3-presigned-post",
    "@aws-sdk/s3-request-presigner",
    "@aws-sdk/types",
    "@aws-sdk/util-arn-parser",
    "@aws-sdk/util-dynamodb",
    "@aws-sdk/util-endpoints",
)
"""Beside the clients."""


def has(runtime: Runtime, package: str) -> bool:
    """Whether the runtime's image holds that npm package."""
    if runtime.version < (18,):
        return package == V2
    return package in V3 or package.startswith(CLIENTS[:-1])


@dataclass(frozen=True, slots=True)
class Declared:
    """What a project says of the SDK."""

    packages: frozenset[str]
    """SDK packages it brings along: declared in `dependencies`, and what those need."""
    manifests: frozenset[str]
    """The package.json files looked at or for: absolute paths."""


def declared(folder: str, top: str) -> Declared:
    """What the nearest package.json of `folder`, at most as far up as `top`, declares.

    `devDependencies` do not count: npm installs none of them for production. What a declared
    package needs of the SDK itself counts as declared, so that one bundle never mixes the
    project's SDK with the image's.
    """
    manifests: list[str] = []
    home, manifest = _nearest(folder, top, manifests)
    names = {*_names(manifest, "dependencies"), *_names(manifest, "optionalDependencies")}
    brought: set[str] = set()
    todo = [(name, home) for name in names if _is_sdk(name)]
    while todo:
        name, asker = todo.pop()
        if name in brought:
            continue
        brought.add(name)
        installed = _installed(name, asker)
        if installed is not None:
            manifests.append(f"{installed}/package.json")
            needs = _names(_read(f"{installed}/package.json"), "dependencies")
            todo += [(need, installed) for need in needs if _is_sdk(need)]
    return Declared(frozenset(brought), frozenset(manifests))


def externals(runtime: Runtime, brought: Declared, folder: str) -> tuple[str, ...]:
    """What is left out of a bundle because the runtime has it, as esbuild's patterns.

    Where the project brings clients of its own, no pattern can tell them from the others: then
    those that are installed without being declared are named one by one. One that is neither
    installed nor declared fails to resolve, and is left out by its name after that.
    """
    if runtime.version < (18,):
        return () if V2 in brought.packages else (V2,)
    others = tuple(name for name in V3 if name not in brought.packages)
    prefix = CLIENTS[:-1]
    if not any(name.startswith(prefix) for name in brought.packages):
        return (CLIENTS, *others)
    there = {name for name in _clients_above(folder) if name not in brought.packages}
    return (*sorted(there), *others)


def _is_sdk(name: str) -> bool:
    return name == V2 or name.startswith("@aws-sdk/")


def _nearest(folder: str, top: str, looked: list[str]) -> tuple[str, object]:
    while True:
        path = f"{folder}/package.json"
        looked.append(path)
        if os.path.isfile(path):
            return folder, _read(path)
        above = os.path.dirname(folder)
        if folder == top or above == folder:
            return folder, None
        folder = above


def _read(path: str) -> object:
    try:
        with open(path, "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return None  # esbuild says what is wrong with it


def _names(manifest: object, field: str) -> Iterable[str]:
    table = manifest.get(field) if isinstance(manifest, dict) else None
    return tuple(table) if isinstance(table, dict) else ()


def _installed(name: str, asker: str) -> str | None:
    folder = os.path.realpath(asker)
    while True:
        candidate = f"{folder}/node_modules/{name}"
        if os.path.isdir(candidate):
            return candidate
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _clients_above(folder: str) -> Iterable[str]:
    found: set[str] = set()
    while True:
        try:
            names = os.listdir(f"{folder}/node_modules/@aws-sdk")
        except OSError:
            names = []
        found.update(f"@aws-sdk/{name}" for name in names if name.startswith("client-"))
        above = os.path.dirname(folder)
        if above == folder:
            return found
        folder = above
