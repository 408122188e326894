from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask

from lambdad.daemon.watching import inotify, watches
from lambdad.daemon.watching import watcher as watching_module
from lambdad.daemon.watching.source import is_covered
from lambdad.daemon.watching.watcher import Changes, Teller, Watcher
from tests.support.watching import BOUND_S, Told, full, linux, settle

# --- limits and faults --------------------------------------------------------------------------


@pytest.fixture
def short_queue() -> Iterator[Callable[[], None]]:
    """Until the function is called, a new instance drops what exceeds 16 events."""
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    before = limit.read_text()

    def restore() -> None:
        limit.write_text(before)

    try:
        limit.write_text("16")
    except OSError:
        pytest.skip("may not set the kernel's limits")
    yield restore
    restore()


@linux
def test_a_real_overflow_makes_everything_suspect_and_mends_itself(
    top: Path, told: Told, short_queue: Callable[[], None]
) -> None:
    """After it every folder there is has a watch, also those whose creation was dropped."""
    for number in range(200):
        (top / "src" / f"old{number}").mkdir()
    began_s = time.time()
    watcher = Watcher([str(top)], told)
    watcher.start()
    short_queue()
    source = watcher._source
    assert isinstance(source, inotify.Inotify)
    try:
        with source._lock:  # the reader stalls, and the kernel's queue fills
            for number in range(300):
                (top / "src" / f"new{number}/inner").mkdir(parents=True)
                if number < 200:
                    (top / "src" / f"old{number}").rmdir()
        told.wait_for_loss("dropped")
        told.wait(lambda: watcher.health().watching == 602, "each folder's watch")
        for number in range(300):
            told.forget()
            (top / "src" / f"new{number}/inner/a.ts").write_text("1")
            told.wait_for(top / "src" / f"new{number}/inner/a.ts")
        assert began_s <= (watcher.health().last_overflow or 0) <= time.time()
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
@pytest.mark.parametrize("lost", ["created", "deleted", "moved", "remade"])
def test_an_overflow_leaves_exactly_the_right_watches(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Whatever happened to folders while nothing was heard."""
    (top / "src/a/b").mkdir(parents=True)
    deaf = threading.Event()
    handle = watches._Reader.handle_event

    def handle_unless_deaf(reader: watches._Reader, event: InotifyEvent) -> None:
        if not deaf.is_set():
            handle(reader, event)
        elif event.name == b"overflow":  # in the kernel's place, once it is heard again
            deaf.clear()
            handle(reader, InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b""))  # type: ignore[arg-type]

    monkeypatch.setattr(watches._Reader, "handle_event", handle_unless_deaf)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        deaf.set()
        if lost == "created":
            (top / "src/x/y").mkdir(parents=True)
        elif lost == "deleted":
            shutil.rmtree(top / "src/a")
        elif lost == "moved":
            (top / "src/a").rename(top / "src/z")
        else:
            shutil.rmtree(top / "src")
            (top / "src/a/b").mkdir(parents=True)
        (top / "overflow").touch()
        told.wait_for_loss("dropped")
        settle(told, top)
        folders = [Path(folder) for folder, _, _ in os.walk(top)]
        for folder in folders:
            (folder / "saved.ts").write_text("1")
        told.wait_for(*(folder / "saved.ts" for folder in folders))
        assert watcher.health().watching == len(folders)
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
def test_an_overflow_of_many_folders_makes_no_other(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watches are renewed in place: no event comes of it (watchdog's own way queues one each)."""
    for number in range(500):
        (top / "src" / f"f{number}").mkdir()
    events: list[InotifyEvent] = []
    handle = watches._Reader.handle_event

    def handle_and_count(reader: watches._Reader, event: InotifyEvent) -> None:
        events.append(event)
        handle(reader, event)

    monkeypatch.setattr(watches._Reader, "handle_event", handle_and_count)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        source = watcher._source
        assert isinstance(source, inotify.Inotify)
        source._overflowed()
        told.wait_for_loss("dropped")
        settle(told, top)
        assert len(events) < 20
        assert watcher.health().watching == 502
    finally:
        watcher.stop()


@linux
def test_the_watch_limit_is_told_and_mended(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC for some folders: health counts them, all is suspect once, and a mend finds room."""
    for number in range(10):
        (top / "src" / f"f{number}/inner").mkdir(parents=True)
    allowed = 5
    add = InotifyFD._get_or_create_watch

    def add_some(reader: InotifyFD, path: bytes, mask: Mask) -> object:
        if path.startswith(os.fsencode(top)) and len(reader._watch_for_wd) >= allowed + 6:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return add(reader, path, mask)

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", add_some)
    monkeypatch.setattr(inotify, "above", lambda path: iter([path]))  # no watches above
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        told.wait_for_loss("limit reached")
        health = watcher.health()
        assert health.alive
        assert (health.watching, health.expected) == (11, 22)
        assert len(health.missing) == 11
        assert "limit reached" in health.missing[0]
        told.forget()
        watcher.mend()
        assert watcher.health().watching == 11
        assert told.reasons == []  # not again at each try
        allowed = 1000
        watcher.mend()
        assert full(watcher.health())
        (top / "src/f9/inner/a.ts").write_text("1")
        (top / "src/f0/inner/a.ts").write_text("1")
        told.wait_for(top / "src/f9/inner/a.ts", top / "src/f0/inner/a.ts")
    finally:
        watcher.stop()


LIMITED = """
import json, os, sys
from pathlib import Path
from lambdad.daemon.watching.watcher import Watcher
top, name = sys.argv[1:]
limit = Path("/proc/sys/user", name)
before = limit.read_text()
limit.write_text("40" if name.endswith("watches") else "0")
reasons = []
watcher = Watcher([top], lambda changes: reasons.append(changes.reason))
seen = []
for _ in range(2):
    watcher.start() if not seen else watcher.mend()
    health = watcher.health()
    seen.append([health.alive, health.watching, health.expected, list(health.missing)])
limit.write_text(before)
watcher.mend()
health = watcher.health()
seen.append([health.alive, health.watching, health.expected, list(health.missing)])
watcher.stop()
print(json.dumps(seen))
"""


def limited(top: Path, name: str) -> list[tuple[bool, int, int, list[str]]]:
    """Health at the kernel's limit, after a mend, and after the limit was raised again.

    In a user namespace of its own, so that nobody else on this machine meets the limit.
    """
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", LIMITED]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare command")
    done = subprocess.run([*command, str(top), name], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "PermissionError" in done.stderr:
        pytest.skip(f"no user namespace: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return [(alive, one, two, missing) for alive, one, two, missing in json.loads(done.stdout)]


@linux
def test_the_kernels_own_watch_limit_is_survived(top: Path) -> None:
    """Some folders are watched, the rest counted, and all of them once the limit is raised."""
    for number in range(100):
        (top / "src" / f"f{number}").mkdir()
    at_limit, mended, raised = limited(top, "max_inotify_watches")
    assert at_limit == mended
    alive, watching, expected, missing = at_limit
    assert alive
    assert 20 < watching <= 40
    assert expected == 102
    assert "limit reached" in missing[0]
    assert raised == (True, 102, 102, [])


@linux
def test_the_kernels_own_instance_limit_is_survived(top: Path) -> None:
    """Nothing is watched and health says why; a mend starts once there is room."""
    at_limit, mended, raised = limited(top, "max_inotify_instances")
    assert at_limit == mended == (False, 0, 1, [f"{top}: inotify instance limit reached"])
    assert raised == (True, 2, 2, [])


@linux
def test_a_refused_instance_is_told_once(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not again at each try."""

    def refuse(_cls: type[InotifyFD]) -> int:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    watcher = Watcher([str(top)], told)
    with monkeypatch.context() as patch:
        patch.setattr(InotifyFD, "_create_inotify_fd", classmethod(refuse))
        watcher.start()
        told.wait_for_loss("nothing is watched: inotify instance limit reached")
        told.forget()
        watcher.mend()
        assert not watcher.health().alive
    watcher.mend()
    try:
        (top / "src/a.ts").write_text("1")
        told.wait_for(top / "src/a.ts")
        assert told.reasons == ["the watcher was started at last"]
    finally:
        watcher.stop()


@linux
@pytest.mark.parametrize("nth", range(12))
def test_any_refused_watch_is_counted(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Sweep: whichever call of the kernel fails, the folder is named and the others watched."""
    for number in range(4):
        (top / "src" / f"f{number}").mkdir()
    calls = itertools.count()
    refused: list[bytes] = []
    add = InotifyFD._get_or_create_watch

    def refuse_nth(reader: InotifyFD, path: bytes, mask: Mask) -> object:
        if next(calls) == nth:
            refused.append(path)
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return add(reader, path, mask)

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", refuse_nth)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        health = watcher.health()
        assert health.alive
        assert health.expected == 6
        inside = [path for path in refused if path.startswith(os.fsencode(top))]
        assert health.watching == 6 - len(inside)
        assert [m.split(": ")[0] for m in health.missing] == [os.fsdecode(p) for p in inside]
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()


@linux
def test_a_folder_that_may_not_be_read_is_counted(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """watchdog answers EACCES with a watch that is none; it is not counted as one."""
    (top / "src/closed").mkdir()
    add = InotifyFD.add_callback

    def deny(reader: InotifyFD, path: bytes, *rest: object) -> object:
        answer = add(reader, path, *rest)  # type: ignore[arg-type]
        if path.endswith(b"/closed"):
            reader.remove_callbacks([(answer, rest[-1])])  # type: ignore[list-item]
            return -1
        return answer

    monkeypatch.setattr(InotifyFD, "add_callback", deny)
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        assert watcher.health().missing == (f"{top}/src/closed: permission denied",)
        assert (watcher.health().watching, watcher.health().expected) == (2, 3)
    finally:
        watcher.stop()


@linux
def test_a_reader_that_dies_is_told_and_replaced(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is suspect, health says so, and the next mend listens again."""
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        with monkeypatch.context() as patch:

            def fail(*_: object, **__: object) -> None:
                raise RuntimeError("a fault of ours")

            patch.setattr(inotify.Inotify, "_tell", fail)
            (top / "src/a.ts").write_text("1")
            told.wait_for_loss("died: a fault of ours")
        assert not watcher.health().alive
        assert watcher.health().watching == 0
        assert "a fault of ours" in watcher.health().missing[0]
        watcher.mend()
        told.wait_for_loss("again")
        assert full(watcher.health())
        (top / "src/b.ts").write_text("1")
        told.wait_for(top / "src/b.ts")
    finally:
        watcher.stop()


@linux
def test_a_dead_reader_that_gets_no_instance_stays_told(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mend that fails says why, and the one after it still tries."""
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        source = watcher._source
        assert isinstance(source, inotify.Inotify)
        source._died("the watcher died: test")
        with monkeypatch.context() as patch:

            def refuse(_cls: type[InotifyFD]) -> int:
                raise OSError(errno.EMFILE, "inotify instance limit reached")

            patch.setattr(InotifyFD, "_create_inotify_fd", classmethod(refuse))
            watcher.mend()
            assert watcher.health().missing == (f"{top}: inotify instance limit reached",)
            assert (watcher.health().watching, watcher.health().expected) == (0, 1)
        watcher.mend()
        assert full(watcher.health())
    finally:
        watcher.stop()


def test_a_system_without_a_watcher_is_told(
    top: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails; health says that nothing is watched."""
    monkeypatch.setattr(watching_module, "SOURCES", {})
    watcher = Watcher([str(top)], told)
    watcher.start()
    told.wait_for_loss("nothing is watched")
    assert not watcher.health().alive
    watcher.set_roots([str(top / "src")])
    watcher.mend()
    watcher.stop()
    assert watcher.health().missing == (f"{top}/src: stopped",)


# --- all at once --------------------------------------------------------------------------------


def _churn(top: Path, seed: int, turns: int) -> None:
    """Random edits of a small tree, so that they meet; those that can't be done are passed over."""
    choose = random.Random(seed)
    names = ["a", "b", "c", "node_modules", "pyvenv.cfg"]
    weights = [6, 6, 6, 1, 0]

    def some_path() -> Path:
        return top.joinpath(*choose.choices(names, weights, k=choose.randint(1, 4)))

    for _ in range(turns):
        one, other = some_path(), some_path()
        with contextlib.suppress(OSError, shutil.Error):
            match choose.randrange(8):
                case 0 | 1 | 2:
                    one.mkdir(parents=True)
                case 3:
                    one.rename(other)
                case 4:
                    shutil.rmtree(one)
                case 5:
                    one.symlink_to(other)
                case 6:
                    one.unlink()
                case _:
                    one.write_text("1")


def _poke(told: Told, top: Path) -> bool:
    """Whether a save in it was told by now; saves once more."""
    (top / f"poke{time.monotonic_ns()}").touch()
    return any(path.startswith(f"{top}/poke") for path in told.paths)


def _is_entered(top: Path, folder: Path) -> bool:
    return "node_modules" not in folder.relative_to(top).parts


@linux
@pytest.mark.parametrize("seed", range(12))
def test_after_any_churn_exactly_the_folders_there_are_are_watched(
    top: Path, told: Told, seed: int
) -> None:
    """Two writers make, move, link and delete at random: no folder is lost, none is left over.

    Now and then the root itself goes.
    """
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        for turn in range(5):
            writers = [
                threading.Thread(target=_churn, args=(top, seed * 1000 + turn * 10 + which, 150))
                for which in range(2)
            ]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            if (seed + turn) % 5 == 0:
                top.rename(top.with_name(f"away{turn}"))
                top.mkdir()
                told.wait(lambda: _poke(told, top), "a save in the new root")
            settle(told, top)
            folders = [
                folder
                for folder in (Path(path) for path, _, _ in os.walk(top))
                if _is_entered(top, folder)
            ]
            for folder in folders:
                (folder / "saved").write_text("1")
            told.wait_for(*(folder / "saved" for folder in folders))
            assert watcher.health().watching == len(folders)
            assert full(watcher.health())
    finally:
        watcher.stop()


@linux
def test_a_link_that_goes_while_it_is_looked_at_ends_nothing(
    top: Path, told: Told, watching: Watcher
) -> None:
    """An atomic replacement of a symlink is just that."""
    for number in range(300):
        (top / "src/next").symlink_to(f"target{number}")
        os.replace(top / "src/next", top / "src/now")
    settle(told, top)
    assert full(watching.health())
    assert told.reasons == []


# --- threads and descriptors --------------------------------------------------------------------


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@linux
def test_200_starts_and_stops_leave_nothing(top: Path, told: Told) -> None:
    """No descriptor, inotify instance or thread is left over."""
    watcher = Watcher([str(top)], told)
    watcher.start()
    watcher.stop()
    gc.collect()
    before = _descriptors(), threading.active_count()
    for turn in range(200):
        watcher.start()
        (top / "src/a.ts").write_text(str(turn))
        watcher.stop()
    assert (_descriptors(), threading.active_count()) == before


@linux
def test_children_do_not_inherit_the_instance(top: Path, told: Told, watching: Watcher) -> None:
    """An esbuild that outlives us must not keep it against the user's limit."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            is_inotify = "inotify" in os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if is_inotify:
            found += 1
            assert not os.get_inheritable(int(name))
    assert found


@linux
def test_start_and_stop_may_be_called_twice(top: Path, told: Told) -> None:
    """The second call does nothing, and a stopped watcher may be asked and told anything."""
    watcher = Watcher([str(top)], told)
    watcher.mend()
    watcher.start()
    watcher.start()
    assert full(watcher.health())
    watcher.stop()
    watcher.stop()
    watcher.mend()
    watcher.set_roots([])
    assert watcher.health().expected == 0


@linux
def test_nobody_is_told_after_stop(top: Path) -> None:
    """stop returns only once notify can't be called any more, in the midst of a burst too."""
    calls = 0

    def notify(_changes: Changes) -> None:
        nonlocal calls
        calls += 1

    for _ in range(20):
        watcher = Watcher([str(top)], notify)
        watcher.start()
        for number in range(50):
            (top / "src" / f"{number}.ts").write_text("1")
        watcher.stop()
        after = calls
        for number in range(50):
            (top / "src" / f"{number}.ts").write_text("2")
        assert calls == after


@linux
def test_an_idle_watcher_uses_no_processor(top: Path) -> None:
    """Its threads wait without a time-out: the kernel runs neither while nothing happens."""
    for number in range(500):
        (top / "src" / f"f{number}").mkdir()
    told = Told()
    watcher = Watcher([str(top)], told)
    watcher.start()
    try:
        settle(told, top)
        threads = [t for t in threading.enumerate() if t.name.startswith("watch-")]
        assert len(threads) == 2
        # On a busy machine the last of the marker may still be on its way; a thread that polls
        # wakes far more often, in every half second.
        assert any(_switches_while_idle(threads) <= 4 for _ in range(10))
    finally:
        watcher.stop()


def _switches_while_idle(threads: list[threading.Thread]) -> int:
    before = sum(_switches(thread) for thread in threads)
    threading.Event().wait(0.5)  # what is measured is that nothing happens
    return sum(_switches(thread) for thread in threads) - before


def _switches(thread: threading.Thread) -> int:
    """How often the kernel has run the thread."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


# --- the teller ---------------------------------------------------------------------------------


def test_a_slow_listener_loses_nothing() -> None:
    """What is heard while notify runs is gathered and told in one piece."""
    told = Told()
    entered, release = threading.Event(), threading.Event()

    def notify(changes: Changes) -> None:
        entered.set()
        assert release.wait(BOUND_S)
        told(changes)

    teller = Teller(notify)
    teller.start()
    teller.changed("/first")
    assert entered.wait(BOUND_S)
    for number in range(5000):
        teller.changed(f"/{number}")
    release.set()
    told.wait_for("/first", *(f"/{number}" for number in range(5000)))
    assert len(told.all) == 2
    teller.stop()


def test_a_listener_that_fails_is_owed_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Its fault ends no thread, and the next telling says that one was lost."""
    told = Told()
    failed = threading.Event()

    def notify(changes: Changes) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("loop is closed")
        told(changes)

    teller = Teller(notify)
    teller.start()
    teller.changed("/one")
    assert failed.wait(BOUND_S)
    teller.changed("/two")
    told.wait_for_loss("could not be reported")
    teller.stop()
    assert "reporting changes failed" in caplog.text


def test_more_changes_than_worth_naming_are_everything() -> None:
    """Memory stays bounded while nobody takes them."""
    told = Told()
    teller = Teller(told)
    for number in range(watching_module.MOST_PATHS + 10):
        teller.changed(f"/{number}", half_written=True)
    assert len(teller._paths) < 20
    teller.start()
    told.wait_for_loss("too many")
    teller.stop()


def test_a_half_written_file_waits_for_its_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told at once when it is closed; told anyway when it is not, a few milliseconds later."""
    told = Told()
    arrived = threading.Event()

    def notify(changes: Changes) -> None:
        arrived.set()
        told(changes)

    teller = Teller(notify)
    teller.start()
    started = time.monotonic()
    teller.changed("/open", half_written=True)
    assert arrived.wait(BOUND_S)
    assert time.monotonic() - started >= watching_module.HOLD_S
    told.forget()
    monkeypatch.setattr(watching_module, "HOLD_S", 10 * BOUND_S)
    wait_s = teller._wait_s
    holding = threading.Event()

    def wait_and_say_s() -> float | None:
        if (left_s := wait_s()) is not None and left_s > BOUND_S:
            holding.set()
        return left_s

    monkeypatch.setattr(teller, "_wait_s", wait_and_say_s)
    teller.changed("/a", half_written=True)
    assert holding.wait(BOUND_S)
    teller.changed("/b", half_written=True)
    teller.changed("/b")
    teller.changed("/a")
    told.wait_for("/a", "/b")
    assert len(told.all) == 1
    teller.stop()


def test_stop_may_be_called_from_notify() -> None:
    """A listener that leaves on what it hears waits for nobody."""
    done = threading.Event()

    def notify(_changes: Changes) -> None:
        teller.stop()
        done.set()

    teller = Teller(notify)
    teller.start()
    teller.changed("/a")
    assert done.wait(BOUND_S)
    teller.join(BOUND_S)
    assert not teller.is_alive()


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/p", True),
        ("/p/src/a", True),
        ("/p/node_modules/x", False),
        ("/p/src/node_modules", False),
        ("/p/cdk.out/asset", True),
        ("/pp", False),
        ("/", False),
    ],
)
def test_what_roots_cover(path: str, covered: bool) -> None:
    """All below them but the unwatched names, unless one of those is a root."""
    assert is_covered(path, frozenset({"/p", "/p/cdk.out"})) is covered
