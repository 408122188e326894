"""Nothing but our own files is read, written or removed where our files lie.

Which paths these are is seen by strace in real runs: of commands, of a daemon that answers them,
and of a language server. Each path is replaced by a symlink, by a FIFO and by what another user
owns; then all that named the path, or one below it, runs again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lambdad.daemon.life import control
from lambdad.daemon.wire.address import address, read_note
from tests.conftest import write_tree
from tests.support import daemons
from tests.support.forked import ENDED, Ended, Forks, forks
from tests.support.obstacles import (
    OBSTACLES,
    another_users,
    in_place_of,
    named_in,
    state_of,
    under_strace,
)
from tests.support.plain_editor import MESSAGE, REFRESH, PlainEditor, plain_editor
from tests.support.python_index import Index
from tests.support.served import share_esbuild
from tests.support.unixhttp import call

APP = {
    "lambdad.toml": """
[functions.Web]
handler = "web.handler"
runtime = "nodejs22.x"
code = "js"

[functions.Job]
handler = "job.handler"
runtime = "python3.12"
code = "py"
""",
    "js/web.js": 'import { dep } from "dep";\nexport const handler = async () => [dep, "one"];\n',
    "js/package.json": '{"dependencies": {"dep": "1.0.0"}}',
    "js/node_modules/dep/package.json": '{"name": "dep", "version": "1.0.0", "main": "dep.js"}',
    "js/node_modules/dep/dep.js": "exports.dep = 1;\n",
    "py/job.py": "import beta\n\n\ndef handler(event, context):\n    return beta, 'one'\n",
}
EDITED = ("js/web.js", "py/job.py")

LAST_ANSWER = "last.json"
DIGEST = re.compile(r"[0-9a-f]{40,64}")

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("build", "--no-daemon"),
    ("fresh", "--no-daemon"),
    ("save", "--no-daemon", *EDITED),
    ("list",),
    ("why", "Web"),
    ("size", "Web"),
    ("size", "Web", "--compare", "last"),
    ("lint",),
    ("cache",),
    ("daemon", "status"),
    ("daemon", "address"),
)
"""Those that use what lies there by themselves."""
REQUESTS: tuple[tuple[str, ...], ...] = (
    ("fresh",),
    ("fresh", "--want", "zip"),
    ("build",),
    ("save", *EDITED),
)
"""Those that ask a daemon."""
LAMBDAD = (sys.executable, "-c", "from lambdad.daemon.entry import main; main()")


class Place:
    """A project with a store, a state folder and a folder for its daemon, all its own."""

    def __init__(self, site: daemons.Site, forked: Forks) -> None:
        self.root = Path(site.root)
        folder = self.root.parent
        self.environ = {**site.environ, "XDG_STATE_HOME": f"{folder}/state"}
        self.store = Path(self.environ["LAMBDAD_CACHE_DIR"])
        self.where = address(site.root, self.environ)
        self.log = folder / "log"
        self._forks = forked
        share_esbuild(self.store)
        write_tree(self.root, APP)
        (self.root / "links").mkdir()
        digest = Index(self.root / "links").wheel("beta")
        write_tree(self.root, {
            "py/requirements.txt": "--no-index\n--find-links ../links\n"
            f"beta==1.0 --hash=sha256:{digest}\n"
        })  # fmt: skip

    @property
    def roots(self) -> tuple[str, ...]:
        return (f"{self.root}/.lambdad", str(self.store), self.where.folder)

    def lambdad(self, *arguments: str) -> Ended:
        return self._forks.lambdad(arguments, cwd=str(self.root), environ=self.environ)

    def edit(self) -> None:
        """Every function is stale; its files are as they were before the last edit, so what it is
        built to has one of two digests."""
        for name in EDITED:
            path = self.root / name
            text = path.read_text()
            one, two = ("one", "two") if "one" in text else ("two", "one")
            path.write_text(text.replace(one, two))

    def warm(self) -> None:
        """Everything that lies anywhere lies there."""
        for _ in range(2):
            for command in COMMANDS[:3]:
                self.edit()
                done = self.lambdad(*command)
                assert done.code == 0, done.text
        for command in COMMANDS:
            self.lambdad(*command)

    def traced(self, *arguments: str) -> set[str]:
        """The paths below the roots that a command names."""
        self.edit()
        subprocess.run(
            under_strace([*LAMBDAD, *arguments], self.log),
            cwd=self.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return named_in(self.log, self.roots)

    @contextlib.contextmanager
    def traced_daemon(self) -> Iterator[set[str]]:
        """A daemon answers in the block; after it, the paths that it named are in the set."""
        found: set[str] = set()
        spawned = [sys.executable, "-P", "-m", control.MODULE, control.SPAWNED, str(self.root)]
        process = subprocess.Popen(
            under_strace(spawned, self.log),
            cwd="/",
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == control.READY
            yield found
            call(self.where.socket, "POST", "/v1/stop")
        found |= named_in(self.log, self.roots)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed, so which paths are used can't be seen")
    with daemons.site(tmp_path_factory.mktemp("obstacles") / "app") as site, forks() as forked:
        found = Place(site, forked)
        found.warm()
        yield found


# --- the sweep -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Something that uses what lies there."""

    name: str
    paths: set[str]
    """Which paths it names, digests left out."""
    run: Callable[[], Ended]

    def meets(self, path: str) -> bool:
        """Whether it names the path, or one below it."""
        return any(each == path or each.startswith(f"{path}/") for each in self.paths)


def _plain(path: str) -> str:
    return DIGEST.sub("<digest>", path)


def _use(command: tuple[str, ...], place: Place, paths: set[str]) -> Use:
    def run() -> Ended:
        return place.lambdad(*command)

    return Use(name=" ".join(command), paths=set(map(_plain, paths)), run=run)


def _to_sweep(place: Place, paths: set[str]) -> list[Path]:
    """Those first that lie higher up; of those that differ in a digest alone one that is there."""
    alike: dict[str, str] = {}
    for path in sorted(paths, key=lambda each: (not os.path.lexists(each), each.count("/"), each)):
        alike.setdefault(_plain(path), path)
    # A root of the store may be a symlink of the user's.
    return [Path(each) for each in alike.values() if each != str(place.store)]


def swept(
    place: Place,
    uses: list[Use],
    paths: list[Path],
    aside: Path,
    held: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    *,
    warm: bool = False,
) -> tuple[list[str], int]:
    """What is wrong, a line for each path and obstacle; and how many obstacles were met.

    `held` surrounds what is done to the path. `warm`: a daemon lives through all of it.
    """
    faults: list[str] = []
    met = 0
    for count, path in enumerate(paths):
        meeting = [use for use in uses if use.meets(_plain(str(path)))]
        for obstacle in OBSTACLES:
            if obstacle is another_users and (os.geteuid() != 0 or not os.path.lexists(path)):
                continue
            if not path.parent.is_dir() or not meeting:
                continue
            here = aside / f"{count}-{obstacle.__name__}"
            here.mkdir()
            what = f"{obstacle.__name__} at {path}"
            with in_place_of(path, obstacle, here, held) as victim:
                before = state_of(victim)
                said = ""
                for use in meeting:
                    place.edit()
                    told = use.run()
                    said += told.text
                    if told.code == ENDED:
                        faults.append(f"{what}: {use.name} does not end")
                    if "Traceback" in told.text:
                        faults.append(f"{what}: {use.name} has a traceback: {told.text}")
                    if state_of(victim) != before:
                        faults.append(f"{what}: {use.name} touched the victim")
                        before = state_of(victim)
                met += 1
                # What is done after the answer is reported there, where nothing is in its own way.
                if warm and os.path.isfile(place.where.log):
                    said += Path(place.where.log).read_text()
                if str(path) not in said and not _is_missable(place, path, warm=warm):
                    faults.append(f"{what}: none of {[use.name for use in meeting]} names it")
    return faults, met


def _is_missable(place: Place, path: Path, *, warm: bool) -> bool:
    """Whether what is in its way may be passed over: what the store keeps of one thing is a miss,
    so is the whole answer of the last build, and an older digest need not be met. A warm daemon
    looks for nothing in the store that it has in memory, and answers before it writes the sizes.
    What has the name that a socket has before it listens is removed, and not followed."""
    inside = path.is_relative_to(place.store) and (warm or path.parent != place.store)
    after = warm and path.is_relative_to(place.root / ".lambdad/state/makeup")
    before = path.suffix == ".new" and path.parent == Path(place.where.socket).parent
    return (
        inside
        or after
        or before
        or path.name == LAST_ANSWER
        or DIGEST.search(str(path)) is not None
    )


@pytest.mark.strace
@pytest.mark.timeout(900)
def test_everything_in_the_way_of_commands_is_refused(place: Place, tmp_path: Path) -> None:
    """What a symlink leads to is not touched, a FIFO is not waited for, and the refusal names the
    path."""
    named = {command: place.traced(*command) for command in COMMANDS}
    paths = _to_sweep(place, set().union(*named.values()))
    uses = [_use(command, place, found) for command, found in named.items()]
    faults, met = swept(place, uses, paths, tmp_path)
    assert "\n".join(faults) == ""
    assert met > 100


# --- a daemon, and a language server -------------------------------------------------------------


def _editing(place: Place, editor: PlainEditor) -> Ended:
    """A file is opened and saved; what the editor is told then."""
    known = len(editor.heard)
    editor.open("js/web.js")
    editor.save("js/web.js")
    answered = {REFRESH, MESSAGE}  # of which one ends a save: what it came to, or why to nothing
    editor.until(lambda one: one.get("method") in answered)
    about = {"textDocument": {"uri": editor.uri("js/web.js")}}
    editor.ask("textDocument/codeLens", about)
    editor.ask("textDocument/hover", {**about, "position": {"line": 1, "character": 15}})
    editor.notify("textDocument/didClose", about)
    return Ended(0, "", str(editor.heard[known:]))


@contextlib.contextmanager
def _standing_still(place: Place) -> Iterator[None]:
    """Whatever daemon there is does nothing in the block."""
    note = read_note(place.where)
    pids = [pid for pid in daemons.processes(str(place.root)) if note and pid == note.get("pid")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _editor_use(place: Place, paths: set[str]) -> Use:
    """Each time a language server of its own: one shows the same message once."""

    def run() -> Ended:
        with plain_editor([*LAMBDAD, "lsp"], str(place.root), place.environ) as editor:
            return _editing(place, editor)

    return Use(name="lsp", paths=set(map(_plain, paths)), run=run)


@pytest.mark.strace
@pytest.mark.timeout(900)
def test_everything_in_the_way_of_a_daemon_is_refused(place: Place, tmp_path: Path) -> None:
    """The same of requests to a daemon that lives through all of it, and of an editor."""
    named: dict[tuple[str, ...], set[str]] = {}
    for command in REQUESTS:
        with place.traced_daemon() as answering:
            for _ in range(2):
                place.edit()
                assert place.lambdad(*command).code == 0
        named[command] = answering
    control.start(str(place.root), place.environ)  # strace would wait for one that a command starts
    for command in REQUESTS:
        named[command] |= place.traced(*command)
    strace = under_strace([*LAMBDAD, "lsp"], place.log)
    with plain_editor(strace, str(place.root), place.environ) as traced:
        _editing(place, traced)
    editing = named_in(place.log, place.roots) | named["save", *EDITED]
    paths = _to_sweep(place, editing.union(*named.values()))
    uses = [_use(command, place, found) for command, found in named.items()]
    uses.append(_editor_use(place, editing))
    faults, met = swept(place, uses, paths, tmp_path, lambda: _standing_still(place), warm=True)
    control.stop(str(place.root), place.environ)
    assert "\n".join(faults) == ""
    assert met > 60
