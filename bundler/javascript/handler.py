"""Whether Lambda will find the handler: its file, and where that is certain its export.

How the runtime looks: aws-lambda-nodejs-runtime-interface-client, UserFunction: the path as it is,
then with .js, .mjs and .cjs, then as Node.js resolves a folder.
"""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from lambdad.bundler.ecmascript import exports
from lambdad.bundler.model import Diagnostic, Function, Severity, error

ENDINGS: Final = ("", ".js", ".mjs", ".cjs")
FOLDER_ENDINGS: Final = ("/index.js", "/package.json")
COMPILED: Final = (".ts", ".mts", ".tsx", ".cts", ".jsx")


def find(function: Function, files: Mapping[str, bool]) -> str | None:
    """The name in the zip of the handler's file, `files` being all names there."""
    module = _module(function)
    endings = ("",) if function.handler.export is None else (*ENDINGS, *FOLDER_ENDINGS)
    return next((module + ending for ending in endings if module + ending in files), None)


def check(
    function: Function, files: Mapping[str, bool], read: Callable[[str], str]
) -> tuple[Diagnostic, ...]:
    """What is wrong with the handler; `files` says of each name in the zip whether it is
    executable."""
    found = find(function, files)
    if found is None:
        fault = _missing(function, sorted(files))
        # A layer may hold the file, as those of monitoring vendors do.
        return (replace(fault, severity=Severity.WARNING) if function.layers else fault,)
    if function.handler.export is None:
        return () if files[found] else (_not_executable(function, found),)
    if not found.endswith(ENDINGS[1:]) or "node_modules/" in found:
        return ()
    return _check_export(function, found, read(found))


def _module(function: Function) -> str:
    return posixpath.normpath(function.handler.module)


def _missing(function: Function, files: Sequence[str]) -> Diagnostic:
    module, export = _module(function), function.handler.export
    if module.startswith(("../", "/")) or module == "..":
        return error(
            "missing-handler-file",
            f'the handler "{function.handler.text}" is outside of the code, {function.code}',
            function.handler_where,
            "write its path relative to the code folder, or choose a code folder that holds it",
        )
    looked = module if export is None else f"{module}.js, .mjs or .cjs"
    return error(
        "missing-handler-file",
        f'{function.code} has no file for the handler "{function.handler.text}" ({looked})',
        function.handler_where,
        _hint(function, module, files),
    )


def _hint(function: Function, module: str, files: Sequence[str]) -> str:
    for ending in COMPILED:
        if module + ending in files:
            return f"{module}{ending} is there: compile it first, or have it bundled by esbuild"
    export = function.handler.export
    if export is None:
        near = difflib.get_close_matches(module, files, 1)
        return f"did you mean {near[0]}?" if near else "the handler names a file of the code folder"
    stems = {
        posixpath.splitext(name)[0]: name
        for name in files
        if name.endswith(ENDINGS[1:]) and "node_modules/" not in name
    }
    namesake = [stem for stem in stems if posixpath.basename(stem) == posixpath.basename(module)]
    folded = [stem for stem in stems if stem.lower() == module.lower()]
    close = difflib.get_close_matches(module, list(stems), 1)
    for stem in (*folded, *namesake, *close):
        return f"{stems[stem]} is there; write {stem}.{export}"
    return "a handler is written path/to/file.export, relative to the code folder"


def _not_executable(function: Function, found: str) -> Diagnostic:
    path = posixpath.normpath(posixpath.join(function.code, found))
    return error(
        "handler-not-executable",
        f"{path} is the handler, and is not executable",
        function.handler_where,
        f"run `chmod +x {path}`, and `git update-index --chmod=+x {path}` to keep it in git",
    )


def _check_export(function: Function, found: str, text: str) -> tuple[Diagnostic, ...]:
    wanted = (function.handler.export or "").partition(".")[0]
    names = exports.names(text)
    if names is None or wanted in names:
        return ()
    path = posixpath.normpath(posixpath.join(function.code, found))
    others = sorted(names - {"__esModule"})
    if others:
        better = next(iter(difflib.get_close_matches(wanted, others, 1)), others[0])
        shown = ", ".join(f'"{name}"' for name in others[:5])
        hint = f"it exports {shown}; write {_module(function)}.{better}"
    elif found.endswith(".mjs"):
        hint = f"write `export const {wanted} = async (event) => ...`"
    else:
        hint = f"it exports nothing; write `exports.{wanted} = async (event) => ...`"
    message = f'{path} does not export "{wanted}"'
    return (error("missing-export", message, function.handler_where, hint),)
