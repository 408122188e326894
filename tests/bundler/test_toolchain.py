"""The pinned versions are the installed ones: what decides the bytes is what runs."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from lambdad.bundler import toolchain


@pytest.mark.parametrize(
    ("package", "pinned"),
    [
        ("lambdad", toolchain.LAMBDAD),
        ("deflate", toolchain.DEFLATE),
        ("uv", toolchain.UV),
    ],
)
def test_what_is_pinned_is_installed(package: str, pinned: str) -> None:
    """Of the packages that run in this process, or beside it from the same installation."""
    assert version(package) == pinned
