"""Small private files that are made once: of many runs at a time all get the same content."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.store.anchored import Folder

_LARGEST: Final = 1 << 16
"""Bytes of such a file that are read."""


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file of ours, as it was read."""

    content: bytes
    status: os.stat_result


def read(folder: Folder, name: str) -> MadeFile | None:
    """The file, or None if it is missing. Raises OSError, and BundlerError `not-ours`."""
    try:
        with folder.open(name) as file:
            return MadeFile(file.read(_LARGEST), os.fstat(file.fileno()))
    except FileNotFoundError:
        return None


def read_or_make(
    folder: Folder, name: str, is_whole: Callable[[MadeFile], bool], make: Callable[[], bytes]
) -> MadeFile:
    """The file, which is made now, with mode 0600, if it is missing or not whole.

    Where the file system locks no folders, the last of several runs at a time decides what stays.
    Raises OSError, and BundlerError `not-ours`.
    """
    found = read(folder, name)
    if found is not None and is_whole(found):
        return found
    with folder.alone():
        found = read(folder, name)
        if found is None or not is_whole(found):
            _write(folder, name, make())
            found = read(folder, name)
    if found is None or not is_whole(found):
        raise OSError(f"{folder.path}/{name} does not stay as it is written")
    return found


def _write(folder: Folder, name: str, content: bytes) -> None:
    with folder.staged(0o600) as staged:
        staged.out.write(content)
        staged.out.flush()
        os.fsync(staged.out.fileno())  # what a power cut empties would cost every build again
        staged.publish(name)
