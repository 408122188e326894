"""One project as the server knows it by itself: what its files declare, and what is remembered of
its builds. Nothing is built, started or written here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lambdad.bundler import build
from lambdad.bundler.build import Job
from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs import kept, snapshot
from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import (
    Artifact,
    BuildResult,
    BundlerError,
    Function,
    Project,
    RelPath,
    Want,
)
from lambdad.bundler.store import project_state
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.record import Record
from lambdad.bundler.toolchain import request_of
from lambdad.daemon.serving.builds import Builds
from lambdad.daemon.serving.schedule import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """A function's last build."""

    record: Record
    built_s: float
    """When, in seconds since 1970."""
    artifact: Artifact | None
    """The last zip's, whatever was built last."""
    outcome: BuildResult | None
    """What it came to, if that still holds."""
    stale: tuple[str, ...] = ()
    """Else why it does not."""


class Site:
    """Any thread may call any method."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = environ
        self._builds = Builds(root, environ)
        self._lock = threading.Lock()
        self._known: Kept[Project] | None = None

    def project(self) -> Project | None:
        """As its files declare it now; None if they no longer do."""
        with self._lock:
            if self._known is not None and self._known.holds(self.root):
                return self._known.value
            self._known = None
            now = snapshot.any_clock()  # the project's own can't be read without writing a file
            try:
                project = read_project(self.root, self.environ)
            except BundlerError:
                return None
            self._known = kept.observed(self.root, project, project.inputs, now)
            return project if project.root == self.root else None

    def state(self) -> ProjectState:
        """What is remembered of the project."""
        return project_state.of(self.root, self.environ)

    def absolute(self, path: RelPath) -> str:
        return os.path.normpath(os.path.join(self.root, path))

    def relative(self, path: str) -> RelPath:
        return os.path.relpath(path, self.root)

    # --- builds ----------------------------------------------------------------------------------

    def last(self, project: Project, function: Function, once: Look) -> Last | None:
        """The later of its builds as a zip and for live use; None if it was never built.

        Raises BundlerError `not-ours`.
        """
        state = self.state()
        found = sorted(self._records(function, state), key=lambda each: each[2])
        if not found:
            return None
        want, record, built_s = found[-1]
        zips = [each.artifact for _want, each, _built_s in found if each.artifact is not None]
        request = request_of(project, function, want=want)
        # Inputs that were written as the build began prove nothing to a build. To who only shows
        # what it said they do: an edit that left no trace is known by the editor's save.
        proven = replace(record, inputs=replace(record.inputs, suspects=frozenset()))
        looked = build.look(state.project, request, proven, once=once)
        return Last(
            record=record,
            built_s=built_s,
            artifact=zips[-1] if zips else None,
            outcome=None if isinstance(looked, Job) else looked,
            stale=looked.reasons if isinstance(looked, Job) else (),
        )

    def holders(self, project: Project, path: RelPath) -> Iterator[Function]:
        """Functions whose last builds looked at the file. Raises BundlerError `not-ours`."""
        state = self.state()
        for function in project.functions:
            records = self._records(function, state)
            if any(path in record.inputs.files for _, record, _ in records):
                yield function

    def _records(
        self, function: Function, state: ProjectState
    ) -> Iterator[tuple[Want, Record, float]]:
        for want in Want:
            record = self._builds.recorded(Key(function.name, want))
            if record is not None:
                try:
                    built_s = state.record(function.name, want).file.status().st_mtime
                except OSError:
                    continue
                yield want, record, built_s
