"""Which packages fit the machine that Lambda runs: 64-bit Linux with glibc.

`os`, `cpu` and `libc` of package.json: npm's documentation, "package.json".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lambdad.bundler.model import Architecture

OS: Final = "linux"
LIBC: Final = "glibc"
CPU: Final = {Architecture.X86_64: "x64", Architecture.ARM64: "arm64"}
"""As Node.js names them in process.arch."""


def fits(
    os: Sequence[str], cpu: Sequence[str], libc: Sequence[str], architecture: Architecture
) -> bool:
    """Whether a package with these fields may be installed on the target."""
    return _admits(os, OS) and _admits(cpu, CPU[architecture]) and _admits(libc, LIBC)


def fits_by_name(name: str, architecture: Architecture) -> bool:
    """Whether the name itself says that this is the target's variant, as in "@img/sharp-linux-x64".

    Used where nothing better is known of a package that is not installed.
    """
    words = set(re.split(r"[^a-z0-9]+", name))
    return OS in words and CPU[architecture] in words and "musl" not in words


def says_musl(name: str) -> bool:
    """Locks written before npm knew `libc` distinguish the two by name alone."""
    return "musl" in name


def install_flags(architecture: Architecture) -> str:
    """What makes npm install for the target, on any machine."""
    return f"--os={OS} --cpu={CPU[architecture]} --libc={LIBC}"


def _admits(field: Sequence[str], value: str) -> bool:
    if f"!{value}" in field:
        return False
    wanted = [entry for entry in field if not entry.startswith("!")]
    return not wanted or value in wanted or "any" in wanted
