"""RECORD, the list of a wheel's files: "Recording installed projects" of the packaging guide."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.zips.reader import corrupt

SIGNATURES: Final = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
"""Files of `.dist-info` that RECORD gives no hash of, because they depend on it."""

_LENGTHS: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
"""Bytes of a digest. The wheel's specification allows sha256 or better."""
_SIZE: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Promise:
    """What RECORD says of a file."""

    algorithm: str
    digest: bytes
    """Empty: nothing was promised."""
    size: int | None


NOTHING: Final = Promise("sha256", b"", None)


def read(text: bytes) -> Mapping[str, Promise]:
    """The promise for each path. Raises ZipError: `wheel-corrupt`."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text.decode(), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise corrupt("has a RECORD that can't be read") from fault
    promises = {}
    for row in rows:
        if len(row) != 3:
            raise corrupt("has a RECORD whose rows are not path, hash and size")
        promises[row[0]] = _promise(*row)
    return promises


def write(files: Iterable[tuple[str, str, int]], record: str) -> bytes:
    """RECORD for files of these paths, SHA-256s in hex and sizes; `record` is its own path."""
    rows = [
        (path, f"sha256={_encoded(bytes.fromhex(digest))}", size) for path, digest, size in files
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
    return text.getvalue().encode()


def _promise(path: str, promised: str, size: str) -> Promise:
    if size and _SIZE.fullmatch(size) is None:
        raise corrupt(f"has a RECORD that gives {path} the size {size!r}")
    length = int(size) if size else None
    if not promised:
        return Promise("sha256", b"", length)
    algorithm, _, encoded = promised.partition("=")
    if algorithm not in _LENGTHS:
        raise corrupt(f"has a RECORD that hashes {path} by {algorithm}, not by sha256 or better")
    try:
        digest = base64.urlsafe_b64decode(encoded.rstrip("=") + "==")
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _LENGTHS[algorithm]:
        raise corrupt(f"has a RECORD with a broken hash of {path}")
    return Promise(algorithm, digest, length)


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
