"""What the product looks at below its own folders, by strace; what may stand in the way there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

NOBODY = 65534

_STRACE = ("strace", "-f", "-y", "-qq", "-s", "4096", "-e", "trace=%file")
_NAMED = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"')
_TEMPORARY = re.compile(r"(^|/)\.tmp-")


# --- what is looked at ---------------------------------------------------------------------------


def under_strace(command: Sequence[str], log: Path) -> list[str]:
    """The command line that runs the command so that `named_in` can read the log."""
    return [*_STRACE, "-o", str(log), *command]


def named_in(log: Path, roots: Iterable[str]) -> set[str]:
    """The absolute paths in the `roots` that a command and its children named to the system,
    temporary ones left out. A root is a folder's path, and is named itself, too."""
    tops = tuple(roots)
    found = set()
    for line in log.read_text(errors="surrogateescape").splitlines():
        for folder, name in _NAMED.findall(line):
            path = os.path.normpath(os.path.join(folder, name))
            is_ours = any(path == top or path.startswith(f"{top}/") for top in tops)
            if is_ours and not _TEMPORARY.search(path):
                found.add(path)
    return found


# --- what stands in the way ----------------------------------------------------------------------


@contextlib.contextmanager
def in_place_of(
    path: Path,
    put: Callable[[Path, Path], None],
    aside: Path,
    held: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[Path]:
    """While it lasts, something else has the path, and what had it lies in `aside`, which is empty:
    as `victim`, much older than anything that is collected. What is put there may lead to it.
    `held` surrounds both changes to the path."""
    victim = aside / "victim"
    with held():
        was_there = os.path.lexists(path)
        if was_there:
            path.rename(aside / "original")
            _copy(aside / "original", victim)
        else:
            victim.write_bytes(b"precious")
        old_s = time.time() - 7 * 86_400
        for each in [*victim.rglob("*"), victim]:
            os.utime(each, (old_s, old_s), follow_symlinks=False)
        put(path, victim)
    try:
        yield victim
    finally:
        with held():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if was_there:
                (aside / "original").rename(path)


def _copy(source: Path, target: Path) -> None:
    """Of a socket an empty file."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)
    else:
        _copy_file(str(source), str(target))


def _copy_file(source: str, target: str) -> None:
    if os.path.isfile(source):
        shutil.copy2(source, target)
    else:
        Path(target).touch()


def state_of(victim: Path) -> dict[str, tuple[object, ...]]:
    """What must not change: names, contents, modes and times."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [victim, *victim.rglob("*")]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns, content)
    return found


def a_symlink(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def a_fifo(path: Path, _victim: Path) -> None:
    os.mkfifo(path)


def another_users(path: Path, victim: Path) -> None:
    """A copy of the victim that belongs to another user. Only root can make one."""
    _copy(victim, path)
    os.chown(path, NOBODY, NOBODY)


OBSTACLES = (a_symlink, a_fifo, another_users)
