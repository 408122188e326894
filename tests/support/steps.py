"""What happens at a certain step on disk: what another program does then."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdad.bundler.store.anchored import Folder

STEPS = frozenset(
    {
        "open",
        "os.rename",
        "os.mkdir",
        "os.symlink",
        "os.utime",
        "os.chmod",
        "os.remove",
        "os.rmdir",
        "os.link",
        "os.scandir",
        "shutil.rmtree",
    }
)
"""Audit events; each comes just before the step."""


@dataclass
class Countdown:
    left: int
    act: Callable[[], object]
    is_done: bool = False
    """Whether that step was reached, and `act` has run."""


_RUNNING: list[Countdown] = []
_INSTALLED: list[bool] = []
"""A hook stays for as long as the process lives: there is one, and at most one countdown."""


def _hook(event: str, _arguments: object) -> None:
    if not _RUNNING or event not in STEPS:
        return
    countdown = _RUNNING[0]
    countdown.left -= 1
    if countdown.left < 0:
        _RUNNING.clear()  # what `act` does is no step
        countdown.is_done = True
        countdown.act()


@contextlib.contextmanager
def at_step(count: int, act: Callable[[], object]) -> Iterator[Countdown]:
    """While it lasts, `act` runs once, before the `count`th step on disk of this process."""
    if not _INSTALLED:
        _INSTALLED.append(True)
        sys.addaudithook(_hook)
    countdown = Countdown(count, act)
    _RUNNING[:] = [countdown]
    try:
        yield countdown
    finally:
        _RUNNING.clear()


# --- what a step is about ------------------------------------------------------------------------

_FOLDERS = {
    "os.rename": (0, 2),
    "os.link": (1, 3),
    "os.symlink": (1, 2),
    "os.mkdir": (0, 2),
    "os.rmdir": (0, 1),
    "os.remove": (0, 1),
    "os.chmod": (0, 2),
    "os.utime": (0, 3),
}
"""Of an audit event, which argument is the path that is written, and which the folder's
descriptor that it begins at."""


def written_path(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The absolute path that an audit event's step writes at; None if that can't be told.

    The event of an opening does not have the folder's descriptor: it is that of the Folder whose
    method opens.
    """
    at, folder_at = _FOLDERS.get(event, (0, -1))
    path = arguments[at]
    folder = arguments[folder_at] if folder_at >= 0 else -1
    if event == "open" and isinstance(path, str) and not os.path.isabs(path):
        folder = _calling_folder()
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    name = os.fsdecode(path)
    if os.path.isabs(name) or not isinstance(folder, int) or folder < 0:
        return name
    return os.path.join(Path(f"/proc/self/fd/{folder}").readlink(), name)


def _calling_folder() -> int:
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if isinstance(found := frame.f_locals.get("self"), Folder):
            return found._descriptor
    return -1
