"""Which tool installed node_modules, and the command that does it again.

Known by the lock beside package.json or at the workspace's root, and by the record each of them
leaves in node_modules. Sources: the documentation of npm, pnpm, Yarn and Bun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import Architecture, RelPath
from lambdad.bundler.npm import lock, manifest, target
from lambdad.bundler.npm.installed import MODULES, Ground
from lambdad.bundler.npm.manifest import PackageJson

LOCKS: Final = (
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    *((name, "npm") for name in lock.NAMES),
)
"""Of several, with nothing else to decide: Bun's, which is the one that leaves no record, and npm's
last, which is easily written by mistake."""
RECORDS: Final = (
    (".package-lock.json", "npm"),
    (".modules.yaml", "pnpm"),
    (".yarn-integrity", "yarn"),
    (".yarn-state.yml", "yarn"),
)
PNPM_ROOT: Final = "pnpm-workspace.yaml"
SETTINGS: Final = ((PNPM_ROOT, "pnpm"), (".yarnrc.yml", "yarn"), ("bunfig.toml", "bun"))
"""What decides where no lock was written yet."""
PLUG_AND_PLAY: Final = (".pnp.cjs", ".pnp.js")


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


def adding(name: str, package: str) -> str:
    """That manager's command that installs a package and declares it in `dependencies`."""
    return f"{name} install {package}" if name == "npm" else f"{name} add {package}"


def find(ground: Ground, code: str, declared: PackageJson) -> Installer:
    """For the real folder `code`, which holds `declared`.

    Raises ProjectError `bad-package-json`.
    """
    for names in (LOCKS, SETTINGS):
        for folder in ground.above(code):
            there = {name: by for name, by in names if ground.exists(f"{folder}/{name}")}
            if there and (folder == code or _is_workspace(ground, folder)):
                return _choose(ground, folder, there if names is LOCKS else {}, declared)
    return _choose(ground, code, {}, declared)


def _choose(ground: Ground, folder: str, locks: dict[str, str], declared: PackageJson) -> Installer:
    recorded = {name for file, name in RECORDS if ground.exists(f"{folder}/{MODULES}/{file}")}
    locked = list(dict.fromkeys(locks.values()))
    order = [name for name in locked if name in recorded]
    # A record without its lock: another manager's lock is a leftover that installed nothing here.
    order += sorted(recorded - set(locked))
    named = declared.manager or _manager(ground, folder)
    order += [named] if named in locked or not locked else []
    order += [*locked, *(by for file, by in SETTINGS if ground.exists(f"{folder}/{file}")), "npm"]
    name = next(name for name in order if name in ("npm", "pnpm", "yarn", "bun"))
    path = next((file for file, by in locks.items() if by == name), None)
    return Installer(
        name=name,
        folder=folder,
        lock=None if path is None else ground.relative(f"{folder}/{path}"),
        plug_and_play=name == "yarn"
        and any(ground.exists(f"{folder}/{file}") for file in PLUG_AND_PLAY),
    )


def _is_workspace(ground: Ground, folder: str) -> bool:
    if ground.exists(f"{folder}/{PNPM_ROOT}"):
        return True
    root = _read(ground, folder)
    return root is not None and root.workspaces


def _manager(ground: Ground, folder: str) -> str:
    """What the workspace's root names: its members seldom do."""
    root = _read(ground, folder)
    return root.manager if root is not None else ""


def _read(ground: Ground, folder: str) -> PackageJson | None:
    return manifest.read(ground.seen, ground.relative(f"{folder}/{manifest.NAME}"), own=True)
