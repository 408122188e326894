"""What is remembered of one project, a sealed file for each thing: below .lambdad/state, and in the
store what is kept with its proof (kept_files.py).

All of it is a cache: losing any costs time alone. The seals are over the user's key, the project's
identity (its path, its token, and the very file that holds the token), and what each file is about.
So a file is a miss that another user, machine or project wrote, that was restored from elsewhere,
or that was written of another function, or of the same as another thing.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from lambdad.bundler.model import Want
from lambdad.bundler.store import identity, user_state
from lambdad.bundler.store.identity import Identity
from lambdad.bundler.store.output import file_stem
from lambdad.bundler.store.project_folder import OurFile, ProjectFolder
from lambdad.bundler.store.sealed import Seal, SealedFile


@dataclass(frozen=True, slots=True)
class ProjectState:
    """The files, and the seals that they are believed by."""

    project: ProjectFolder
    _seal: Seal | None = field(repr=False)
    """None: the project has no identity yet, so nothing can have been written here."""

    def record(self, function: str, want: Want = Want.ZIP) -> SealedFile:
        """The function's last build. What is remembered of it as the one thing says nothing of it
        as the other."""
        place = "live/" if want is Want.LIVE else ""
        return self._file(f"{place}{file_stem(function)}", "record", function, want.value)

    def zip_sources(self, function: str) -> SealedFile:
        """What the function's zip was made of."""
        return self._file(f"makeup/{file_stem(function)}", "makeup", function)

    def former(self, function: str) -> SealedFile:
        """The zip before the last."""
        return self._file(f"makeup/before/{file_stem(function)}", "former", function)

    def lint(self, tool: str) -> SealedFile:
        """What a linter found in each file."""
        return self._file(f"lint/{tool}", "lint", tool)

    def checkers(self, config: str) -> str:
        """A name for what a type checker keeps between its runs, for that configuration. Such files
        can't be sealed: their names are what no project can know."""
        seal = self._seal or Seal(user_state.process_secret())
        return seal.of("checkers", config).secret.hex()[:32]

    def manifest(self) -> SealedFile:
        """Which bytes build/manifest.json was last written with."""
        return self._file("build/manifest", "manifest")

    def last_answer(self) -> SealedFile:
        """What `lambdad build` answered last, and all that the answer depends on."""
        return self._file("build/last", "last answer")

    def kept(self, name: str) -> Seal | None:
        """The seal of a file in the store that holds what is kept for this project; None: no such
        file is believed."""
        return self._seal.of("kept", name) if self._seal is not None else None

    def _file(self, path: str, *about: str) -> SealedFile:
        folder, _, name = f"state/{path}.json".rpartition("/")
        return SealedFile(OurFile(self.project, folder, name), about, self._seal)


def of(root: str, environ: Mapping[str, str], project: ProjectFolder | None = None) -> ProjectState:
    """The state of the project at `root`, its symlinks resolved, reached through `project` if that
    is given. It costs two stat calls. Raises BundlerError `not-ours` if the project's .lambdad, or
    its identity, is not ours."""
    project = project or ProjectFolder(root)
    who = identity.read(root)
    if who is None:
        with contextlib.suppress(OSError):
            project.folder().holds(identity.NAME)
        return ProjectState(project, None)
    return ProjectState(project, _sealed_by(user_state.user_key(environ, root).secret, who))


@functools.lru_cache(maxsize=64)
def _sealed_by(secret: bytes, who: Identity) -> Seal:
    return Seal(secret).of("project", who.root, who.token, who.file)
