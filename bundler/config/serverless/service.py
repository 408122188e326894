"""What one service says for all of its functions, as readers of single functions need it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.declared import Draft, Said
from lambdad.bundler.config.paths import joined
from lambdad.bundler.config.serverless.variables import (
    ServiceScope,
    UnresolvedVariableError,
    at,
    resolve,
    resolve_all,
)
from lambdad.bundler.config.serverless.version import NEWEST, newest_major
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import anyjson
from lambdad.bundler.located.located import Node, kind
from lambdad.bundler.model import Diagnostic, Failed, ProjectError, RelPath, error

PACKAGE_JSON: Final = "package.json"


@dataclass(slots=True, kw_only=True)
class Service:
    scope: ServiceScope
    file: RelPath
    folder: RelPath
    """Where the paths in it start."""
    provider: Mapping[str, Node] | UnresolvedVariableError
    package: Mapping[str, Node] | UnresolvedVariableError
    plugins: frozenset[str]
    local_plugins: RelPath | None
    """The folder of plugins that are files of the project."""
    manifest: Mapping[str, object]
    """What package.json beside the file says; empty without one."""
    major: int
    """Of the framework."""
    notes: list[Diagnostic] = field(default_factory=list)
    """Warnings that are about no function of its own."""

    @property
    def seen(self) -> Seen:
        return self.scope.seen

    def path(self, written: str) -> RelPath:
        return joined(self.folder, written, self.seen.root)

    def custom(self, path: str) -> Node | None:
        """The value there, with all variables resolved. Raises UnresolvedError."""
        found = at(self.scope, path)
        return None if found is None else resolve_all(self.scope, found)

    def manifest_for(self, written: str | None) -> Mapping[str, object]:
        """Of the package.json that is named, else of the nearest one upwards."""
        if written:
            return read_manifest(self.seen, self.path(written))
        folder = self.folder
        while True:
            path = joined(folder, PACKAGE_JSON, self.seen.root)
            here = posixpath.normpath(self.seen.absolute(folder))
            if self.seen.kind(path) == "file" or here in ("/", self.seen.repository):
                return read_manifest(self.seen, path)
            folder = joined(folder, "..", self.seen.root)


def load(scope: ServiceScope, file: RelPath) -> Service:
    manifest = read_manifest(scope.seen, joined(scope.folder, PACKAGE_JSON, scope.seen.root))
    plugins, local = _plugins(scope)
    return Service(
        scope=scope,
        file=file,
        folder=scope.folder,
        provider=_mapping(scope, "provider"),
        package=_mapping(scope, "package"),
        plugins=plugins,
        local_plugins=local,
        manifest=manifest,
        major=major_of(scope),
    )


def _mapping(scope: ServiceScope, name: str) -> Mapping[str, Node] | UnresolvedVariableError:
    try:
        found = at(scope, name)
    except UnresolvedVariableError as fault:
        return fault
    if found is None or found.value is None:
        return {}
    if name == "provider" and isinstance(found.value, str):
        return {"name": found}
    if not isinstance(found.value, dict):
        message = f"{name} must be a mapping, not {kind(found)}"
        return UnresolvedVariableError(error("bad-value", message, found.where))
    return found.fields


def _plugins(scope: ServiceScope) -> tuple[frozenset[str], RelPath | None]:
    """Their names, as far as they can be known, and where local ones lie."""
    try:
        node = at(scope, "plugins")
        local = None
        if node and "modules" in node.fields:
            path = node.fields.get("localPath")
            text = resolve(scope, path).text if path else ""
            local = joined(scope.folder, text, scope.seen.root) if text else None
            node = resolve(scope, node.fields["modules"])
        names = [resolve(scope, item) for item in node.items] if node else []
    except UnresolvedVariableError:
        return frozenset(), None
    return frozenset(name.text for name in names if isinstance(name.value, str)), local


def read_manifest(seen: Seen, path: RelPath) -> Mapping[str, object]:
    """What a package.json says; empty if there is none that can be read."""
    try:
        found = anyjson.loads(seen.read(path) or b"{}")
    except (ProjectError, ValueError, RecursionError):
        return {}  # packaging it reports what is wrong
    return found if isinstance(found, dict) else {}


def major_of(scope: ServiceScope) -> int:
    """The framework's version, as the file says it, else package.json, else the newest there is."""
    manifest = read_manifest(scope.seen, joined(scope.folder, PACKAGE_JSON, scope.seen.root))
    try:
        said = at(scope, "frameworkVersion")
    except UnresolvedVariableError:
        said = None
    ranges = [said.text] if said and said.text else []
    for group in ("devDependencies", "dependencies"):
        packages = manifest.get(group)
        if not isinstance(packages, dict):
            continue
        if isinstance(text := packages.get("serverless"), str):
            ranges.append(text)
        if "osls" in packages:
            ranges.append("3")  # a fork that carries version 3 on
    return next(filter(None, map(newest_major, ranges)), NEWEST)


INHERITED: Final = frozenset({"architecture", "environment", "layers", "runtime"})
"""Fields of a function that `provider` gives where it says none."""


@dataclass(frozen=True, slots=True)
class ServiceFields:
    """A table's fields, variables resolved: a function's, with those of `provider` behind them."""

    scope: ServiceScope
    own: Mapping[str, Node]
    draft: Draft
    """It collects what is wrong with them."""
    provider: Mapping[str, Node] | UnresolvedVariableError

    def get(self, name: str, setting: str) -> Node | None:
        """None: not there, or not to be known, which then is the draft's reason under `setting`."""
        for fields in self.sources(name):
            try:
                if isinstance(fields, UnresolvedVariableError):
                    raise fields
                node = fields.get(name)
                found = resolve(self.scope, node) if node is not None else None
            except UnresolvedVariableError as fault:
                self.unknown(fault, name, setting)
                return None
            if found is not None and found.value is not None:
                return found
        return None

    def sources(self, name: str) -> Iterator[Mapping[str, Node] | UnresolvedVariableError]:
        yield self.own
        if name in INHERITED:
            yield self.provider

    def all(self, name: str, setting: str) -> Node | None:
        """The same, with what lists and mappings hold resolved too."""
        node = self.get(name, setting)
        try:
            return None if node is None else resolve_all(self.scope, node)
        except UnresolvedVariableError as fault:
            self.unknown(fault, name, setting)
            return None

    def text(self, name: str, setting: str) -> Said[str] | None:
        node = self.get(name, setting)
        if node is None:
            return None
        if isinstance(node.value, (dict, list)) or not node.text:
            self.wrong(node, name, setting, "text")
            return None
        return Said(node.text, node.where)

    def is_true(self, name: str, setting: str) -> bool:
        node = self.get(name, setting)
        return node is not None and (node.value is True or node.text == "true")

    def unknown(self, fault: UnresolvedVariableError, name: str, setting: str) -> None:
        told = fault.diagnostic
        self.failed(setting, error(told.code, f"{name}: {told.message}", told.where, told.hint))

    def failed(self, setting: str, fault: Diagnostic) -> None:
        """Once, however often the field is looked at."""
        if fault not in self.draft.why(Failed):
            self.draft.failed(setting, fault)

    def wrong(self, node: Node, name: str, setting: str, expected: str) -> None:
        message = f"{name} must be {expected}, not {kind(node)}"
        self.failed(setting, error("bad-value", message, node.where))
