"""One inotify instance and its watches: what we take from watchdog, and what we leave.

watchdog's InotifyFD reads the events (one descriptor, one thread). Its observer above that is not
used: it enters every folder, node_modules too, takes a thread per root, holds what follows an
unpaired move back, swallows watches that could not be added, and does not report an overflow.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from lambdad.daemon.watching.source import STOP_S

log = logging.getLogger(__name__)

_Is = InotifyConstants

SELF: Final = _Is.IN_DELETE_SELF | _Is.IN_MOVE_SELF | _Is.IN_UNMOUNT
CAME: Final = _Is.IN_CREATE | _Is.IN_MOVED_TO
WENT: Final = _Is.IN_DELETE | _Is.IN_MOVED_FROM

# Not opened, read or closed unwritten: our own reads would fill the queue. IN_MASK_ADD, because a
# folder may be watched for two reasons under one descriptor.
_PLACE: Final = (
    _Is.IN_ONLYDIR | _Is.IN_DONT_FOLLOW | _Is.IN_MASK_ADD | _Is.IN_DELETE_SELF | _Is.IN_MOVE_SELF
)
_SAVED: Final = _Is.IN_MODIFY | _Is.IN_CLOSE_WRITE | _Is.IN_ATTRIB
INSIDE: Final = Mask(_PLACE | _SAVED | CAME | WENT | _Is.IN_EXCL_UNLINK)
"""All that counts in a folder."""
ABOVE: Final = Mask(_PLACE)
"""The folder's own moves alone: silent in a busy folder."""
AROUND: Final = Mask(_PLACE | CAME)
"""Also the names that appear in it."""

DENIED: Final = "permission denied"
NO_SUCH_FOLDER: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
NEVER: Final = WatchDescriptor(-1)


@dataclass(slots=True, eq=False)
class Watched:
    """A folder with a watch; InotifyFD calls it back in the reader's thread."""

    path: str
    heard: Callable[[Watched, InotifyEvent], None]
    gone: Callable[[Watched], None]
    """The kernel dropped the watch: the folder was deleted or unmounted."""
    folders: set[str] = field(default_factory=set)
    """Names of the folders in it that are watched, or should be."""
    links: set[str] = field(default_factory=set)
    """Names of the symlinks in it."""
    descriptor: WatchDescriptor = NEVER
    number: CallbackId | None = None
    mask: Mask | None = None

    def on_event(self, event: InotifyEvent) -> None:
        self.heard(self, event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        if wd == self.descriptor:
            self.gone(self)

    def on_queue_overflow(self) -> None:
        """_Reader hears it, once for all."""


class Watches:
    """An instance and its reader's thread. Raises OSError if the system grants no instance.

    `overflowed` is called in that thread when events were dropped, `died` when it ends by a fault.
    """

    def __init__(self, overflowed: Callable[[], None], died: Callable[[str], None]) -> None:
        self._numbers = itertools.count(1)
        self._reader = _Reader(overflowed, died)
        self._reader.start()

    def add(self, folder: Watched, mask: Mask) -> str | None:
        """Adds or renews a watch: "" if it is there, else why not; None if there is no such folder.

        Under a new number each time, and the old one is removed last: so a watch that is alive is
        kept, and one that died with a folder of the same inode number is not believed. To remove
        first would queue an event for each, which after an overflow makes the next one.
        """
        before = folder.descriptor, folder.number
        number = CallbackId(next(self._numbers))
        fault = ""
        try:
            descriptor = self._reader.add_callback(os.fsencode(folder.path), mask, folder, number)
            if descriptor == NEVER:  # watchdog raises nothing for EACCES, and keeps a record
                self._reader.remove_callbacks([(NEVER, number)])
                fault = DENIED
        except OSError as refused:
            if refused.errno in NO_SUCH_FOLDER:
                return None
            descriptor, fault = NEVER, refused.strerror or str(refused)
        folder.descriptor, folder.number, folder.mask = descriptor, number, mask
        self._remove(*before)
        return fault

    def remove(self, folder: Watched) -> None:
        self._remove(folder.descriptor, folder.number)
        folder.descriptor = NEVER

    def is_alive(self) -> bool:
        return self._reader.is_alive()

    def stop(self) -> None:
        """The reader may be waiting for a lock of its callbacks: hold none of theirs."""
        self._reader.stop()
        if self._reader is not threading.current_thread():
            self._reader.join(STOP_S)

    def _remove(self, descriptor: WatchDescriptor, number: CallbackId | None) -> None:
        if descriptor != NEVER and number is not None:
            self._reader.remove_callbacks([(descriptor, number)])


class _Reader(InotifyFD):
    """watchdog's reader, which says when it lost events and when it dies."""

    def __init__(self, overflowed: Callable[[], None], died: Callable[[str], None]) -> None:
        super().__init__()
        self.name = "watch-read"
        self._overflowed = overflowed
        self._died = died

    @classmethod
    def _create_inotify_fd(cls) -> int:
        # Made without IN_CLOEXEC: a child would inherit it and keep the instance alive.
        descriptor = super()._create_inotify_fd()
        os.set_inheritable(descriptor, False)
        return descriptor

    def handle_event(self, event: InotifyEvent) -> None:
        if event.is_queue_overflow:
            self._overflowed()
        else:
            super().handle_event(event)

    def run(self) -> None:
        try:
            super().run()
        except Exception as fault:
            log.exception("the watcher's reader died")
            self._died(f"the watcher died: {fault}")
