"""A project's identity: a random token in .lambdad, made by the first run that needs one.

What is remembered of the project is sealed over it, and a person's trust is tied to it
(trust.py): a folder that takes the project's place has another, though it has the same path and,
since file systems hand them out again, the same inode.

A clone may bring a token, even one that was read in a project that is trusted. So a token proves
nothing by itself: trust counts the token's file, too, whose change time no program can choose.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import made_once
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.store.made_once import MadeFile
from lambdad.bundler.store.ownership import this_user

FOLDER: Final = ".lambdad"
"""What lambdad writes into a project lies below this folder."""
NAME: Final = "identity"
"""The name of the token's file in that folder."""

_TOKEN: Final = re.compile(rb"[0-9a-f]{64}\n")


@dataclass(frozen=True, slots=True)
class Identity:
    """A project's identity on this machine."""

    root: str
    """Absolute, symlinks resolved."""
    token: str
    file: tuple[int, int]
    """Inode and ctime_ns of the token's file."""


_known: Final[dict[str, tuple[tuple[int, ...], Identity]]] = {}
"""By root, with the stamp of the file that was read. An entry is replaced as a whole."""


def read(root: str) -> Identity | None:
    """The project's identity, or None if it has none; what is damaged, or not ours, is none. It
    costs a stat call. Any thread may call this."""
    known = _known.get(root)
    try:
        if known is not None and known[0] == _stamp(os.lstat(f"{root}/{FOLDER}/{NAME}")):
            return known[1]
        found = made_once.read(Folder.beneath(root, FOLDER, this_user()), NAME)
    except (OSError, BundlerError):
        return None
    return _noted(root, found) if found is not None and _is_whole(found) else None


def ensure(root: str) -> Identity:
    """The project's identity, made now if it has none. Its .lambdad folder exists. Raises OSError,
    and BundlerError `not-ours`."""
    if (known := read(root)) is not None:
        return known
    folder = Folder.beneath(root, FOLDER, this_user())
    return _noted(root, made_once.read_or_make(folder, NAME, _is_whole, _new))


def _noted(root: str, found: MadeFile) -> Identity:
    status = found.status
    identity = Identity(root, found.content.decode().strip(), (status.st_ino, status.st_ctime_ns))
    _known[root] = _stamp(status), identity
    return identity


def _is_whole(found: MadeFile) -> bool:
    return _TOKEN.fullmatch(found.content) is not None


def _new() -> bytes:
    return f"{secrets.token_hex(32)}\n".encode()


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size, status.st_mode
