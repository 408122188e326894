"""`lambdad-sst`: clients/sst's own tests, run as npm would with the client of this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CLIENTS = ROOT / "clients"
FILES = sorted(path.name for path in (CLIENTS / "sst" / "test").glob("*.test.js"))

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")


@pytest.mark.parametrize("file", FILES)
def test_package_keeps_its_promises_over_a_stand_in_for_sst(tmp_path: Path, file: str) -> None:
    """Events, saves, stack changes, ends and builds come out as docs/sst.md says."""
    for name in ("node", "sst"):
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(CLIENTS / name, tmp_path / name, ignore=ignored)
    modules = tmp_path / "sst" / "node_modules"
    modules.mkdir()
    (modules / "lambdad-client").symlink_to("../../node")  # as `npm install` does
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "--test-timeout=170000", f"test/{file}"],
        cwd=tmp_path / "sst",
        env={**os.environ, "PYTHON": sys.executable, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=175,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# pass 0\n" not in done.stdout
    assert "\n# skipped 0\n" in done.stdout
