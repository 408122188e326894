"""Decorators that expect `emitDecoratorMetadata`: esbuild compiles them, and writes no metadata."""

from __future__ import annotations

import os
import re
from typing import Final

from lambdad.bundler.esbuild import tsconfig
from lambdad.bundler.esbuild.outputs import Share
from lambdad.bundler.esbuild.plan import BundlePlan
from lambdad.bundler.esbuild.prober import Disk, Prober
from lambdad.bundler.inputs.reading import SOURCE
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Diagnostic, Location, warning

_COMPILED: Final = b"__decorateClass"
"""The helper that esbuild brings in for decorators of TypeScript, unless it gets a shorter name."""
_DECORATOR: Final = re.compile(r"^[ \t]*@[A-Za-z_$][\w$.]*", re.MULTILINE)
_TYPESCRIPT: Final = (".ts", ".tsx", ".mts", ".cts")


def metadata(one: BundlePlan, made: Share, seen: Seen, disk: Disk) -> tuple[Diagnostic, ...]:
    """The first decorator of a source whose tsconfig.json asks for metadata of types."""
    chosen = dict(one.function.esbuild)
    if "tsconfigRaw" in chosen:
        return ()
    renamed = chosen.get("minify") or chosen.get("minifyIdentifiers")
    if not renamed and not any(_COMPILED in content for content in made.files.values()):
        return ()
    prober = Prober(disk, seen)
    asked: dict[str, bool] = {}
    for path in sorted({path for names in made.sources.values() for path in names}):
        if not path.endswith(_TYPESCRIPT) or "node_modules/" in path:
            continue
        whole = os.path.normpath(seen.absolute(path))
        if not _asks(os.path.dirname(whole), one, prober, asked):
            continue
        if place := _decorated(whole, path, seen):
            return (
                warning(
                    "decorator-metadata",
                    f"{seen.relative(whole)} has decorators, and tsconfig.json asks for "
                    "emitDecoratorMetadata: esbuild writes no such metadata, so what injects or "
                    "maps by type finds none",
                    place,
                    "name the types in the decorators; or compile with tsc and let the handler "
                    "name what it wrote",
                ),
            )
    return ()


def _asks(folder: str, one: BundlePlan, prober: Prober, asked: dict[str, bool]) -> bool:
    """Whether the tsconfig.json that esbuild takes for that folder does."""
    if folder in asked:
        return asked[folder]
    given = one.settings.tsconfig
    path = given or os.path.join(folder, "tsconfig.json")
    real = prober.real(path)
    if real is not None and prober.disk.kind(real) == "f":
        found = tsconfig.load(path, prober).decorator_metadata
    else:
        above = os.path.dirname(folder)
        found = above != folder and _asks(above, one, prober, asked)
    asked[folder] = found
    return found


def _decorated(path: str, shown: str, seen: Seen) -> Location | None:
    try:
        text = seen.content(path, SOURCE).decode("utf-8", "replace")
    except OSError:
        return None  # vanished meanwhile: the next check of the inputs finds it
    found = _DECORATOR.search(text)
    if found is None:
        return None
    return Location(shown, text.count("\n", 0, found.start()) + 1, 1)
