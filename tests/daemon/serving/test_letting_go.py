"""A project that its user removes: the daemon makes nothing in it anew, and leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.daemons import ends
from tests.support.served import Served, served
from tests.support.unixhttp import Connection

ROUNDS = 5


def removed(app: Served) -> None:
    """The project is removed as people do it, and nothing of it comes back."""
    pid = app.site.pid
    done = subprocess.run(["rm", "-rf", str(app.root)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ends(pid)
    assert not app.root.exists()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_project_is_removed_beside_its_daemon(number: int, tmp_path: Path) -> None:
    """Right after answers, when the watcher is about to build ahead of the next request."""
    files = {f"web/more/{part}/{name}.ts": "export {}\n" for part in range(20) for name in range(9)}
    with served(tmp_path) as app:
        app.lay(files)
        for want in ("live", "zip"):
            assert app.fresh(want=want)["ok"]
        removed(app)


def test_nothing_is_made_where_no_project_is_described(tmp_path: Path) -> None:
    """Requests and saves that come after the configuration went make no folder."""
    with served(tmp_path) as app:
        assert app.fresh()["ok"]
        os.unlink(app.root / "template.yaml")
        shutil.rmtree(app.root / ".lambdad")
        (app.root / "web/word.ts").write_text("export const word = 'late';\n")
        answers = [
            app.call("POST", "/v1/fresh", {"functions": "all", "want": "live"}),
            app.call("POST", "/v1/fresh", {"functions": "all", "want": "zip", "typed": True}),
            app.call("POST", "/v1/save", {"files": ["web/word.ts"], "trusted": True}),
            app.call("GET", "/v1/status"),
        ]
        assert [answer.json["code"] for answer in answers] == ["no-project"] * 4
        assert sorted(os.listdir(app.root)) == ["one", "two", "web"]


def saved_by_vim(path: Path, text: str) -> None:
    """It tries whether it may write to the folder, moves the file aside, writes a new one."""
    probe, backup = path.with_name("4913"), path.with_name(f"{path.name}~")
    probe.touch()
    probe.unlink()
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


@pytest.mark.parametrize("want", ["live", "zip"])
def test_editors_that_remove_files_of_their_own(want: str, tmp_path: Path) -> None:
    """What they wrote beside is gone, and the function is built ahead all the same."""
    with served(tmp_path) as app:
        assert app.fresh("One", want=want)["ok"]
        connection = Connection(app.socket, timeout_s=20)
        connection.request("GET", "/v1/events")
        events = connection.getresponse()
        saved_by_vim(app.root / "one/app.py", "def handler(event, context):\n    return 'new'\n")
        while events.readline() != b"event: built\n":
            pass  # a daemon that builds nothing ahead says nothing: the connection's time ends
        connection.close()
