"""Wheels: proved once on entering the store, then taken at their word.

The rules are the Python Packaging User Guide's "Binary distribution format" (the wheel) and
"Recording installed projects" (RECORD). In the store a wheel lies as `wheels/<sha256>/<file name>`
with its proof, `index.json`, beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdad.bundler.model import (
    Architecture,
    BundlerError,
    Diagnostic,
    ProjectError,
    Runtime,
    error,
)
from lambdad.bundler.python.wheels import wheel_record
from lambdad.bundler.python.wheels.wheel_record import Promise
from lambdad.bundler.store import notes
from lambdad.bundler.store.anchored import open_file
from lambdad.bundler.store.store import Store, write_atomic
from lambdad.bundler.zips import native, reader
from lambdad.bundler.zips.member import Member
from lambdad.bundler.zips.reader import ZipError, ZipFault, corrupt

KIND: Final = "wheels"

SCHEMES: Final = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
"""The folders that may lie in a wheel's `.data` folder."""

_SCHEMA: Final = 1
_INDEX: Final = "index.json"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK: Final = 1 << 20
_LONGEST_TEXT: Final = 64 << 20
"""Bytes of RECORD, WHEEL or METADATA that are read."""
_MOST_FAULTS: Final = 10


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A file of a wheel whose every byte has been looked at."""

    member: Member
    sha256: str
    """Of its content, in hex."""

    @property
    def name(self) -> str:
        return self.member.name


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
    """As its metadata says it, not checked yet."""
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
    Raises ProjectError as `prove`, and `hash-mismatch` if the wheel has none of these digests.
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
        (home / _INDEX).write_bytes(_sealed(store, proved))
        target = store.path(KIND, sha256)
        if load(store, sha256) is None:
            # What may lie there is torn or of another version, and would stay in the way.
            store.discard(KIND, sha256)
        store.adopt(home, KIND, sha256)
    if (added := load(store, sha256)) is None:
        raise _damaged(str(target))
    return added


def load(store: Store, sha256: str) -> Wheel | None:
    """The proved wheel of that digest, or None. One whose proof is torn, or another user's, as in a
    store out of a cache, is proved again."""
    if _SHA256.fullmatch(sha256) is None or (home := store.find(KIND, sha256)) is None:
        return None
    try:
        document = notes.seal(store, KIND, sha256).unseal(_index(home))
        if isinstance(document, dict) and document.get("schema") == _SCHEMA:
            wheel = _from_json(document, home)
            return wheel if os.lstat(wheel.path).st_size == wheel.size else None
    except FileNotFoundError:
        pass
    except OSError:
        return None
    return _proved_again(store, home, sha256)


def _proved_again(store: Store, home: Path, sha256: str) -> Wheel | None:
    """None: what lies there is not the wheel of that digest, or none that can be used."""
    try:
        (path,) = home.glob("*.whl")
        wheel = prove(path)
    except (OSError, ValueError, ProjectError):
        return None
    if wheel.sha256 != sha256:
        return None
    with contextlib.suppress(OSError):  # a store that may be read but not written still serves
        write_atomic(home / _INDEX, _sealed(store, wheel))
    return wheel


def _sealed(store: Store, wheel: Wheel) -> bytes:
    return notes.seal(store, KIND, wheel.sha256).seal(_to_json(wheel))


def _index(home: Path) -> bytes:
    with open_file(str(home / _INDEX)) as file:
        return file.read()


def is_there(wheel: Wheel) -> bool:
    """Whether its file is where it was found, whole as far as its size shows."""
    try:
        return os.lstat(wheel.path).st_size == wheel.size
    except OSError:
        return False


def read(wheel: Wheel, file: WheelFile) -> bytes:
    """The file's bytes. Raises BundlerError: `store-damaged`."""
    try:
        with open_file(wheel.path) as source:
            return b"".join(reader.content(source.fileno(), file.member))
    except (ZipError, FileNotFoundError) as fault:
        raise _damaged(wheel.path) from fault


def native_faults(
    wheel: Wheel, runtime: Runtime, architecture: Architecture
) -> tuple[Diagnostic, ...]:
    """An error `native-platform` for each native file of the wheel that the runtime can't load.

    For wheels built here: those of an index say in their names what they are built for.
    """
    return tuple(
        error(
            "native-platform",
            f"{file.name} of {wheel.name} {wheel.version} {fault}",
            hint="build it where machine and Python are the target's, or pin a version that has "
            "a wheel for it",
        )
        for file in wheel.files
        if native.is_native_name(file.name)
        and (described := native.describe(read(wheel, file))) is not None
        for fault in native.faults(file.name, described, runtime, architecture)
    )


def check(wheel: Wheel) -> None:
    """Reads the wheel again: its bytes are still those that were proved.

    Raises BundlerError: `store-damaged`; the store's folder of it is then gone, so the next build
    fetches it anew.
    """
    try:
        with open_file(wheel.path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as fault:
        raise _damaged(wheel.path) from fault
    if found != wheel.sha256:
        if os.path.basename(os.path.dirname(wheel.path)) == wheel.sha256:
            Store(Path(wheel.path).parents[2]).discard(KIND, wheel.sha256)
        raise _damaged(wheel.path)


def _damaged(path: str) -> BundlerError:
    return BundlerError(
        "store-damaged",
        f"the store's {path} is gone or is not what was written there",
        "build again: it will be fetched anew",
    )


def _wrong_hash(file_name: str, sha256: str, expected: Sequence[str]) -> Diagnostic:
    return error(
        "hash-mismatch",
        f"{file_name} has the SHA-256 {sha256}; the lock allows {', '.join(sorted(expected))}",
        hint="the index serves another file than the one that was locked: if that is meant, "
        "run lambdad lock; else don't use it",
    )


# --- the proof -------------------------------------------------------------------------------

_HINTS: Final = {
    "wheel-name": "a wheel is named name-version-python-abi-platform.whl",
    "wheel-corrupt": "fetch it again; if it stays so, pin another version and report it to the "
    "authors",
    "wheel-hostile": "don't install it: a wheel made by a build tool never looks like this",
    "wheel-unsupported": "pin another version, or build it from its source",
}


def _prove(path: str, sha256: str) -> Wheel:
    file_name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            return _examine(file.fileno(), path, sha256)
    except ZipError as bad:
        shown = bad.faults[:_MOST_FAULTS]
        more = len(bad.faults) - len(shown)
        raise ProjectError(
            *(
                error(fault.code, f"{file_name} {fault.text}", hint=_HINTS[fault.code])
                for fault in shown
            ),
            *([error(bad.faults[0].code, f"{file_name} has {more} more faults")] if more else []),
        ) from bad


def _examine(descriptor: int, path: str, sha256: str) -> Wheel:
    name, version, tags = _parse_name(os.path.basename(path))
    found = reader.read(descriptor)
    dist_info = _find_dist_info(found, name, version)
    named = {member.name: member for member in found}

    def text(file: str) -> bytes:
        member = named.get(f"{dist_info}/{file}")
        if member is None:
            raise corrupt(f"has no {dist_info}/{file}")
        if member.size > _LONGEST_TEXT:
            raise corrupt(f"has a {dist_info}/{file} of {member.size} bytes")
        return b"".join(reader.content(descriptor, member))

    requires_python = _read_metadata(text("METADATA"), name, version)
    _check_format(text("WHEEL"))
    files = _check_files(descriptor, found, wheel_record.read(text("RECORD")), dist_info)
    return Wheel(
        path=path,
        sha256=sha256,
        size=os.fstat(descriptor).st_size,
        name=name,
        version=version,
        tags=tags,
        requires_python=requires_python,
        dist_info=dist_info,
        files=files,
    )


def _parse_name(file_name: str) -> tuple[str, str, frozenset[str]]:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, _build, tags = parse_wheel_filename(file_name)
    except InvalidWheelFilename as fault:
        raise ZipError(ZipFault("wheel-name", "is not how a wheel is named")) from fault
    return str(name), str(version), frozenset(map(str, tags))


def _find_dist_info(found: Sequence[Member], name: str, version: str) -> str:
    """The wheel's one `.dist-info` folder, which bears its name."""
    from packaging.utils import canonicalize_name, canonicalize_version

    tops = {member.name.partition("/")[0] for member in found if "/" in member.name}
    infos = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(infos) != 1:
        raise corrupt(f"has {len(infos)} .dist-info folders instead of one")
    own_name, _, own_version = infos[0].removesuffix(".dist-info").partition("-")
    if canonicalize_name(own_name) != name or canonicalize_version(
        own_version.replace("_", "-")
    ) != canonicalize_version(version):
        raise corrupt(f"holds {infos[0]}, which is another distribution's")
    for top in sorted(tops):
        if top.endswith(".data"):
            _check_schemes(found, top)
    return infos[0]


def _check_schemes(found: Sequence[Member], top: str) -> None:
    for member in found:
        if member.name.startswith(top + "/"):
            scheme = member.name.split("/")[1]
            if scheme not in SCHEMES:
                raise corrupt(f"has files for {scheme!r}, which is no place to install to")


def _read_metadata(metadata: bytes, name: str, version: str) -> str | None:
    """Requires-Python; name and version are those of the file's name."""
    from packaging.metadata import parse_email
    from packaging.utils import canonicalize_name, canonicalize_version

    raw, _ = parse_email(metadata)
    if canonicalize_name(raw.get("name", "")) != name:
        raise corrupt(f"calls itself {raw.get('name', 'nothing')} in its metadata")
    if canonicalize_version(raw.get("version", "")) != canonicalize_version(version):
        raise corrupt(f"says it is version {raw.get('version', '')!r} in its metadata")
    return raw.get("requires_python")


def _check_format(text: bytes) -> None:
    match = re.search(rb"^Wheel-Version:\s*(\d+)\.", text, re.MULTILINE | re.IGNORECASE)
    if match is None:
        raise corrupt("does not say which Wheel-Version it follows")
    if match[1] != b"1":
        raise ZipError(
            ZipFault("wheel-unsupported", f"follows Wheel-Version {match[1].decode()}, not 1")
        )


def _check_files(
    descriptor: int,
    found: Sequence[Member],
    record: Mapping[str, Promise],
    dist_info: str,
) -> tuple[WheelFile, ...]:
    """Inflates every file, once. "Installation will fail if any file in the archive is not both
    mentioned and correctly hashed in RECORD", says the specification; a mention without a hash is
    let pass, as every installer does."""
    unsigned = {f"{dist_info}/{file}" for file in wheel_record.SIGNATURES}
    faults: list[ZipFault] = []
    files = []
    for member in found:
        promise = wheel_record.NOTHING if member.name in unsigned else record.get(member.name)
        try:
            sha256 = _check_file(descriptor, member, promise)
        except ZipError as bad:
            faults.extend(bad.faults)
            continue
        files.append(WheelFile(member, sha256))
    if faults:
        raise ZipError(*faults)
    return tuple(files)


def _check_file(descriptor: int, member: Member, promise: Promise | None) -> str:
    """The file's SHA-256. Raises ZipError if its bytes are not what they should be."""
    if promise is None:
        raise corrupt(f"holds {member.name}, which its RECORD does not mention")
    ours = hashlib.sha256()
    theirs = ours if promise.algorithm == "sha256" else hashlib.new(promise.algorithm)
    for chunk in reader.content(descriptor, member):
        ours.update(chunk)
        if theirs is not ours:
            theirs.update(chunk)
    if promise.size not in (None, member.size):
        raise corrupt(f"holds {member.size} bytes of {member.name}; its RECORD says {promise.size}")
    if promise.digest and promise.digest != theirs.digest():
        raise corrupt(f"is damaged: {member.name} is not what its RECORD says")
    return ours.hexdigest()


# --- the proof on disk -----------------------------------------------------------------------

_TEXTS: Final = ("sha256", "size", "name", "version", "requires_python", "dist_info")


def _to_json(wheel: Wheel) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "file": os.path.basename(wheel.path),
        "tags": sorted(wheel.tags),
        "files": [[*file.member.row(), file.sha256] for file in wheel.files],
        **{field: getattr(wheel, field) for field in _TEXTS},
    }


def _from_json(document: dict[str, Any], home: Path) -> Wheel:
    return Wheel(
        path=str(home / document["file"]),
        tags=frozenset(document["tags"]),
        files=tuple(WheelFile(Member.of_row(row), sha256) for *row, sha256 in document["files"]),
        **{field: document[field] for field in _TEXTS},
    )
