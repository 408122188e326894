"""The versions that decide the bytes: pinned here, the same numbers as in pyproject.toml."""

from __future__ import annotations

import functools
from typing import Final

from lambdad.bundler import version
from lambdad.bundler.model import Toolchain

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
