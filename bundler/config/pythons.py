"""What a project of Python says of itself that `lambdad init` writes down: its Python, its file."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lambdad.bundler.inputs.reading import open_regular
from lambdad.bundler.located import anytoml
from lambdad.bundler.model import Language, RelPath
from lambdad.bundler.runtimes import RUNTIMES

PINNED: Final = ".python-version"
"""Of pyenv and uv: the version that people develop with."""

_SIZE: Final = 1 << 20


def runtime(root: str, code: RelPath) -> str | None:
    """The newest of Lambda's runtimes that the project's word on Python admits; None: it has none.

    Looked for upwards from the code folder: .python-version, then pyproject.toml and Pipfile.
    """
    for find in (_pinned, _admitted):
        for folder in _upwards(code):
            for wanted in find(root, folder):
                if found := _newest(wanted):
                    return found
    return None


def requirements(root: str, code: RelPath) -> RelPath | None:
    """The file of the project whose `src` the code folder is: it declares the dependencies."""
    above, name = posixpath.split(code)
    if name != "src" or any(_is_project(root, code, file) for file in _READERS):
        return None
    found = (file for file in _READERS if _is_project(root, above, file))
    return next((posixpath.join(above, file) for file in found), None)


def _upwards(folder: RelPath) -> Iterator[RelPath]:
    while folder not in (".", ""):
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


def _pinned(root: str, folder: RelPath) -> Iterator[str]:
    if pinned := re.match(
        rb"(?:cpython-|python-?)?(\d+\.\d+)", _read(root, folder, PINNED).strip()
    ):
        yield f"=={pinned[1].decode()}.*"


def _admitted(root: str, folder: RelPath) -> Iterator[str]:
    for file, reader in _READERS.items():
        said = reader(_toml(root, folder, file))
        if isinstance(said, str):
            yield said


def _newest(wanted: str) -> str | None:
    # A library that only the projects with such a file need.
    from lambdad.bundler.python import target
    from lambdad.bundler.python.locks import poetry

    ours = [one for one in RUNTIMES.values() if one.language is Language.PYTHON]
    for one in sorted(ours, key=lambda one: one.version, reverse=True):
        minor = one.version[1]
        try:
            if poetry.allows(wanted, f"3.{minor}.{target.PATCH.get(minor, 0)}"):
                return one.name
        except poetry.BadDependencyError:
            return None
    return None


def _of_pyproject(said: Mapping[str, Any]) -> object:
    standard = _at(said, "project", "requires-python")
    return standard or _at(said, "tool", "poetry", "dependencies", "python")


def _of_pipfile(said: Mapping[str, Any]) -> object:
    version = _at(said, "requires", "python_version")
    return f"=={version}.*" if version else None


_READERS: Final = {"pyproject.toml": _of_pyproject, "Pipfile": _of_pipfile}


def _is_project(root: str, folder: RelPath, file: str) -> bool:
    said = _toml(root, folder, file)
    return any(_at(said, *path) for path in (("project",), ("tool", "poetry"), ("packages",)))


def _at(said: object, *path: str) -> object:
    for key in path:
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _toml(root: str, folder: RelPath, file: str) -> Mapping[str, Any]:
    try:
        return anytoml.loads(_read(root, folder, file).decode())
    except (ValueError, RecursionError):
        return {}  # a build reports what is wrong with it


def _read(root: str, folder: RelPath, file: str) -> bytes:
    try:
        with open_regular(os.path.join(root, folder, file)) as opened:
            return opened.read(_SIZE)
    except OSError:
        return b""
