"""The project's .lambdad folder: zips, live trees and the manifest.

What is remembered beside them is in project_state.py.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from lambdad.bundler.model import Artifact, Function, RelPath
from lambdad.bundler.store.anchored import TEMPORARY, Folder, temporary_name
from lambdad.bundler.store.project_folder import FOLDER, FOLDERS, OurFile, ProjectFolder
from lambdad.bundler.store.sealed import SealedFile

ARTIFACT_KEPT_S: Final = 600.0
"""An artifact that nothing names any more stays so long: a deploy may be reading it."""

_ARTIFACT: Final = re.compile(r"[0-9a-f]{64}\.zip")
"""The names of artifacts: no other file is ours to remove."""


def file_stem(function: str) -> str:
    """A function's name as a file's: "/" becomes "-". Readers refuse names that then clash."""
    return function.replace("/", "-")


class Output(ProjectFolder):
    """What a project's builds leave for others: zips, live trees and the manifest."""

    @property
    def manifest(self) -> OurFile:
        return OurFile(self, "build", "manifest.json")

    def live(self, function: str) -> RelPath:
        """Holds a folder for each digest that the function's bundle had lately."""
        return f"{FOLDER}/live/{file_stem(function)}"

    def artifact(self, sha256: str) -> RelPath:
        return f"{FOLDER}/artifacts/{sha256}.zip"

    def zip(self, function: str) -> RelPath:
        return f"{FOLDER}/build/{file_stem(function)}.zip"

    def publish(self, artifact: Artifact) -> None:
        """The zip gets the function's name, too: the file that `immutable_path` names."""
        target, source = self.at(artifact.path), self.at(artifact.immutable_path)
        build, artifacts = self.make(target.folder), self.folder(source.folder)
        # rename(2) between two links of one file does nothing and would leave the temporary.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(build.status(target.name), artifacts.status(source.name)):
                return
        temporary = temporary_name()
        try:
            build.share(temporary, artifacts, source.name)
        except OSError:  # a file system without hard links
            target.write(source.read())
            return
        try:
            build.move(temporary, build, target.name)
        except BaseException:
            with contextlib.suppress(OSError):
                build.remove(temporary)
            raise

    def write_manifest(
        self,
        changed: Mapping[str, Mapping[str, object]],
        known: Iterable[str],
        proof: SealedFile,
        recorded: Callable[[], Mapping[str, Mapping[str, object]]],
    ) -> Mapping[str, object]:
        """build/manifest.json says to programs what is there; functions not in `known` leave it.

        Of functions that are not `changed` it keeps its entries, if `proof` says that a
        build of this user's wrote them, else it has what is `recorded` of them.

        It is read and written: one process's threads must take turns. Returns what it says of
        each function now. Raises OSError.
        """
        before = self._manifest_text()
        names, entries, is_proven = sorted(known), changed, True
        if before is not None and not changed.keys() >= set(names):
            is_proven = proof.read() == _digest(before)
            entries = {**(_functions(before) if is_proven else recorded()), **changed}
        kept = {name: entries[name] for name in names if name in entries}
        now = (json.dumps({"schema": 1, "functions": kept}, indent=2) + "\n").encode()
        if now != before:
            self.manifest.write(now)
        if now != before or not is_proven:
            proof.write(_digest(now))
        return kept

    def _manifest_text(self) -> bytes | None:
        try:
            return self.manifest.read()
        except OSError as fault:
            if fault.errno in (errno.ENOENT, errno.EFBIG):  # what is too large is not ours
                return None
            raise

    # --- collecting ------------------------------------------------------------------------------

    def collect_abandoned(self, now_s: float | None = None) -> None:
        """What killed builds left behind is gone."""
        for name in ("", *FOLDERS):
            with contextlib.suppress(OSError):
                self.folder(name).collect_abandoned(now_s)
        for home in self.homes():
            home.collect_abandoned(now_s)

    def homes(self) -> Iterator[Folder]:
        """The folders that functions' live bundles lie in."""
        with contextlib.suppress(FileNotFoundError):
            live = self.folder("live")
            for name in folders_in(live):
                with contextlib.suppress(FileNotFoundError):
                    yield live.folder(name)

    def collect(self, named: Iterable[Artifact], now_s: float | None = None) -> None:
        """Removes artifacts that no function names and that are older than a deploy may take."""
        kept = {os.path.basename(artifact.immutable_path) for artifact in named}
        limit = (time.time() if now_s is None else now_s) - ARTIFACT_KEPT_S
        with contextlib.suppress(OSError):
            artifacts = self.folder("artifacts")
            for name, status in artifacts.listed():
                if _ARTIFACT.fullmatch(name) and name not in kept and status.st_ctime < limit:
                    with contextlib.suppress(OSError):
                        artifacts.remove(name)


def folders_in(folder: Folder) -> list[str]:
    """The names of the folders in it, those left out that are being written."""
    return [
        name
        for name, status in folder.listed()
        if stat.S_ISDIR(status.st_mode) and not name.startswith(TEMPORARY)
    ]


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
    """As answers and the manifest have it; `code_sha256` is what Lambda calls CodeSha256."""
    return {
        "path": artifact.path,
        "immutable_path": artifact.immutable_path,
        "sha256": artifact.sha256,
        "code_sha256": base64.b64encode(bytes.fromhex(artifact.sha256)).decode(),
        "size": artifact.size,
        "unzipped_size": artifact.unzipped_size,
    }
