"""Projects whose daemons are started for real, and surely ended."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdad.daemon.life import control
from lambdad.daemon.wire.address import Address, address, read_note
from tests.support.paths import ROOT

APP = {
    "lambdad.toml": '[functions.One]\nhandler = "app.handler"\nruntime = "python3.12"\n'
    'code = "src"\n',
    "src/app.py": "def handler(event, context):\n    return 1\n",
}
FAKE = "from lambdad.daemon.life import control; control.MODULE = 'tests.support.fake_daemon'\n"


@dataclass(frozen=True, slots=True)
class Site:
    """A project's folder and the environment that its daemon is started in."""

    root: str
    environ: Mapping[str, str]

    @property
    def where(self) -> Address:
        return address(self.root, self.environ)

    @property
    def pid(self) -> int:
        """Of the daemon; what it wrote of itself is believed here."""
        note = read_note(self.where)
        assert note is not None
        return int(note["pid"])

    def started(self, **more: str) -> int:
        """Its daemon's pid, after a start in this environment and `more`."""
        control.start(self.root, {**self.environ, **more})
        return self.pid

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Of `lambdad`, in the project's folder."""
        return self.python("from lambdad.daemon.entry import main; main()", *arguments, **options)

    def fake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The same; a daemon that it starts is tests/support/fake_daemon.py."""
        return self.python(
            f"{FAKE}from lambdad.daemon.entry import main; main()", *arguments, **options
        )

    def python(
        self, code: str, *arguments: str, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        given = {"cwd": self.root, "env": self.environ, "capture_output": True, "timeout": 60}
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, text=True, check=False, **{**given, **options})


@contextlib.contextmanager
def site(root: Path) -> Iterator[Site]:
    """When it ends, no process of the project is left: one that is fails the test."""
    root.mkdir(parents=True, exist_ok=True)
    # Below tmp_path a socket's path would be too long.
    runtime = tempfile.mkdtemp(prefix="ld-")
    environ = {
        **os.environ,
        "XDG_RUNTIME_DIR": runtime,
        "LAMBDAD_CACHE_DIR": str(root.parent / "cache"),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),  # lambdad and tests
    }
    place = Site(os.path.realpath(root), environ)
    try:
        yield place
    finally:
        left = processes(place.root)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in _tools(str(root.parent)):  # which a killed daemon can't end
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(runtime)
    assert len(left) <= 1, "two daemons"


def _tools(folder: str) -> list[int]:
    """Processes that were told of something in that folder."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            if any(word.startswith(os.fsencode(f"{folder}/")) for word in words):
                found.append(int(entry))
    return [pid for pid in found if pid != os.getpid()]


def processes(root: str) -> list[int]:
    """The daemons of that project, whatever they hold."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            if control.SPAWNED.encode() in words and os.fsencode(root) in words:
                found.append(int(entry))
    # A child that is about to become a tool looks like its parent for a moment.
    return [pid for pid in found if _parent(pid) not in found]


def _parent(pid: int) -> int:
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[1])


def ends(pid: int, wait_s: float = 15.0) -> bool:
    """Whether the process ends within that time; returns when it does."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))
    finally:
        os.close(descriptor)


def lives(pid: int) -> bool:
    return not ends(pid, 0)
