"""Whether own JavaScript that is packaged as it is can be parsed at all.

The handler's file, and what it loads of its own: what nothing loads can be anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from lambdad.bundler.ecmascript import imports
from lambdad.bundler.inputs.seen import Seen, is_inside
from lambdad.bundler.model import BundlerError, Diagnostic, Function, Location, RelPath, Severity
from lambdad.bundler.workshop import Workshop


def check(
    function: Function,
    entry: str,
    files: Mapping[str, RelPath],
    read: Callable[[str], str],
    workshop: Workshop,
) -> tuple[Diagnostic, ...]:
    """The syntax errors, by esbuild without bundling, so that nothing but syntax is judged.

    `files` are the own files, by name in the zip; `entry` is the handler's. Where esbuild is not to
    be had, that is reported.
    """
    names = sorted(_loaded(entry, frozenset(files), read))
    try:
        return _errors(function, [files[name] for name in names], workshop)
    except BundlerError as fault:
        return (
            Diagnostic(
                code="syntax-unchecked",
                severity=Severity.INFO,
                message=f"the syntax of {files[entry]} was not checked: {fault.message}",
                where=Location(files[entry]),
                hint=fault.hint,
            ),
        )


def _loaded(entry: str, names: frozenset[str], read: Callable[[str], str]) -> set[str]:
    waiting, seen = [entry], {entry}
    while waiting:
        importer = waiting.pop()
        for imported in imports.imports(read(importer)):
            found = None
            if imported.specifier.startswith("."):
                found = imports.resolve(imported.specifier, importer, names)
            if found is not None and not imported.guarded and found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen


def _errors(function: Function, paths: list[RelPath], workshop: Workshop) -> tuple[Diagnostic, ...]:
    from lambdad.bundler.esbuild import binary
    from lambdad.bundler.esbuild.engine import EsbuildGone, EsbuildJob, check_system
    from lambdad.bundler.esbuild.oneshot import OneShot
    from lambdad.bundler.javascript.messages import Scene, diagnostics_of

    root = workshop.root
    _record_scopes(paths, function, workshop.seen)
    esbuild = OneShot(binary.find(workshop), workshop.environ)
    job = EsbuildJob(
        entries=tuple((str(number), workshop.absolute(path)) for number, path in enumerate(paths)),
        # No tsconfig.json decides what Node.js takes. Errors have the names that we sent,
        # though they lie behind links.
        flags=(
            *("--platform=node", "--target=esnext", "--log-limit=0"),
            *("--tsconfig-raw={}", "--preserve-symlinks"),
        ),
        folder=root,
        out_folder=root,
    )
    try:
        output = esbuild.build(job)
        check_system(output.errors)
    except EsbuildGone as fault:
        raise fault.told("esbuild ended before it was done") from fault
    # A package.json on the way may be broken, too, which is not for here.
    errors = [one for one in output.errors if one.place is not None and one.place.file in paths]
    scene = Scene(function=function, folder=root, seen=workshop.seen)
    return diagnostics_of(errors, (), scene)


def _record_scopes(paths: Iterable[RelPath], function: Function, seen: Seen) -> None:
    """The package.json files from each source upwards: `type` decides what esbuild takes."""
    top = seen.absolute(function.code)
    met: set[str] = set()
    for path in paths:
        folder = os.path.dirname(os.path.normpath(seen.absolute(path)))
        while folder not in met:
            met.add(folder)
            seen.file(os.path.join(folder, "package.json"))
            if is_inside(folder, (seen.repository,)) and not is_inside(folder, (top,)):
                seen.names(folder, ("package",))
            folder = os.path.dirname(folder)
