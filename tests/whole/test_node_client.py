"""The Node.js client and its live proxy: clients/node's own tests, run as npm would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.bundler.store.store import Store
from tests.support.paths import ROOT

HERE = ROOT
CLIENT = HERE / "clients" / "node"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder for sockets. Its path is short: a socket's has 103 bytes, and tmp_path many."""
    with tempfile.TemporaryDirectory(prefix="lambdad-") as folder:
        yield Path(folder)


def run_tests(folder: str, **environ: str) -> dict[str, int]:
    """What node counted: passed, failed, skipped and so on."""
    files = sorted(str(path) for path in (CLIENT / folder).glob("*.test.js"))
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "--test-timeout=60000", *files],
        cwd=CLIENT,
        env={**os.environ, "PYTHON": sys.executable, "NO_COLOR": "1", **environ},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", done.stdout, re.M)}
    assert done.returncode == 0, done.stdout + done.stderr
    return counts


def test_client_keeps_its_promises_to_a_scripted_daemon() -> None:
    """Starts, retries, time-outs, aborts and broken answers end as index.d.ts says."""
    counts = run_tests("test")
    assert counts["pass"] > 30
    assert counts["skipped"] == 0


def test_client_and_proxy_work_with_the_daemon(
    tmp_path: Path, runtime: Path, shared_store: Store
) -> None:
    """A Node.js program gets functions fresh from the real daemon, also when that was killed."""
    app = tmp_path / "notes"
    shutil.copytree(HERE / "fixtures" / "apps" / "notes", app)
    npm = ["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--silent"]
    subprocess.run(npm, cwd=app, check=True)
    command = tmp_path / "lambdad"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lambdad "$@"\n')
    command.chmod(0o755)
    counts = run_tests(
        "test/real",
        APP=str(app),
        LAMBDAD=str(command),
        LAMBDAD_CACHE_DIR=str(shared_store.root),
        XDG_RUNTIME_DIR=str(runtime),
    )
    assert counts["pass"] > 5
    assert counts["skipped"] == 0
