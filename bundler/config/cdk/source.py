"""Which folder an AWS CDK asset was copied from, found by its files; for `lambdad init`."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from typing import Final

from lambdad.bundler.config.cdk import reader
from lambdad.bundler.config.declared import Said
from lambdad.bundler.inputs import walking
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Location, RelPath

FOLDERS: Final = 20_000
"""Looked at before the search ends."""
NOT_OURS: Final = frozenset({"__pycache__", "cdk.out", "node_modules", "site-packages", "venv"})


def sources(root: str, manifest: RelPath) -> dict[str, RelPath]:
    """By function, the one folder that holds what the assembly's copy of its code holds.

    Functions whose copy no folder matches, or several, are left out.
    """
    seen = Seen(root, root)
    found = reader.read(seen, Said(manifest, Location(manifest)), {})
    copies = {draft.name: draft.staged for draft in found.drafts if draft.staged is not None}
    folders = list(_folders(root))
    matched: dict[RelPath, list[RelPath]] = {}
    for copy in set(copies.values()):
        files = sorted(_files(os.path.join(root, copy)))
        matched[copy] = [folder for folder in folders if _holds(root, folder, copy, files)]
    return {name: matched[copy][0] for name, copy in copies.items() if len(matched[copy]) == 1}


def _folders(root: str) -> Iterator[RelPath]:
    def may_hold_code(name: str) -> bool:
        return name not in NOT_OURS and not name.startswith(".")

    for count, (folder, _inner, _) in enumerate(walking.folders(root, may_hold_code, named=".")):
        if count >= FOLDERS:
            return
        path = os.path.relpath(folder, root)
        if path.isprintable():
            yield path


def _files(top: str) -> Iterator[str]:
    for folder, _inner, files in walking.folders(top):
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), top)


def _holds(root: str, folder: RelPath, copy: RelPath, files: list[str]) -> bool:
    """Whether all of the copy's files are in the folder, and equal; more may be, left out of it."""
    pairs = ((os.path.join(root, folder, file), os.path.join(root, copy, file)) for file in files)
    try:
        return bool(files) and all(
            os.path.isfile(own) and filecmp.cmp(own, copied, shallow=False) for own, copied in pairs
        )
    except OSError:
        return False
