"""Nothing but our own files is read, written or removed where our files lie.

Which paths these are is seen by strace in real runs. Each of them is replaced by a symlink, by a
FIFO and by what another user owns; then every command is run again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_tree
from tests.support.obstacles import OBSTACLES, another_users, in_place_of, state_of, traced
from tests.support.served import share_esbuild

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
    "js/web.js": "export const handler = async () => 'one';\n",
    "py/job.py": "def handler(event, context):\n    return 'one'\n",
}

DIGEST = re.compile(r"[0-9a-f]{40,64}")

COMMANDS = (
    ("build", "--no-daemon"),
    ("fresh", "--no-daemon"),
    ("save", "--no-daemon", "js/web.js", "py/job.py"),
    ("list",),
    ("why", "Web"),
    ("size", "Web"),
    ("size", "Web", "--compare", "last"),
    ("lint",),
    ("cache",),
    ("daemon", "status"),
    ("daemon", "address"),
)
"""Those that use what lies there."""


class Place:
    """A project with a store, a state folder and a folder for its daemon, all its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "app"
        self.store = folder / "cache"
        self.run = folder / "run"
        self.environ = {
            **os.environ,
            "LAMBDAD_CACHE_DIR": str(self.store),
            "XDG_RUNTIME_DIR": str(self.run),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.run.mkdir(mode=0o700)
        share_esbuild(self.store)
        write_tree(self.root, APP)
        self.number = 0

    @property
    def roots(self) -> tuple[str, ...]:
        return (f"{self.root}/.lambdad", str(self.store), f"{self.run}/lambdad")

    def lambdad(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lambdad", *arguments],
            cwd=self.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def edit(self) -> None:
        """Every function is stale."""
        self.number += 1
        for name in ("js/web.js", "py/job.py"):
            path = self.root / name
            path.write_text(path.read_text().replace("one", f"one{self.number}", 1))

    def warm(self) -> None:
        """Everything that lies anywhere lies there."""
        for _ in range(2):
            assert self.lambdad("build", "--no-daemon").returncode == 0
            assert self.lambdad("fresh", "--no-daemon").returncode == 0
            self.edit()
        for command in COMMANDS:
            self.lambdad(*command)

    def seen(self, log: Path) -> list[Path]:
        """The paths below the roots that the commands name, those first that lie higher up; of
        those that differ in a digest alone, one."""
        found: set[str] = set()
        for command in COMMANDS:
            self.edit()
            run = [sys.executable, "-m", "lambdad", *command]
            found |= traced(run, self.roots, log, self.environ, str(self.root))
        alike: dict[str, str] = {}
        for path in sorted(found, key=lambda each: (each.count("/"), each)):
            if os.path.lexists(path) or not DIGEST.search(path):
                alike.setdefault(DIGEST.sub("<digest>", path), path)
        return [Path(path) for path in alike.values()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed, so which paths are used can't be seen")
    found = Place(tmp_path_factory.mktemp("obstacles"))
    found.warm()
    return found


def swept(place: Place, aside: Path, log: Path) -> list[str]:
    """What is wrong, one line for each path and obstacle."""
    faults: list[str] = []
    paths = place.seen(log)
    assert len(paths) > 25, paths
    for count, path in enumerate(paths):
        if path == place.store or path.name in ("checks", "caches") or not path.parent.is_dir():
            continue  # a root may be a symlink of the user's; the others are not there
        for obstacle in OBSTACLES:
            if obstacle is another_users and (os.geteuid() != 0 or not path.exists()):
                continue
            here = aside / f"{count}-{obstacle.__name__}"
            here.mkdir()
            with in_place_of(path, obstacle, here) as victim:
                before = state_of(victim)
                place.edit()
                told = [place.lambdad(*command) for command in COMMANDS]
                what = f"{obstacle.__name__} at {path}"
                if state_of(victim) != before:
                    faults.append(f"{what}: the victim was touched")
                named = [each for each in told if str(path) in each.stderr + each.stdout]
                if not named and not DIGEST.search(str(path)):  # an older digest need not be met
                    faults.append(f"{what}: no command names it")
                if any("Traceback" in each.stderr for each in told):
                    faults.append(f"{what}: a traceback")
    return faults


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_everything_in_the_way_is_refused(place: Place, tmp_path: Path) -> None:
    """What a symlink leads to is not touched, a FIFO is not waited for, and the refusal names the
    path."""
    assert swept(place, tmp_path, tmp_path / "log") == []
