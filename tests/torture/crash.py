"""Kills of the daemon, a client or esbuild at any moment, and what must hold after each.

`Crashes` runs rounds: every module gets a new token, somebody asks, somebody is killed. Whoever
asked must get what was saved before, and what lies on the disk must be whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lambdad.bundler.model import Want
from lambdad.bundler.store import project_state, record
from lambdad.bundler.store.anchored import ABANDONED_S, TEMPORARY
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_folder import FOLDER
from lambdad.bundler.store.record import Record
from lambdad.daemon.client import asking
from lambdad.daemon.life import process
from tests.conftest import Tree
from tests.support.daemons import processes
from tests.support.python_index import source_tree
from tests.support.served import APP, Served

ANSWER_S = 30.0
"""The next request is answered within that."""
LONGEST_ORPHAN_S = 30.0
"""An esbuild that lives so long after its daemon does not end by itself (it takes about 1 s)."""
LONGEST_S = {"daemon": 0.25, "esbuild": 0.08, "client": 0.25}
"""A kill comes within that of the request: about as long as a build of that kind takes."""

CRASH_APP: Tree = {
    **APP,
    **{f"package/{name}": text for name, text in source_tree("package").items()},
    "two/requirements.txt": "../package\n",
}
PLACES = {
    "One": ("one/app.py", "app.py", "def handler(event, context):\n    return '{}'\n"),
    "Two": ("two/app.py", "app.py", "def handler(event, context):\n    return '{}'\n"),
    "Web": ("web/word.ts", "web.js", "export const word = '{}';\n"),
}
"""By function: the file that holds its token, where that ends up in a zip, and its text."""


# --- what must always hold ---------------------------------------------------------------------


class Wholeness:
    """What lies in .lambdad, looked at over and over: whole at any moment, or not there."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self._output = Output(root)
        self._environ = environ
        self._folder = Path(root, FOLDER)
        self._known: dict[Path, str] = {}

    def check(self) -> None:
        """Raises AssertionError, naming the file."""
        for path in self._files("artifacts"):
            assert _digest(path) == path.stem, path
        zips = [path for path in self._files("build") if path.suffix == ".zip"]
        for path in zips:
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None, path
            assert Path(self._output.root, self._output.artifact(_digest(path))).exists(), path
        manifest = self._folder / "build/manifest.json"
        if manifest.exists():
            for found in json.loads(manifest.read_bytes())["functions"].values():
                path = self._folder.parent / found["immutable_path"]
                assert not path.exists() or _digest(path) == found["sha256"], path
        for folder, want in (("state", Want.ZIP), ("state/live", Want.LIVE)):
            for path in self._files(folder):
                assert self._record(path, want) is not None, path
        self._check_live()
        self._check_made()

    def _check_live(self) -> None:
        """A folder under a digest never changes."""
        for current in self._folder.glob("live/*/current"):
            assert (current.parent / current.read_text()).is_dir(), current
        for folder in self._folder.glob("live/*/*"):
            if folder.is_dir() and not folder.name.startswith(TEMPORARY):
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                assert files, folder
                digest = " ".join(_digest(path) for path in files)
                assert self._known.setdefault(folder, digest) == digest, folder

    def _check_made(self) -> None:
        """What a record says was made, and its name still stands for, is there."""
        for path in self._files("state"):
            found = self._record(path, Want.ZIP)
            assert found is not None, path
            if found.artifact is not None:
                made = Path(self._output.root, found.artifact.immutable_path)
                assert made.exists(), (path, made)

    def _record(self, path: Path, want: Want) -> Record | None:
        state = project_state.of(self._output.root, self._environ)
        return record.load(state.record(path.stem, want))

    def _files(self, folder: str) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((self._folder / folder).iterdir()):
                if path.is_file() and not path.name.startswith(TEMPORARY):
                    yield path


def temporaries(folder: Path) -> list[Path]:
    """What killed processes left behind; of a folder only itself."""
    found = []
    for top, folders, files in os.walk(folder):
        names = [name for name in (*folders, *files) if name.startswith(TEMPORARY)]
        found += [Path(top, name) for name in names]
        folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]
    return found


def make_old(paths: list[Path], age_s: float = 7200.0) -> None:
    """As if they had been left behind so long ago."""
    for path in paths:
        then = time.time() - age_s
        os.utime(path, (then, then))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def holds(root: Path, found: Any, token: str) -> bool:
    """Whether that answer's artifact or live tree holds the token, and no other."""
    _path, entry, _text = PLACES[found["name"]]
    if "live" in found:
        return token in (root / found["live"]["entry"]).read_text()
    with zipfile.ZipFile(root / found["artifact"]["path"]) as archive:
        return token in archive.read(entry).decode()


def noted(root: Path, name: str) -> str:
    """The digest that the manifest has of the function's zip."""
    manifest = json.loads((root / FOLDER / "build/manifest.json").read_bytes())
    return str(manifest["functions"][name]["sha256"])


# --- rounds ------------------------------------------------------------------------------------


class Crashes:
    """One project that lives through them."""

    def __init__(self, app: Served, seed: int) -> None:
        self.app = app
        self.counts: dict[str, int] = {}
        self._random = random.Random(seed)
        self._whole = Wholeness(app.site.root, app.site.environ)
        self._orphans: list[int] = []
        self._number = 0
        self._token = ""

    def run(self, rounds: int) -> None:
        """So many kills; raises AssertionError if anything does not hold."""
        with ThreadPoolExecutor(1) as pool:
            self._save()
            self._right(self._ask("live"), "live")
            for _ in range(rounds):
                victim = self._random.choice(sorted(VICTIMS))
                self.counts[victim] = self.counts.get(victim, 0) + 1
                try:
                    VICTIMS[victim](self, pool)
                    self._after()
                except BaseException as fault:
                    fault.add_note(f"round {self._number}, {victim}, token {self._token}")
                    raise
        self._end()

    def _daemon(self, pool: ThreadPoolExecutor) -> None:
        want = self._save()
        asked = pool.submit(self._ask, want)
        self._moment("daemon")
        for pid in processes(self.app.site.root):
            self._orphans += [os.pidfd_open(child) for child in _esbuilds(pid)]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._whole.check()
        self._right(asked.result(ANSWER_S), want)

    def _esbuild(self, pool: ThreadPoolExecutor) -> None:
        want = self._save()
        asked = pool.submit(self._ask, want)
        self._moment("esbuild")
        for pid in processes(self.app.site.root):
            for child in _esbuilds(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self._right(asked.result(ANSWER_S), want)

    def _client(self, _pool: ThreadPoolExecutor) -> None:
        want = self._save()
        command = [sys.executable, "-c", "from lambdad.daemon.entry import main; main()"]
        command += ["fresh", "--want", want, "--json", "--project", self.app.site.root]
        with subprocess.Popen(
            command, env=self.app.site.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as asking:
            self._moment("client")
            asking.kill()
            said = asking.stdout.read() if asking.stdout else b""
        if asking.returncode == 0:
            self._right(json.loads(said), want)

    def _after(self) -> None:
        """The next request is right, in bounded time, and nothing that is not whole is left."""
        for want in ("live", "zip"):
            self._right(self._ask(want), want)
        self._whole.check()
        assert len(processes(self.app.site.root)) == 1
        self._reap()

    def _end(self) -> None:
        """No esbuild without a daemon, and what was left behind is collected in time."""
        self._reap(LONGEST_ORPHAN_S)
        assert self._orphans == [], "an esbuild outlives its daemon"
        Output(self.app.site.root).collect_abandoned(time.time() + 2 * ABANDONED_S)
        assert temporaries(self.app.root / FOLDER) == []

    # --- parts ---------------------------------------------------------------------------------

    def _save(self) -> str:
        """New tokens in all modules, and what is to be asked for."""
        self._number += 1
        self._token = f"token-{self._number:05}-{self._random.randrange(10**6):06}"
        for path, _entry, text in PLACES.values():
            self.app.lay({path: text.format(self._token)})
        return self._random.choice(["live", "zip"])

    def _ask(self, want: str) -> Any:
        body = {"functions": "all", "want": want, "timeout_s": ANSWER_S}
        site = self.app.site
        _status, answer = asking.request(
            site.root, "POST", "/v1/fresh", body, ANSWER_S, environ=site.environ
        )
        return answer

    def _right(self, answer: Any, want: str) -> None:
        assert answer.get("ok"), json.dumps(answer, indent=1)
        assert [found["name"] for found in answer["functions"]] == sorted(PLACES)
        for found in answer["functions"]:
            assert holds(self.app.root, found, self._token), (want, found)
            if want == "zip":
                assert noted(self.app.root, found["name"]) == found["artifact"]["sha256"]

    def _moment(self, victim: str) -> None:
        """Any moment of a build. Nothing can be waited for: it is the moment that is random."""
        threading.Event().wait(self._random.random() * LONGEST_S[victim])

    def _reap(self, wait_s: float = 0) -> None:
        """Forgets each esbuild that has ended since its daemon was killed, or does so in time."""
        kept = []
        for descriptor in self._orphans:
            if select.select([descriptor], [], [], wait_s)[0]:
                os.close(descriptor)
            else:
                kept.append(descriptor)
        self._orphans = kept


VICTIMS: dict[str, Callable[[Crashes, ThreadPoolExecutor], None]] = {
    "client": Crashes._client,
    "daemon": Crashes._daemon,
    "esbuild": Crashes._esbuild,
}


def _esbuilds(pid: int) -> list[int]:
    return [child.pid for child in process.children(pid) if child.name == "esbuild"]
