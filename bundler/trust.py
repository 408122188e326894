"""Whether code that a project chooses may run without a person's command.

A command that a person gives vouches for itself. What runs by itself (an editor's save, a language
server) may run the project's tools and build backends once a person has run such a command in a
terminal there: that leaves a mark in the user's state folder, where no project can write one.

The mark names the project's path, its token (store/identity.py), and inode and change time of the
token's file. So a project that is moved, copied or cloned anew needs a new mark, even if the
token came along: by git, in an archive, or from another user's folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import identity, user_state
from lambdad.bundler.store.anchored import Folder
from lambdad.bundler.store.identity import Identity
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.user_state import NoStateError

_MARKS: Final = "trusted"
"""The folder of the marks, in the user's state folder."""


def is_trusted(root: str, environ: Mapping[str, str]) -> bool:
    """Whether a person has trusted this very project in a terminal. Doubt is a no."""
    who = identity.read(root)
    if who is None:
        return False
    try:
        return _marks(root, environ).read(_name(root)) == _content(who)
    except (OSError, NoStateError, BundlerError):
        return False


def trust(root: str, environ: Mapping[str, str]) -> None:
    """Leaves the mark; where it can't be written, the question is only asked again.

    Raises BundlerError `not-ours` if the project's .lambdad folder is not ours.
    """
    with contextlib.suppress(OSError):
        Output(root).prepare()
        who = identity.ensure(root)
        if not is_trusted(root, environ):
            with contextlib.suppress(NoStateError, BundlerError):
                _marks(root, environ).write(_name(root), _content(who), 0o600)


def is_terminal() -> bool:
    """Whether a person types into this process and sees what it says, though that be piped on."""
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and not stream.closed and stream.isatty() for stream in streams)


def _marks(root: str, environ: Mapping[str, str]) -> Folder:
    """Raises OSError, NoStateError, BundlerError `not-ours`."""
    return user_state.opened(environ, root).make(_MARKS, 0o700)


def _name(root: str) -> str:
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:32]


def _content(who: Identity) -> bytes:
    return os.fsencode(f"{who.root}\n{who.token}\n{who.file[0]} {who.file[1]}\n")


def untrusted(what: str) -> BundlerError:
    """That a project would have to be trusted for its build; `what` begins the sentence."""
    return BundlerError(
        "untrusted-build",
        f"{what}; this project is not trusted yet",
        "run `lambdad build` once in a terminal there, or `lambdad save --trust`",
    )
