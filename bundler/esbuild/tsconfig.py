"""The part of tsconfig.json that decides where imports lead: `extends`, `baseUrl` and `paths`.

As esbuild 0.28.2 reads it (internal/resolver/tsconfig_json.go): comments and trailing commas are
allowed; a base's settings count where the extending file has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lambdad.bundler.esbuild import pnp
from lambdad.bundler.esbuild.manifest import split_package, targets
from lambdad.bundler.esbuild.prober import Prober
from lambdad.bundler.inputs.reading import LOCK, read_regular
from lambdad.bundler.located import anyjson

Raw = Mapping[str, Any]

_NOISE: Final = re.compile(
    r"""("(?:[^"\\\n]|\\.)*")   # a string: kept
      | //[^\n]* | /\*.*?\*/      # comments
      | ,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[\]}])  # a trailing comma
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class TsConfig:
    base_url: str | None = None
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paths_folder: str = "/"
    """What `paths` are relative to where there is no base_url."""
    decorator_metadata: bool = False


def read(path: str) -> Raw:
    """The file's object; empty if it can't be read, since esbuild says what is wrong with it."""
    try:
        text = read_regular(path, LOCK).decode("utf-8-sig")
        found = anyjson.loads(_NOISE.sub(lambda match: match[1] or "", text), strict=False)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def load(
    path: str, prober: Prober, top: str | None = None, seen: frozenset[str] = frozenset()
) -> TsConfig:
    """The settings of the file and of those it extends; each one looked at is recorded."""
    prober.seen.file(path)
    real = prober.real(path)
    if real is None or real in seen:
        return TsConfig()
    prober.seen.file(real)
    raw = prober.disk.once(read, real)
    here = os.path.dirname(real)
    top = os.path.dirname(path) if top is None else top
    config = TsConfig()
    extends = raw.get("extends")
    for base in extends if isinstance(extends, list) else [extends]:
        if isinstance(base, str) and base:
            found = _base(base, here, prober)
            if found is not None:
                inner = load(found, prober, top, seen | {real})
                config = TsConfig(
                    config.base_url if inner.base_url is None else inner.base_url,
                    inner.paths or config.paths,
                    inner.paths_folder if inner.paths else config.paths_folder,
                    inner.decorator_metadata or config.decorator_metadata,
                )
    own = raw.get("compilerOptions")
    if not isinstance(own, dict):
        return config
    base_url, paths, folder = config.base_url, config.paths, config.paths_folder
    if isinstance(own.get("baseUrl"), str):
        base_url = _absolute(own["baseUrl"], here, top)
    if isinstance(own.get("paths"), dict):
        folder = here
        paths = {
            key: tuple(
                text.replace("${configDir}", top, 1) for text in value if isinstance(text, str)
            )
            for key, value in own["paths"].items()
            if isinstance(value, list)
        }
    metadata = own.get("emitDecoratorMetadata", config.decorator_metadata) is True
    return TsConfig(base_url, paths, folder, metadata)


def substitutes(config: TsConfig, specifier: str) -> Iterator[str]:
    """What `paths` has for an import, in order: of the exact key, else of the longest match."""
    best: tuple[int, int, str] | None = None
    key: str | None = specifier if specifier in config.paths else None
    if key is None:
        for pattern in config.paths:
            before, star, after = pattern.partition("*")
            fits = star and specifier.startswith(before) and specifier.endswith(after)
            if fits and len(specifier) >= len(before) + len(after):
                rank = (len(before), len(after), pattern)
                best = rank if best is None or rank > best else best
        key = best[2] if best else None
    if key is None:
        return
    middle = specifier[best[0] : len(specifier) - best[1]] if best else ""
    folder = config.base_url or config.paths_folder
    for text in config.paths[key]:
        if not text.lower().endswith(".d.ts"):
            yield os.path.normpath(os.path.join(folder, text.replace("*", middle, 1)))


def _absolute(text: str, folder: str, top: str) -> str:
    return os.path.normpath(os.path.join(folder, text.replace("${configDir}", top, 1)))


def _base(extends: str, folder: str, prober: Prober) -> str | None:
    """The file that `extends` names; every place looked at is recorded."""
    if extends in (".", ".."):
        extends += "/tsconfig.json"
    if extends.startswith(("/", "./", "../")):
        path = os.path.normpath(os.path.join(folder, extends))
        return _first((path, f"{path}.json"), prober)
    name, below = split_package(extends)
    for package in prober.played(folder, name):
        if (found := _first(_candidates(package, below, prober), prober)) is not None:
            return found
    while True:
        prober.seen.file(*(os.path.join(folder, file) for file in pnp.FILES))
        if os.path.basename(folder) != "node_modules":
            package = os.path.join(folder, "node_modules", name)
            found = _first(_candidates(package, below, prober), prober)
            if found is not None:
                return found
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _candidates(package: str, below: str, prober: Prober) -> list[str]:
    path = f"{package}{below}"
    candidates = [f"{path}/tsconfig.json", path, f"{path}.json"]
    prober.seen.file(f"{package}/package.json")
    if prober.real(f"{package}/package.json") is not None:
        manifest = prober.disk.manifest(f"{package}/package.json")
        own = manifest.get("tsconfig")
        if isinstance(own, str) and not below:
            target = os.path.normpath(f"{package}/{own}")
            candidates = [f"{target}/tsconfig.json", target, f"{target}.json"]
        exported = targets(manifest.get("exports"), f".{below}")
        candidates = [os.path.normpath(f"{package}/{t}") for t in exported] + candidates
    return candidates


def _first(candidates: tuple[str, ...] | list[str], prober: Prober) -> str | None:
    for path in candidates:
        real = prober.real(path)
        prober.seen.file(path)
        if real is not None and prober.disk.kind(real) == "f":
            return path
    return None
