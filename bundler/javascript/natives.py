"""Native modules that a bundle brings along as files: whether the target can load them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from lambdad.bundler.esbuild.engine import EsbuildOutput
from lambdad.bundler.javascript.messages import Scene, manager
from lambdad.bundler.model import Diagnostic, Location, error
from lambdad.bundler.npm.installer import Installer
from lambdad.bundler.zips import native

_SUFFIX: Final = ".node"
_MODULES: Final = "/node_modules/"


def faults(output: EsbuildOutput, out_folder: str, scene: Scene) -> tuple[Diagnostic, ...]:
    """A `native-platform` error for each package none of whose native modules loads.

    Packages that carry modules for many machines are right to: one that fits is enough.
    """
    unfit: dict[str, Diagnostic] = {}
    fit: set[str] = set()
    for path, content in _modules(output, out_folder, scene.folder):
        described = native.describe(content)
        if described is None:
            continue
        owner = _owner(path)
        name = scene.seen.relative(path)
        function = scene.function
        found = native.faults(name, described, function.runtime, function.architecture)
        if not found:
            fit.add(owner)
        elif owner not in unfit:
            message = f"{name} {found[0]}"
            where = Location(name)
            unfit[owner] = error("native-platform", message, where, _hint(path, scene))
    return tuple(fault for owner, fault in sorted(unfit.items()) if owner not in fit)


def _modules(output: EsbuildOutput, out_folder: str, folder: str) -> Iterator[tuple[str, bytes]]:
    """The native modules among the outputs, each with the absolute path of its source."""
    for out, record in sorted(output.metafile["outputs"].items()):
        if not out.endswith(_SUFFIX):
            continue
        place = os.path.normpath(os.path.join(folder, out))
        content = output.files.get(os.path.relpath(place, out_folder))
        for source in record["inputs"]:
            if content is not None:
                yield os.path.normpath(os.path.join(folder, source)), content


def _owner(path: str) -> str:
    """The folder of the package that the file belongs to; all of the user's own files are one."""
    above, modules, below = path.rpartition(_MODULES)
    if not modules:
        return ""
    parts = below.split("/")
    return f"{above}{modules}{'/'.join(parts[: 2 if below.startswith('@') else 1])}"


def _hint(path: str, scene: Scene) -> str:
    architecture = scene.function.architecture
    above, modules, _below = path.partition(_MODULES)
    if not modules:
        return f"build it for Linux on {architecture.value}, for example in Lambda's build image"
    folder = scene.seen.relative(above)
    by = Installer(name=manager(folder, scene), folder=above, lock=None)
    shown = "the project's folder" if folder == "." else folder
    return (
        f"{by.command_for(architecture)} in {shown}; a package that is compiled when installed "
        "must be installed on such a machine, for example in Lambda's build image"
    )
