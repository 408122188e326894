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
import functools
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


# --- programs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SearchPath:
    """The folders of a PATH in which programs are looked for."""

    folders: tuple[str, ...]
    """Absolute, in their order."""
    passed_over: tuple[str, ...]
    """Those that lie in the project, which decides what programs they hold."""

    def has_passed_over(self, name: str) -> str | None:
        """The program of that name that the project would have supplied."""
        return in_folders(name, self.passed_over)


EVERYWHERE: Final = SearchPath((), ())
"""Of a project that is trusted."""


def in_folders(name: str, folders: Sequence[str]) -> str | None:
    """The first program of that name in the folders, which is not run."""
    paths = (os.path.join(folder, name) for folder in folders)
    return next((each for each in paths if os.path.isfile(each) and os.access(each, os.X_OK)), None)


@functools.lru_cache(maxsize=256)  # what a project swaps changes none of the folders that are kept
def search_path(path: str, root: str, repository: str, home: str) -> SearchPath:
    """A PATH for a project that is not trusted.

    A relative or empty entry leads into whatever folder a program runs in, and one below the
    repository leads to what a clone brought. A repository that the home folder lies in is the
    user's own (dotfiles are often kept so), and only the project itself counts then.
    """
    inside = root if _lies_in(os.path.realpath(home), repository) else repository
    found: dict[bool, list[str]] = {True: [], False: []}
    for folder in filter(os.path.isabs, path.split(os.pathsep)):
        places = (os.path.normpath(folder), os.path.realpath(folder))
        found[any(_lies_in(place, inside) for place in places)].append(folder)
    return SearchPath(tuple(found[False]), tuple(found[True]))


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def untrusted(what: str) -> BundlerError:
    """That a project would have to be trusted for its build; `what` begins the sentence."""
    return BundlerError(
        "untrusted-build",
        f"{what}; this project is not trusted yet",
        "run `lambdad build` once in a terminal there, or `lambdad save --trust`",
    )
