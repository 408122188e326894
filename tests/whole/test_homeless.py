"""A container: another user than root, `HOME=/`, and only the project and /tmp to write to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_tree
from tests.support.paths import ROOT
from tests.support.python_index import APP, Index, offline_environ

USER = 65534
"""Who owns nothing here. Reading stays allowed: the Python that runs the tests may be root's."""
AS_USER = (
    *("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"),
    *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
)


@dataclass
class Container:
    """A project of that user's."""

    folder: Path
    environ: dict[str, str]

    def run(self, *arguments: str) -> tuple[dict[str, Any], str]:
        """The answer of a `lambdad` that ends well, and what it says on stderr."""
        code = "from lambdad.daemon.entry import main; main()"
        done = subprocess.run(
            [*AS_USER, sys.executable, "-c", code, *arguments, "--json"],
            cwd=self.folder / "app",
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer, done.stderr

    @property
    def store(self) -> Path:
        return self.folder / "tmp" / f"lambdad-{USER}" / "cache"

    def entries(self) -> list[str]:
        return sorted(
            f"{kind.name}/{entry.name}"
            for kind in self.store.iterdir()
            if kind.name != "caches"
            for entry in kind.iterdir()
        )


@pytest.fixture
def container() -> Iterator[Container]:
    if os.geteuid() != 0 or subprocess.run([*AS_USER, "true"], check=False).returncode:
        pytest.skip("another user can only be had by root with setpriv")
    folder = Path(tempfile.mkdtemp(prefix="ld-"))  # below tmp_path no other user can reach it
    try:
        folder.chmod(0o755)
        for name in ("tmp", "index", "app"):
            (folder / name).mkdir()
        (folder / "tmp").chmod(0o1777)
        Index(folder / "index").wheel("beta")
        runtime = f"python3.{sys.version_info[1]}"
        write_tree(
            folder / "app",
            {
                "lambdad.toml": '[functions.One]\nhandler = "app.handler"\n'
                f'runtime = "{runtime}"\ncode = "src"\n',
                "src/app.py": APP,
                "src/requirements.txt": "beta==1.0\n",
            },
        )
        for path in (folder / "app", *(folder / "app").rglob("*")):
            os.chown(path, USER, USER)
        environ = {
            name: text
            for name, text in offline_environ(folder / "index").items()
            if not name.startswith("XDG_") and not name.endswith("_CACHE_DIR")
        }
        environ |= {
            "HOME": "/",
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        }
        yield Container(folder, environ)
    finally:
        shutil.rmtree(folder)


def test_nothing_is_remembered_and_nothing_piles_up(container: Container) -> None:
    """Builds work, each run says in one line that the next one begins anew, and what it keeps for
    itself goes once it is not used any more."""
    for command in (("build",), ("fresh", "--no-daemon")):
        kept = []
        for _ in range(3):
            answer, said = container.run(*command)
            (one,) = answer["functions"]
            assert (one["status"], one["cached"]) == ("built", False)
            assert said.count("not-remembered") == 1
            assert " //" not in said
            for tree in container.store.glob("trees/*"):
                os.utime(tree, (0, 0))
            kept.append(len(container.entries()))
        assert kept[0] == kept[1] == kept[2], container.entries()


def test_what_a_worker_may_be_using_stays(container: Container) -> None:
    """The dependencies that were handed out lately are still there after the next run."""
    paths = [container.run("fresh", "--no-daemon")[0]["functions"][0]["live"] for _ in range(2)]
    assert paths[0] != paths[1]
    assert all(os.path.isdir(place) for live in paths for place in live["path"][1:])
