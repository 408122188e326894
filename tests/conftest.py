"""What many tests share: a place to build in, and a way to write trees down."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop

# A test's time says how busy the machine is, not whether the product works.
settings.register_profile("lambdad", deadline=None)
settings.load_profile("lambdad")

# Where a machine sets it, each process that a test starts would compile all of lambdad anew, and
# each worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C reaches what the tests start, though a shell's background job would ignore it. What
    they seal and trust stays among themselves, and is the same for all workers of a run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ["XDG_STATE_HOME"] = folder = tempfile.mkdtemp(prefix="lambdad-state-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


pytest_plugins = ["tests.support.disks", "tests.support.watching", "tests.support.worlds"]

Tree = Mapping[str, str | bytes]


def write_tree(root: Path, files: Tree) -> None:
    """Writes each file below `root`; a value that begins with "-> " is a symlink to the rest."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_text(content)


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all tests and workers of a run: what one of them fetched is there for all."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return Store(base / "store", b"shared" * 6)


@pytest.fixture(scope="session")
def tools(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package managers that tests fetch, kept between runs as far as pytest keeps anything."""
    if request.config.pluginmanager.hasplugin("cacheprovider"):
        return Path(request.config.cache.mkdir("npm-managers"))
    return tmp_path_factory.mktemp("npm-managers")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty project with a store of its own, empty but for esbuild."""
    return workshop_at(tmp_path / "project", store_at(tmp_path / "store"))


def store_at(folder: Path) -> Store:
    """A store with nothing but esbuild, which the tests share."""
    from tests.support.served import share_esbuild

    folder.mkdir()
    share_esbuild(folder)
    return Store(folder)


def workshop_at(root: Path, store: Store) -> Workshop:
    root.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(root)
    return Workshop(root=real, repository=real, store=store, environ=dict(os.environ))


@pytest.fixture
def lay(workshop: Workshop) -> Callable[[Tree], None]:
    """Writes files into the project."""

    def write(files: Tree) -> None:
        write_tree(Path(workshop.root), files)

    return write
