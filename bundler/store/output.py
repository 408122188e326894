"""The project's .lambdad folder: zips, live trees and the manifest.

What is remembered beside them is in project_state.py.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambdad.bundler.model import Artifact, Function
from lambdad.bundler.store import identity
from lambdad.bundler.store.sealed import SealedFile
from lambdad.bundler.store.store import TEMPORARY, collect_abandoned, write_atomic

FOLDER: Final = identity.FOLDER
ARTIFACT_KEPT_S: Final = 600.0
"""An artifact that nothing names any more stays so long: a deploy may be reading it."""


FOLDERS: Final = (
    *("build", "artifacts", "live"),
    *("state", "state/live", "state/python", "state/makeup", "state/makeup/before"),
    *("state/lint", "state/build"),
)


def file_stem(function: str) -> str:
    """A function's name as a file's: "/" becomes "-". Readers refuse names that then clash."""
    return function.replace("/", "-")


@dataclass(frozen=True, slots=True)
class Output:
    """Paths below one project's .lambdad, and how they are written."""

    root: str

    @property
    def folder(self) -> Path:
        return Path(self.root, FOLDER)

    def prepare(self) -> None:
        """The folders exist, git ignores them, and the project has an identity. Raises OSError."""
        for name in FOLDERS:
            self.make(name)
        identity.ensure(self.root)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, b"# lambdad's own folder: made anew by any build\n*\n")

    def make(self, name: str) -> Path:
        """The folder of that path below ours, which is there now. Raises OSError.

        Never the project's own: one that was moved or deleted must not come back empty.
        """
        place = self.folder
        place.mkdir(exist_ok=True)
        for part in name.split("/"):
            place /= part
            place.mkdir(exist_ok=True)
        return place

    @property
    def clock(self) -> str:
        """The file that is touched to read the file system's clock."""
        return f"{self.root}/{FOLDER}/clock"

    def live(self, function: str) -> str:
        """Holds a folder for each digest that the function's bundle had lately."""
        return f"{FOLDER}/live/{file_stem(function)}"

    def artifact(self, sha256: str) -> str:
        return f"{FOLDER}/artifacts/{sha256}.zip"

    def zip(self, function: str) -> str:
        return f"{FOLDER}/build/{file_stem(function)}.zip"

    def publish(self, artifact: Artifact) -> None:
        """The zip stands under the function's name: the file that `immutable_path` names."""
        target = Path(self.root, artifact.path)
        source = Path(self.root, artifact.immutable_path)
        # rename(2) between two links of one file does nothing and would leave the temporary.
        with contextlib.suppress(OSError):
            if target.samefile(source):
                return
        temporary = target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # a file system without hard links
            write_atomic(target, source.read_bytes())
            return
        try:
            os.replace(temporary, target)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    @property
    def manifest(self) -> Path:
        return self.folder / "build" / "manifest.json"

    def write_manifest(
        self,
        changed: Mapping[str, Mapping[str, object]],
        known: Iterable[str],
        proof: SealedFile,
        recorded: Callable[[], Mapping[str, Mapping[str, object]]],
    ) -> Mapping[str, object]:
        """build/manifest.json tells programs what lies there; functions not in `known` leave it.

        Of functions that are not `changed` it keeps what it told before, if `proof` says that a
        build of this user's wrote it so, else it tells what is `recorded` of them.

        It is read and written: one process's threads must take turns. Returns what it tells of
        each function now. Raises OSError.
        """
        before = self._content(self.manifest)
        names, entries, is_proven = sorted(known), changed, True
        if before is not None and not changed.keys() >= set(names):
            is_proven = proof.read() == _digest(before)
            entries = {**(_functions(before) if is_proven else recorded()), **changed}
        kept = {name: entries[name] for name in names if name in entries}
        now = (json.dumps({"schema": 1, "functions": kept}, indent=2) + "\n").encode()
        if now != before:
            write_atomic(self.manifest, now)
        if now != before or not is_proven:
            proof.write(_digest(now))
        return kept

    def _content(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def collect_abandoned(self, now_s: float | None = None) -> None:
        """What killed builds left behind is gone."""
        for folder in (".", *FOLDERS):
            collect_abandoned(self.folder / folder, now_s)
        for home in self.folder.glob("live/*"):
            collect_abandoned(home, now_s)

    def collect(self, named: Iterable[Artifact], now_s: float | None = None) -> None:
        """Removes artifacts that no function names and that are older than a deploy may take."""
        kept = {os.path.basename(artifact.immutable_path) for artifact in named}
        limit = (time.time() if now_s is None else now_s) - ARTIFACT_KEPT_S
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(self.folder / "artifacts")):
                with contextlib.suppress(OSError):
                    if entry.name not in kept and entry.stat().st_ctime < limit:
                        os.unlink(entry.path)


def _functions(manifest: bytes) -> dict[str, Mapping[str, object]]:
    """Of a manifest that is proven to be ours."""
    entries: dict[str, Mapping[str, object]] = json.loads(manifest)["functions"]
    return entries


def _digest(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()


def manifest_entry(function: Function, artifact: Artifact) -> Mapping[str, object]:
    return {
        "handler": function.handler.text,
        "runtime": function.runtime.name,
        "architecture": function.architecture.value,
        **artifact_json(artifact),
    }


def artifact_json(artifact: Artifact) -> Mapping[str, object]:
    """As answers and the manifest tell it; `code_sha256` is what Lambda calls CodeSha256."""
    return {
        "path": artifact.path,
        "immutable_path": artifact.immutable_path,
        "sha256": artifact.sha256,
        "code_sha256": base64.b64encode(bytes.fromhex(artifact.sha256)).decode(),
        "size": artifact.size,
        "unzipped_size": artifact.unzipped_size,
    }
