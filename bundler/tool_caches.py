"""Where uv, pip, pip-tools and npm keep their caches: in the user's, else in the store.

A container often has a home that can't be written, and uv then refuses to run at all.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambdad.bundler.store.store import Store
from lambdad.bundler.tool_faults import Program

FOLDER: Final = "caches"
"""In the store; a folder for each tool."""


@dataclass(frozen=True, slots=True)
class _Cache:
    """How a tool finds its cache: by a variable, else below the user's folder for caches."""

    variable: str
    name: str
    in_home: bool = False
    """`name` lies in the home folder itself."""
    on_macos: str = ".cache"
    """The user's folder for caches there, from the home folder on."""


_CACHES: Final[Mapping[Program, tuple[_Cache, ...]]] = {
    Program.UV: (_Cache("UV_CACHE_DIR", "uv"),),
    Program.PIP: (_Cache("PIP_CACHE_DIR", "pip", on_macos="Library/Caches"),),
    Program.PIP_TOOLS: (
        _Cache("PIP_CACHE_DIR", "pip", on_macos="Library/Caches"),
        _Cache("PIP_TOOLS_CACHE_DIR", "pip-tools", on_macos="Library/Caches"),
    ),
    Program.NPM: (_Cache("npm_config_cache", ".npm", in_home=True),),
}


def chosen(tool: Program, environ: Mapping[str, str], store: Store) -> dict[str, str]:
    """The variables that lead the tool to a cache in the store, where it can't write its own.

    Empty where it can. Raises OSError if the store can't be written either.
    """
    found = {}
    for cache in _CACHES[tool]:
        if not _is_writable(_own(cache, environ)):
            name = cache.name.lstrip(".")
            ours = store.path(FOLDER, name)
            ours.mkdir(exist_ok=True)
            store.find(FOLDER, name)  # it is in use
            found[cache.variable] = str(ours)
    return found


def places(tool: Program, environ: Mapping[str, str]) -> list[str]:
    """The folders that hold the tool's caches in that environment, as far as it has a home."""
    return [str(place) for cache in _CACHES[tool] if (place := _own(cache, environ)) is not None]


def _own(cache: _Cache, environ: Mapping[str, str]) -> Path | None:
    """The cache that the tool would use; None where there is no home to look for it in."""
    if named := _setting(cache.variable, environ):
        return Path(named)
    home = environ.get("HOME")
    if cache.in_home:
        return Path(home, cache.name) if home else None
    if sys.platform == "darwin" and cache.on_macos != ".cache":
        return Path(home, cache.on_macos, cache.name) if home else None
    if base := environ.get("XDG_CACHE_HOME"):
        return Path(base, cache.name)
    return Path(home, ".cache", cache.name) if home else None


def _setting(variable: str, environ: Mapping[str, str]) -> str | None:
    """npm reads its variables whatever their case."""
    if variable.islower():
        return next((text for name, text in environ.items() if name.lower() == variable), None)
    return environ.get(variable)


def _is_writable(folder: Path | None) -> bool:
    """Whether the tool can make what it needs there. It is tried: permissions alone don't show
    it."""
    if folder is None or not folder.is_absolute():
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(prefix=".lambdad-", dir=folder)
    except OSError:
        return False
    os.close(descriptor)
    with contextlib.suppress(OSError):
        os.unlink(path)
    return all(map(_is_open, _parts(folder)))


def _parts(folder: Path) -> list[str]:
    """The folders in it: a run as root may have left some of its own."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _is_open(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
