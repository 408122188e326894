"""Which own modules the handler leads to, and how surely each is loaded."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.bundler import tools
from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.tree import TreeFile
from lambdad.bundler.lint import imports, ruff_binary, tool
from lambdad.bundler.lint.imports import ModuleSource, PythonImport, Run
from lambdad.bundler.model import BundlerError, Function
from lambdad.bundler.python.handler import module_file
from lambdad.bundler.workshop import Workshop

_NATIVE: Final = (".so", ".pyd", ".pyc")


@dataclass(frozen=True, slots=True)
class OwnCode:
    """A function's own code, as the import system sees it."""

    files: Mapping[str, TreeFile]
    """By their names in the zip."""
    folders: frozenset[str]
    """All that a file lies in, by their names in the zip."""
    native: frozenset[str]
    """Modules that are no source, by their path without an ending."""

    @classmethod
    def of(cls, files: Mapping[str, TreeFile]) -> OwnCode:
        folders = {name[:at] for name in files for at in range(len(name)) if name[at] == "/"}
        native = {
            f"{folder}/{stem}" if folder else stem
            for name in files
            if name.endswith(_NATIVE)
            for folder, _, last in (name.rpartition("/"),)
            for stem in (last.partition(".")[0],)
        }
        return cls(files, frozenset(folders), frozenset(native))

    def has(self, path: str) -> bool:
        """Whether a module of that path is here: a file, a package, or a folder without one."""
        return (
            module_file(path, self.files) is not None
            or path in self.native
            or (path in self.folders)
        )

    def is_package(self, path: str) -> bool:
        """A regular one."""
        return f"{path}/__init__.py" in self.files

    def is_end(self, path: str) -> bool:
        """A module that has none below it."""
        is_module = f"{path}.py" in self.files or path in self.native
        return is_module and not self.is_package(path)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An own module that the handler leads to."""

    name: str
    """Of its file in the zip."""
    run: Run
    source: ModuleSource | None
    """None: this Python can't read it."""


def package_of(name: str) -> list[str]:
    """The folders of a module's file: its package's path."""
    return name.split("/")[:-1]


def target(item: PythonImport, name: str) -> list[str] | None:
    """The path of the module that an import in the file `name` is of; None: it leads out."""
    if item.level == 0:
        return item.module.split(".")
    package = package_of(name)
    up = item.level - 1
    if not package or up >= len(package):
        return None
    return [*package[: len(package) - up], *filter(None, item.module.split("."))]


def reached(function: Function, own: OwnCode, start: str, workshop: Workshop) -> dict[str, Loaded]:
    """The handler's module, and each that it leads to, by name."""
    found: dict[str, Loaded] = {}
    _follow([(start, Run.LOADED)], found, own, workshop)
    unread = [name for name, one in found.items() if one.source is None]
    if unread and function.runtime.version > sys.version_info[:2]:
        edges = _by_ruff(function, own, workshop)
        more = [(other, Run.GUARDED) for name in found for other in edges.get(name, ())]
        _follow(more, found, own, workshop)
    return found


def _follow(
    left: list[tuple[str, Run]], found: dict[str, Loaded], own: OwnCode, workshop: Workshop
) -> None:
    while left:
        name, run = left.pop()
        known = found.get(name)
        if known is not None and known.run >= run:
            continue
        source = known.source if known else imports.read(tree.read(workshop.seen, own.files[name]))
        found[name] = Loaded(name, run, source)
        for item in source.imports if source is not None else ():
            left += [(other, min(run, item.run)) for other in _led_to(item, name, own)]


def _led_to(item: PythonImport, name: str, own: OwnCode) -> Iterator[str]:
    """The own files that an import runs, the packages on the way included."""
    parts = target(item, name)
    if parts is None:
        return
    for end in range(1, len(parts) + 1):
        if file := module_file("/".join(parts[:end]), own.files):
            yield file
    for taken in item.names:
        if file := module_file("/".join([*parts, taken]), own.files):
            yield file


def _by_ruff(function: Function, own: OwnCode, workshop: Workshop) -> Mapping[str, Sequence[str]]:
    """The same from `ruff analyze graph`, which reads what is newer than this Python. It does not
    say how surely an import is run."""
    roots = [workshop.absolute(path) for path in (function.code, *function.shared)]
    version = "".join(map(str, function.runtime.version))
    by_path = {
        os.path.normpath(workshop.absolute(file.path)): name for name, file in own.files.items()
    }
    sources = [root if os.path.isdir(root) else os.path.dirname(root) for root in roots]
    command = [
        *(ruff_binary.ours(), "analyze", "graph", "--quiet", "--isolated"),
        *("--no-type-checking-imports", f"--target-version=py{version}"),
        *("--config", f"src = {json.dumps(sources)}", "--", *roots),
    ]
    try:
        done = tools.run(
            command, cwd=workshop.root, environ=workshop.environ, timeout_s=tool.TIMEOUT_S
        )
        graph = json.loads(done.stdout) if done.code == 0 else {}
        return {
            by_path[place]: [by_path[path] for path in _places(others, workshop) if path in by_path]
            for file, others in graph.items()
            for place in _places([file], workshop)
            if place in by_path
        }
    except (BundlerError, ValueError, TypeError, AttributeError):
        return {}  # it only adds what is checked


def _places(paths: Iterable[str], workshop: Workshop) -> Iterator[str]:
    return (os.path.normpath(os.path.join(workshop.root, path)) for path in paths)
