"""Zips and wheels for tests, whole or broken in any field: what no honest tool would write."""

from __future__ import annotations

import base64
import hashlib
import stat
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOCAL = ("mark", "needs", "flags", "method", "time", "date", "crc", "compressed_size", "size")
CENTRAL = ("mark", "made", *LOCAL[1:])


@dataclass
class Raw:
    """A file of the zip; `local` and `central` override fields of its two headers by name."""

    name: str
    content: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    data: bytes | None = None
    """Its compressed bytes, if not the honest ones."""
    local: dict[str, int] = field(default_factory=dict)
    central: dict[str, int] = field(default_factory=dict)
    local_name: str | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    before: bytes = b""
    after: bytes = b""


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def build(
    files: Iterable[Raw],
    *,
    before_directory: bytes = b"",
    after: bytes = b"",
    comment: bytes = b"",
    end: Mapping[str, int] | None = None,
    end_64: bytes = b"",
) -> bytes:
    """The zip's bytes. `end` overrides count, size and offset in its last record."""
    out = b""
    directory = b""
    files = list(files)
    for raw in files:
        data = raw.data if raw.data is not None else deflated(raw.content)
        out += raw.before
        numbers = {
            "needs": 20,
            "flags": 0 if raw.name.isascii() else 0x800,
            "method": 8,
            "time": 1,
            "date": 33,
            "crc": zlib.crc32(raw.content),
            "compressed_size": len(data),
            "size": len(raw.content),
            "header": len(out),
        }
        local = {**numbers, **raw.local}
        central = {**numbers, **raw.central}
        name = (raw.local_name if raw.local_name is not None else raw.name).encode()
        directory += struct.pack(
            "<4s6H3I5H2I",
            b"PK\x01\x02",
            0x314,
            *(central[key] for key in CENTRAL[2:]),
            len(raw.name.encode()),
            len(raw.central_extra),
            0,
            0,
            0,
            raw.mode << 16,
            central["header"],
        )
        directory += raw.name.encode() + raw.central_extra
        out += struct.pack(
            "<4s5H3I2H",
            b"PK\x03\x04",
            *(local[key] for key in LOCAL[1:]),
            len(name),
            len(raw.local_extra),
        )
        out += name + raw.local_extra + data + raw.after
    out += before_directory
    said = {"count": len(files), "size": len(directory), "offset": len(out), **(end or {})}
    last = (0, 0, said["count"], said["count"], said["size"], said["offset"], len(comment))
    return out + directory + end_64 + struct.pack("<4s4H2IH", b"PK\5\6", *last) + comment + after


def record(files: Iterable[Raw], dist_info: str) -> Raw:
    """The RECORD of these files."""
    rows = [
        f"{_quoted(raw.name)},sha256={_base64(hashlib.sha256(raw.content).digest())},{len(raw.content)}"
        for raw in files
        if not raw.name.endswith("/")
    ]
    rows.append(f"{dist_info}/RECORD,,")
    return Raw(f"{dist_info}/RECORD", "\n".join(rows).encode() + b"\n")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def distribution(
    files: Mapping[str, bytes | Raw],
    *,
    name: str = "pkg",
    version: str = "1.0",
    metadata: str | None = None,
    wheel: str = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
) -> list[Raw]:
    """The files of a wheel: those given, its metadata and RECORD."""
    dist_info = f"{name}-{version}.dist-info"
    if metadata is None:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    raws = [
        content if isinstance(content, Raw) else Raw(path, content)
        for path, content in files.items()
    ]
    raws.append(Raw(f"{dist_info}/METADATA", metadata.encode()))
    raws.append(Raw(f"{dist_info}/WHEEL", wheel.encode()))
    return [*raws, record(raws, dist_info)]


def write_wheel(
    folder: Path,
    files: Mapping[str, bytes | Raw],
    *,
    name: str = "pkg",
    version: str = "1.0",
    tag: str = "py3-none-any",
) -> Path:
    """An honest wheel in `folder`."""
    path = folder / f"{name}-{version}-{tag}.whl"
    path.write_bytes(build(distribution(files, name=name, version=version)))
    return path
