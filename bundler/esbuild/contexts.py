"""esbuild for a process that lives long: what is built again and again is not parsed again.

A job with one entry that comes again before many others gets a context, which keeps its parsed
sources: the most lately used ones stay, as far as there is room. Go gives little memory back, so
where it takes too much it is the process that goes, contexts and all, and another is started for
the next build.

A context answers as a fresh process would, but for one trap: esbuild takes a file for unchanged if
inode, size, mtime and mode are. So the states in which each input was seen are kept, and one that
comes again with another ctime ends the context.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from lambdad.bundler.esbuild.engine import (
    BuildContext,
    Esbuild,
    EsbuildGone,
    EsbuildJob,
    EsbuildOutput,
    Trace,
)
from lambdad.bundler.inputs.snapshot import Stat, stat_key
from lambdad.bundler.model import FileKey

MOST: Final = 64
"""Contexts. One of a small function costs 1 MB."""
ROOM: Final = 3 << 20
"""Bytes of sources in all contexts together: one takes some thirty times what it parsed, and a
build beside them that comes near the soft limit collects garbage for most of its time. A job that
comes again only after so many bytes of others would find its context gone, so it gets none."""
MEMORY_CAP: Final = 260 << 20
"""Bytes that are resident between builds. One context with an AWS SDK client costs 40 MB."""

SOFT_LIMIT: Final = 220 << 20
"""Bytes at which esbuild collects its garbage rather than grow: builds of fifty functions with an
AWS SDK client then stay below 240 MB, where they took 350 MB."""
LARGE: Final = 8 << 20
"""Bytes of sources in one build from which the soft limit goes: with four times as many, two builds
took three times as long under it."""

_LOOK_EVERY: Final = 8
"""Builds between two looks at the memory: rebuilds grow slowly."""
_YOUNG_NS: Final = 2_000_000_000
"""esbuild keeps nothing of a file whose mtime is less than 3 s ago (internal/fs/modkey_unix.go)."""
_SLACK_NS: Final = 100_000_000
"""So far may the file system's clock lie behind ours: the kernel's ticks are 10 ms at most."""
_MOST_STATES: Final = 2
"""Times the number of inputs, and a thousand: a context whose inputs had more is made anew."""

T = TypeVar("T")


class Contexts:
    """An Esbuild over any other. Any thread may call any method.

    A death of the process costs its contexts; the build goes on in another, once.
    """

    def __init__(
        self,
        start: Callable[[int | None], Esbuild],
        *,
        most: int = MOST,
        room: int = ROOM,
        memory_cap: int = MEMORY_CAP,
        resident: Callable[[int], int | None] | None = None,
    ) -> None:
        self._start = start
        self._most = most
        self._room = room
        self._memory_cap = memory_cap
        self._resident = resident or resident_bytes
        self._soft_limit: int | None = SOFT_LIMIT
        self._starting = threading.Lock()
        self._lock = threading.Lock()  # guards all below, and what is in a _Process
        self._process: _Process | None = None
        self._met: OrderedDict[EsbuildJob, int] = OrderedDict()
        self._ending: list[threading.Thread] = []
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, if one runs."""
        with self._lock:
            return self._process.esbuild.pid if self._process is not None else None

    @property
    def count(self) -> int:
        """How many contexts there are."""
        with self._lock:
            return len(self._process.kept) if self._process is not None else 0

    def build(self, job: EsbuildJob, look: Stat = stat_key) -> EsbuildOutput:
        return self._try_twice(lambda process: self._build_in(process, job, look))

    def trace(self, job: EsbuildJob) -> Trace | None:
        return self._try_twice(lambda process: process.esbuild.trace(job))

    def context(self, job: EsbuildJob) -> BuildContext:
        """One of the caller's own, beside those that are kept here; it dies with the process."""
        return self._try_twice(lambda process: process.esbuild.context(job))

    def reads(self, job: EsbuildJob, output: EsbuildOutput, files: Iterable[str]) -> None:
        with self._lock:
            process = self._process
            kept = process.kept.get(job) if process is not None else None
            # Another thread may have built the job again: its answer is not this one.
            if process is None or kept is None or kept.unread is not output.metafile:
                return
            del process.kept[job]
            process.users += 1
        holds = kept.reads(files)
        if holds:
            self._put_back(process, job, kept)
        else:
            kept.context.dispose()
        self._leave(process)

    def close(self) -> None:
        """Ends the process, as soon as the builds that run in it are done. Safe to call again."""
        with self._starting, self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            self._retire(process)
        with self._lock:
            ending = self._ending
        for thread in ending:
            thread.join()

    # --- builds ---

    def _build_in(self, process: _Process, job: EsbuildJob, look: Stat) -> EsbuildOutput:
        # A job of several functions is another one each time: a context would never be met again.
        if len(job.entries) != 1 or not self._meets_again(job):
            output = process.esbuild.build(job)
            has_grown = len(job.entries) > 1
        else:
            output, has_grown = self._rebuild(process, job, look)
        size = self._meet(job, output)
        if size > LARGE and self._soft_limit is not None:
            self._soft_limit = None
            self._retire(process)
        elif self._is_large(process, has_grown):
            self._retire(process)
        return output

    def _rebuild(
        self, process: _Process, job: EsbuildJob, look: Stat
    ) -> tuple[EsbuildOutput, bool]:
        """By the job's context; and whether that is a new one."""
        kept = self._take(process, job)
        if kept is not None and not kept.holds(look):
            kept.context.dispose()
            kept = None
        is_new = kept is None
        if kept is None:
            kept = _Kept(context=process.esbuild.context(job), since_ns=time.time_ns())
        output = kept.context.rebuild()
        kept.unread = output.metafile  # a failure has no list of inputs: it ends the context
        kept.size = _parsed(output) or kept.size
        self._put_back(process, job, kept)
        return output, is_new

    def _meets_again(self, job: EsbuildJob) -> bool:
        with self._lock:
            return job in self._met

    def _meet(self, job: EsbuildJob, output: EsbuildOutput) -> int:
        """Notes that the job came, if it may come again; returns the bytes that it parsed."""
        size = _parsed(output)
        if len(job.entries) == 1:
            with self._lock:
                self._met[job] = size or self._met.get(job, 0)  # a failure says nothing
                self._met.move_to_end(job)
                while len(self._met) > self._most or self._too_much(self._met.values()):
                    self._met.popitem(last=False)
        return size

    def _too_much(self, sizes: Collection[int]) -> bool:
        """Of several; one alone always has room."""
        return len(sizes) > 1 and sum(sizes) > self._room

    def _take(self, process: _Process, job: EsbuildJob) -> _Kept | None:
        """The job's context, which no other thread sees until it is put back."""
        with self._lock:
            kept = process.kept.pop(job, None)
        # The inputs of that answer were never read out: what it read is not known.
        if kept is not None and kept.unread is not None:
            kept.context.dispose()
            return None
        return kept

    def _put_back(self, process: _Process, job: EsbuildJob, kept: _Kept) -> None:
        gone = [kept]
        with self._lock:
            if not process.retired and job not in process.kept:
                gone = []
                process.kept[job] = kept
                kept_ones = process.kept.values()
                while len(kept_ones) > self._most or self._too_much([k.size for k in kept_ones]):
                    gone.append(process.kept.popitem(last=False)[1])
        for one in gone:
            one.context.dispose()

    def _is_large(self, process: _Process, has_grown: bool) -> bool:
        with self._lock:
            process.builds += 1
            if not has_grown and process.builds % _LOOK_EVERY:
                return False
        pid = process.esbuild.pid
        resident = self._resident(pid) if pid is not None else None
        return resident is not None and resident > self._memory_cap

    # --- the process ---

    def _try_twice(self, ask: Callable[[_Process], T]) -> T:
        for _ in range(2):
            try:
                return self._in_process(ask)
            except EsbuildGone as fault:
                if fault.asked:
                    break  # else it had died since the last build: that was no try
        return self._in_process(ask)

    def _in_process(self, ask: Callable[[_Process], T]) -> T:
        process = self._enter()
        try:
            return ask(process)
        except EsbuildGone:
            self._retire(process)
            raise
        finally:
            self._leave(process)

    def _enter(self) -> _Process:
        with self._starting:  # one start at a time, whose result all that wait take
            with self._lock:
                if self._closed:
                    raise EsbuildGone("esbuild was closed")
                if self._process is not None:
                    self._process.users += 1
                    return self._process
            started = _Process(esbuild=self._start(self._soft_limit), users=1)
            with self._lock:
                self._process = started
            return started

    def _leave(self, process: _Process) -> None:
        with self._lock:
            process.users -= 1
            last = process.retired and process.users == 0
        if last:
            self._end(process)

    def _retire(self, process: _Process) -> None:
        """It gets no more builds; it ends with the last one that runs in it."""
        with self._lock:
            if self._process is process:
                self._process = None
            idle = process.users == 0 and not process.retired
            process.retired = True
            process.kept.clear()
        if idle:
            self._end(process)

    def _end(self, process: _Process) -> None:
        """Only `close` waits for it: it may take a while to end."""
        thread = threading.Thread(target=process.esbuild.close, name="esbuild-end", daemon=True)
        with self._lock:
            self._ending = [one for one in self._ending if one.is_alive()]
            thread.start()
            self._ending.append(thread)


@dataclass(slots=True)
class _Process:
    esbuild: Esbuild
    users: int = 0
    """Threads that are asking it something."""
    builds: int = 0
    retired: bool = False
    kept: OrderedDict[EsbuildJob, _Kept] = field(default_factory=OrderedDict)


@dataclass(slots=True, kw_only=True)
class _Kept:
    """A context, and in which states its inputs were seen. In the hands of one thread at a time."""

    context: BuildContext
    since_ns: int
    """When its last build began."""
    size: int = 0
    """Bytes of sources that the last build parsed."""
    unread: Mapping[str, Any] | None = None
    """The metafile of the last answer, until its inputs are read out."""
    _last: dict[str, FileKey | None] = field(default_factory=dict)
    """Of each input the key that it had before the last build; None: not there."""
    _ctimes: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    """By path and state, by which esbuild recognises a file: the one ctime it was seen with."""

    def holds(self, look: Stat) -> bool:
        """Before a build: whether esbuild will notice every input that changed."""
        self.since_ns = time.time_ns()
        if len(self._ctimes) > _MOST_STATES * len(self._last) + 1000:
            return False
        moved = []
        for path, known in self._last.items():
            state = look(path)
            if state != known:
                moved.append((path, state))
        return all(self._admits(path, state) for path, state in moved)

    def reads(self, files: Iterable[str]) -> bool:
        """What the last answer depended on; False if esbuild may know one of them as it was."""
        self.unread = None
        early_ns = self.since_ns - _SLACK_NS
        met = [(path, stat_key(path)) for path in files if path not in self._last]
        good = [
            self._admits(path, key) or key is None or key.ctime_ns < early_ns for path, key in met
        ]
        return all(good)

    def _admits(self, path: str, key: FileKey | None) -> bool:
        """Notes a state. It is bad where esbuild may have kept the contents of another that it
        takes for this one: seen by us with another ctime, or unseen.

        Unseen, it had this mtime already when esbuild read it, and its ctime came later; but then
        its mtime was too young for esbuild to keep it, or lies well before that ctime.
        """
        self._last[path] = key
        if key is None or not stat.S_ISREG(key.mode):
            return True
        state = (path, key.inode, key.size, key.mtime_ns, key.mode)
        if state in self._ctimes:
            return self._ctimes[state] == key.ctime_ns
        self._ctimes[state] = key.ctime_ns
        return key.ctime_ns - key.mtime_ns < _YOUNG_NS


def _parsed(output: EsbuildOutput) -> int:
    """Bytes of the sources that went into it."""
    return sum(one["bytes"] for one in output.metafile.get("inputs", {}).values())


def resident_bytes(pid: int) -> int | None:
    """The memory that a process has in RAM; None if it is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        if os.path.isdir("/proc/self"):
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        # macOS has no /proc.
        asked = ["/bin/ps", "-o", "rss=", "-p", str(pid)]
        said = subprocess.run(asked, capture_output=True, timeout=2.0, check=False)
        return int(said.stdout) * 1024
    return None
