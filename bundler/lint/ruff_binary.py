"""Which ruff: that of the project's own environment, else the one that lambdad brings along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from lambdad.bundler.model import BundlerError
from lambdad.bundler.workshop import Workshop


def own(folder: str, workshop: Workshop) -> str | None:
    """The ruff of the virtual environment nearest to the folder, else of the one that is active.

    It is code of the project: bundler/trust.py. `folder` is absolute.
    """
    places = [
        f"{place}/{name}/bin/ruff"
        for place in _upwards(folder, workshop.repository)
        for name in (".venv", "venv")
    ]
    if active := workshop.environ.get("VIRTUAL_ENV"):
        places.append(f"{active}/bin/ruff")
    found = shutil.which("ruff", path=workshop.environ.get("PATH"))
    if found and os.path.isfile(os.path.join(os.path.dirname(found), "..", "pyvenv.cfg")):
        places.append(found)
    return next((place for place in places if _runs(place) and not _is_ours(place)), None)


def ours() -> str:
    """Raises BundlerError `lint-tool` if it is not installed."""
    from ruff import find_ruff_bin

    try:
        return str(find_ruff_bin())
    except FileNotFoundError as fault:
        hint = "install lambdad again, or ruff into the project's .venv"
        raise BundlerError("lint-tool", "ruff is not installed", hint) from fault


def stamp(binary: str) -> str:
    """Equal for the same version, without asking it which that is."""
    try:
        status = os.stat(binary)
    except OSError:
        return binary
    return f"{os.path.realpath(binary)} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _runs(binary: str) -> bool:
    return os.path.isfile(binary) and os.access(binary, os.X_OK)


def _is_ours(binary: str) -> bool:
    try:
        return os.path.samefile(binary, ours())
    except (OSError, BundlerError):
        return False


def _upwards(folder: str, top: str) -> Iterator[str]:
    """From the folder to the repository's root; of a folder outside, itself alone."""
    while True:
        yield folder
        if folder == top or not folder.startswith(f"{top.rstrip('/')}/"):
            return
        folder = os.path.dirname(folder)
