"""What native files were built for."""

from __future__ import annotations

import struct
import sys
import sysconfig
from pathlib import Path

import deflate
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdad.bundler.model import Architecture
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.zips import native
from lambdad.bundler.zips.native import LINUX, MACOS, WINDOWS, NativeFile

REAL = next(Path(deflate.__file__).parent.glob("*.so")).read_bytes()


def mach_o(machine: int, mark: bytes = b"\xcf\xfa\xed\xfe") -> bytes:
    return mark + struct.pack("<I", machine) + bytes(40)


def fat(*machines: int) -> bytes:
    slices = b"".join(struct.pack(">5I", machine, 0, 0, 0, 0) for machine in machines)
    return b"\xca\xfe\xba\xbe" + struct.pack(">I", len(machines)) + slices


def pe(machine: int) -> bytes:
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)


def elf(machine: int, bits: int = 64) -> bytes:
    """An ELF file with a header and nothing else."""
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    if bits == 64:
        return ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    return ident + struct.pack("<HHIIIIIHHHHHH", 3, machine, 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0)


def loading(*libraries: str) -> bytes:
    """An ELF file that loads these: a dynamic segment and its strings, at their own addresses."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in libraries)
    offsets = [strings.index(name.encode()) for name in libraries]
    start = 64 + 2 * 56
    tags = [(1, offset) for offset in offsets] + [(5, start), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    at, size = start + len(strings), start + len(strings) + len(dynamic)
    head = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 1)
    told = struct.pack("<IIQQQQQQ", 2, 4, at, at, at, len(dynamic), len(dynamic), 1)
    return b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + head + load + told + strings + dynamic


CASES = [
    (elf(62), NativeFile(system=LINUX, machines=("x86_64",))),
    (elf(183), NativeFile(system=LINUX, machines=("arm64",))),
    (elf(3, 32), NativeFile(system=LINUX, machines=("x86",))),
    (elf(21), NativeFile(system=LINUX, machines=("ppc64",))),
    (mach_o(0x01000007), NativeFile(system=MACOS, machines=("x86_64",))),
    (mach_o(0x0100000C), NativeFile(system=MACOS, machines=("arm64",))),
    (fat(0x01000007, 0x0100000C), NativeFile(system=MACOS, machines=("x86_64", "arm64"))),
    (pe(0x8664), NativeFile(system=WINDOWS, machines=("x86_64",))),
    (pe(0xAA64), NativeFile(system=WINDOWS, machines=("arm64",))),
    (b"", None),
    (b"#!/bin/sh\n", None),
    (b"\x7fELF", None),
    (b"MZ is how a text may begin", None),
    (b"\xca\xfe\xba\xbe\x00\x00\x00\x41 a Java class", None),
]


@pytest.mark.parametrize(("data", "expected"), CASES)
def test_formats_are_told_by_their_first_bytes(data: bytes, expected: NativeFile | None) -> None:
    """ELF, Mach-O thin and fat, PE; text, Java classes and torn files are none."""
    assert native.describe(data) == expected


def test_libraries_that_may_be_missing() -> None:
    """What every Lambda runtime has is not told: glibc, the compiler's libraries, zlib."""
    everywhere = ("libc.so.6", "libstdc++.so.6", "ld-linux-x86-64.so.2", "libz.so.1")
    found = native.describe(loading("libpq.so.5", *everywhere, "libcrypto.so.3"))
    assert found is not None
    assert found.libraries == ("libpq.so.5", "libcrypto.so.3")


@pytest.mark.skipif(sys.platform != "linux", reason="the sample is an ELF file there only")
def test_a_real_module_tells_its_glibc() -> None:
    """The newest version of its symbols, compared as numbers."""
    found = native.describe(REAL)
    assert found is not None
    assert found.system == LINUX
    assert not found.musl
    assert found.glibc is not None
    assert (2, 2) <= found.glibc < (2, 40)


@example(at=40, byte=255)
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_file_is_no_crash(at: int, byte: int) -> None:
    """Whatever a header claims, the answer comes."""
    native.describe(REAL[:at] + bytes([byte]) + REAL[at + 1 :])
    native.describe(REAL[: at * 100])


def linux(**changes: object) -> NativeFile:
    fields = {"system": LINUX, "machines": ("x86_64",), **changes}
    return NativeFile(**fields)  # type: ignore[arg-type]


FAULTS = [
    ("a.so", linux(), "python3.12", []),
    ("a.so", linux(glibc=(2, 34)), "python3.12", []),
    ("a.so", linux(glibc=(2, 9)), "python3.11", []),
    ("a.so", linux(glibc=(2, 28)), "python3.11", ["needs glibc 2.28; python3.11 has 2.26"]),
    ("a.node", linux(glibc=(2, 35)), "nodejs24.x", ["needs glibc 2.35; nodejs24.x has 2.34"]),
    ("a.so", linux(musl=True), "python3.12", ["built for musl"]),
    ("a.so", linux(machines=("arm64",)), "python3.12", ["is built for arm64, not for x86_64"]),
    ("a.so", linux(machines=("x86",)), "python3.12", ["is built for x86, not for x86_64"]),
    ("a.so", NativeFile(system=MACOS, machines=("x86_64",)), "python3.12", ["built for macOS"]),
    ("a.pyd", NativeFile(system=WINDOWS, machines=("x86_64",)), "python3.12", ["for Windows"]),
    ("p/a.cpython-312-x86_64-linux-gnu.so", linux(), "python3.12", []),
    ("p/a.cpython-39-x86_64-linux-gnu.so", linux(), "python3.12", ["built for Python 3.9"]),
    ("p/a.cpython-312-x86_64-linux-gnu.so", linux(), "nodejs24.x", []),
    ("p/a.abi3.so", linux(), "python3.12", []),
    (
        "a.so",
        linux(machines=("arm64",), glibc=(2, 39)),
        "python3.12",
        ["is built for arm64", "needs glibc 2.39"],
    ),
]


@pytest.mark.parametrize(("name", "file", "runtime", "expected"), FAULTS)
def test_what_can_not_be_loaded_says_why(
    name: str, file: NativeFile, runtime: str, expected: list[str]
) -> None:
    """Another system, machine, libc or Python; glibc versions compare as numbers."""
    found = native.faults(name, file, RUNTIMES[runtime], Architecture.X86_64)
    assert len(found) == len(expected)
    assert all(part in fault for part, fault in zip(expected, found, strict=True))


def test_native_names() -> None:
    """By ending; versions of shared objects too."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name in (f"a{suffix}", "a.so", "lib/a.so.1.2", "a.node", "a.dylib", "a.pyd", "a.dll"):
        assert native.is_native_name(name), name
    for name in ("a.py", "so", "a.sol", "a.so.py", "node/a.js"):
        assert not native.is_native_name(name), name
