"""What dependencies are chosen for: Lambda's Python on its Amazon Linux, whatever this machine is.

For a live tree it is this machine, with the runtime's version of Python.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from lambdad.bundler.model import Architecture, BuildRequest, Function, Language, Want
from lambdad.bundler.runtimes import RUNTIMES

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
class Host:
    """What distinguishes a developer's machine from Lambda's."""

    system: str
    """As `platform.system()` says it: Linux or Darwin."""
    platforms: tuple[str, ...]
    """Every platform tag a wheel may have, the best first."""


@dataclass(frozen=True, slots=True)
class Target:
    version: tuple[int, int]
    glibc: tuple[int, int]
    """(0, 0) where there is another libc."""
    machine: str
    """As `platform.machine()` says it: x86_64 or aarch64; on macOS arm64."""
    host: Host | None = None
    """None: Lambda."""

    def __str__(self) -> str:
        if self.host is not None:
            return f"python{self.short} on this machine"
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
        if self.host is not None:
            tags = hashlib.sha256(" ".join(self.host.platforms).encode()).hexdigest()[:16]
            return f"cp{self.full}-here-{self.machine}-{tags}"
        return f"cp{self.full}-glibc{self.glibc[0]}.{self.glibc[1]}-{self.machine}"


def of(function: Function) -> Target:
    """The target of a Python function."""
    major, minor = function.runtime.version
    return Target((major, minor), function.runtime.glibc, MACHINES[function.architecture])


def wanted(request: BuildRequest) -> Target:
    """The target of a Python function as it is wanted."""
    return of(request.function) if request.want is Want.ZIP else here(request.function)


def here(function: Function) -> Target:
    """This machine, with the function's Python: whichever interpreter of it, the tags are those of
    the one that runs us."""
    major, minor = function.runtime.version
    host = Host(platform.system(), tuple(platform_tags()))
    return Target((major, minor), host_glibc() or (0, 0), platform.machine(), host)


@functools.cache
def platforms(target: Target) -> tuple[str, ...]:
    """The platform tags a wheel may have, the best first (PEP 600)."""
    if target.host is not None:
        return target.host.platforms
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
    known = ranks(target)
    return min((known[tag] for tag in _tags(filename) if tag in known), default=None)


@functools.cache
def environment(target: Target) -> Mapping[str, str]:
    """What markers see (PEP 508); the kernel's release and version are unknown, so empty."""
    system = target.host.system if target.host is not None else "Linux"
    return {
        "implementation_name": "cpython",
        "implementation_version": target.full,
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": target.full,
        "python_version": target.short,
        "sys_platform": system.lower(),
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
    if target.host is not None:  # which uv takes for granted
        return [f"--python-version={target.full}"]
    minor = next(minor for minor in _UV_MINORS if minor <= target.glibc[1])
    return [
        f"--python-platform={target.machine}-manylinux_2_{minor}",
        f"--python-version={target.full}",
    ]


def is_host(target: Target) -> bool:
    """Whether what this machine compiles can run on the target, glibc symbols aside."""
    if target.host is not None:
        return True
    return sys.platform == "linux" and platform.machine() == target.machine


def host_glibc() -> tuple[int, int] | None:
    """Of this machine; None where there is another libc."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return None
    found = re.match(r"glibc (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def lacking(target: Target, filenames: Iterable[str]) -> str | None:
    """Why no native wheel of these names fits, although some are for its machine and Python.

    None if there are none such for Linux.
    """
    if target.host is not None:
        return None
    known = {(tag.interpreter, tag.abi) for tag in ranks(target)}
    kin = [
        tag.platform
        for filename in filenames
        for tag in _tags(filename)
        if (tag.interpreter, tag.abi) in known
        and tag.platform.endswith(f"_{target.machine}")
        and tag.platform.startswith(("manylinux", "musllinux", "linux"))
    ]
    needs = [(int(m[1]), int(m[2])) for text in kin if (m := _MANYLINUX.match(text))]
    has = f"and python{target.short} has"
    if needs:
        return f"its wheels need glibc {_dotted(min(needs))}, {has} {_dotted(target.glibc)}"
    return f"its wheels need musl (Alpine Linux), {has} glibc" if kin else None


def runtimes(filenames: Iterable[str]) -> str | None:
    """Which of Lambda's runtimes a wheel of these names fits, for people; None: no other does."""
    tags = frozenset(tag for filename in filenames for tag in _tags(filename))
    ours = [one for one in RUNTIMES.values() if one.language is Language.PYTHON]
    fitting: dict[tuple[str, ...], list[str]] = {}
    for architecture, machine in MACHINES.items():
        found = []
        for runtime in ours:
            major, minor = runtime.version
            if not tags.isdisjoint(ranks(Target((major, minor), runtime.glibc, machine))):
                found.append(runtime.name)
        if found:
            fitting.setdefault(tuple(found), []).append(architecture.value)
    return (
        "; ".join(
            f"{', '.join(found)} on {' or '.join(machines)}" for found, machines in fitting.items()
        )
        or None
    )


_MANYLINUX: Final = re.compile(r"manylinux_(\d+)_(\d+)_")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _tags(filename: str) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return frozenset()
