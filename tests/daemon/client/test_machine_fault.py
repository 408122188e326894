"""A fault of the machine in a daemon is one for its clients, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.esbuild.binary import host_platform
from lambdad.bundler.lint.tool import Findings
from lambdad.daemon.client import save
from lambdad.daemon.linting.save_lint import findings_json
from tests.conftest import write_tree
from tests.support import daemons
from tests.support.daemons import Site, processes
from tests.support.esbuild_cases import binary_path

APP = {
    "lambdad.toml": '[functions.One]\nhandler = "app.handler"\nruntime = "nodejs22.x"\n'
    'code = "src"\n',
    "src/app.ts": "export const handler = async () => 1\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project whose functions need esbuild, on a machine that has neither that nor npm."""
    with daemons.site(tmp_path / "app") as place:
        write_tree(Path(place.root), APP)
        yield place


def test_a_daemon_without_esbuild(site: Site) -> None:
    """Whichever command asks it: exit code 2 and `machine_fault` in the answer; nothing of it is
    kept once there is an esbuild."""
    poor = {**site.environ, "PATH": "/nonexistent"}

    def answer(*arguments: str) -> tuple[int, dict[str, Any]]:
        done = site.run(*arguments, "--json", env=poor)
        return done.returncode, json.loads(done.stdout)

    commands = [("fresh",), ("fresh", "--want", "zip"), ("build",), ("save", "src/app.ts")]
    for command in commands:
        code, told = answer(*command)
        (one,) = told["functions"]
        assert (code, one["status"], one["machine_fault"]) == (2, "failed", True), command
        assert [item["code"] for item in one["diagnostics"]] == ["esbuild-missing"]
        assert len(processes(site.root)) == 1
    modules = Path(site.root, "node_modules/@esbuild", host_platform(), "bin")
    modules.mkdir(parents=True)
    (modules / "esbuild").write_bytes(Path(binary_path()).read_bytes())
    for command in commands:
        code, told = answer(*command)
        (one,) = told["functions"]
        assert (code, one["status"]) == (0, "built"), command
        assert "machine_fault" not in one


def test_a_linter_in_a_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    """A save whose linter could not run is no clean one."""
    failed: dict[str, Any] = {"schema": 1, "ok": True, "diagnostics": [], "functions": []}
    failed |= findings_json(Findings(machine_fault=True), ())
    fine = {"schema": 1, "ok": True, "diagnostics": [], "functions": []}
    for answers in (
        [("/p", failed)],
        [("/p", fine), ("/q", failed)],
        [("/q", failed), ("/p", fine)],
    ):
        assert save.show(answers, ["x.py"], as_json=True) == save.MACHINE
        assert json.loads(capsys.readouterr().out)["machine_fault"] is True
    assert save.show([("/p", fine)], ["x.py"], as_json=True) == 0
