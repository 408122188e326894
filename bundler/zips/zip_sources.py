"""What a function's zip was made of, as far as the zip does not say: kept for `lambdad size`.

One JSON file a function in .lambdad/state/makeup: which sources a bundle has, and whose its
dependencies' files are. When a build gives another zip, what was known of the last one moves to
`before/`, with that zip's directory of names and sizes. Caches: damage is a miss, and a failure to
write them costs a comparison, never a build.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.model import Artifact, RelPath
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_folder import OurFile
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.sealed import SealedFile
from lambdad.bundler.zips import headers, names
from lambdad.bundler.zips.member import Contents

SOURCE_MAP: Final = "<source map>"
"""Stands among the sources of a bundle for the source map inside of it."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Makeup:
    """What is known of one zip."""

    sha256: str
    """Of the zip's bytes, in hex."""
    bundled: Mapping[str, Mapping[RelPath, int]]
    """As in Contents."""
    owners: Mapping[str, str]
    """By path, as in Segment; none: own code in a dependency's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """The zip before the present one, which need no longer be there."""

    makeup: Makeup
    size: int
    """Bytes of that zip."""
    tail: bytes
    """That zip from its central directory on."""


def of(contents: Contents, made: Artifact) -> Makeup:
    """What the zip that was made of them is made of: little, whatever the contents hold."""
    return Makeup(sha256=made.sha256, bundled=contents.bundled, owners=dict(_owners(contents)))


def keep(
    output: Output, state: ProjectState, function: str, now: Makeup, before: Artifact | None
) -> None:
    """Notes it; `before` was the function's artifact up to this build."""
    with contextlib.suppress(OSError):
        # This runs after the answer, and the user may be removing the project by then: a folder
        # that is gone is not made again.
        state.zip_sources(function).file.hold_folder()
        state.former(function).file.hold_folder()
        if before is None or before.sha256 != now.sha256:
            state.former(function).file.remove()
            if before is not None:
                with contextlib.suppress(OSError):
                    _keep_former(output, state, function, before)
        state.zip_sources(function).write(_document(now))


def _document(makeup: Makeup) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "sha256": makeup.sha256,
        "bundled": {name: dict(sources) for name, sources in makeup.bundled.items()},
        "owners": sorted(makeup.owners.items()),
    }


def _owners(contents: Contents) -> Iterator[tuple[str, str]]:
    if contents.dependencies is None or not contents.dependencies.owners:
        return
    owners = contents.dependencies.owners
    yield from owners
    folders = {path for path, _ in owners}
    for entry in contents.own:
        if not folders.isdisjoint(names.folders(entry.name)):
            yield entry.name, ""


def _keep_former(output: Output, state: ProjectState, function: str, before: Artifact) -> None:
    known = load(state, function)
    if known is None or known.sha256 != before.sha256:
        known = Makeup(sha256=before.sha256, bundled={}, owners={})
    document = _document(known) | {
        "size": before.size,
        "tail": base64.b64encode(_tail(output.at(before.immutable_path))).decode(),
    }
    state.former(function).write(document)


def _tail(archived: OurFile) -> bytes:
    """Of a zip of ours, whose last bytes say where its directory begins. Raises OSError."""
    with archived.open() as file:
        file.seek(-headers.END.size, io.SEEK_END)
        end = file.read()
        if len(end) != headers.END.size or not end.startswith(headers.END_MARK):
            raise OSError(f"{archived.path} was modified by another program")
        *_, start, _comment = headers.END.unpack(end)
        file.seek(start)
        return file.read()


def load(state: ProjectState, function: str) -> Makeup | None:
    """What was noted last; its user checks that it is of this zip."""
    saved = _read(state.zip_sources(function))
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        return _makeup(saved)
    return None


def load_former(state: ProjectState, function: str) -> Former | None:
    saved = _read(state.former(function))
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        tail = base64.b64decode(saved["tail"], validate=True)
        return Former(makeup=_makeup(saved), size=saved["size"], tail=tail)
    return None


def _read(document: SealedFile) -> Any:
    saved = document.read()
    return saved if isinstance(saved, dict) and saved.get("version") == _VERSION else None


def _makeup(saved: Any) -> Makeup:
    return Makeup(sha256=saved["sha256"], bundled=saved["bundled"], owners=dict(saved["owners"]))
