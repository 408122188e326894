"""The project's .lambdad folder: zips, the manifest, and what is remembered of each function."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdad.bundler.model import Artifact, Function, Want
from lambdad.bundler.store import identity
from lambdad.bundler.store.store import TEMPORARY, collect_abandoned, write_atomic

FOLDER: Final = identity.FOLDER
ARTIFACT_KEPT_S: Final = 600.0
"""An artifact that nothing names any more stays so long: a deploy may be reading it."""


FOLDERS: Final = (
    *("build", "artifacts", "live"),
    *("state", "state/live", "state/python", "state/makeup", "state/makeup/before"),
    "state/lint",
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

    def record(self, function: str, want: Want = Want.ZIP) -> Path:
        """What is remembered of the function as the one thing says nothing of it as the other."""
        folder = "state/live" if want is Want.LIVE else "state"
        return self.folder / folder / f"{file_stem(function)}.json"

    def dependencies(self, function: str) -> Path:
        """What is remembered of a Python function's dependencies."""
        return self.folder / "state" / "python" / f"{file_stem(function)}.json"

    def makeup(self, function: str) -> Path:
        """What the function's zip was made of."""
        return self.folder / "state" / "makeup" / f"{file_stem(function)}.json"

    def former(self, function: str) -> Path:
        """What is remembered of the zip before the last."""
        return self.folder / "state" / "makeup" / "before" / f"{file_stem(function)}.json"

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
        self, changed: Mapping[str, object], known: Iterable[str]
    ) -> Mapping[str, object]:
        """build/manifest.json tells programs what lies there; functions not in `known` leave it.

        It is read and written: one process's threads must take turns. Returns what it tells of
        each function now. Raises OSError.
        """
        path = self.manifest
        entries = self._manifest(path)
        entries |= changed
        kept = {name: entries[name] for name in sorted(set(known) & entries.keys())}
        text = json.dumps({"schema": 1, "functions": kept}, indent=2) + "\n"
        if not path.exists() or path.read_text() != text:
            write_atomic(path, text.encode())
        return kept

    def _manifest(self, path: Path) -> dict[str, Any]:
        try:
            entries = json.loads(path.read_bytes())["functions"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return entries if isinstance(entries, dict) else {}

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
