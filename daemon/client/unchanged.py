"""`lambdad build` where nothing changed at all: the last answer is given again.

The command's last answer is kept, sealed, with the stat key of all that it depends on
(bundler/store/last_answer.py): the configuration, every input of every function, and what was
written. If every key is as it was, the answer holds, and no reader of configuration and no builder
is imported. If a single one moved, this says nothing, and the command does all of its work.

Standard library alone, and little, as fresh.py.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from lambdad.daemon.client import finding, plain
from lambdad.daemon.client.plain import ClientOptions
from lambdad.daemon.wire import quick
from lambdad.daemon.wire.address import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

VERSION = 1
MARK = 64
"""Characters of the seal before the document."""
KEY_SIZE = 32
"""Bytes of the user's key (bundler/store/user_state.py)."""
LARGEST = 1 << 28
"""Bytes of an answer that is read."""

_AS_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_AS_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class BuildOptions(ClientOptions):
    """What a `lambdad build` asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.verbose = False
        self.no_daemon = False


FLAGS = {"--verbose": "verbose", "-v": "verbose", "--no-daemon": "no_daemon"}


def main(arguments: Sequence[str]) -> int | None:
    """The exit code, or None if the command has to look for itself."""
    began_s = time.monotonic()
    wanted = BuildOptions()
    if not plain.parse(wanted, arguments, FLAGS, {}) or wanted.timeout_s is not None:
        return None
    root = finding.find_project(wanted.project or os.getcwd())
    known = read(root, os.environ) if root is not None else None
    if root is None or known is None or not _answers(known, wanted) or not holds(root, known):
        return None
    return _show(root, quick.loads(known["answer"].encode()), wanted, began_s)


def _show(root: str, answer: dict[str, Any], wanted: BuildOptions, began_s: float) -> int:
    from lambdad.daemon.terminal.answer import Results

    try:
        with Results(
            root,
            as_json=wanted.as_json,
            verbose=wanted.verbose,
            names=[item["name"] for item in answer["functions"]],
            news_only=True,
        ) as results:
            results.diagnostics(answer["diagnostics"])
            for item in sorted(answer["functions"], key=lambda item: "runtime" in item):
                results.function(item)
            return results.end(answer, time.monotonic() - began_s)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _answers(known: Mapping[str, Any], wanted: BuildOptions) -> bool:
    """Whether it answers this command line, of this installation and environment."""
    typed = all(one is not None and one.isatty() for one in (sys.stdin, sys.stderr))
    return (
        known["version"] == VERSION
        and known["identity"] == identity(os.environ)
        and known["names"] == sorted(set(wanted.named))
        and (known["trusted"] or not typed)  # else a person's command has to leave its mark
    )


# --- does it hold ------------------------------------------------------------------------------


def holds(root: str, known: Mapping[str, Any]) -> bool:
    """Whether all that the answer depends on is as it was. It costs a stat call for each."""
    for path, key in known["files"].items():
        if _key(f"{root}/{path}") != key:
            return False
    for path, key in known["folders"].items():
        if _key(f"{root}/{path}", times=True) != key:
            return False
    for path, key in known["links"].items():
        if _key(f"{root}/{path}", times=True, follow=False) != key:
            return False
    checked: set[str] = set()
    for path, key in known["made"].items():
        try:
            if path.startswith(".lambdad/") and not _is_plain(root, path, checked):
                return False
            status = os.stat(os.path.join(root, path))
        except (OSError, ValueError):
            return False
        is_folder = stat.S_ISDIR(status.st_mode)
        if [
            status.st_ino,
            0 if is_folder else status.st_size,
            0 if is_folder else status.st_mtime_ns,
        ] != key:
            return False
    return True


def _is_plain(root: str, path: str, checked: set[str]) -> bool:
    """Whether no part of a path of ours is a symlink. `checked` is what was looked at before.
    Raises OSError."""
    parts = path.split("/")
    for count in range(len(parts)):
        place = "/".join(parts[: count + 1])
        if place not in checked:
            if stat.S_ISLNK(os.lstat(f"{root}/{place}").st_mode):
                return False
            checked.add(place)
    return True


def _key(path: str, *, times: bool = False, follow: bool = True) -> list[int] | None:
    """As bundler/inputs/snapshot.py has it: of a folder the times count only if asked for."""
    try:
        status = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    if not times and stat.S_ISDIR(status.st_mode):
        return [status.st_dev, status.st_ino, 0, 0, 0, status.st_mode]
    return [
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
    ]


# --- is it ours --------------------------------------------------------------------------------


def read(root: str, environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The last answer, if this user's own run wrote it of this very project; else None."""
    try:
        seal = _seal(root, environ)
        folder = root
        descriptor = -1
        for part in (".lambdad", "state", "build"):
            descriptor = _step(descriptor, folder if descriptor < 0 else None, part)
        sealed = _content("last.json", LARGEST, descriptor)
    except (OSError, ValueError):
        return None
    if seal is None or sealed is None:
        return None
    body = sealed[MARK + 1 :]
    if sealed[: MARK + 1] != quick.hmac(seal, body).hex().encode() + b"\n":
        return None
    try:
        known = quick.loads(body)
    except (ValueError, RecursionError):
        return None
    return known if isinstance(known, dict) else None


def _step(above: int, path: str | None, part: str) -> int:
    """The descriptor of a folder of ours below the one that is open, which is closed, or below
    `path`. Raises OSError."""
    if path is not None:
        descriptor = os.open(f"{path}/{part}", _AS_FOLDER)
    else:
        try:
            descriptor = os.open(part, _AS_FOLDER, dir_fd=above)
        finally:
            os.close(above)
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
        os.close(descriptor)
        raise PermissionError(part)
    return descriptor


def _content(
    name: str, most: int, folder: int | None = None, private: bool = False
) -> bytes | None:
    """A regular file of ours; `folder` is closed. Raises OSError."""
    try:
        descriptor = os.open(name, _AS_FILE, dir_fd=folder)
    finally:
        if folder is not None:
            os.close(folder)
    try:
        status = os.fstat(descriptor)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_size > most or (private and status.st_mode & 0o077):
            return None
        pieces = []
        while piece := os.read(descriptor, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _seal(root: str, environ: Mapping[str, str]) -> bytes | None:
    """The key that this document is sealed with: bundler/store/project_state.py makes it so."""
    state = environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        state = f"{home}/.local/state"
    place = os.path.realpath(f"{os.path.normpath(state)}/lambdad")
    if place == root or place.startswith(f"{root.rstrip('/')}/"):
        return None
    status = os.stat(place)
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
        return None
    secret = _content(f"{place}/key", KEY_SIZE, private=True)
    if secret is None or len(secret) != KEY_SIZE:
        return None
    mark = f"{root}/.lambdad/identity"
    token = _content(mark, 1 << 16)
    if token is None:
        return None
    file = os.lstat(mark)
    about = ["project", root, token.decode().strip()]
    named = ",".join(map(quick.dumps, about))
    seal = quick.hmac(secret, f"[{named},[{file.st_ino},{file.st_ctime_ns}]]".encode())
    return quick.hmac(seal, b'["last answer"]')
