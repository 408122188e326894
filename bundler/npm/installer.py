"""Who installed node_modules, and the command that does it again.

Told by the lock beside package.json or at the workspace's root, and by the record each of them
leaves in node_modules. Sources: the documentation of npm, pnpm, Yarn and Bun.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from bundler.model import Architecture, RelPath
from bundler.npm import lock, manifest, target
from bundler.npm.installed import MODULES, Ground
from bundler.npm.manifest import Manifest

LOCKS: Final = (
    *((name, "npm") for name in lock.NAMES),
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
)
RECORDS: Final = (
    (".package-lock.json", "npm"),
    (".modules.yaml", "pnpm"),
    (".yarn-integrity", "yarn"),
    (".yarn-state.yml", "yarn"),
)
PNPM_ROOT: Final = "pnpm-workspace.yaml"
PLUG_AND_PLAY: Final = ".pnp.cjs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    name: str
    """npm, pnpm, yarn or bun."""
    folder: str
    """Absolute: where it is run."""
    lock: RelPath | None
    plug_and_play: bool = False
    """Yarn keeps the packages in archives that only its own loader reads."""

    @property
    def command(self) -> str:
        """Installs what the lock or package.json says."""
        return "npm ci" if self.name == "npm" and self.lock else f"{self.name} install"

    def command_for(self, architecture: Architecture) -> str:
        """Installs what the target needs, in words: not all of them have flags for it."""
        if self.name == "npm":
            return f"run `npm install {target.install_flags(architecture)}`"
        cpu = target.CPU[architecture]
        if self.name in ("pnpm", "yarn"):
            place = "pnpm-workspace.yaml" if self.name == "pnpm" else ".yarnrc.yml"
            return (
                f"add {target.OS}, {cpu} and {target.LIBC} to `supportedArchitectures` in {place}, "
                f"then run `{self.name} install`"
            )
        return f"run `bun install --os={target.OS} --cpu={cpu}`"


def find(ground: Ground, code: str, declared: Manifest) -> Installer:
    """For the real folder `code`, which holds `declared`.

    Raises ProjectError `bad-package-json`.
    """
    for folder in ground.above(code):
        locks = {name: installer for name, installer in LOCKS if ground.exists(f"{folder}/{name}")}
        if not locks or (folder != code and not _is_workspace(ground, folder)):
            continue
        return _choose(ground, folder, locks, declared)
    return _choose(ground, code, {}, declared)


def _choose(ground: Ground, folder: str, locks: dict[str, str], declared: Manifest) -> Installer:
    recorded = {name for file, name in RECORDS if ground.exists(f"{folder}/{MODULES}/{file}")}
    locked = list(dict.fromkeys(locks.values()))
    order = [name for name in locked if name in recorded]
    # A record without its lock: another manager's lock is a leftover that installed nothing here.
    order += sorted(recorded - set(locked))
    order += [declared.manager] if declared.manager in locked or not locked else []
    order += [*locked, "npm"]
    name = next(name for name in order if name in ("npm", "pnpm", "yarn", "bun"))
    path = next((file for file, by in locks.items() if by == name), None)
    return Installer(
        name=name,
        folder=folder,
        lock=None if path is None else ground.relative(f"{folder}/{path}"),
        plug_and_play=name == "yarn" and ground.exists(f"{folder}/{PLUG_AND_PLAY}"),
    )


def _is_workspace(ground: Ground, folder: str) -> bool:
    if ground.exists(f"{folder}/{PNPM_ROOT}"):
        return True
    path = ground.relative(os.path.join(folder, manifest.NAME))
    ground.files.add(path)
    root = manifest.read(ground.workshop, path, own=True)
    return root is not None and root.workspaces
