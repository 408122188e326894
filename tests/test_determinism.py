"""The second promise: the same inputs give the same bytes everywhere."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from bundler.python import interpreters

HERE = Path(__file__).resolve().parent.parent
APPS = HERE / "fixtures" / "apps"

OTHER_ZLIB = '''
"""A zlib that gives other bytes: whatever level is asked for, it compresses at another."""
import zlib

_compress, _compressobj = zlib.compress, zlib.compressobj


def compress(data, /, level=-1, wbits=15):
    return _compress(data, 1, wbits)


def compressobj(level=-1, *rest, **named):
    return _compressobj(1, *rest, **named)


zlib.compress, zlib.compressobj = compress, compressobj
'''


def copy_shuffled(source: Path, target: Path, seed: int) -> None:
    """The same files, created in another order, with other times."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    random.Random(seed).shuffle(files)
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
        os.utime(copy, (1_000_000_000 + seed * 1000, 1_000_000_000 + seed * 999))


def npm_install(app: Path) -> None:
    for folder in (app / "notes", app / "users" / "src"):
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--silent"],
            cwd=folder,
            check=True,
        )


def build(app: Path, python: Path, environ: dict[str, str], umask: int) -> dict[str, Any]:
    """Each function's artifact, of all sample apps."""
    found: dict[str, Any] = {}
    for name in ("notes", "orders", "users", "science"):
        done = subprocess.run(
            [python, "-m", "daemon", "build", "--json"],
            cwd=app / name,
            env={**os.environ, **environ},
            capture_output=True,
            umask=umask,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr.decode()
        for function in json.loads(done.stdout)["functions"]:
            if function["status"] not in {"refused", "skipped"}:
                assert function["status"] == "built", function
                found[f"{name}/{function['name']}"] = function["artifact"]
    return found


@pytest.fixture
def other_file_system() -> Iterator[Path]:
    """A folder on tmpfs, where folders list their names in another order than on a disk."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no second file system: /dev/shm can't be written")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="lambdad-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lambdad installed for another version of Python than the one that runs the tests."""
    others = [minor for minor in (13, 12, 14, 11) if minor != sys.version_info.minor]
    found = [interpreters.find((3, minor), dict(os.environ)) for minor in others]
    version = next((path for path in found if path is not None), None)
    if version is None:
        pytest.skip("no second Python of version 3.11 or newer on this machine")
    venv = tmp_path_factory.mktemp("other") / "venv"
    subprocess.run([find_uv_bin(), "venv", "-q", "--python", version, venv], check=True)
    python = venv / "bin" / "python"
    install = [find_uv_bin(), "pip", "install", "-q", "--python", str(python), str(HERE)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


def test_same_bytes_in_another_world(
    tmp_path: Path, other_file_system: Path, other_python: Path
) -> None:
    """Folder, file system, creation order, times, umask, time zone, locale, hash seed, Python and
    zlib differ; every function's zip is equal, byte for byte."""
    here, there = tmp_path / "a", other_file_system / "some" / "where else"
    copy_shuffled(APPS, here, seed=1)
    copy_shuffled(APPS, there, seed=2)
    npm_install(here)
    npm_install(there)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(OTHER_ZLIB)
    one = build(
        here,
        Path(sys.executable),
        {
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "1",
            "LAMBDAD_CACHE_DIR": str(tmp_path / "cache"),
        },
        umask=0o022,
    )
    other = build(
        there,
        other_python,
        {
            "TZ": "Pacific/Kiritimati",
            "LC_ALL": "C",
            "PYTHONHASHSEED": "4242",
            "PYTHONPATH": str(site),
            "LAMBDAD_CACHE_DIR": str(other_file_system / "cache"),
        },
        umask=0o077,
    )
    assert len(one) >= 10
    digests = {name: artifact["sha256"] for name, artifact in one.items()}
    assert digests == {name: artifact["sha256"] for name, artifact in other.items()}
    for name, artifact in other.items():
        app = name.split("/")[0]
        zip_bytes = (there / app / artifact["path"]).read_bytes()
        assert zip_bytes == (here / app / one[name]["path"]).read_bytes()
        assert b"where else" not in zip_bytes
