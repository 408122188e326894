"""lambdad as others install it: from a wheel, from a wheel of the sdist, or editable.

The repository keeps `bundler` and `daemon` at its top; what is installed is one package, `lambdad`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from uv import find_uv_bin

from lambdad.bundler.toolchain import LAMBDAD
from tests.support.paths import ROOT

FOLDERS: Final = ("bundler", "daemon")


@dataclass(frozen=True)
class Dists:
    """What the build backend makes of this repository."""

    sdist: Path
    wheel: Path
    of_sdist: Path
    """The wheel that is built from the sdist."""
    editable: Path


@pytest.fixture(scope="module")
def dists(tmp_path_factory: pytest.TempPathFactory) -> Dists:
    """Built by hatchling as it is installed here: nothing is fetched."""
    folder = tmp_path_factory.mktemp("dists")
    for kind in ("wheel", "editable"):
        ask = f"import hatchling.build as backend; backend.build_{kind}({str(folder / kind)!r})"
        (folder / kind).mkdir()
        run(sys.executable, "-c", ask, cwd=ROOT)
    build = ["-m", "build", "--no-isolation", "--outdir", str(folder / "both"), str(ROOT)]
    run(sys.executable, *build)
    (sdist,) = (folder / "both").glob("*.tar.gz")
    (of_sdist,) = (folder / "both").glob("*.whl")
    (wheel,) = (folder / "wheel").glob("*.whl")
    (editable,) = (folder / "editable").glob("*.whl")
    return Dists(sdist, wheel, of_sdist, editable)


@pytest.fixture(scope="module", params=["wheel", "of_sdist", "editable"])
def installed(
    request: pytest.FixtureRequest, dists: Dists, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The Python of an environment with lambdad alone, without what it depends on."""
    venv = tmp_path_factory.mktemp(request.param) / "venv"
    run(find_uv_bin(), "venv", "-q", "--python", sys.executable, str(venv))
    python = str(venv / "bin" / "python")
    wheel = str(getattr(dists, request.param))
    run(find_uv_bin(), "pip", "install", "-q", "--no-deps", "--offline", "--python", python, wheel)
    return Path(python)


def run(*command: str, cwd: Path | None = None) -> str:
    """What it prints."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_repository() -> Iterator[str]:
    """What lies in the folders, but for what Python makes of it."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def test_a_wheel_has_one_package(dists: Dists) -> None:
    """All that lies in the two folders, as lambdad's; nothing that others may have, too."""
    metadata = f"lambdad-{LAMBDAD}.dist-info/"
    found = {name for name in names(dists.wheel) if not name.startswith(metadata)}
    own = {"lambdad/__init__.py", "lambdad/__main__.py", "lambdad/py.typed"}
    assert found == own.union(f"lambdad/{name}" for name in in_repository())


def test_the_wheel_of_the_sdist_is_the_wheel(dists: Dists) -> None:
    """An installation from source is the same."""
    assert dists.of_sdist.read_bytes() == dists.wheel.read_bytes()


def test_the_sdist_has_what_its_tests_need(dists: Dists) -> None:
    """The code, the tests, what they read, and the license."""
    with tarfile.open(dists.sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert found.issuperset(in_repository())
    for name in ("LICENSE", "pyproject.toml", "tests/conftest.py", "docs/diagnostics.md"):
        assert name in found


def test_it_is_imported_as_lambdad(installed: Path, tmp_path: Path) -> None:
    """Both folders, with a file that is no code, and neither of them as a package of its own."""
    code = (
        "import importlib.util as util, importlib.resources as resources;"
        "import lambdad.bundler.model, lambdad.daemon.entry;"
        "assert resources.files('lambdad.bundler.config').joinpath('schema.json').is_file();"
        "print([util.find_spec(name) for name in ('bundler', 'daemon')])"
    )
    assert run(str(installed), "-c", code, cwd=tmp_path) == "[None, None]\n"


def test_its_types_are_known(installed: Path, tmp_path: Path) -> None:
    """mypy reads the annotations of the installed package: py.typed is beside them."""
    (tmp_path / "use.py").write_text(
        "from lambdad.bundler.model import Copy\n"
        "from lambdad.bundler.version import LAMBDAD\n"
        "version: str = LAMBDAD\n"
        "Copy(source=1, to='.')\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir=cache"]
    done = subprocess.run(
        [*mypy, "--python-executable", str(installed), "use.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = 'use.py:4: error: Argument "source" to "Copy" has incompatible type "int"'
    assert done.stdout.startswith(expected), done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout


def test_an_editable_installation_follows_the_repository(
    dists: Dists, installed: Path, tmp_path: Path
) -> None:
    """Its modules are the repository's own files; those of the others are copies."""
    code = "import lambdad.bundler.model as model; print(model.__file__)"
    place = Path(run(str(installed), "-c", code, cwd=tmp_path).strip())
    is_editable = "editable" in str(installed)
    assert place.samefile(ROOT / "bundler" / "model.py") == is_editable


def test_python_daemon_lies_beside_it(other_python: Path, tmp_path: Path) -> None:
    """The package `daemon` of others is theirs, in the same environment, and both work."""
    version = run(str(other_python), "-m", "lambdad", "--version", cwd=tmp_path)
    assert LAMBDAD in version
    code = (
        "import daemon, lambdad.daemon.entry, lambdad.bundler.build;"
        "print(daemon.DaemonContext.__module__)"
    )
    assert run(str(other_python), "-c", code, cwd=tmp_path) == "daemon.daemon\n"
    assert LAMBDAD in run(str(other_python.parent / "lambdad"), "--version", cwd=tmp_path)
