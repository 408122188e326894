"""Native modules: what a file was built for, and whether a Lambda runtime can load it.

Formats: System V ABI (ELF) with the GNU symbol versions of LSB 5.0, Apple's mach-o/loader.h and
fat.h, Microsoft's "PE Format".
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from lambdad.bundler.model import Architecture, Language, Runtime

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

LINUX: Final = "Linux"
MACOS: Final = "macOS"
WINDOWS: Final = "Windows"

_ELF: Final = b"\x7fELF"
_MACH_O: Final = {
    b"\xfe\xed\xfa\xce": ">",
    b"\xfe\xed\xfa\xcf": ">",
    b"\xce\xfa\xed\xfe": "<",
    b"\xcf\xfa\xed\xfe": "<",
}
_FAT: Final = b"\xca\xfe\xba\xbe"
_MOST_SLICES: Final = 32
"""Java's class files begin as fat Mach-O does; there the same field is a version above 44."""

_ELF_MACHINES: Final = {
    "EM_X86_64": "x86_64",
    "EM_AARCH64": "arm64",
    "EM_386": "x86",
    "EM_ARM": "arm",
}
_MACH_MACHINES: Final = {0x01000007: "x86_64", 0x0100000C: "arm64", 7: "x86", 12: "arm"}
_PE_MACHINES: Final = {0x8664: "x86_64", 0xAA64: "arm64", 0x014C: "x86", 0x01C4: "arm"}

_MOST_PARTS: Final = 4096
"""Sections, libraries or versions that are looked at: a lying count must not keep us for hours."""

_GLIBC: Final = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)*")
_NAMES: Final = re.compile(r"\.(?:so(?:\.\d+)*|node|dylib|pyd|dll)$")
_EVERYWHERE: Final = re.compile(
    r"(?:ld-linux[^/]*|lib(?:c|m|dl|rt|util|nsl|anl|pthread|resolv|gcc_s|stdc\+\+|z|expat"
    r"|python3[.\d]*))\.so(?:\.\d+)*$"
)
"""glibc, the compiler's own and what the manylinux standards count on; Python itself."""
_CPYTHON: Final = re.compile(r"\.cpython-3(\d+)[a-z]*-[^/]*\.so$")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeFile:
    system: str
    machines: tuple[str, ...]
    """By Lambda's names where it has one; several in a fat Mach-O."""
    glibc: tuple[int, int] | None = None
    """The newest version of a symbol it needs of glibc."""
    musl: bool = False
    libraries: tuple[str, ...] = field(default=(), compare=False)
    """What it loads, by soname, beyond what every Lambda runtime has."""


def is_native_name(name: str) -> bool:
    """The name is one that native modules and shared libraries have."""
    return _NAMES.search(name) is not None


def describe(data: bytes) -> NativeFile | None:
    """What the file was built for; None if it is no native code, or too broken to know."""
    if data.startswith(_ELF):
        return _describe_elf(data)
    if data[:4] in _MACH_O or data.startswith(_FAT):
        return _describe_mach_o(data)
    if data.startswith(b"MZ"):
        return _describe_pe(data)
    return None


def faults(
    name: str, native: NativeFile, runtime: Runtime, architecture: Architecture
) -> list[str]:
    """Why the runtime can't load the file; each goes on after the file's name."""
    if native.system != LINUX:
        return [f"is built for {native.system}, not for Linux"]
    found = []
    if architecture.value not in native.machines:
        found.append(f"is built for {' and '.join(native.machines)}, not for {architecture.value}")
    if native.musl:
        found.append("is built for musl (Alpine Linux); Lambda's runtimes have glibc")
    if native.glibc is not None and native.glibc > runtime.glibc:
        found.append(
            f"needs glibc {_dotted(native.glibc)}; {runtime.name} has {_dotted(runtime.glibc)}"
        )
    if (
        runtime.language is Language.PYTHON
        and (match := _CPYTHON.search(name))
        and runtime.version != (3, int(match[1]))
    ):
        found.append(f"is built for Python 3.{match[1]}; {runtime.name} does not load it")
    return found


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _describe_elf(data: bytes) -> NativeFile | None:
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        machine = str(elf["e_machine"])
        needs = list(_glibc_needs(elf))
        libraries = list(_libraries(elf))
    except Exception:
        # The parser trusts what it reads: a damaged file gives it any fault there is.
        return None
    return NativeFile(
        system=LINUX,
        machines=(_ELF_MACHINES.get(machine, machine.removeprefix("EM_").lower()),),
        glibc=max(needs, default=None),
        musl=any(library.startswith(("libc.musl-", "ld-musl-")) for library in libraries),
        libraries=tuple(each for each in libraries if not _EVERYWHERE.match(each)),
    )


def _glibc_needs(elf: ELFFile) -> Iterator[tuple[int, int]]:
    """Versions of glibc's symbols. A file without section headers, which no linker writes but some
    tools strip, shows none."""
    from elftools.elf.gnuversions import GNUVerNeedSection

    sections = islice(elf.iter_sections(), _MOST_PARTS)
    # A file has one such section at most.
    section = next((one for one in sections if isinstance(one, GNUVerNeedSection)), None)
    if section is None:
        return
    libraries = islice(section.iter_versions(), _MOST_PARTS)
    for version in islice(chain.from_iterable(versions for _, versions in libraries), _MOST_PARTS):
        if match := _GLIBC.fullmatch(version.name):
            yield int(match[1]), int(match[2])


def _libraries(elf: ELFFile) -> Iterator[str]:
    from elftools.elf.dynamic import DynamicSegment

    segments = islice(elf.iter_segments(), _MOST_PARTS)
    dynamic = next((one for one in segments if isinstance(one, DynamicSegment)), None)
    if dynamic is not None:
        for tag in islice(dynamic.iter_tags("DT_NEEDED"), _MOST_PARTS):
            yield tag.needed  # type: ignore[attr-defined]  # set by name for this kind of tag


def _describe_mach_o(data: bytes) -> NativeFile | None:
    try:
        if data.startswith(_FAT):
            (count,) = struct.unpack_from(">I", data, 4)
            if not 0 < count <= _MOST_SLICES:
                return None
            kinds = [struct.unpack_from(">I", data, 8 + 20 * index)[0] for index in range(count)]
        else:
            kinds = list(struct.unpack_from(_MACH_O[data[:4]] + "I", data, 4))
    except struct.error:
        return None
    machines = tuple(_MACH_MACHINES.get(kind, hex(kind)) for kind in kinds)
    return NativeFile(system=MACOS, machines=machines)


def _describe_pe(data: bytes) -> NativeFile | None:
    try:
        (at,) = struct.unpack_from("<I", data, 0x3C)
        mark, machine = struct.unpack_from("<4sH", data, at)
    except struct.error:
        return None
    if mark != b"PE\0\0":
        return None
    return NativeFile(system=WINDOWS, machines=(_PE_MACHINES.get(machine, hex(machine)),))
