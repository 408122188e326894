"""Imports that fail on Lambda: what neither own code, nor the dependencies, nor the runtime, nor a
layer provides.

Only what is certain is reported. An import under a condition, or in a `try` that catches
ImportError, passes; so does any of a function whose code changes `sys.path`. One in a function that
may never be called is a warning.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.inputs import tree
from lambdad.bundler.lint import stdlib
from lambdad.bundler.lint.graph import Loaded, OwnCode, package_of, target
from lambdad.bundler.lint.imports import PythonImport, Run
from lambdad.bundler.lint.installed import InstalledModules
from lambdad.bundler.model import Diagnostic, Function, Location, Severity
from lambdad.bundler.python.handler import module_file
from lambdad.bundler.python.syntax import Module, parse
from lambdad.bundler.workshop import Workshop

_RUNTIMES: Final = frozenset({"boto3", "botocore", "s3transfer", "jmespath", "urllib3", "six"})
"""Distributions whose modules the runtime is known to bring (stdlib.py)."""


@dataclass(frozen=True, slots=True)
class _Scene:
    function: Function
    own: OwnCode
    installed: InstalledModules | None
    workshop: Workshop

    @property
    def knows_all(self) -> bool:
        """Whether every place that modules come from is known."""
        function = self.function
        elsewhere = set(function.without) - _RUNTIMES
        return self.installed is not None and not function.layers and not elsewhere


def check(
    function: Function,
    own: OwnCode,
    reached: Mapping[str, Loaded],
    installed: InstalledModules | None,
    workshop: Workshop,
) -> list[Diagnostic]:
    """The faults of the modules that the handler leads to, each in its file."""
    if not all(one.source is None or one.source.is_tame for one in reached.values()):
        return []
    scene = _Scene(function, own, installed, workshop)
    found = []
    for one in reached.values():
        if one.source is None or one.run is Run.GUARDED:
            continue
        for item in one.source.imports:
            run = min(one.run, _run(item, one.name, function, own))
            if run is not Run.GUARDED:
                found += [
                    _told(why, item, run, one.name, scene) for why in _faults(item, one, scene)
                ]
    return found


def _run(item: PythonImport, name: str, function: Function, own: OwnCode) -> Run:
    """What the handler itself imports when it is called is imported for sure."""
    is_handler = name == module_file(function.handler.module, own.files)
    if item.run is Run.CALLED and is_handler and item.inside == function.handler.export:
        return Run.LOADED
    return item.run


@dataclass(frozen=True, slots=True)
class _Why:
    message: str
    hint: str


def _told(why: _Why, item: PythonImport, run: Run, name: str, scene: _Scene) -> Diagnostic:
    return Diagnostic(
        code="missing-import",
        severity=Severity.ERROR if run is Run.LOADED else Severity.WARNING,
        message=why.message,
        where=Location(scene.own.files[name].path, item.line, item.column),
        hint=why.hint,
    )


def _faults(item: PythonImport, one: Loaded, scene: _Scene) -> Iterator[_Why]:
    parts = target(item, one.name)
    if parts is None:
        yield _leads_out(item, one)
        return
    shown = f"{'.' * item.level}{item.module}"
    if item.level == 0 and not scene.own.is_package(parts[0]) and not scene.own.is_end(parts[0]):
        # A folder without __init__.py is the last that is taken: any other place goes before it,
        # or has the rest of it.
        if not scene.own.has(parts[0]) and not _is_elsewhere(parts[0], scene):
            yield _nowhere(parts[0], item.module, one, scene)
        if not scene.own.has(parts[0]) or _is_elsewhere(parts[0], scene):
            return
    if (missing := _first_missing(parts, scene.own)) is not None:
        yield _Why(f"there is no module {missing} here: {shown} can't be imported", _CREATE)
        return
    for name in item.names:
        if name != "*" and not name.startswith("__") and not _takes(parts, name, scene):
            file = module_file("/".join(parts), scene.own.files)
            where = scene.own.files[file].path if file else "/".join(parts)
            yield _Why(f"{where} has no {name} that could be imported", _DEFINE)


_CREATE: Final = "create it, or correct the import"
_DEFINE: Final = "define it there, or correct the import"


def _leads_out(item: PythonImport, one: Loaded) -> _Why:
    shown = f"{'.' * item.level}{item.module}"
    if not package_of(one.name):
        message = f"{shown} is relative, and this module is in no package on Lambda"
        return _Why(message, f"write it without the dot{'s' if item.level > 1 else ''}")
    return _Why(f"{shown} leads out of the code on Lambda", "import it from the code folder down")


def _is_elsewhere(module: str, scene: _Scene) -> bool:
    """Whether a module may come from outside of own code."""
    if not scene.knows_all or scene.installed is None or module.startswith("_"):
        return True
    brought = stdlib.brings(module, scene.function.runtime.version)
    return brought or module in scene.installed.modules


def _nowhere(module: str, whole: str, one: Loaded, scene: _Scene) -> _Why:
    runtime = scene.function.runtime.name
    came, went = stdlib.since(module)
    if went is not None and scene.function.runtime.version >= went:
        message = f"{runtime} has no {module} any more: Python {went[0]}.{went[1]} removed it"
        return _Why(message, "add a package that replaces it to the requirements")
    if came is not None:
        message = f"{runtime} has no {module} yet: it came with Python {came[0]}.{came[1]}"
        return _Why(message, "use a newer runtime, or a backport")
    message = f"nothing brings {whole}: neither the code, nor its dependencies, nor {runtime}"
    near = sorted(name for name in scene.own.files if _is_named(name, module))
    if near and scene.own.files[near[0]].name != one.name:
        folder = os.path.dirname(near[0].removesuffix("/__init__.py"))
        dotted = folder.replace("/", ".")
        return _Why(message, f"there is {near[0]}: write {dotted}.{whole}")
    return _Why(message, "add it to the requirements; from a layer? say layers = true")


def _is_named(name: str, module: str) -> bool:
    """Whether a file, not at the top, is the module."""
    return name.endswith((f"/{module}.py", f"/{module}/__init__.py"))


def _first_missing(parts: Iterable[str], own: OwnCode) -> str | None:
    """The dotted name where the way through own code ends, by the import system's rules."""
    path = ""
    for part in parts:
        if path and own.is_end(path):
            return f"{path}/{part}".replace("/", ".")
        path = f"{path}/{part}" if path else part
        if not own.has(path):
            return path.replace("/", ".")
    return None


def _takes(parts: list[str], name: str, scene: _Scene) -> bool:
    """Whether `from parts import name` may find it."""
    path = "/".join(parts)
    if not scene.own.is_end(path) and scene.own.has(f"{path}/{name}"):
        return True
    file = module_file(path, scene.own.files)
    if file is None:
        return path in scene.own.native  # else a folder, whose modules are all it has
    content = tree.read(scene.workshop.seen, scene.own.files[file])
    module = parse(content, scene.function.runtime.version, scene.workshop.environ)
    return not isinstance(module, Module) or not module.is_certain or name in module.names
