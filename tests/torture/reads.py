"""Tells the moment at which somebody has read a file: the kernel does, with inotify."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_READ_AND_CLOSED = 0x10
"""IN_CLOSE_NOWRITE of <sys/inotify.h>."""


SLICE_S = 0.005


@contextlib.contextmanager
def of(path: Path) -> Iterator[Callable[[int, Callable[[], bool]], None]]:
    """Within, a function that waits until the file was read so many times, or what it is given
    says that nobody will. Whatever name the file gets meanwhile, it is the same.

    Where there is no inotify, nobody is waited for.
    """
    if not sys.platform.startswith("linux"):
        yield lambda _times, _over: None
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _READ_AND_CLOSED) < 0:
        raise OSError(ctypes.get_errno(), "inotify", str(path))

    def wait(times: int, over: Callable[[], bool]) -> None:
        while times > 0 and not over():
            if select.select([descriptor], [], [], SLICE_S)[0]:
                # Events of a file have no name, and so 16 bytes each.
                times -= len(os.read(descriptor, 4096)) // 16

    try:
        yield wait
    finally:
        os.close(descriptor)
