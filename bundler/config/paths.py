"""Paths as configuration files write them, relative to the project."""

from __future__ import annotations

import posixpath

from lambdad.bundler.model import RelPath


def joined(folder: RelPath, path: str, root: str) -> RelPath:
    """`path` as written in a file of `folder`, relative to the project; absolute ones too."""
    if path.startswith("/"):
        return posixpath.relpath(path, root)
    return posixpath.normpath(posixpath.join(folder, path))


def folder_of(path: RelPath) -> RelPath:
    return posixpath.dirname(path) or "."
