"""What builds use of the machine: effects enter by this door, so tests can pass their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from lambdad.bundler import trust
from lambdad.bundler.attempts import Attempts
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.inputs.snapshot import Clock, Stat, stat_key
from lambdad.bundler.memory import Memory
from lambdad.bundler.store import project_state
from lambdad.bundler.store.kept_files import Coding, KeptFiles, KeptTable
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.store import Store
from lambdad.bundler.trust import EVERYWHERE, SearchPath

T = TypeVar("T")


def silent(_what: str) -> None:
    """The progress listener of callers that show none."""


def at_once(work: Callable[[], None]) -> None:
    work()


_NOTHING: Final = Seen("", "")
"""Of no project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    root: str
    """The project's folder: absolute, symlinks resolved."""
    repository: str
    """The version control root above it, else the same."""
    store: Store
    environ: Mapping[str, str]
    """The caller's environment; tools inherit it. Where the project is not trusted, its PATH leads
    to no folder of the project, and to none that is relative (trust.search_path)."""
    say: Callable[[str], None] = silent
    """Called with a short line before each step that may take long ("fetching 18 wheels")."""
    trusted: bool = True
    """Code that the project chooses may run: the build backends of its packages, and of those that
    it requires (bundler/trust.py)."""
    offline: bool = False
    """Fetch nothing: what is not in the store is an error that says so."""
    recall: bool = True
    """Believe what earlier builds left on disk, where stat shows its inputs unmoved."""
    memory: Memory | None = None
    """What the caller keeps between builds, if it lives that long."""
    later: Callable[[Callable[[], None]], None] = at_once
    """Given what no caller waits for, to be done once the answer is there."""
    look: Stat = stat_key
    """How what is kept is looked at before a build; a build that has begun passes its Look."""
    attempts: Attempts = field(default_factory=Attempts, compare=False, repr=False)
    """What failed in this batch of builds; each batch begins with none."""
    programs: SearchPath = field(default=EVERYWHERE, compare=False, repr=False)
    """Where programs are looked for, and where not; each workshop finds that by itself."""
    seen: Seen = field(default=_NOTHING, compare=False, repr=False)
    """Through which the project's files are looked at; each build has its own."""

    def __post_init__(self) -> None:
        if (self.seen.root, self.seen.repository) != (self.root, self.repository):
            object.__setattr__(self, "seen", Seen(self.root, self.repository))
        if not self.trusted:
            self._leave_out_the_projects_programs()

    def _leave_out_the_projects_programs(self) -> None:
        path, home = self.environ.get("PATH", ""), self.environ.get("HOME", "")
        found = trust.search_path(path, self.root, self.repository, home)
        kept = os.pathsep.join(found.folders)
        if path != kept:
            object.__setattr__(self, "environ", {**self.environ, "PATH": kept})
            object.__setattr__(self, "programs", found)

    def recording(self) -> Workshop:
        """The same with a recorder in which nothing is yet."""
        return replace(self, seen=Seen(self.root, self.repository))

    def state(self, project: ProjectFolder | None = None) -> ProjectState:
        """What is recorded of the project, reached through its folder if that is open already. It
        costs two stat calls."""
        return project_state.of(self.root, self.environ, project)

    def kept(self, coding: Coding[T]) -> KeptFiles[T]:
        """Where values of that kind are kept on disk."""
        return KeptFiles(coding, self.store, self.state(), believed=self.recall)

    def kept_table(self, coding: Coding[T]) -> KeptTable[T]:
        """As `kept`, for many small values."""
        return KeptTable(coding, self.store, self.state(), believed=self.recall)

    def absolute(self, path: str) -> str:
        """Of a path relative to the project; not normalised through symlinks."""
        return f"{self.root}/{path}" if path != "." else self.root

    def clock(self) -> Clock | None:
        """A reading of the clock of the project's file system; None if it can't be had.

        What is to be kept with its proof reads it first: whatever is read after it and changes
        meanwhile is suspect.
        """
        with contextlib.suppress(OSError):
            return ProjectFolder(self.root).read_clock()
        return None
