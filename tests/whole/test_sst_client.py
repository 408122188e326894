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


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
def test_packed_as_docs_say_it_installs_in_ci(tmp_path: Path) -> None:
    """The tarballs of docs/sst.md leave no path of this machine: `npm ci` works elsewhere."""
    app, elsewhere = tmp_path / "app", tmp_path / "ci" / "other"
    (app / "vendor").mkdir(parents=True)
    (app / "package.json").write_text('{"name": "app", "private": true}')

    def npm(folder: Path, *arguments: str) -> None:
        quiet = ("--no-audit", "--no-fund", "--offline", "--loglevel=error")
        subprocess.run(["npm", *arguments, *quiet], cwd=folder, check=True, timeout=120)

    npm(app, "pack", "--pack-destination", "vendor", str(CLIENTS / "node"), str(CLIENTS / "sst"))
    packed = sorted(f"./vendor/{path.name}" for path in (app / "vendor").iterdir())
    assert all(name in (ROOT / "docs" / "sst.md").read_text() for name in packed)
    npm(app, "install", "--save-dev", *packed)

    elsewhere.parent.mkdir()
    app.rename(elsewhere)
    shutil.rmtree(elsewhere / "node_modules")
    for name in ("package.json", "package-lock.json"):
        assert str(tmp_path) not in (elsewhere / name).read_text()
        assert str(ROOT) not in (elsewhere / name).read_text()
    npm(elsewhere, "ci")
    shown = subprocess.run(
        ["node_modules/.bin/lambdad-sst", "--help"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown.stdout.startswith("usage: lambdad-sst")
