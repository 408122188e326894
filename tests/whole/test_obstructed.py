"""In place of each file of a project: a FIFO, /dev/zero, a folder, 1 GB of nothing, brackets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support import recorded_cases
from tests.support.obstructed_run import OBSTACLES

CASES: Final = recorded_cases.cases()
SAMPLE: Final = ("bundled", "packaged", "pylock", "uv")
WAITED_FOR: Final = ("fifo", "endless")
LONG: Final = 240
"""Seconds for all files of a case. What waits or reads for ever takes all of them."""


def obstructed(name: str, obstacle: str, tmp_path: Path) -> dict[str, list[str]]:
    """The codes that are reported, by the file that the obstacle replaces."""
    root, store, environ = recorded_cases.lay_out(name, tmp_path)
    run = [sys.executable, "-P", "-m", "tests.support.obstructed_run", root, store, obstacle]
    done = subprocess.run(
        [*run, *CASES[name]],
        cwd="/",
        env=environ,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {file: codes.split() for file, codes in lines}


def judge(found: dict[str, list[str]], name: str) -> None:
    assert found.keys() == CASES[name].keys()
    for file, codes in found.items():
        assert "too-much-memory" not in codes, file
        assert "esbuild-gone" not in codes, file
        assert "internal-error" not in codes, file


@pytest.mark.parametrize("obstacle", WAITED_FOR)
@pytest.mark.parametrize("name", SAMPLE)
def test_what_would_wait_for_ever_is_refused(name: str, obstacle: str, tmp_path: Path) -> None:
    """A build ends, with a diagnostic at the file, whatever is in a file's place."""
    judge(obstructed(name, obstacle, tmp_path), name)


@pytest.mark.torture
@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("name", CASES)
def test_every_file_and_every_obstacle(name: str, obstacle: str, tmp_path: Path) -> None:
    """The same for all kinds of builds."""
    judge(obstructed(name, obstacle, tmp_path), name)
