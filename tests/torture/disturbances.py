"""What befalls the daemon: a watcher that hears little or nothing, kills, a queue that overflows.

The overflow is the kernel's own: the daemon is stopped while more happens than its queue holds. The
watch limit is the kernel's too, set for the daemon's user namespace; where no such namespace can
be had, host.py refuses watches itself, and says so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from lambdad.daemon.client import asking
from lambdad.daemon.life import process
from lambdad.daemon.wire.address import address, read_note
from tests.support.daemons import ends
from tests.torture import host
from tests.torture.clients import HANG_S, Wrong
from tests.torture.world import World

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@dataclass(slots=True)
class Disturber:
    world: World
    environ: dict[str, str]
    mutant: str = ""
    restarts: int = 0
    overflows: int = 0
    limit: str = ""
    """Whether a daemon's watches were limited by the kernel ("real") or by us ("injected")."""

    def disturb(self) -> None:
        """Now and then."""
        chance = self.world.random.random()
        if chance < 0.01:
            mood = self.world.random.choice(host.MOODS)
            self._log(f"watcher: {mood}")
            self.tell_host(mood)
            if mood in host.FROM_THE_START:
                self._kill_daemon()
        elif chance < 0.015:
            self._log("esbuild is killed")
            self._kill_esbuild()
        elif chance < 0.0165:
            self._log("the daemon is killed")
            self._kill_daemon()
        elif chance < 0.0175 and QUEUE.exists():
            self._log("the queue overflows")
            self._overflow()

    def tell_host(self, mood: str) -> None:
        """The mood of the watcher from now on."""
        path = Path(self.environ[host.FILE])
        temporary = path.with_suffix(".new")
        temporary.write_text(f"{self.mutant} {mood}")
        os.replace(temporary, path)

    def daemon(self) -> int | None:
        note = read_note(address(self.world.root, self.environ))
        return int(note["pid"]) if note else None

    def _log(self, what: str) -> None:
        self.world.log.append(f"{self.world.done} {what}")

    def _kill_esbuild(self) -> None:
        pid = self.daemon()
        for child in process.children(pid) if pid else ():
            if child.name == "esbuild":
                self._kill(child.pid)

    def _kill_daemon(self) -> None:
        pid = self.daemon()
        if pid is not None:
            self.restarts += 1
            self._kill(pid)

    def _kill(self, pid: int) -> None:
        self.world.kills += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        ends(pid)  # until then it may still be connected to
        self.world.killed = self.world.kills

    def _overflow(self) -> None:
        """The daemon hears that it did not hear, unless its watcher is not there to hear it."""
        pid = self.daemon()
        if pid is None:
            return
        born = Path(f"{self.environ[host.FILE]}.born").read_text()
        hears = born not in host.FROM_THE_START
        began_s = time.time()
        names = [self.world.path(f"lib/.storm{number}.swp") for number in range(2)]
        names[0].write_text("")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                for number in range(int(QUEUE.read_text()) // 2 + 1000):  # each tells of two
                    os.rename(names[number % 2], names[1 - number % 2])
            finally:
                os.kill(pid, signal.SIGCONT)
        for name in names:
            name.unlink(missing_ok=True)
        limit_s = time.monotonic() + HANG_S
        while hears and self.daemon() == pid:
            _status, told = asking.request(
                self.world.root, "GET", "/v1/status", None, HANG_S, environ=self.environ
            )
            if (told["watcher"]["last_overflow"] or 0) >= began_s:
                self.overflows += 1
                return
            if time.monotonic() > limit_s:
                raise Wrong("an overflow went unheard")

    def note_limit(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.limit = Path(f"{self.environ[host.FILE]}.limit").read_text()
