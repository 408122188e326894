"""The daemon's life: one per project, gone when there is no reason for it, and no trace left."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambdad.bundler import version
from lambdad.daemon.client import asking
from lambdad.daemon.life import control, lifecycle, lock, process
from lambdad.daemon.wire import exchange
from lambdad.daemon.wire.address import (
    LONGEST,
    NoDaemon,
    address,
    identity,
    prepare,
    read_note,
    unsafe,
)
from tests.support import daemons
from tests.support.daemons import Site, ends, lives, processes

START = (
    "import os, sys; from lambdad.daemon.life import control; "
    "control.MODULE = 'tests.support.fake_daemon'\n"
    + ("print(control.start(sys.argv[1], os.environ))")
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(control, "MODULE", "tests.support.fake_daemon")
    with daemons.site(tmp_path / "app") as place:
        yield place


def ask(site: Site) -> int:
    """The pid of whoever answers."""
    status, answer = exchange.ask(site.where.socket, "GET", "/v1/status", timeout_s=20)
    assert status == 200
    return int(answer["pid"])


def traces(site: Site) -> set[str]:
    """What lies in the folder of sockets, less the log."""
    folder = Path(site.where.folder)
    return {entry.name for entry in folder.iterdir() if ".log" not in entry.name}


# --- where it is found -------------------------------------------------------------------------


def test_address_is_the_folders(tmp_path: Path) -> None:
    """However the project's path is written, its daemon is the same; another folder has another."""
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    one = address(f"{tmp_path}/one", environ).socket
    assert one == address(f"{tmp_path}/link/../one/.", environ).socket
    assert one != address(f"{tmp_path}/two", environ).socket


def test_address_in_the_runtime_folder_else_the_cache(tmp_path: Path) -> None:
    """XDG_RUNTIME_DIR if it is there, absolute and ours; else the cache, never a relative path."""
    cache = {"XDG_CACHE_HOME": "/c", "HOME": "/h"}
    assert address("/p", {"XDG_RUNTIME_DIR": "/", "HOME": "/h"}).folder == (
        "/lambdad" if os.getuid() == 0 else "/h/.cache/lambdad/run"
    )
    assert address("/p", {"XDG_RUNTIME_DIR": str(tmp_path / "no"), **cache}).folder == (
        "/c/lambdad/run"
    )
    assert address("/p", {"XDG_RUNTIME_DIR": "here", **cache}).folder == "/c/lambdad/run"
    assert address("/p", {"HOME": "/h"}).folder == "/h/.cache/lambdad/run"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give folders away")
def test_sudo_does_not_squat(tmp_path: Path) -> None:
    """Root with a user's XDG_RUNTIME_DIR leaves it alone: that user could not enter root's."""
    os.chown(tmp_path, 65534, 65534)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CACHE_HOME": "/c"}
    assert address("/p", environ).folder == "/c/lambdad/run"


@pytest.mark.parametrize("length", [1, 60, 85, 90, 200])
def test_socket_paths_fit(tmp_path: Path, length: int) -> None:
    """Where the folder's path is too long for a socket, /tmp has one for each user."""
    where = address(str(tmp_path), {"XDG_CACHE_HOME": "/" + "c" * length})
    assert len(os.fsencode(where.socket)) <= LONGEST
    assert where.folder.startswith("/c" if length <= 60 else f"/tmp/lambdad-{os.getuid()}")


@pytest.mark.parametrize("fault", ["loose", "foreign", "file", "link", "unwritable"])
def test_unsafe_folders_are_refused(tmp_path: Path, site: Site, fault: str) -> None:
    """Nothing is written to, nor read from, a folder that others could have put a socket in."""
    folder = Path(site.where.folder)
    if fault == "loose":
        folder.mkdir(mode=0o700)
        folder.chmod(0o750)
    elif fault == "foreign":
        if os.getuid() != 0:
            pytest.skip("only root can give folders away")
        folder.mkdir(mode=0o700)
        os.chown(folder, 65534, 65534)
    elif fault == "file":
        folder.touch(mode=0o600)
    elif fault == "link":
        if os.getuid() != 0:
            pytest.skip("only root can give links away")
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
        os.chown(folder, 65534, 65534, follow_symlinks=False)
    elif fault == "unwritable":
        folder.symlink_to("/proc/no-such-folder")
    for attempt in (
        lambda: prepare(site.where),
        lambda: control.start(site.root, site.environ),
        lambda: asking.request(site.root, "GET", "/v1/status", environ=site.environ),
        lambda: asking.request(site.root, "GET", "/v1/status", environ=site.environ, start=False),
    ):
        with pytest.raises(NoDaemon):
            attempt()


def test_the_users_own_link_may_lead_to_the_folder(tmp_path: Path, site: Site) -> None:
    """What another user can't have put there is the user's own choice."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    Path(site.where.folder).symlink_to(tmp_path / "elsewhere")
    prepare(site.where)
    assert not processes(site.root)


# --- one of many -------------------------------------------------------------------------------


def start_many(site: Site, count: int) -> list[str]:
    """What each of so many processes printed that start a daemon at once."""
    command = [sys.executable, "-c", START, site.root]
    starters = [
        subprocess.Popen(command, env=site.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [starter.communicate(timeout=60)[0].strip() for starter in starters]


def test_of_eight_starters_one_wins(site: Site) -> None:
    """Exactly one daemon is started, the others find it, and no starter's trace stays."""
    assert sorted(start_many(site, 8)) == ["False"] * 7 + ["True"]
    assert processes(site.root) == [site.pid] == [ask(site)]
    assert traces(site) == {Path(site.where.socket).name, Path(site.where.lock).name}


def test_eight_daemons_without_a_starter(site: Site) -> None:
    """Even those run by hand, past the lock for starting, leave one alive."""
    prepare(site.where)
    command = [sys.executable, "-P", "-m", "tests.support.fake_daemon", control.SPAWNED, site.root]
    runs = [
        subprocess.Popen(
            command, env=site.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for _ in range(8)
    ]
    said = sorted(run.communicate(timeout=60)[0].strip() for run in runs)
    assert said == ["another daemon serves this project"] * 7 + ["ready"]
    assert all(ends(pid) for pid in processes(site.root) if pid != ask(site))
    assert processes(site.root) == [site.pid]


def test_start_after_kill(site: Site) -> None:
    """What a killed daemon leaves behind does not keep the next one from starting."""
    first = site.started()
    os.kill(first, signal.SIGKILL)
    assert ends(first)
    assert traces(site) == {Path(site.where.socket).name, Path(site.where.lock).name}
    second = site.started()
    assert second != first
    assert ask(site) == second


@pytest.mark.parametrize("left", ["socket", "new", "lock", "start", "all"])
def test_stale_files_mean_nothing(site: Site, left: str) -> None:
    """A socket that nobody listens on, locks that nobody holds: a daemon starts over them."""
    prepare(site.where)
    with subprocess.Popen(["sleep", "600"]) as innocent:
        for name, path in (
            ("socket", site.where.socket),
            ("new", f"{site.where.socket[:-5]}.new"),
        ):
            if left in {name, "all"}:
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(path)
        for name, path in (("lock", site.where.lock), ("start", site.where.start_lock)):
            if left in {name, "all"}:
                note = {"pid": innocent.pid, "birth": "1", "identity": identity(site.environ)}
                Path(path).write_text(json.dumps(note))
        assert not control.stop(site.root, site.environ)
        assert site.started() == ask(site)
        assert control.stop(site.root, site.environ)
        assert not traces(site)
        assert innocent.poll() is None
        innocent.kill()


def test_only_whom_the_lock_vouches_for_is_signalled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held, and its note is of a process that is gone: who has the number now lives."""
    monkeypatch.setattr(control, "STOP_S", 0.1)
    prepare(site.where)
    held = lock.take(site.where.lock, 0)
    assert held is not None
    with subprocess.Popen(["sleep", "600"]) as innocent:
        for birth in ("1", None, 7):
            lock.write_note(held, {"pid": innocent.pid, "birth": birth})
            with pytest.raises(NoDaemon, match="does not end"):
                control.stop(site.root, site.environ)
            assert not lock.end_holder(site.where, signal.SIGKILL)
        lock.write_note(held, {"pid": innocent.pid, "birth": process.birth(innocent.pid)})
        assert lock.end_holder(site.where, signal.SIGKILL)
        assert innocent.wait(10) == -signal.SIGKILL
    lock.release(site.where.lock, held)
    assert not lock.end_holder(site.where, signal.SIGKILL)


def test_a_torn_note_is_no_note(site: Site) -> None:
    """Cut anywhere, what the holder wrote of itself is unknown, never wrong."""
    prepare(site.where)
    whole = json.dumps({"pid": 1234, "birth": "5", "identity": "x"}).encode()
    for cut in range(len(whole)):
        Path(site.where.lock).write_bytes(whole[:cut])
        assert read_note(site.where) is None
    for odd in (b"\xff\xfe", b"[1]", b"1234", b"null", b"{}" * 40_000):
        Path(site.where.lock).write_bytes(odd)
        assert read_note(site.where) is None
    held = lock.take(site.where.lock, 0)
    assert held is not None
    for note in ({"pid": 1234, "birth": "50"}, {"pid": 1}):
        lock.write_note(held, note)
        assert read_note(site.where) == note
    lock.release(site.where.lock, held)


def test_a_lock_is_the_file_that_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that its holder removes between our open and our lock is worth nothing."""
    path = str(tmp_path / "lock")
    first = lock.take(path, 0)
    assert first is not None
    assert lock.take(path, 0) is None
    assert lock.is_held(path)
    flock, meanwhile = fcntl.flock, [lambda: lock.release(path, first)]

    def late(descriptor: int, how: int) -> None:
        while meanwhile:
            meanwhile.pop()()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    taken = lock.take(path, 0)
    assert taken is not None
    assert lock.is_named(path, taken)
    lock.release(path, taken)
    assert not os.path.exists(path)
    assert not lock.is_held(path)


def test_a_lock_that_lost_its_name_takes_no_others(tmp_path: Path) -> None:
    """Whoever removes a held lock's file gets one of their own, which the old one's end keeps."""
    path = str(tmp_path / "lock")
    first = lock.take(path, 0)
    os.unlink(path)
    second = lock.take(path, 0)
    assert first is not None
    assert second is not None
    lock.release(path, first)
    assert lock.is_named(path, second)
    assert lock.is_held(path)
    lock.release(path, second)


def test_locks_exclude_while_their_files_come_and_go(tmp_path: Path) -> None:
    """Of eight threads that take and remove it over and over, one at a time is inside."""
    path = str(tmp_path / "lock")
    inside = threading.Lock()

    def worker(_number: int) -> None:
        for _ in range(100):
            held = lock.take(path, 60)
            assert held is not None
            assert inside.acquire(blocking=False)
            inside.release()
            lock.release(path, held)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(worker, range(8)))


# --- replacing ---------------------------------------------------------------------------------


def test_another_configuration_replaces(site: Site) -> None:
    """A daemon that would take packages from elsewhere leaves before one like ours starts."""
    first = site.started()
    assert site.started() == first
    second = site.started(PIP_INDEX_URL="file:///nowhere")
    assert second != first
    assert ends(first, 0)
    assert processes(site.root) == [second]
    assert site.started(PIP_INDEX_URL="file:///nowhere", PATH="/bin", EDITOR="x") == second


def test_another_version_replaces(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older lambdad's daemon is not asked: the client's own takes its place."""
    first = site.started()
    held = Path(site.where.lock)
    note = json.loads(held.read_text())
    held.write_text(json.dumps({**note, "identity": "of-another", "version": "0.0.9"}))
    _status, answer = asking.request(site.root, "GET", "/v1/status", environ=site.environ)
    assert answer["pid"] != first
    assert ends(first, 0)
    before = identity(site.environ)
    monkeypatch.setattr("lambdad.daemon.wire.address.LAMBDAD", "0.0.9")
    assert identity(site.environ) != before
    assert version.LAMBDAD != "0.0.9"


def test_a_daemon_that_does_not_answer_is_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock and its socket takes connections; that is not enough."""
    monkeypatch.setattr(exchange, "ALIVE_S", 0.2)
    monkeypatch.setattr(control, "STOP_S", 0.2)
    first = site.started(FAKE="deaf")
    assert site.started() != first
    assert ends(first)


# --- leaving -----------------------------------------------------------------------------------


def replace_folder(site: Site) -> None:
    os.rename(site.root, f"{site.root}.old")
    os.mkdir(site.root)


def replace_lock(site: Site) -> None:
    os.unlink(site.where.lock)
    Path(site.where.lock).touch()


REASONS: Mapping[str, Callable[[Site], object]] = {
    "project moved": lambda site: os.rename(site.root, f"{site.root}.old"),
    "project deleted": lambda site: shutil.rmtree(site.root),
    "another project in its place": replace_folder,
    "socket deleted": lambda site: os.unlink(site.where.socket),
    "socket replaced": lambda site: os.replace(site.where.lock, site.where.socket),
    "lock deleted": lambda site: os.unlink(site.where.lock),
    "lock replaced": replace_lock,
    "all of the folder deleted": lambda site: shutil.rmtree(site.where.folder),
}


@pytest.mark.parametrize("reason", REASONS)
def test_leaves_when_what_it_is_for_is_gone(site: Site, reason: str) -> None:
    """Its project, socket or lock is gone or another: it is, too, within a few seconds."""
    pid = site.started(LAMBDAD_IDLE_S="60", FAKE="child")
    child = int(Path(site.root, "child").read_text())
    where = site.where
    REASONS[reason](site)
    assert ends(pid)
    assert ends(child)
    if reason == "socket replaced":
        assert os.path.exists(where.socket)  # it is not ours to remove


def test_leaves_when_idle(site: Site) -> None:
    """Nobody asked for LAMBDAD_IDLE_S: it leaves its log, and nothing else."""
    pid = site.started(LAMBDAD_IDLE_S="0.3")
    assert ends(pid)
    assert traces(site) == set()
    assert "leaving: no request for" in Path(site.where.log).read_text()


def test_leaves_past_its_memory_cap(site: Site) -> None:
    """More memory than LAMBDAD_MEMORY_MB, and the next request gets a new daemon."""
    pid = site.started(LAMBDAD_MEMORY_MB="1")
    assert ends(pid)
    assert "MB of memory" in Path(site.where.log).read_text()


@pytest.mark.parametrize("given", ["", "0", "-3", "nan", "inf", "much"])
def test_odd_limits_are_not_taken(given: str) -> None:
    """A limit that is no positive number would end every daemon at once, or none ever."""
    assert lifecycle._number({"LIMIT": given}, "LIMIT", 7.0) == 7.0


@pytest.mark.parametrize("way", ["stop", "SIGTERM", "SIGINT"])
def test_takes_its_children_along(site: Site, way: str) -> None:
    """Whichever way it is told to leave: when the lock is free, what it started is gone."""
    pid = site.started(FAKE="child")
    child = int(Path(site.root, "child").read_text())
    assert lives(child)
    if way == "stop":
        assert control.stop(site.root, site.environ)
        assert ends(child, 0)
    else:
        os.kill(pid, signal.Signals[way])
    assert ends(pid)
    assert ends(child)
    assert traces(site) == set()


def test_stop_ends_what_does_not_leave(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers no stop and blocks SIGTERM: SIGKILL is what the lock allows then."""
    monkeypatch.setattr(control, "STOP_S", 0.3)
    pid = site.started(FAKE="stubborn")
    assert control.stop(site.root, site.environ)
    assert ends(pid)
    assert not lock.is_held(site.where.lock)


def test_leaving_ends_the_tools_that_run(site: Site) -> None:
    """A worker that waits for a tool does not keep the daemon."""
    pid = site.started(FAKE="tool")
    assert control.stop(site.root, site.environ)
    assert ends(pid)
    assert "leaving did not end" not in Path(site.where.log).read_text()


def test_leaving_ends(site: Site) -> None:
    """A server that never winds up is cut off, before `stop` would have to kill it."""
    pid = site.started(FAKE="slow child")
    child = int(Path(site.root, "child").read_text())
    assert control.stop(site.root, site.environ)
    assert ends(pid)
    assert ends(child)
    assert "leaving did not end" in Path(site.where.log).read_text()
    assert not os.path.exists(site.where.socket)


# --- what it inherits --------------------------------------------------------------------------


def facts(pid: int) -> Mapping[str, str]:
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_inherits_nothing(site: Site) -> None:
    """No descriptor, working directory, blocked signal or module path of whoever started it."""
    code = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.set_inheritable(os.open('.', os.O_RDONLY), True)\n"
        f"{START}"
    )
    done = site.python(code, site.root, close_fds=False)
    assert done.stdout == "True\n", done.stderr
    pid = site.pid
    folder = Path("/proc", str(pid))
    assert os.readlink(folder / "cwd") == "/"
    held = {os.readlink(entry) for entry in (folder / "fd").iterdir()}
    assert {path for path in held if path.startswith("/")} == {
        "/dev/null",
        site.where.log,
        site.where.lock,
    }
    assert int(facts(pid)["SigBlk"], 16) == 0
    assert not int(facts(pid)["SigIgn"], 16) & 1 << signal.SIGCHLD - 1
    assert facts(pid)["Umask"] == facts(os.getpid())["Umask"]
    assert stat.S_IMODE(os.stat(site.where.socket).st_mode) & 0o077 == 0
    _status, answer = exchange.ask(site.where.socket, "GET", "/v1/status", timeout_s=20)
    assert answer["pythonpath"] == site.environ["PYTHONPATH"]
    assert control.stop(site.root, site.environ)


def test_has_no_terminal(site: Site) -> None:
    """Started from a terminal, it has none, can get none, and outlives the terminal's end."""
    master, slave = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    done = subprocess.run(
        [sys.executable, "-c", START, site.root],
        env=site.environ,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=take_terminal,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    os.close(slave)
    os.close(master)
    pid = site.pid
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    parent, session, terminal = int(fields[1]), int(fields[3]), int(fields[4])
    assert terminal == 0
    assert session != pid  # a session's leader would get the next terminal that it opens
    assert parent != os.getpid()
    assert ask(site) == pid


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_starts_with_closed_streams(site: Site, closed: str) -> None:
    """A starter without stdin, stdout or stderr starts a daemon that has all three."""
    code = START.replace("print(", "(")
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code, site.root]
    subprocess.run(command, env=site.environ, timeout=60, check=True)
    assert ask(site) == site.pid
    held = Path("/proc", str(site.pid), "fd")
    assert [os.readlink(held / name) for name in "012"] == ["/dev/null"] * 2 + [site.where.log]


def test_pipes_are_freed(site: Site) -> None:
    """Whoever reads the output of what starts a daemon gets to its end."""
    done = site.python(START, site.root, timeout=30)
    assert done.stdout == "True\n"
    assert lives(site.pid)


# --- faults ------------------------------------------------------------------------------------


def test_a_daemon_that_can_not_start_says_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps it from starting is told to who starts it, not only to the log."""
    monkeypatch.setattr(control, "MODULE", "tests.no_such_module")
    with pytest.raises(NoDaemon, match="No module named"):
        control.start(site.root, site.environ)
    monkeypatch.setattr(control, "MODULE", "tests.support.fake_daemon")
    with pytest.raises(NoDaemon, match="no folder"):
        control.start(f"{site.root}/gone", site.environ)
    assert all(ends(pid) for pid in processes(site.root))
    assert not lock.is_held(site.where.start_lock)


def test_without_room_for_files_there_is_no_daemon(site: Site) -> None:
    """A full disk costs the daemon and no more: whoever asked is told, and can build itself."""
    code = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from lambdad.daemon.wire.address import NoDaemon\n"
        f"try:\n    {'; '.join(START.splitlines())}\nexcept NoDaemon as fault:\n    print('told')"
    )
    done = site.python(code, site.root)
    assert done.stdout == "told\n", done.stderr
    assert all(ends(pid) for pid in processes(site.root))  # it leaves right after it says why


def test_its_log_is_bounded(site: Site) -> None:
    """However much it has to say: two files, and what came last is in the newer one."""
    prepare(site.where)
    code = (
        "import os, sys\nfrom lambdad.daemon.life import lifecycle\n"
        "from lambdad.daemon.wire.address import address\n"
        "lifecycle.LOG_BYTES = 5000\nwhere = address(sys.argv[1], os.environ)\n"
        "os.dup2(os.open(where.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)\n"
        "lifecycle._keep_log(where, bounded=True)\n"
        "for number in range(1000): lifecycle.log.info('line %d', number)\n"
        "os.write(2, b'and raw')"
    )
    assert site.python(code, site.root).returncode == 0
    files = sorted(Path(site.where.folder).iterdir())
    assert [str(file) for file in files] == [site.where.log, f"{site.where.log}.1"]
    assert all(file.stat().st_size < 6000 for file in files)
    assert files[0].read_text().endswith("and raw")
    assert "line 999" in files[0].read_text() + files[1].read_text()


def test_processes_told_alike_by_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no /proc, `ps` says the same of births, memory and children."""
    with subprocess.Popen(["sleep", "600"]) as child:
        births = [process.birth(child.pid)]
        proc = process.children(os.getpid()), process.memory(os.getpid())
        monkeypatch.setattr(process, "LINUX", False)
        births += [process.birth(child.pid), process.birth(child.pid)]
        ps = process.children(os.getpid()), process.memory(os.getpid())
        assert births[0]
        assert births[1] == births[2] != births[0]
        for children, memory in (proc, ps):
            assert (child.pid, "sleep") in [item[:2] for item in children]
            assert 0.5 < memory / proc[1] < 2
        monkeypatch.setattr(process, "_open", None)
        assert not process.end(child.pid, signal.SIGKILL, "another")
        assert process.end(child.pid, signal.SIGKILL, births[1] or "")
        assert child.wait(10) == -signal.SIGKILL
    assert process.birth(child.pid) is None
    assert process.memory(child.pid) == 0


# --- again and again ---------------------------------------------------------------------------


def rounds(site: Site, count: int, starters: int) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    for number in range(count):
        said = start_many(site, starters) if starters > 1 else [str(bool(site.started()))]
        assert said.count("True") == 1, (number, said)
        (pid,) = processes(site.root)
        assert ask(site) == pid
        os.kill(pid, signal.SIGKILL)
        assert ends(pid)
        assert not processes(site.root)
        assert len(os.listdir("/proc/self/fd")) == descriptors
    assert control.stop(site.root, site.environ) is False
    assert site.started() == ask(site)


def test_thirty_rounds_leave_nothing(site: Site) -> None:
    """Started and killed over and over: one daemon each time, none after, no descriptor lost."""
    rounds(site, 30, starters=1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_five_hundred_rounds_of_eight_starters(site: Site) -> None:
    """The same, with eight who start it at once."""
    rounds(site, 500, starters=8)


def test_nothing_unsafe_about_what_we_make(site: Site) -> None:
    """The folder is ours alone from its first moment."""
    prepare(site.where)
    assert unsafe(site.where) is None
    assert stat.S_IMODE(os.stat(site.where.folder).st_mode) == 0o700
