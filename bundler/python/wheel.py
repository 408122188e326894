"""Wheels: proved once on entering the store, then taken at their word.

The rules are the Python Packaging User Guide's "Binary distribution format" (the wheel) and
"Recording installed projects" (RECORD). In the store a wheel lies as `wheels/<sha256>/<file name>`
with its proof, `index.json`, beside it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundler.model import BundlerError, ProjectError, error
from bundler.python import members
from bundler.python.members import BadZip, Fault, Member, corrupt
from bundler.sealed import seal, unseal
from bundler.store import Store

KIND: Final = "wheels"

SCHEMES: Final = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
"""The folders that may lie in a wheel's `.data` folder."""

SIGNATURES: Final = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
"""Files of `.dist-info` that RECORD gives no hash of, because they depend on it."""

_SCHEMA: Final = 1
_INDEX: Final = "index.json"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK: Final = 1 << 20
_LONGEST_TEXT: Final = 64 << 20
"""Bytes of RECORD, WHEEL or METADATA that are read."""
_MOST_FAULTS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile(Member):
    sha256: str
    """Of its content, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel whose every byte has been looked at."""

    path: str
    """Absolute."""
    sha256: str
    """Of the wheel's own bytes, in hex."""
    size: int
    name: str
    """Normalised: aws-lambda-powertools."""
    version: str
    tags: frozenset[str]
    """Of its file name, one by one: cp312-cp312-manylinux_2_17_x86_64."""
    requires_python: str | None
    """As its metadata says it; nobody has checked that it can be read."""
    dist_info: str
    """Its folder's name."""
    files: tuple[WheelFile, ...]
    """Sorted by name."""


def prove(path: str | Path) -> Wheel:
    """Reads all of a wheel and finds nothing wrong with it.

    Raises ProjectError, faults together: `wheel-name`, `wheel-corrupt`, `wheel-hostile`,
    `wheel-unsupported`.
    """
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return _prove(str(path), sha256)


def add(store: Store, path: str | Path, expected_sha256: Sequence[str] | None = None) -> Wheel:
    """Copies a wheel into the store, unless it is there, and proves the copy.

    `expected_sha256` are the digests a lock allows, in hex; None: nothing was promised.
    Raises ProjectError as `prove`, and `wheel-hash` if the wheel has none of these digests.
    """
    with store.workspace() as folder:
        home = folder / "wheel"
        home.mkdir()
        copy = home / os.path.basename(path)
        shutil.copyfile(path, copy)
        with open(copy, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if expected_sha256 is not None and sha256 not in expected_sha256:
            raise ProjectError(_wrong_hash(copy.name, sha256, expected_sha256))
        if known := load(store, sha256):
            return known
        proved = _prove(str(copy), sha256)
        (home / _INDEX).write_bytes(seal(_to_json(proved)))
        stale = store.path(KIND, sha256)
        if stale.exists():
            # It could not be loaded, so it is torn or of another version; it would stay in the way.
            shutil.rmtree(stale, ignore_errors=True)
        store.adopt(home, KIND, sha256)
    added = load(store, sha256)
    if added is None:
        raise _damaged(str(stale))
    return added


def load(store: Store, sha256: str) -> Wheel | None:
    """The proved wheel of that digest, or None; a torn or foreign proof is none."""
    if _SHA256.fullmatch(sha256) is None or (home := store.find(KIND, sha256)) is None:
        return None
    try:
        document = unseal((home / _INDEX).read_bytes())
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            return None
        wheel = _from_json(document, home)
        whole = wheel.sha256 == sha256 and os.stat(wheel.path).st_size == wheel.size
    except OSError:
        return None
    return wheel if whole else None


def read(wheel: Wheel, file: WheelFile) -> bytes:
    """The file's bytes. Raises BundlerError: `store-damaged`."""
    try:
        with open(wheel.path, "rb") as source:
            return b"".join(members.content(source.fileno(), file))
    except (BadZip, FileNotFoundError) as fault:
        raise _damaged(wheel.path) from fault


def check(wheel: Wheel) -> None:
    """Reads the wheel again: its bytes are still those that were proved.

    Raises BundlerError: `store-damaged`; the store's folder of it is then gone, so the next build
    fetches it anew.
    """
    try:
        with open(wheel.path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as fault:
        raise _damaged(wheel.path) from fault
    if found != wheel.sha256:
        if os.path.basename(os.path.dirname(wheel.path)) == wheel.sha256:
            shutil.rmtree(os.path.dirname(wheel.path), ignore_errors=True)
        raise _damaged(wheel.path)


def _damaged(path: str) -> BundlerError:
    return BundlerError(
        "store-damaged",
        f"the store's {path} is gone or is not what was written there",
        "build again: it will be fetched anew",
    )


def _wrong_hash(file_name: str, sha256: str, expected: Sequence[str]):  # type: ignore[no-untyped-def]
    raise NotImplementedError
