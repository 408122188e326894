"""Yarn's Plug'n'Play, which esbuild resolves by itself: its data, and paths into its archives.

Sources: Yarn's documentation, "Plug'n'Play specification" (the data, and how it stands in
.pnp.cjs) and "virtual packages" (paths that hold `__virtual__`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from lambdad.bundler.inputs.reading import LOCK, read_regular
from lambdad.bundler.located import anyjson

FILES: Final = (".pnp.data.json", ".pnp.cjs", ".pnp.js")
"""In the order in which esbuild looks for them; the first one counts."""

Locations = Mapping[str, tuple[str, ...]]
"""Of each package's name the folders that its versions lie in, absolute."""

_DATA: Final = re.compile(r"RAW_RUNTIME_STATE\s*=\s*'((?:[^'\\]|\\.)*+)'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(\n|.)", re.DOTALL)
_VIRTUAL: Final = re.compile(r"^(.*?)/(?:__virtual__|\$\$virtual)/[^/]+/(\d+)/(.*)$")


def read(path: str) -> Locations:
    """What the data at that path says; empty if it can't be read, since esbuild reports that."""
    try:
        text = read_regular(path, LOCK).decode("utf-8")
        if not path.endswith(".json"):
            found = _DATA.search(text)
            text = _ESCAPE.sub(lambda m: m[1].strip("\n"), found[1]) if found else "{}"
        return dict(_locations(anyjson.loads(text), os.path.dirname(path)))
    except (OSError, ValueError, RecursionError):
        return {}


def _locations(data: object, folder: str) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    registry = data.get("packageRegistryData") if isinstance(data, dict) else None
    for entry in registry if isinstance(registry, list) else ():
        match entry:
            case [str(name), [*versions]]:
                for version in versions:
                    match version:
                        case [_, {"packageLocation": str(location)}]:
                            path = os.path.normpath(os.path.join(folder, location))
                            found.setdefault(name, []).append(real(path))
    return {name: tuple(places) for name, places in found.items()}


def real(path: str) -> str:
    """The path without what Yarn puts into it to distinguish a package's instances."""
    while found := _VIRTUAL.match(path):
        above = found[1]
        for _ in range(int(found[2]) if len(found[2]) < 4 else 0):
            above = os.path.dirname(above)
        path = os.path.normpath(os.path.join(above or "/", found[3]))
    return path


def archive(path: str) -> str | None:
    """The file that is the archive, of a path that leads into one."""
    start = 0
    while (end := path.find(".zip/", start)) >= 0:
        start = end + len(".zip")
        if os.path.isfile(path[:start]):
            return path[:start]
    return None
