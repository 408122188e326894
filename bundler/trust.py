"""Whether tools from the project's own folder may run: they are code of that project.

A command that a person gives vouches for itself. What runs by itself (an editor's save, a language
server) may run them once a person has run such a command in a terminal there: that leaves a mark in
the user's cache. It names the folder by its identity, so another folder in its place has none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lambdad.bundler.store.store import cache_folder, write_atomic


def is_trusted(root: str, environ: Mapping[str, str]) -> bool:
    """Whether a person has run lambdad in a terminal in that project. Doubt is a no."""
    place = _place(root, environ)
    try:
        return place.stat().st_uid == os.getuid() and place.read_text() == _identity(root)
    except (OSError, ValueError):
        return False


def trust(root: str, environ: Mapping[str, str]) -> None:
    """Leaves the mark; where it can't be written, the question is only asked again."""
    place = _place(root, environ)
    with contextlib.suppress(OSError):
        identity = _identity(root)
        if not is_trusted(root, environ):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(place, identity.encode(), mode=0o600)


def is_terminal() -> bool:
    """Whether a person types into this process and sees what it says, though that be piped on."""
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and not stream.closed and stream.isatty() for stream in streams)


def _place(root: str, environ: Mapping[str, str]) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
    return cache_folder(dict(environ)) / "trusted" / name


def _identity(root: str) -> str:
    """Raises OSError."""
    status = os.stat(root)
    return f"{os.path.realpath(root)}\n{status.st_dev} {status.st_ino}\n"
