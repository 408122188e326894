"""Two places to build the same apps in, as unlike as one machine allows, and what their zips differ
in."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from lambdad.bundler.python import interpreters
from tests.support.paths import ROOT

HERE = ROOT

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


@dataclass(frozen=True, kw_only=True)
class World:
    """Where apps lie, and what builds them there."""

    root: Path
    python: Path
    environ: Mapping[str, str]
    umask: int
    seed: int
    """Decides in which order files are created, and their times."""

    def lay(self, files: Mapping[str, bytes], folder: str = ".") -> None:
        """Writes the files, those that begin as scripts do executable, below a folder."""
        names = sorted(files)
        random.Random(self.seed).shuffle(names)
        for name in names:
            path = self.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
            is_script = files[name].startswith(b"#!")
            path.chmod((0o777 if is_script else 0o666) & ~self.umask)
            os.utime(path, (1_000_000_000 + self.seed * 1000, 1_000_000_000 + self.seed * 999))

    def build(self, folder: str, **environ: str) -> dict[str, bytes]:
        """The zip of each function of the app in that folder that is not refused nor skipped."""
        app = self.root / folder
        done = subprocess.run(
            [self.python, "-m", "lambdad", "build", "--json", "--no-daemon"],
            cwd=app,
            env={**os.environ, **environ, **self.environ},
            capture_output=True,
            umask=self.umask,
            check=False,
        )
        assert done.stdout, done.stderr.decode()
        said = json.loads(done.stdout)["functions"]
        functions = [one for one in said if one["status"] not in {"refused", "skipped"}]
        faults = {
            one["name"]: [told["message"] for told in one["diagnostics"]]
            for one in functions
            if one["status"] != "built"
        }
        assert faults == {}
        return {one["name"]: (app / one["artifact"]["path"]).read_bytes() for one in functions}


@pytest.fixture
def other_file_system() -> Iterator[Path]:
    """A folder on tmpfs, where folders list their names in another order than on a disk."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no second file system: /dev/shm can't be written")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="lambdad-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lambdad installed for another version of Python than the one that runs the tests, beside
    python-daemon, whose package is named as a folder of ours."""
    others = [minor for minor in (13, 12, 14, 11) if minor != sys.version_info.minor]
    found = [interpreters.find((3, minor), dict(os.environ)) for minor in others]
    version = next((path for path in found if path is not None), None)
    if version is None:
        pytest.skip("no second Python of version 3.11 or newer on this machine")
    venv = tmp_path_factory.mktemp("other") / "venv"
    subprocess.run([find_uv_bin(), "venv", "-q", "--python", version, venv], check=True)
    python = venv / "bin" / "python"
    # Else uv takes a wheel that it built before, as long as pyproject.toml is as old as then.
    fresh = ["--refresh-package", "lambdad"]
    install = [find_uv_bin(), "pip", "install", "-q", *fresh, "--python", str(python), str(HERE)]
    install.append("python-daemon")
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture
def worlds(tmp_path: Path, other_file_system: Path, other_python: Path) -> tuple[World, World]:
    """Folder, file system, creation order, modes, times, umask, time zone, locale, hash seed,
    Python, zlib and cache of the second differ from the first's."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(OTHER_ZLIB)
    here = World(
        root=tmp_path / "a",
        python=Path(sys.executable),
        environ={
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "1",
            "LAMBDAD_CACHE_DIR": str(tmp_path / "cache"),
        },
        umask=0o022,
        seed=1,
    )
    there = World(
        root=other_file_system / "some" / "where else",
        python=other_python,
        environ={
            "TZ": "Pacific/Kiritimati",
            "LC_ALL": "C",
            "PYTHONHASHSEED": "4242",
            "PYTHONPATH": str(site),
            "LAMBDAD_CACHE_DIR": str(other_file_system / "cache"),
        },
        umask=0o077,
        seed=2,
    )
    return here, there


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file there, by its path from the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def differences(
    one: Mapping[str, bytes], other: Mapping[str, bytes], folder: Path
) -> dict[str, Any]:
    """By function, the names in its zip whose entries differ, or what else does; `folder` is to
    write in."""
    return {
        name: _between(one[name], other[name], folder) if name in one and name in other else "zip"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }


def _between(one: bytes, other: bytes, folder: Path) -> Any:
    listed = []
    for number, content in enumerate((one, other)):
        path = folder / f"differs-{number}.zip"
        path.write_bytes(content)
        with zipfile.ZipFile(path) as opened:
            listed.append(
                {
                    info.filename: (info.date_time, info.external_attr, opened.read(info))
                    for info in opened.infolist()
                }
            )
    first, second = listed
    if first == second:
        return "order" if list(first) != list(second) else "compressed bytes"
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
