"""The last answer of `lambdad build`, kept with the stat keys of all that it depends on.

daemon/client/unchanged.py gives it again while every one of them is as it was. It is composed of
what each function's record holds, so it proves as much as checking every record, and no more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lambdad.bundler import toolchain
from lambdad.bundler.inputs.snapshot import stat_key
from lambdad.bundler.model import FileKey, Snapshot
from lambdad.bundler.store.record import MadeKey, Record

VERSION: Final = 1


def compose(
    root: str,
    configuration: Snapshot,
    records: Iterable[Record | None],
    manifest: Mapping[str, MadeKey],
    answer: Mapping[str, Any],
) -> dict[str, Any] | None:
    """The document, without what says whom it answers; None if the answer can't be given again.

    It can't if it is not all good, if a function has no record, if an input of one is suspect, or
    if two records saw a path differently.
    """
    known = list(records)
    found: dict[str, Any] = {"version": VERSION, "files": {}, "links": {}, "folders": {}}
    if not answer["ok"] or any(item.get("machine_fault") for item in answer["functions"]):
        return None
    if not all(record is not None and record.succeeded for record in known):
        return None
    code = os.path.realpath(toolchain.__file__)
    made = dict(manifest)
    for snapshot in (configuration, *(record.inputs for record in known if record is not None)):
        if snapshot.suspects:
            return None
        folders = {path: listing.key for path, listing in snapshot.listings.items()}
        for kind, keys in (
            ("files", snapshot.files),
            ("links", snapshot.links),
            ("folders", folders),
        ):
            if not _add(found[kind], keys):
                return None
    for record in known:
        if record is not None:
            made |= record.made
    unchanged = [
        {**item, "cached": True, "reasons": [], "duration_ms": 0.0} if "runtime" in item else item
        for item in answer["functions"]
    ]
    found["files"][os.path.relpath(code, root)] = _plain(stat_key(code))
    # As text: a sealed document sorts its keys, and an answer has them in their order.
    text = json.dumps({**answer, "functions": unchanged})
    return {**found, "made": made, "answer": text}


def _add(found: dict[str, Any], keys: Mapping[str, FileKey | None]) -> bool:
    for path, key in keys.items():
        plain = _plain(key)
        if found.setdefault(path, plain) != plain:
            return False
    return True


def _plain(key: FileKey | None) -> list[int] | None:
    return None if key is None else list(key)
