"""The versions that decide the bytes: pinned here, the same numbers as in pyproject.toml."""

from __future__ import annotations

import functools
import os
from typing import Final, Protocol

from lambdad.bundler import version
from lambdad.bundler.model import BuildRequest, Function, Toolchain, Want

LAMBDAD: Final = version.LAMBDAD
ESBUILD: Final = "0.28.2"
DEFLATE: Final = "0.9.0"
UV: Final = "0.13.8"
PIP_TOOLS: Final = "7.6.2"
ZIP_FORMAT: Final = 1
"""Raise it whenever the same inputs would give other bytes."""


@functools.cache
def current_toolchain() -> Toolchain:
    """What this installation builds with (tests/bundler/test_toolchain.py holds it to that)."""
    return Toolchain(
        lambdad=LAMBDAD,
        esbuild=ESBUILD,
        deflate=DEFLATE,
        uv=UV,
        pip_tools=PIP_TOOLS,
        zip_format=ZIP_FORMAT,
    )


class Rooted(Protocol):
    """A project or a workshop: anything that says where a project lies."""

    @property
    def root(self) -> str: ...

    @property
    def repository(self) -> str: ...


def request_of(
    place: Rooted, function: Function, *, want: Want = Want.ZIP, locked: bool = False
) -> BuildRequest:
    """The request for a build of one of the project's functions by this installation."""
    return BuildRequest(
        function=function,
        toolchain=current_toolchain(),
        repository=os.path.relpath(place.repository, place.root),
        want=want,
        locked=locked,
    )
