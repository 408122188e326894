"""Linters and type checkers for tests: the real ones, each fetched once, and fakes of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from lambdad.bundler.lint.tool import Batch, Findings, Tool
from lambdad.bundler.workshop import Workshop


def of_npm(package: str, tools: Path) -> Path:
    """A node_modules folder that holds the package ("eslint@9.39.5"). Skips where npm has none."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    place = tools / f"lint-{package.replace('/', '+')}"
    if not place.exists():
        fresh = tools / f".{uuid.uuid4()}"  # others may fetch it at the same time
        fresh.mkdir()
        (fresh / "package.json").write_text("{}")
        flags = ["--no-audit", "--no-fund", "--prefix", str(fresh)]
        done = subprocess.run(
            [npm, "install", *flags, package], check=False, capture_output=True, text=True
        )
        _adopt(fresh, place, package, done)
    return place / "node_modules"


def of_pypi(package: str, tools: Path) -> Path:
    """A virtual environment that holds the distribution ("mypy==1.19.0"). Skips likewise."""
    import uv

    place = tools / f"lint-{package}-{sys.version_info.minor}"
    if not place.exists():
        fresh = tools / f".{uuid.uuid4()}"
        done: subprocess.CompletedProcess[str] | None = None
        for arguments in (
            ["venv", "--relocatable", "--python", sys.executable, str(fresh)],
            ["pip", "install", "--python", f"{fresh}/bin/python", package],
        ):
            command = [uv.find_uv_bin(), *arguments]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                break
        assert done is not None
        _adopt(fresh, place, package, done)
    return place


def _adopt(fresh: Path, place: Path, package: str, done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        pytest.skip(f"can't fetch {package}: {done.stderr.strip()[-200:]}")
    try:
        fresh.rename(place)
    except OSError:
        shutil.rmtree(fresh)


def fake(root: Path, package: str, command: str, code: str) -> None:
    """A package in the project's node_modules whose command is that Python code. Each of its runs
    adds a line to `<command>.runs`."""
    home = root / "node_modules" / package
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text(json.dumps({"name": package, "version": "1.0.0"}))
    script = root / "node_modules" / ".bin" / command
    script.parent.mkdir(exist_ok=True)
    counted = f"open({str(root / f'{command}.runs')!r}, 'a').write('run\\n')\n"
    script.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{counted}{code}")
    script.chmod(0o755)


def runs(root: Path, command: str) -> int:
    """How often the fake was run."""
    try:
        return len((root / f"{command}.runs").read_text().splitlines())
    except FileNotFoundError:
        return 0


ESLINT = """
files = sys.argv[sys.argv.index('--') + 1:]
def found(path):
    with open(path) as file:
        lines = file.read().splitlines()
    return [
        {'ruleId': 'no-bad', 'severity': 2, 'message': line.strip(), 'line': at, 'column': 1}
        for at, line in enumerate(lines, 1) if 'bad' in line
    ]
"""
"""What a fake of eslint begins with: `found` tells of each line that has "bad" in it."""
ANSWER = """
print(json.dumps([{'filePath': os.path.abspath(path), 'messages': found(path)} for path in files]))
"""


def batch(*files: str, trusted: bool = True) -> Batch:
    return Batch(files=tuple(sorted(files)), trusted=trusted)


def named(tools: Sequence[Tool], name: str) -> Tool:
    return next(tool for tool in tools if tool.name == name)


def told(findings: Findings, path: str) -> list[tuple[str, str, int | None, int | None]]:
    """(code, severity, line, column) of each finding in the file, sorted by place."""
    found = [
        (item.code, item.severity.value, item.where.line, item.where.column)
        for item in findings.files[path]
        if item.where is not None
    ]
    return sorted(found, key=lambda item: (item[2] or 0, item[3] or 0, item[0]))


def use(workshop: Workshop, modules: Path) -> None:
    """The project has the packages of that folder."""
    (Path(workshop.root) / "node_modules").symlink_to(modules)


def use_environment(workshop: Workshop, place: Path) -> None:
    (Path(workshop.root) / ".venv").symlink_to(place)


def ended(pid: int) -> bool:
    """Whether no process, zombies aside, has that id."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return not os.path.exists(f"/proc/{pid}")
