"""What is remembered of a function's last build: one JSON file each in .lambdad/state.

It is a cache: written beside and renamed, and anything torn, foreign, without inputs or of another
version is a miss, which costs a build and never a wrong answer.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.model import (
    Artifact,
    BuildRequest,
    Diagnostic,
    FileKey,
    Listing,
    Live,
    Location,
    Names,
    Severity,
    Snapshot,
    Stems,
    Walk,
)
from lambdad.bundler.store.sealed import SealedFile

VERSION: Final = 5

Json = Any

MadeKey = tuple[int, int, int]
"""(inode, size, mtime_ns): what stays the same for an untouched file whatever links to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    request: Json
    """`canonical` of the BuildRequest."""
    inputs: Snapshot
    succeeded: bool
    artifact: Artifact | None = None
    """Of the last build that succeeded: this one, or the one before a failure."""
    live: Live | None = None
    """Likewise, in the record of what is wanted live."""
    made: Mapping[str, MadeKey]
    """What that build wrote, as it was written."""
    diagnostics: tuple[Diagnostic, ...]
    reasons: tuple[str, ...]
    """Why that build ran."""
    duration_s: float


def load(file: SealedFile) -> Record | None:
    """The record, or None if there is none that can be believed: one without inputs is none, since
    nothing would ever make it stale. Raises BundlerError `not-ours`."""
    try:
        saved = file.read()
        found = _decode(saved) if saved and saved["version"] == VERSION else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if found is not None and has_inputs(found) else None


def save(file: SealedFile, record: Record) -> MadeKey:
    """Returns the key of the file that was written. Raises OSError, and BundlerError `not-ours`."""
    status = file.write(_encode(record))
    return status.st_ino, status.st_size, status.st_mtime_ns


def has_inputs(record: Record) -> bool:
    """Whether anything could ever make the record stale."""
    return bool(record.inputs.files or record.inputs.listings)


def canonical(value: object) -> Json:
    """JSON that is equal for equal values; fields that do not compare are labels and left out."""
    if isinstance(value, str | int | None):
        return value
    if names := _compared(type(value)):
        return {name: canonical(getattr(value, name)) for name in names}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(canonical(item) for item in value)
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in sorted(value.items())}
    return value


def _compared(kind: type) -> tuple[str, ...]:
    """A dataclass's fields that compare; none of anything else."""
    names = _COMPARED.get(kind)
    if names is None:
        fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
        names = _COMPARED[kind] = tuple(field.name for field in fields if field.compare)
    return names


_COMPARED: Final[dict[type, tuple[str, ...]]] = {}


@functools.lru_cache(maxsize=2048)
def canonical_request(request: BuildRequest) -> Json:
    """`canonical`, made once for a request; not to be changed."""
    return canonical(request)


def request_changes(before: Json, request: BuildRequest) -> tuple[str, ...]:
    """Which settings are not as they were, in words; empty if the request is the same."""
    now = canonical_request(request)
    if before == now:
        return ()
    reasons = [
        f"{name} changed: {_brief(before['function'].get(name))} -> {_brief(value)}"
        for name, value in now["function"].items()
        if before["function"].get(name) != value
    ]
    reasons += [
        f"{name} is another version: {before['toolchain'].get(name)} -> {value}"
        for name, value in now["toolchain"].items()
        if before["toolchain"].get(name) != value
    ]
    if (was := before.get("repository")) != now["repository"]:
        reasons.append(f"the repository is another: {was} -> {now['repository']}")
    return tuple(reasons) or ("the request changed",)


def _brief(value: Json) -> str:
    if isinstance(value, dict) and "text" in value:
        return str(value["text"])
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def encode_snapshot(snapshot: Snapshot) -> Json:
    """As JSON, for `decode_snapshot`."""
    return {
        "files": snapshot.files,
        "links": snapshot.links,
        "listings": {
            path: [listing.key, _encode_names(listing.counted), listing.names]
            for path, listing in snapshot.listings.items()
        },
        "suspects": sorted(snapshot.suspects),
    }


def decode_snapshot(saved: Json) -> Snapshot:
    """Raises KeyError, TypeError, ValueError or AttributeError on anything foreign."""
    return Snapshot(
        files={path: _decode_key(key) for path, key in saved["files"].items()},
        links={path: _decode_key(key) for path, key in saved["links"].items()},
        listings={
            path: Listing(_decode_key(key), _decode_names(counted), tuple(names))
            for path, (key, counted, names) in saved["listings"].items()
        },
        suspects=frozenset(saved["suspects"]),
    )


def _encode(record: Record) -> Json:
    return {
        "version": VERSION,
        "request": record.request,
        "succeeded": record.succeeded,
        "artifact": canonical(record.artifact),
        "live": canonical(record.live),
        "made": record.made,
        "diagnostics": canonical(record.diagnostics),
        "reasons": record.reasons,
        "duration_s": round(record.duration_s, 6),
        "inputs": encode_snapshot(record.inputs),
    }


def _decode(saved: Json) -> Record:
    artifact, live, inputs = saved["artifact"], saved["live"], saved["inputs"]
    return Record(
        request=saved["request"],
        succeeded=saved["succeeded"],
        artifact=None if artifact is None else Artifact(**artifact),
        live=None if live is None else Live(**{**live, "path": tuple(live["path"])}),
        made={path: _decode_made_key(key) for path, key in saved["made"].items()},
        diagnostics=tuple(decode_diagnostic(item) for item in saved["diagnostics"]),
        reasons=tuple(saved["reasons"]),
        duration_s=saved["duration_s"],
        inputs=decode_snapshot(inputs),
    )


def _decode_made_key(saved: Json) -> MadeKey:
    inode, size, mtime_ns = saved
    return inode, size, mtime_ns


def _decode_key(saved: Json) -> FileKey | None:
    return None if saved is None else FileKey(*saved)


def _encode_names(names: Names) -> Json:
    if isinstance(names, Stems):
        return sorted(names.names)
    return {
        "top": names.top,
        "patterns": names.patterns,
        "include": names.include,
        "only": names.only,
        "globs": names.globs,
    }


def _decode_names(saved: Json) -> Names:
    if isinstance(saved, list):
        return Stems(frozenset(saved))
    lists = ("patterns", "include", "only", "globs")
    return Walk(saved["top"], *(tuple(saved[name]) for name in lists))


def decode_diagnostic(saved: Json) -> Diagnostic:
    where = saved["where"]
    return Diagnostic(
        code=saved["code"],
        severity=Severity(saved["severity"]),
        message=saved["message"],
        where=None if where is None else Location(**where),
        hint=saved["hint"],
        retried=saved["retried"],
    )
