"""Whether Lambda can load the handler: its file, its syntax, its name. Only what is certain is
reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping

from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.tree import TreeFile
from lambdad.bundler.model import Diagnostic, Function, Location, RelPath, error, warning
from lambdad.bundler.python.syntax import Broken, Module, parse
from lambdad.bundler.workshop import Workshop


def check(
    function: Function,
    files: Mapping[str, TreeFile],
    dependencies: Collection[str],
    workshop: Workshop,
) -> list[Diagnostic]:
    """What would fail when Lambda loads the handler.

    `files` are the own files by name, `dependencies` the names in the dependency segment. Of own
    code the handler's module and what it imports is parsed: what nothing imports can be anything.
    """
    handler = function.handler
    if handler.export is None:
        return _check_wrapper(function, files, workshop)
    found = module_file(handler.module, files)
    if found is None:
        if function.layers or any(name in dependencies for name in candidates(handler.module)):
            return []
        return [_missing_file(function, files, workshop)]
    diagnostics = _check_syntax(found, function, files, workshop)
    module = parse(
        tree.read(workshop.seen, files[found]),
        function.runtime.version,
        workshop.environ,
        workshop.programs,
    )
    if isinstance(module, Module) and module.is_certain and handler.export not in module.names:
        diagnostics.append(_missing_export(function, files[found], module))
    return diagnostics


def candidates(module: str) -> tuple[str, str]:
    """Import's order: a package goes before a module of the same name."""
    return f"{module}/__init__.py", f"{module}.py"


def module_file(module: str, files: Collection[str]) -> str | None:
    return next((name for name in candidates(module) if name in files), None)


def _check_wrapper(
    function: Function, files: Mapping[str, TreeFile], workshop: Workshop
) -> list[Diagnostic]:
    name = function.handler.module
    if name not in files:
        return [] if function.layers else [_missing_file(function, files, workshop)]
    if not files[name].executable:
        return [
            warning(
                "handler-not-executable",
                f"{files[name].path} is the handler, and Lambda can't execute it",
                function.handler_where,
                f"chmod +x {files[name].path}",
            )
        ]
    return []


def _missing_file(
    function: Function, files: Mapping[str, TreeFile], workshop: Workshop
) -> Diagnostic:
    handler = function.handler
    if left_out := _left_out(function, workshop):
        return error(
            "missing-handler-file",
            f"{left_out} is there, and the function's excludes leave it out of the zip",
            function.handler_where,
            "narrow the pattern that names it, or bring it back with `include`",
        )
    wanted = handler.module if handler.export is None else f"{handler.module}.py"
    tail = wanted.rpartition("/")[2]
    near = sorted(name for name in files if name == tail or name.endswith(f"/{tail}"))
    if near and handler.export is not None:
        meant = near[0].removesuffix(".py").removesuffix("/__init__")
        hint = f"there is {near[0]}: write {meant}.{handler.export}"
    else:
        hint = f"create it, or correct the handler {handler.text!r}"
    return error(
        "missing-handler-file",
        f"there is no {wanted} in {function.code}",
        function.handler_where,
        hint,
    )


def _left_out(function: Function, workshop: Workshop) -> RelPath | None:
    handler = function.handler
    names = (handler.module,) if handler.export is None else candidates(handler.module)
    paths = (os.path.normpath(f"{function.code}/{name}") for name in names)
    return workshop.seen.first_file(paths)


def _missing_export(function: Function, file: TreeFile, module: Module) -> Diagnostic:
    handler = function.handler
    others = module.functions[:3]
    begin = handler.text.rpartition(".")[0]
    hint = (
        f"it defines {', '.join(others)}; write {begin}.{others[0]}"
        if others
        else "it defines no function"
    )
    return error(
        "missing-export",
        f"{file.path} does not define {handler.export!r}",
        function.handler_where,
        hint,
    )


# --- syntax ----------------------------------------------------------------------------------


def _check_syntax(
    start: str, function: Function, files: Mapping[str, TreeFile], workshop: Workshop
) -> list[Diagnostic]:
    diagnostics = []
    seen = {start}
    left = [start]
    while left:
        name = left.pop()
        module = parse(
            tree.read(workshop.seen, files[name]),
            function.runtime.version,
            workshop.environ,
            workshop.programs,
        )
        if isinstance(module, Broken):
            diagnostics.append(_syntax_error(files[name], module, function))
            continue
        for other in _imported(name, module, files):
            if other not in seen:
                seen.add(other)
                left.append(other)
    return sorted(diagnostics, key=lambda found: found.where.file if found.where else "")


def _imported(name: str, module: Module, files: Collection[str]) -> Iterator[str]:
    """The own files that a module's imports run, the packages on the way included."""
    package = name.rpartition("/")[0]
    for level, dotted in module.imports:
        base = package.split("/") if package and level else []
        if level - 1 > len(base):
            continue
        parts = base[: len(base) - level + 1] if level else []
        parts += dotted.split(".") if dotted else []
        for end in range(1, len(parts) + 1):
            if found := module_file("/".join(parts[:end]), files):
                yield found


def _syntax_error(file: TreeFile, broken: Broken, function: Function) -> Diagnostic:
    where = Location(file.path, broken.line, broken.column)
    message = f"{file.path}: {broken.message}"
    if broken.is_certain:
        return error("syntax-error", message, where)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return warning(
        "syntax-unchecked",
        f"{message}, says Python {here}; {function.runtime.name} may know better",
        where,
        f"install the Python of {function.runtime.name}, and it will be asked",
    )
