"""What dependencies are chosen for: Lambda's Python on its Amazon Linux, never this machine."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from bundler.model import Architecture, Function

PATCH: Final = {8: 20, 9: 21, 10: 16, 11: 11, 12: 8, 13: 2, 14: 0}
"""Per minor version a patch release that every current image of the runtime has reached.

Markers and Requires-Python may ask for one ("!=3.9.7"), and Lambda updates it without notice.
"""

MACHINES: Final = {Architecture.X86_64: "x86_64", Architecture.ARM64: "aarch64"}

_ALIASES: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""PEP 600: the older names of three manylinux_2_<minor>."""
_OLDEST: Final = {"x86_64": 5, "aarch64": 17}
"""Of glibc 2: manylinux1 for x86_64; there is nothing before manylinux2014 for aarch64."""

_UV_MINORS: Final = (34, 17)
"""The manylinux_2_<minor> that uv knows and that a runtime's glibc equals or tops, newest first."""


@dataclass(frozen=True, slots=True)
class Target:
    version: tuple[int, int]
    glibc: tuple[int, int]
    machine: str
    """As `platform.machine()` says it: x86_64 or aarch64."""

    def __str__(self) -> str:
        architecture = "arm64" if self.machine == "aarch64" else self.machine
        return f"python{self.short} on {architecture}"

    @property
    def short(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def full(self) -> str:
        return f"{self.short}.{PATCH.get(self.version[1], 0)}"

    @property
    def key(self) -> str:
        """Names the target in keys of what is remembered."""
        return f"cp{self.full}-glibc{self.glibc[0]}.{self.glibc[1]}-{self.machine}"


def of(function: Function) -> Target:
    """The target of a Python function."""
    major, minor = function.runtime.version
    return Target((major, minor), function.runtime.glibc, MACHINES[function.architecture])


@functools.cache
def platforms(target: Target) -> tuple[str, ...]:
    """The platform tags a wheel may have, the best first (PEP 600)."""
    names = []
    for minor in range(target.glibc[1], _OLDEST[target.machine] - 1, -1):
        names.append(f"manylinux_2_{minor}_{target.machine}")
        if alias := _ALIASES.get(minor):
            names.append(f"{alias}_{target.machine}")
    return (*names, f"linux_{target.machine}")


@functools.cache
def ranks(target: Target) -> Mapping[Tag, int]:
    """Every tag a wheel may have, with its rank: 0 is the best fit."""
    fitting = platforms(target)
    interpreter = f"cp{target.version[0]}{target.version[1]}"
    tags = (
        *cpython_tags(target.version, abis=[interpreter], platforms=fitting),
        *compatible_tags(target.version, interpreter, platforms=fitting),
    )
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def rank(target: Target, filename: str) -> int | None:
    """How well a wheel of that name fits, 0 the best; None if it does not."""
    try:
        tags = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return None
    known = ranks(target)
    return min((known[tag] for tag in tags if tag in known), default=None)


@functools.cache
def environment(target: Target) -> Mapping[str, str]:
    """What markers see (PEP 508); the kernel's release and version are unknown, so empty."""
    return {
        "implementation_name": "cpython",
        "implementation_version": target.full,
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": target.full,
        "python_version": target.short,
        "sys_platform": "linux",
    }


def holds(target: Target, marker: Marker | None, extras: frozenset[str] = frozenset()) -> bool:
    """Whether the marker is true for the target, with any of the extras asked for."""
    if marker is None:
        return True
    known = environment(target)
    return any(marker.evaluate({**known, "extra": extra}) for extra in extras or {""})


def accepts(target: Target, requires_python: str | SpecifierSet) -> bool:
    """Whether a Requires-Python admits the target."""
    if isinstance(requires_python, str):
        requires_python = SpecifierSet(requires_python)
    return requires_python.contains(target.full, prereleases=True)


def pip_flags(target: Target) -> list[str]:
    """`pip download` for the target. pip judges wheels by these, but never markers."""
    abi = f"cp{target.version[0]}{target.version[1]}"
    return [
        *(f"--platform={name}" for name in platforms(target)),
        f"--python-version={target.full}",
        "--implementation=cp",
        *(f"--abi={name}" for name in (abi, "abi3", "none")),
    ]


def uv_flags(target: Target) -> list[str]:
    """`uv pip compile` for the target. uv's steps are coarser: never past the target's glibc."""
    minor = next(minor for minor in _UV_MINORS if minor <= target.glibc[1])
    return [
        f"--python-platform={target.machine}-manylinux_2_{minor}",
        f"--python-version={target.full}",
    ]


def is_host(target: Target) -> bool:
    """Whether what this machine compiles can run on the target, glibc symbols aside."""
    return sys.platform == "linux" and platform.machine() == target.machine
