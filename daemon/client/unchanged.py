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
TOKEN_SIZE = 1 << 10
"""Bytes of a project's identity (bundler/store/identity.py) at most."""
LARGEST = 1 << 28
"""Bytes of an answer at most."""

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
        secret = _secret(root, environ)
        ours = _folder(f"{root}/.lambdad")
        try:
            token, file = _content("identity", TOKEN_SIZE, ours)
            state = _folder("state", ours)
        finally:
            os.close(ours)
        try:
            build = _folder("build", state)
        finally:
            os.close(state)
        try:
            sealed, _status = _content("last.json", LARGEST, build)
        finally:
            os.close(build)
        # As bundler/store/project_state.py derives it.
        about = ",".join(map(quick.dumps, ["project", root, token.decode().strip()]))
        seal = quick.hmac(secret, f"[{about},[{file.st_ino},{file.st_ctime_ns}]]".encode())
        seal = quick.hmac(seal, b'["last answer"]')
        body = sealed[MARK + 1 :]
        if not quick.same(sealed[: MARK + 1], quick.hmac(seal, body).hex().encode() + b"\n"):
            return None
        known = quick.loads(body)
    except (OSError, ValueError, RecursionError):
        return None
    return known if isinstance(known, dict) else None


def _secret(root: str, environ: Mapping[str, str]) -> bytes:
    """The user's key, found as bundler/store/user_state.py finds it. Raises OSError."""
    state = environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise FileNotFoundError("HOME")
        state = f"{home}/.local/state"
    place = os.path.realpath(f"{os.path.normpath(state)}/lambdad")
    if place == root or place.startswith(f"{root.rstrip('/')}/"):
        raise PermissionError(place)  # a project could bring it
    folder = _folder(place)
    try:
        secret, status = _content("key", KEY_SIZE, folder)
    finally:
        os.close(folder)
    if len(secret) != KEY_SIZE or status.st_mode & 0o077:
        raise PermissionError(place)
    return secret


def _folder(name: str, above: int | None = None) -> int:
    """A descriptor of a folder of ours, which no other user can write to. Raises OSError."""
    descriptor = os.open(name, _AS_FOLDER, dir_fd=above)
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
        os.close(descriptor)
        raise PermissionError(name)
    return descriptor


def _content(name: str, most: int, folder: int) -> tuple[bytes, os.stat_result]:
    """A regular file of ours of at most so many bytes. Raises OSError."""
    descriptor = os.open(name, _AS_FILE, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_size > most:
            raise PermissionError(name)
        pieces: list[bytes] = []
        left = status.st_size
        while left > 0 and (piece := os.read(descriptor, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces), status
    finally:
        os.close(descriptor)
