"""What follows a project's builds in .lambdad: the manifest, and the removal of what is not needed.

The manifest lists for programs what is in .lambdad/build. It names what outcomes name, those of
fresh functions too, since a kill may have come between a build's record and its line there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final

from lambdad.bundler.model import BuildResult, FileKey, Project
from lambdad.bundler.store import live_folders, record
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.store.output import Output, manifest_entry
from lambdad.bundler.store.project_state import ProjectState

_WRITING: Final = threading.Lock()
"""A manifest is read and written: the threads of a process take turns."""


class Upkeep:
    """Of one project as it is declared. Any thread may call any method."""

    def __init__(self, project: Project, *, pause_s: float = 0.0) -> None:
        """It looks for what is not needed no more often than every `pause_s` seconds."""
        self._root = project.root
        self._functions = project.functions
        self._names = [function.name for function in project.functions]
        self._pause_s = pause_s
        self._lock = threading.Lock()  # guards the one below
        self._due_s = 0.0
        self._manifest: tuple[FileKey | None, Mapping[str, object]] = (None, {})

    def tell(self, results: Iterable[BuildResult], state: ProjectState) -> None:
        """The manifest names the results' zips, and no function that is not declared.

        Where nothing is new it costs a stat call. Raises BundlerError.
        """
        entries = {
            result.name: manifest_entry(result.function, result.artifact)
            for result in results
            if result.function is not None and result.artifact is not None
        }
        output = Output(self._root)
        with _WRITING, disk_faults():
            known, told = self._manifest
            is_untouched = known is not None and known == output.manifest.key()
            if is_untouched and entries.items() <= told.items():
                return
            told = output.write_manifest(
                entries, self._names, state.manifest(), lambda: self._recorded(state, output)
            )
            self._manifest = output.manifest.key(), told

    def _recorded(self, state: ProjectState, output: Output) -> Mapping[str, Mapping[str, object]]:
        """The manifest's entries of functions whose zips are recorded, and there."""
        records = ((each, record.load(state.record(each.name))) for each in self._functions)
        return {
            function.name: manifest_entry(function, known.artifact)
            for function, known in records
            if known is not None
            and known.artifact is not None
            and output.at(known.artifact.immutable_path).is_there()
        }

    def collect(self, state: ProjectState) -> None:
        """What killed builds left, and what no function has been for a while, is gone.

        It looks at all that is kept: once for many builds is enough.

        Raises BundlerError `not-ours`.
        """
        with self._lock:
            now_s = time.monotonic()
            if now_s < self._due_s:
                return
            self._due_s = now_s + self._pause_s
        output = Output(self._root)
        output.collect_abandoned()
        records = (record.load(state.record(name)) for name in self._names)
        output.collect(known.artifact for known in records if known and known.artifact)
        live_folders.collect(output, self._names)
