"""Crash safety: a kill at any moment, or a fault at any write, costs a build at most."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.model import BundlerError, Want
from lambdad.bundler.report.render import document
from lambdad.bundler.store.project_folder import FOLDER
from lambdad.bundler.store.store import Store, cache_folder
from lambdad.daemon.life import process
from lambdad.daemon.serving.builds import Builds
from lambdad.daemon.serving.schedule import Key
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.conftest import write_tree
from tests.support.daemons import ends, processes
from tests.support.served import APP, served, share_esbuild
from tests.support.steps import written_path
from tests.torture.crash import (
    CRASH_APP,
    PLACES,
    Crashes,
    Wholeness,
    holds,
    make_old,
    noted,
    temporaries,
)

WRITES = frozenset(
    ("os.rename", "os.link", "os.symlink", "os.mkdir", "os.chmod", "os.remove", "os.utime")
)
FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES)


# --- faults ------------------------------------------------------------------------------------


class Disk:
    """Refuses the nth thing that is written below some folders. Python's audit events tell of

    each before it is done, whoever does it; a hook that raises keeps it from being done.
    """

    def __init__(self) -> None:
        self._folders: tuple[str, ...] = ()
        self._left = -1
        self._number = errno.EIO
        self.writes = 0
        self.refused: str | None = None
        sys.addaudithook(self._heard)  # it stays for ever: there is but one Disk

    @contextlib.contextmanager
    def refusing(self, nth: int | None, *folders: str) -> Iterator[None]:
        self.writes, self.refused = 0, None
        self._left = -1 if nth is None else nth
        self._number = FAULTS[(nth or 0) % len(FAULTS)]
        self._folders = folders
        try:
            yield
        finally:
            self._folders = ()

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._folders or (event != "open" and event not in WRITES):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE):
            return
        name = written_path(event, arguments)
        if name is None or not name.startswith(self._folders):
            return
        self.writes += 1
        if self._left == self.writes - 1:
            self.refused = f"{event} {name}"
            raise OSError(self._number, os.strerror(self._number), name)


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


class Place:
    """A project without a daemon, built by the daemon's own code, with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "app"
        self.environ = {**os.environ, "LAMBDAD_CACHE_DIR": str(folder / "cache")}
        self.store = Path(cache_folder(self.environ))
        share_esbuild(self.store)
        write_tree(self.root, CRASH_APP)
        self.builds = self.next_builds()
        self.whole = Wholeness(os.path.realpath(self.root), self.environ)
        self.number = 0

    def next_builds(self) -> Builds:
        """As the next daemon would have them."""
        made = Builds(os.path.realpath(self.root), self.environ)
        made.vouch()
        return made

    def save(self) -> str:
        """Every function gets a new token."""
        self.number += 1
        token = f"token-{self.number:05}"
        for path, _entry, text in PLACES.values():
            (self.root / path).write_text(text.format(token))
        return token

    def build(self, want: str) -> Any:
        try:
            project = self.builds.project(prepare=True)
        except BundlerError as fault:  # which the daemon answers as a problem
            told = {"status": "failed", "diagnostics": [{"code": fault.code}]}
            return {"ok": False, "functions": [told]}
        outcomes = {}
        keys = [Key(function.name, Want(want)) for function in project.functions]
        self.builds.build(keys, lambda key, outcome: outcomes.update({key: outcome}))
        return document([outcomes[key] for key in keys], project.diagnostics)

    def rested(self, want: str) -> Any:
        """A build of what was saved before the clock's last tick: it is believed."""
        self.save()
        wait_for_tick(str(self.root))
        return self.build(want)

    def check(self, want: str, *names: str) -> bool:
        """Whether these are fresh, as for a request; all where none is named."""
        project = self.builds.project()
        keys = [Key(name, Want(want)) for name in names or [one.name for one in project.functions]]
        return all(self.builds.check(keys).values())

    def right(self, answer: Any, token: str) -> None:
        assert answer["ok"], answer
        for found in answer["functions"]:
            assert holds(self.root, found, token), found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.builds.close()


def forget_nothing(_place: Place) -> None:
    """Each function was built before, and is edited."""


def forget_project(place: Place) -> None:
    """Nothing was ever built here."""
    shutil.rmtree(place.root / FOLDER)


def forget_segments(place: Place) -> None:
    """The dependencies must be put together anew."""
    shutil.rmtree(place.store / "segments", ignore_errors=True)


@pytest.mark.parametrize("want", ["zip", "live"])
@pytest.mark.parametrize("forget", [forget_nothing, forget_project, forget_segments])
def test_a_fault_at_any_write(place: Place, disk: Disk, want: str, forget: Any) -> None:
    """Whatever is refused: it is told, all is whole, nothing stays, the next build is right."""
    folders = f"{os.path.realpath(place.root)}/{FOLDER}", str(place.store)
    place.save()
    assert place.build(want)["ok"]
    told = 0
    for nth in range(500):
        token = place.save()
        forget(place)
        with disk.refusing(nth, *folders):
            answer = place.build(want)
        if disk.refused is None:
            place.right(answer, token)
            break
        codes = {item["code"] for found in answer["functions"] for item in found["diagnostics"]}
        assert codes <= {"disk-full", "not-writable"}, (nth, disk.refused, answer)
        for found in answer["functions"]:
            assert found["status"] == "failed" or holds(place.root, found, token), disk.refused
        told += not answer["ok"]
        place.whole.check()
        assert temporaries(place.root / FOLDER) == [], disk.refused
        assert temporaries(place.store) == [], disk.refused
        place.right(place.build(want), token)
        place.whole.check()
    assert disk.refused is None
    assert nth >= 15
    assert told >= 5


@pytest.mark.parametrize("want", ["zip", "live"])
def test_a_fault_in_the_middle_of_a_file(place: Place, want: str) -> None:
    """The disk is full at any byte of any file: as above."""
    place.save()
    assert place.build(want)["ok"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    failed = 0
    for most in (*range(0, 200, 20), *range(200, 6000, 200)):
        token = place.save()
        forget_segments(place)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            answer = place.build(want)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        failed += not answer["ok"]
        for found in answer["functions"]:
            assert found["status"] == "failed" or holds(place.root, found, token), most
        place.whole.check()
        assert temporaries(place.root / FOLDER) == [], most
        place.right(place.build(want), token)
    assert failed >= 3


def test_a_manifest_that_a_kill_left_behind(place: Place) -> None:
    """Who hears of a zip finds it in the manifest, though nothing had to be built."""
    place.save()
    assert place.build("zip")["ok"]
    manifest = place.root / FOLDER / "build/manifest.json"
    old = manifest.read_bytes()
    answer = place.rested("zip")
    place.builds.close()
    place.builds = place.next_builds()
    manifest.write_bytes(old)
    assert place.check("zip")
    for found in answer["functions"]:
        assert noted(place.root, found["name"]) == found["artifact"]["sha256"]


def test_a_manifest_that_another_hand_removed(place: Place) -> None:
    """It comes back function by function, as each is asked for."""
    answer = place.rested("zip")
    (place.root / FOLDER / "build/manifest.json").unlink()
    for found in answer["functions"]:
        assert place.check("zip", found["name"])
        assert noted(place.root, found["name"]) == found["artifact"]["sha256"]


# --- what is left behind -----------------------------------------------------------------------


def test_what_a_killed_build_left_is_collected(place: Place) -> None:
    """Wherever something is written, an old temporary goes with the next build; a new one stays."""
    place.save()
    for want in ("zip", "live"):
        assert place.build(want)["ok"]
    folders = {path.parent for path in (place.root / FOLDER).rglob("*") if path.parent.is_dir()}
    digests = {path for path in folders if len(path.name) == 40}  # never written into
    kinds = {place.store, place.store / "segments", place.store / "locks"}
    for folder in (folders - digests) | kinds:
        for name in ("old", "new"):
            (folder / f".tmp-1-{name}").write_bytes(b"torn")
    make_old([path for path in temporaries(place.root) if path.name.endswith("old")])
    make_old([path for path in temporaries(place.store) if path.name.endswith("old")])
    again = place.next_builds()
    place.builds.close()
    place.builds = again
    forget_segments(place)
    place.save()
    for want in ("zip", "live"):
        assert place.build(want)["ok"]
    with Store(place.store).workspace():  # what was needed of these is there already
        Store(place.store).put("locks", "another", b"")
    left = temporaries(place.root / FOLDER) + temporaries(place.store)
    assert [path for path in left if path.name.endswith("old")] == []
    assert len(left) >= 6


# --- kills -------------------------------------------------------------------------------------


def crash(tmp_path: Path, rounds: int, seed: int) -> dict[str, int]:
    with served(tmp_path, CRASH_APP) as app:
        crashes = Crashes(app, seed)
        crashes.run(rounds)
        return crashes.counts


def test_forty_kills(tmp_path: Path) -> None:
    """Of the daemon, a client or esbuild, at any moment of a build: nothing torn, nothing stale."""
    assert sum(crash(tmp_path, 40, seed=1).values()) == 40


@pytest.mark.torture
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("seed", range(4))
def test_two_thousand_kills(tmp_path: Path, seed: int) -> None:
    """The same, 2,000 of them."""
    crash(tmp_path, 500, seed)


# --- nobody is left ----------------------------------------------------------------------------


MOST_THREADS = 20
"""The loop, a pool of 8, the watcher's 2, esbuild's 2, and room for those of one build."""


def held(pid: int) -> tuple[int, int, int]:
    """Descriptors, inotify instances and threads of a process, sockets of clients left out."""
    folder = Path("/proc", str(pid))
    found = []
    for entry in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(entry))
    kept = [name for name in found if not name.startswith("socket:")]
    return len(kept), found.count("anon_inode:inotify"), len(list((folder / "task").iterdir()))


def held_at_rest(pid: int, most: int) -> tuple[int, int, int]:
    """What `held` returns once a process has at most that many descriptors open, or after 10 s.

    Work in the background (an early build, the sweep of the live trees) opens files for a moment.
    What leaks stays above the bound.
    """
    for _ in range(100):
        now = held(pid)
        if now[0] <= most or ends(pid, 0.1):
            break
    return now


def zombies(tmp_path: Path, rounds: int) -> None:
    with served(tmp_path, APP, start=False) as app:
        most: tuple[int, int, int] | None = None
        ours = len(os.listdir("/proc/self/fd"))
        command = [
            sys.executable,
            "-c",
            "from lambdad.daemon.entry import main; main()",
            "fresh",
            "--json",
        ]
        for number in range(rounds):
            app.lay({"web/word.ts": f"export const word = 'token-{number}';\n"})
            clients = [
                subprocess.Popen(
                    command, cwd=app.root, env=app.site.environ, stdout=subprocess.PIPE, text=True
                )
                for _ in range(8)
            ]
            for client in clients:
                said = json.loads(client.communicate(timeout=60)[0])
                assert said["ok"], (number, said)
                entry = said["functions"][-1]["live"]["entry"]
                assert f"token-{number}" in (app.root / entry).read_text()
            (pid,) = processes(app.site.root)
            assert pid == app.site.pid
            status = app.call("GET", "/v1/status").json
            assert (status["pid"], status["waiting"]) == (pid, 0)
            children = [child.pid for child in process.children(pid)]
            assert len(children) == 1, "one esbuild"
            now = held_at_rest(pid, most[0]) if most else held(pid)
            # Eight workers at most, which come as they are needed: what a daemon holds is bounded
            # by what the first ones held, and the same watcher is there each time.
            assert now[1] == 1
            most = most or (now[0] + 4, 1, now[2] + 12)
            assert all(one <= limit for one, limit in zip(now, most, strict=True)), (now, most)
            os.kill(pid, signal.SIGKILL)
            assert ends(pid, 2)
            assert all(ends(child, 2) for child in children), "an esbuild outlives its daemon"
            assert not processes(app.site.root)
            assert len(os.listdir("/proc/self/fd")) <= ours


def test_eight_clients_and_a_kill(tmp_path: Path) -> None:
    """Over and over: one daemon for all of them, each answer new, and nothing left of either."""
    zombies(tmp_path, 6)


@pytest.mark.torture
@pytest.mark.timeout(4 * 3600)
def test_five_hundred_times_eight_clients(tmp_path: Path) -> None:
    """The same, 500 times."""
    zombies(tmp_path, 500)


def test_a_daemon_that_lives_stays_as_it_is(tmp_path: Path) -> None:
    """After hundreds of edits and requests it holds no more than after a few."""
    with served(tmp_path) as app:
        seen: list[tuple[tuple[int, int, int], int]] = []
        for number in range(300):
            app.lay({"web/word.ts": f"export const word = 'token-{number:03}';\n"})
            want = ("live", "zip")[number % 2]
            assert app.fresh(want=want)["ok"]
            if number % 100 == 99:
                pid = app.site.pid
                now = held_at_rest(pid, seen[0][0][0] + 4) if seen else held(pid)
                seen.append((now, len(process.children(pid))))
        # Threads start as the pool meets its busiest ones.
        assert all(held[0] <= seen[0][0][0] + 4 for held, _ in seen), seen
        assert all(held[1] == 1 and held[2] <= MOST_THREADS for held, _ in seen), seen
        assert seen[-1][1] == 1
