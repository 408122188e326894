"""What esbuild looks at in the file system to resolve imports, recorded as names that count.

Node.js's and TypeScript's rules, as a superset of esbuild 0.28.2's internal/resolver: where it
stops at the first hit we may look on. What is recorded without need costs a rebuild; nothing that
is needed may be missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.esbuild import pnp, tsconfig
from lambdad.bundler.esbuild.engine import ModuleRequest
from lambdad.bundler.esbuild.manifest import split_package, targets
from lambdad.bundler.esbuild.prober import Prober
from lambdad.bundler.inputs import walking

MANIFEST: Final = "package.json"
ALWAYS: Final = ("node_modules", "package", "tsconfig", "jsconfig", ".pnp")
"""Names that esbuild looks for in each folder it passes; ".pnp" is Yarn's."""
_ABOVE: Final = ("node_modules", MANIFEST, "tsconfig.json", "jsconfig.json", *pnp.FILES)
_REWRITTEN: Final = (".js", ".jsx", ".mjs", ".cjs")
"""An import that ends so may be meant for the TypeScript file of that name."""
EXTENSIONS: Final = (
    "", ".tsx", ".ts", ".jsx", ".js", ".css", ".json", ".mts", ".cts", ".mjs", ".cjs",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options that decide what is looked for."""

    folder: str
    """esbuild's working directory."""
    main_fields: tuple[str, ...] = ("main", "module")
    extensions: tuple[str, ...] = EXTENSIONS
    """Tried after a name, "" among them."""
    tsconfig: str | None = None
    """An absolute path given by the user: then no other is looked for."""
    config_given: bool = False
    """The user gave tsconfig or its contents."""
    node_paths: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    keeps_symlinks: bool = False


class Resolver:
    """Records what imports look at."""

    def __init__(self, prober: Prober, settings: Settings) -> None:
        self.prober = prober
        self.walks: set[str] = set()
        """Folders of which every name counts, at any depth: for imports with a pattern."""
        self._disk = prober.disk
        self._settings = settings
        self._entered: set[str] = set()
        self._seen: set[tuple[str, str]] = set()
        self._packages: set[tuple[str, str]] = set()
        self._folders: set[str] = set()
        self._nearest: dict[str, tsconfig.TsConfig | None] = {}
        self._given: tsconfig.TsConfig | None = None
        if settings.tsconfig is not None:
            self._given = tsconfig.load(settings.tsconfig, prober)

    def enter(self, folder: str) -> None:
        """A folder that a source lies in, as `Prober.real` gave it: each one above has a say."""
        prober, disk = self.prober, self._disk
        while folder not in self._entered:
            self._entered.add(folder)
            above = os.path.dirname(folder)
            if prober.inside(folder):
                prober.seen.names(folder, ALWAYS)
                if disk.kind(f"{folder}/{MANIFEST}"):
                    self._file(f"{folder}/{MANIFEST}")
            else:
                # Folders above the repository change all the time: only these names matter.
                prober.seen.file(*(os.path.join(folder, name) for name in _ABOVE))
            if not _installed(folder):
                self._config(folder)  # it has a say in more than imports: target, jsx, strict
            if above == folder:
                return
            folder = above

    def _file(self, path: str) -> None:
        self.prober.seen.file(path)
        if self._disk.kind(path) == "l":
            target = self.prober.real(path)
            if target is not None:
                self.prober.seen.file(target)

    def resolve(self, wanted: ModuleRequest) -> None:
        specifier = wanted.specifier
        folder = wanted.folder
        if self._settings.aliases and not _is_path(specifier):
            for name, target in sorted(self._settings.aliases, key=lambda pair: -len(pair[0])):
                if specifier == name or specifier.startswith(f"{name}/"):
                    specifier = target + specifier[len(name) :].rstrip("/")
                    folder = self._settings.folder
                    break
        for text in _without_suffix(specifier):
            if not _is_path(text):
                self._bare(folder, text, wanted.found)
                continue
            if text.startswith("/"):
                self._mapped(folder, text)
            self._relative(folder, text, wanted.found)

    def pattern(self, folder: str, specifier: str) -> None:
        """An import whose path is computed from a part that is not known before it runs."""
        fixed = specifier[: specifier.index("*")]
        top = self.prober.real(os.path.normpath(f"{folder}/{fixed[: fixed.rfind('/') + 1]}"))
        if top is None:
            return
        self.enter(top)
        self.walks.add(top)
        if "**" in specifier:
            for below, _folders, _names in walking.folders(top):
                self.walks.add(below)

    # --- paths ---

    def _relative(self, folder: str, specifier: str, found: str | None) -> None:
        target = os.path.normpath(
            specifier if specifier.startswith("/") else f"{folder}/{specifier}"
        )
        above, _slash, name = target.rpartition("/")
        if found is not None and name and found.rpartition("/")[0] == above:
            self._names(above, name)  # the usual case: no need to look
            return
        self._module(target)

    def _module(self, path: str) -> None:
        """A file of that name or with an extension added, else a folder."""
        above, name = os.path.split(path)
        base = self.prober.real(above)
        if base is None:
            return
        if not name:
            self._directory(base)
            return
        self.enter(base)
        self._names(base, name)
        here = self.prober.real(path) if self._disk.kind(f"{base}/{name}") else None
        if here is None:
            self._link(base, name)
        elif self._disk.kind(here) == "d":
            self._directory(here)
        else:
            self._file(here)

    def _link(self, folder: str, name: str) -> None:
        """The file found under that name may be a symlink: then where it leads counts."""
        stem, extension = os.path.splitext(name)
        for base in (name, stem) if extension in _REWRITTEN else (name,):
            for tail in self._settings.extensions:
                if self._disk.kind(f"{folder}/{base}{tail}") == "l":
                    self._file(f"{folder}/{base}{tail}")

    def _names(self, folder: str, name: str) -> None:
        stem, extension = os.path.splitext(name)
        self.prober.stem(folder, name)
        if extension in _REWRITTEN and stem:
            self.prober.stem(folder, stem)

    def _directory(self, folder: str) -> None:
        """A folder that is imported as a module: its main fields, else its index."""
        if folder in self._folders:
            return
        self._folders.add(folder)
        self.enter(folder)
        self.prober.stem(folder, "index")
        self._link(folder, "index")
        manifest = self._manifest(folder)
        for field in self._settings.main_fields:
            value = manifest.get(field)
            # Only "browser" may be a map: of modules to those that replace them in browsers.
            for text in (value,) if isinstance(value, str) else _values(value):
                if isinstance(text, str):
                    self._module(os.path.normpath(f"{folder}/{text}"))

    def _manifest(self, folder: str) -> Mapping[str, Any]:
        path = f"{folder}/{MANIFEST}"
        kind = self._disk.kind(path)
        if not kind:
            return {}
        self._file(path)
        return self._disk.manifest(path)

    # --- packages ---

    def _bare(self, folder: str, specifier: str, found: str | None) -> None:
        if (folder, specifier) in self._seen:
            return
        if found is None and self.prober.inside(folder):
            # What is found nowhere is looked for beside the importer, for the message's sake.
            self.prober.stem(folder, specifier.split("/", 1)[0])
        self._mapped(folder, specifier)
        home = self._home(folder)
        if home is not None:
            manifest = self._manifest(home)
            if specifier.startswith("#"):
                for target in targets(manifest.get("imports"), specifier):
                    if target.startswith("./"):
                        self._module(os.path.normpath(f"{home}/{target}"))
                    elif not target.startswith("#"):
                        self._bare(home, target, found)
                return
            name, below = split_package(specifier)
            if manifest.get("name") == name and manifest.get("exports") is not None:
                self._exports(home, manifest, below)
        name, below = split_package(specifier)
        for place in self.prober.played(folder, name):
            if (package := self.prober.real(place)) is not None:
                self._within(package, below, None)
        self._lookup(folder, specifier, found)

    def _lookup(self, folder: str, specifier: str, found: str | None) -> None:
        name, below = split_package(specifier)
        while (folder, specifier) not in self._seen:
            self._seen.add((folder, specifier))
            if os.path.basename(folder) != "node_modules":
                modules = os.path.join(folder, "node_modules")
                if self._disk.kind(modules) and self._package(modules, name, below, found):
                    return
            above = os.path.dirname(folder)
            if above == folder:
                break
            folder = above
        else:
            return
        for place in self._settings.node_paths:
            self._package(place, name, below, found)

    def _package(self, modules: str, name: str, below: str, found: str | None) -> bool:
        """A package in a node_modules folder; True if nothing beyond that folder is looked at."""
        top = self.prober.real(modules)
        if top is None or self._disk.kind(top) != "d":
            return False
        scope, _slash, last = name.rpartition("/")
        if scope:
            self.prober.stem(top, scope)
            inner = self.prober.real(f"{top}/{scope}")
            if inner is None or self._disk.kind(inner) != "d":
                return False
            top = inner
        self.prober.stem(top, last)
        package = self.prober.real(f"{top}/{last}") if self._disk.kind(f"{top}/{last}") else None
        if package is None or self._disk.kind(package) != "d":
            return found is not None and os.path.dirname(found) == top
        self._within(package, below, found)
        if self._manifest(package).get("exports") is not None:
            return True
        return found is not None and found.startswith(f"{package}/")

    def _within(self, package: str, below: str, found: str | None) -> None:
        """What an import of a package, or of a path below it, looks at in its real folder."""
        if (package, below) not in self._packages:
            self._packages.add((package, below))
            self.enter(package)
            manifest = self._manifest(package)
            if manifest.get("exports") is not None:
                self._exports(package, manifest, below)
            if found is None or manifest.get("exports") is None:
                self._module(f"{package}{below}" if below else package)

    def _exports(self, package: str, manifest: Mapping[str, Any], below: str) -> None:
        for target in targets(manifest.get("exports"), f".{below}"):
            self._module(os.path.normpath(f"{package}/{target}"))

    def _home(self, folder: str) -> str | None:
        """The nearest folder with a package.json."""
        while True:
            if self._disk.kind(f"{folder}/{MANIFEST}"):
                return folder
            above = os.path.dirname(folder)
            if above == folder:
                return None
            folder = above

    # --- tsconfig ---

    def _mapped(self, folder: str, specifier: str) -> None:
        config = self._config(folder)
        if config is None:
            return
        for target in tsconfig.substitutes(config, specifier):
            self._module(target)
        if config.base_url is not None and not specifier.startswith("/"):
            self._module(os.path.normpath(f"{config.base_url}/{specifier}"))

    def _config(self, folder: str) -> tsconfig.TsConfig | None:
        if _installed(folder):
            return None
        if self._settings.config_given:
            return self._given
        if folder in self._nearest:
            return self._nearest[folder]
        found: tsconfig.TsConfig | None = None
        for name in ("tsconfig.json", "jsconfig.json"):
            if self._disk.kind(os.path.join(folder, name)):
                found = tsconfig.load(os.path.join(folder, name), self.prober)
                break
        else:
            above = os.path.dirname(folder)
            found = self._config(above) if above != folder else None
        self._nearest[folder] = found
        return found


def _values(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else ()


def _installed(folder: str) -> bool:
    return "/node_modules/" in f"{folder}/"


def _is_path(specifier: str) -> bool:
    return specifier.startswith(("/", "./", "../")) or specifier in (".", "..")


def _without_suffix(specifier: str) -> Iterable[str]:
    yield specifier
    if "?" in specifier or "#" in specifier[1:]:
        yield specifier[:1] + specifier[1:].partition("?")[0].partition("#")[0]
