"""What lies in node_modules, found as Node.js finds it, and what finding it depended on.

The rules are those of Node's documentation, "Loading from node_modules folders": from the real
folder that needs it upwards, the first node_modules that holds the package. Which tool installed it
(npm, pnpm, Yarn, by hand) makes no difference. The search ends at the repository's root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Diagnostic, Location, RelPath, error
from lambdad.bundler.npm import manifest
from lambdad.bundler.npm.manifest import PackageJson
from lambdad.bundler.workshop import Workshop

MODULES: Final = "node_modules"


@dataclass(frozen=True, slots=True)
class FoundPackage:
    """An installed package, as one asker finds it."""

    folder: str
    """Absolute, symlinks resolved."""
    home: str
    """The real folder whose node_modules named it."""
    manifest: PackageJson
    linked: bool
    """It is a folder of the user's own (a workspace, a `file:` dependency), not a copy."""


@dataclass(slots=True)
class Ground:
    """The file system as one search sees it, which looks at each folder once."""

    workshop: Workshop
    allow: Sequence[RelPath]
    seen: Seen = field(init=False)
    faults: dict[RelPath, Diagnostic] = field(default_factory=dict)
    _modules: dict[str, str | None] = field(default_factory=dict)
    _packages: dict[str, tuple[str, PackageJson] | None] = field(default_factory=dict)
    _homes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = self.workshop.seen
        self._homes = self.seen.homes(self.allow)

    def relative(self, path: str) -> RelPath:
        """Of an absolute path, to the project."""
        return self.seen.relative(path)

    def shown(self, folder: str) -> str:
        """An absolute folder in words that follow "in"."""
        relative = self.relative(folder)
        return "the project's folder" if relative == "." else relative

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.seen.is_file(path)

    def is_home(self, real: str) -> bool:
        """Whether a symlink may lead there."""
        return any(real == home or real.startswith(f"{home}/") for home in self._homes)

    def is_own(self, real: str) -> bool:
        """Whether the folder is the user's, not one that a package manager fills."""
        top = self._homes[0]
        below = real[len(top) :] if real.startswith(f"{top}/") else real
        return f"/{MODULES}/" not in below

    def above(self, folder: str) -> Iterator[str]:
        """The folder and those around it, inside the repository."""
        top = self._homes[0]
        yield folder
        while folder != top and folder.startswith(f"{top}/"):
            folder = os.path.dirname(folder)
            yield folder

    def find(self, name: str, asker: str) -> FoundPackage | None:
        """The package that code in the real folder `asker` gets by that name."""
        for home in self.above(asker):
            if os.path.basename(home) == MODULES or not (modules := self.modules_of(home)):
                continue
            if (package := self._package(modules, name)) is not None:
                real, declared = package
                return FoundPackage(real, home, declared, self.is_own(real))
        return None

    def modules_of(self, home: str) -> str | None:
        """The folder's node_modules, if there is one. What is then looked for in it is an input:
        the folder itself may be made anew with the same content."""
        if home not in self._modules:
            path = f"{home}/{MODULES}"
            self.seen.is_link(path)
            present = os.path.isdir(path)
            if not present:
                self.seen.file(path)
            self._modules[home] = path if present else None
        return self._modules[home]

    def _package(self, modules: str, name: str) -> tuple[str, PackageJson] | None:
        path = f"{modules}/{name}"
        if path not in self._packages:
            self._packages[path] = self._look(modules, name)
        return self._packages[path]

    def _look(self, modules: str, name: str) -> tuple[str, PackageJson] | None:
        scope, slash, bare = name.rpartition("/")
        holder = modules
        if slash:
            holder = f"{modules}/{scope}"
            if not self.seen.has(modules, scope):
                return None
        if not self.seen.has(holder, bare):
            return None
        path = f"{holder}/{bare}"
        real = self.seen.real(path)
        # By the path that was asked for, so that a link led elsewhere on the way counts; and also
        # where it leads nowhere, or the folder holds no manifest: it may yet appear.
        asked = f"{path}/{manifest.NAME}"
        self.seen.file(asked)
        if not os.path.isdir(real):
            return None
        if not self.is_home(real):
            shown = self.relative(path)
            self.faults[shown] = error(
                "symlink-escape",
                f"{shown} is a symlink that leads out of the repository",
                Location(shown),
                'if that is meant, name the folder in lambdad.toml: allow = ["..."]',
            )
            return None
        declared = self.relative(f"{real}/{manifest.NAME}")
        found = manifest.read(self.seen, declared, own=self.is_own(real), at=asked)
        return (real, found) if found is not None else None
