"""What the operating system says of processes: /proc on Linux, `ps` elsewhere (macOS)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

LINUX: Final = sys.platform == "linux"


class Child(NamedTuple):
    pid: int
    name: str
    memory: int
    """Resident, in bytes."""


def birth(pid: int) -> str | None:
    """When the process began: another text for another process that has the number later. None
    once it has ended, though its parent may not have waited for it, as in a container without an
    init."""
    if LINUX:
        # In ticks since the machine's start: setting the clock back does not move it.
        fields = _stat(pid)
        return fields[19] if fields and fields[0] != "Z" else None
    return _ps(["-o", "lstart=", "-p", str(pid)]).strip() or None


def memory(pid: int) -> int:
    """Resident bytes of the process; 0 if it is gone."""
    if LINUX:
        fields = _stat(pid)
        return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0
    return int(_ps(["-o", "rss=", "-p", str(pid)]).strip() or 0) * 1024


def children(pid: int) -> list[Child]:
    """The processes that it started and that still run, or were not waited for."""
    return list(_children_of_proc(pid) if LINUX else _children_of_ps(pid))


def end(pid: int, number: signal.Signals, born: str) -> bool:
    """Signals the process, if it is still the one that was born then."""
    try:
        # Linux: it stays with the process, so no process can take the number between look and
        # signal.
        descriptor = _open(pid) if _open else None
    except OSError:
        return False
    try:
        if birth(pid) != born:
            return False
        with contextlib.suppress(OSError):
            if descriptor is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
        return True
    finally:
        if descriptor is not None:
            os.close(descriptor)


_open: Final = getattr(os, "pidfd_open", None)


def end_children() -> None:
    """Kills what this process has started and not yet waited for, with their groups."""
    for child in children(os.getpid()):
        with contextlib.suppress(OSError):
            if os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                os.kill(child.pid, signal.SIGKILL)


def _children_of_proc(pid: int) -> Iterator[Child]:
    # A child is listed with the thread that started it.
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                    found = file.read().split()
                for child in found:
                    with open(f"/proc/{child}/comm", encoding="utf-8", errors="replace") as file:
                        name = file.read().strip()
                    yield Child(int(child), name, memory(int(child)))


def _children_of_ps(pid: int) -> Iterator[Child]:
    for line in _ps(["-A", "-o", "pid=,ppid=,rss=,comm="]).splitlines():
        number, parent, size, name = line.split(None, 3)
        if parent == str(pid):
            yield Child(int(number), os.path.basename(name.strip()), int(size) * 1024)


def _stat(pid: int) -> Sequence[str]:
    """The fields of /proc/<pid>/stat from the third on, see proc(5); the second may hold blanks."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return ()


def _ps(arguments: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            ["/bin/ps", *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
