"""The user's state folder: what only this user's own runs have written, on this machine.

It holds the key that seals what builds remember, and under `trusted/` a mark for each project that
a person trusts (trust.py). No project can bring any of it: a folder that lies inside the project,
belongs to another user or may be written by others is not used. Where there is none, the key lasts
as long as this process, and what one run remembers is a miss for the next.
"""

from __future__ import annotations

import functools
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import made_once
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.store.made_once import MadeFile
from lambdad.bundler.store.ownership import this_user

KEY: Final = "key"
"""The file's name in the state folder."""
KEY_SIZE: Final = 32
"""Bytes."""


@dataclass(frozen=True, slots=True)
class UserKey:
    """The key of this user's seals."""

    secret: bytes = field(repr=False)
    fault: str | None = None
    """Why the key lasts as long as this process only; None: it lies in the state folder."""


class NoStateError(Exception):
    """Why the user's state folder can't be used, in words that a user reads."""


def state_folder(environ: Mapping[str, str]) -> str | None:
    """Where the state folder lies or would lie: lambdad under XDG_STATE_HOME or ~/.local/state.

    None: there is no home. A relative XDG_STATE_HOME counts as none, as its specification wants:
    it would lead into whatever folder the command was given in.
    """
    base = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = environ.get("HOME", "")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".local/state")
    return os.path.join(base, "lambdad")


def opened(environ: Mapping[str, str], root: str) -> Folder:
    """The state folder, which is made if it is missing.

    `root` is the project that asks, its symlinks resolved. Raises NoStateError.
    """
    path = state_folder(environ)
    if path is None:
        raise NoStateError("there is no home folder")
    real = os.path.realpath(path)
    if real == root or real.startswith(f"{root.rstrip('/')}/"):
        raise NoStateError(f"{path} is inside the project, which could bring one")
    try:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        return Folder.root(path, this_user())
    except OSError as fault:
        raise NoStateError(f"{path} can't be written ({fault.strerror})") from fault
    except BundlerError as fault:
        raise NoStateError(fault.message) from fault


# --- the key -----------------------------------------------------------------------------------

_Stamp = tuple[int, ...]
_lock: Final = threading.Lock()  # guards the one below
_known: Final[dict[tuple[str | None, str], tuple[_Stamp | None, UserKey]]] = {}
"""By state folder and project. A stamp of None: the key of this process."""


@functools.cache
def process_secret() -> bytes:
    """A key that ends with this process."""
    return _new()


def user_key(environ: Mapping[str, str], root: str) -> UserKey:
    """The user's key, made now if there is none; never a failure. It costs a stat call.

    `root` is the project that asks, with its symlinks resolved. Any thread may call this.
    """
    path = state_folder(environ)
    with _lock:
        known = _known.get((path, root))
        if known is not None and (known[0] is None or known[0] == _stamp_at(f"{path}/{KEY}")):
            return known[1]
        try:
            found = made_once.read_or_make(opened(environ, root), KEY, _is_whole, _new)
            stamp, key = _stamp(found.status), UserKey(found.content)
        except NoStateError as fault:
            stamp, key = None, UserKey(process_secret(), str(fault))
        except BundlerError as fault:
            stamp, key = None, UserKey(process_secret(), fault.message)
        except OSError as fault:
            reason = f"{path}/{KEY} can't be written ({fault.strerror or fault})"
            stamp, key = None, UserKey(process_secret(), reason)
        _known[path, root] = stamp, key
        return key


def _stamp_at(path: str) -> _Stamp:
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return ()


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size, status.st_mode


def _is_whole(found: MadeFile) -> bool:
    """Whether it is a key that no other user can have read."""
    return not found.status.st_mode & 0o077 and len(found.content) == KEY_SIZE


def _new() -> bytes:
    return secrets.token_bytes(KEY_SIZE)
