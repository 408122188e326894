"""A daemon with a faulty watcher and, where it is told so, without one of the freshness rules.

What its starter wrote in the file that LAMBDAD_TORTURE names decides: the mutant's name or "", and
the watcher's mood, read anew with each event.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from lambdad.daemon import serve
from lambdad.daemon.life import lifecycle
from lambdad.daemon.serving import server
from lambdad.daemon.watching import watches
from lambdad.daemon.watching.watcher import Changes, Watcher
from tests.torture.mutants import MUTANTS, put

FROM_THE_START: Final = ("silent", "limited")
"""Moods that a daemon is born with, or without."""
MOODS: Final = ("well", "drops", "delays", "overflows", *FROM_THE_START)
FILE: Final = "LAMBDAD_TORTURE"

MOST_WATCHES: Final = 12
_NEW_USER: Final = 0x10000000
"""CLONE_NEWUSER of <linux/sched.h>."""


def said(path: str) -> tuple[str, str]:
    mutant, _, mood = Path(path).read_text().partition(" ")
    return mutant, mood


class Faulty(Watcher):
    """Loses and delays what it should tell."""

    def __init__(self, roots: Sequence[str], notify: Callable[[Changes], None]) -> None:
        self._hears = notify
        self._chance = random.Random(0)
        self._silent = said(os.environ[FILE])[1] == "silent"
        super().__init__(roots, self._tell)

    def start(self) -> None:
        if not self._silent:
            super().start()

    def _tell(self, changes: Changes) -> None:
        mood = said(os.environ[FILE])[1]
        if mood == "drops" and self._chance.random() < 0.7:
            return
        if mood == "overflows":
            changes = Changes(everything=True, reason="the queue overflowed")
        if mood == "delays":
            timer = threading.Timer(self._chance.random() * 0.2, self._hears, (changes,))
            timer.daemon = True
            timer.start()
        else:
            self._hears(changes)


def limit_watches() -> str:
    """fs.inotify.max_user_watches is used up: "real" if the kernel says so, else "injected"."""
    try:
        _limit_namespace()
    except OSError:
        _refuse_watches()
        return "injected"
    return "real"


def _limit_namespace() -> None:
    """In a user namespace of its own a process may have fewer. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER):
        raise OSError(ctypes.get_errno(), "unshare")
    # In this order: user_namespaces(7), "Defining user and group ID mappings".
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    Path("/proc/sys/user/max_inotify_watches").write_text(str(MOST_WATCHES))


def _refuse_watches() -> None:
    add = watches._Reader.add_callback
    left = [MOST_WATCHES]

    def add_some(self: Any, *given: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return add(self, *given)

    put(watches._Reader, "add_callback", add_some)


def main() -> None:
    mutant, mood = said(os.environ[FILE])
    if mutant:
        MUTANTS[mutant]()
    Path(f"{os.environ[FILE]}.born").write_text(mood)
    if mood == "limited":
        Path(f"{os.environ[FILE]}.limit").write_text(limit_watches())
    put(server, "Watcher", Faulty)
    lifecycle.main(serve.load)


if __name__ == "__main__":
    main()
