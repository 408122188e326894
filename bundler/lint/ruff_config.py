"""What decides ruff's findings in a file beside its content: configuration files, and folders whose
names show it which modules are the project's own.

ruff finds its configuration itself; what is read here only decides whether a kept result still
holds, and whether the project says for which Python it is written. Which files count is written in
ruff's documentation, "Configuring Ruff: Config file discovery".
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lambdad.bundler.inputs.reading import SETTINGS, read_regular
from lambdad.bundler.located import anytoml

NAMES: Final = (".ruff.toml", "ruff.toml", "pyproject.toml")
"""In a folder the first of them goes before the others."""

_TARGET: Final = re.compile(r"py3(\d{1,2})")
_LEAST: Final = re.compile(r"\s*(?:>=|~=|==)\s*3\.(\d{1,2})(?:[.\s,*].*)?")
_DEEP: Final = 20
"""A chain of `extend` may come back to its own beginning."""


@dataclass(frozen=True, slots=True)
class RuffConfig:
    """What decides ruff's findings in one folder."""

    digest: str
    """Equal digests: the same settings, and the same modules around."""
    says_target: bool
    """The project says for which Python it is written."""
    target: tuple[int, int] | None = None
    """Which one that is, as far as it is known."""


@dataclass(slots=True)
class Configs:
    """One look at the configuration; folders share what lies above them."""

    root: str
    """Where ruff is run: that is the project of files without any configuration."""
    environ: Mapping[str, str]
    _known: dict[str, RuffConfig] = field(default_factory=dict)
    _read: dict[str, bytes | None] = field(default_factory=dict)

    def of(self, folder: str) -> RuffConfig:
        """The folder is absolute."""
        if folder not in self._known:
            self._known[folder] = self._make(folder)
        return self._known[folder]

    def _make(self, folder: str) -> RuffConfig:
        told = hashlib.sha256()
        sources = {folder}
        chain: list[Mapping[str, Any]] = []
        required: str | None = None
        for place in self._candidates(folder):
            if (content := self._content(place)) is None:
                continue
            told.update(f"{place}\0".encode(errors="surrogateescape") + content + b"\0")
            whole = _parsed(content)
            if required is None and place.endswith("pyproject.toml"):
                required = _required(whole)
            settings = _settings(place, whole)
            if chain or (place.endswith("pyproject.toml") and not settings):
                continue  # the nearest decides, and ruff reads no further
            home = os.path.dirname(place)
            sources |= {home, *(os.path.join(home, name) for name in _sources(settings))}
            chain.append(settings)
            for base, inner in self._extended(home, settings):
                told.update(f"{base}\0".encode(errors="surrogateescape") + inner + b"\0")
                chain.append(_settings(base, _parsed(inner)))
        if not chain:
            sources |= {self.root, os.path.join(self.root, "src")}
        for source in sorted(sources):
            told.update(repr((source, self._modules(source))).encode(errors="surrogateescape"))
        says, target = _target(chain, required)
        return RuffConfig(told.hexdigest(), says, target)

    def _candidates(self, folder: str) -> Iterator[str]:
        for place in _upwards(folder):
            yield from (os.path.join(place, name) for name in NAMES)
        base = self.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        yield from (os.path.join(base, "ruff", name) for name in NAMES)

    def _extended(self, home: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
        for _ in range(_DEEP):
            named = settings.get("extend")
            if not isinstance(named, str):
                return
            path = os.path.normpath(
                os.path.join(home, os.path.expanduser(os.path.expandvars(named)))
            )
            if (content := self._content(path)) is None:
                return
            yield path, content
            home, settings = os.path.dirname(path), _settings(path, _parsed(content))

    def _content(self, path: str) -> bytes | None:
        if path not in self._read:
            try:
                self._read[path] = read_regular(path, SETTINGS)
            except OSError:
                self._read[path] = None
        return self._read[path]

    def _modules(self, folder: str) -> list[str]:
        """What an import could find there: by it ruff distinguishes the project's own modules."""
        try:
            with os.scandir(folder) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if entry.name.endswith((".py", ".pyi"))
                    or (entry.name.isidentifier() and entry.is_dir())
                )
        except OSError:
            return []


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _parsed(content: bytes) -> Mapping[str, Any]:
    """Nothing where it is broken: ruff reports that."""
    try:
        return anytoml.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}


def _settings(path: str, whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """ruff's own table."""
    if not path.endswith("pyproject.toml"):
        return whole
    tool = whole.get("tool")
    own = tool.get("ruff") if isinstance(tool, dict) else None
    return own if isinstance(own, dict) else {}


def _required(whole: Mapping[str, Any]) -> str | None:
    project = whole.get("project")
    required = project.get("requires-python") if isinstance(project, dict) else None
    return required if isinstance(required, str) else None


def _target(
    chain: list[Mapping[str, Any]], required: str | None
) -> tuple[bool, tuple[int, int] | None]:
    """Whether the project says for which Python it is written, and for which."""
    if any("per-file-target-version" in settings for settings in chain):
        return True, None
    named = next((found for each in chain if (found := each.get("target-version"))), None)
    text, pattern = (named, _TARGET) if named is not None else (required, _LEAST)
    match = pattern.fullmatch(text) if isinstance(text, str) else None
    return text is not None, (3, int(match[1])) if match else None


def _sources(settings: Mapping[str, Any]) -> list[str]:
    """Folders that modules are imported from, by ruff's own default where nothing is set."""
    said = settings.get("src")
    return [item for item in said if isinstance(item, str)] if isinstance(said, list) else ["src"]
