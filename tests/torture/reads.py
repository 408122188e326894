"""Tells the moment at which somebody has read a file: the kernel does, with inotify."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_READ_AND_CLOSED = 0x10
"""IN_CLOSE_NOWRITE of <sys/inotify.h>."""


@contextlib.contextmanager
def of(path: Path) -> Iterator[Callable[[int, float], bool]]:
    """Within, a function that waits until the file was read so many times, at most so many s.

    Where there is no inotify it returns False at once.
    """
    if not sys.platform.startswith("linux"):
        yield lambda _times, _longest_s: False
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if (
        descriptor < 0
        or libc.inotify_add_watch(descriptor, os.fsencode(path), _READ_AND_CLOSED) < 0
    ):
        raise OSError(ctypes.get_errno(), "inotify", str(path))

    def wait(times: int, longest_s: float) -> bool:
        until = time.monotonic() + longest_s
        while times > 0:
            left_s = max(0.0, until - time.monotonic())
            if not select.select([descriptor], [], [], left_s)[0]:
                return False
            # Events of a file have no name, and so 16 bytes each.
            times -= len(os.read(descriptor, 4096)) // 16
        return True

    try:
        yield wait
    finally:
        os.close(descriptor)
