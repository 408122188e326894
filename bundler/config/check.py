"""From a Draft to a Function, or to every reason against it; the same checks for every reader."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from lambdad.bundler.config.declared import Draft, Ending, nearest
from lambdad.bundler.inputs.seen import PathKind, Seen
from lambdad.bundler.located.located import shortened
from lambdad.bundler.model import (
    Architecture,
    Diagnostic,
    Failed,
    Function,
    Handler,
    Language,
    Location,
    Method,
    NotBuilt,
    Refused,
    RelPath,
    Runtime,
    Skipped,
    error,
    warning,
)
from lambdad.bundler.runtimes import ARCHITECTURES, DEPRECATED, RUNTIMES

JAVASCRIPT: Final = (".js", ".mjs", ".cjs")
TYPESCRIPT: Final = (".ts", ".tsx", ".mts", ".cts", ".jsx")
"""What Node.js of any runtime does not load as it is."""
PYTHON: Final = (".py", "/__init__.py")
ARCHIVES: Final = (".zip", ".jar")

OUTPUTS: Final = frozenset(
    {".aws-sam", ".build", ".esbuild", ".webpack", "build", "dist", "out", "output", "target"}
)
"""Usual names of the output folders of compilers and bundlers."""

OTHERS: Final = (
    ("provided", "a custom runtime"),
    ("java", "Java"),
    ("dotnet", ".NET"),
    ("go", "Go"),
    ("ruby", "Ruby"),
)

FAMILY: Final = re.compile(r"(python|nodejs)([0-9]{1,4}(?:\.(?:[0-9]{1,4}|x))?)")
"""Of a runtime's name: the language, and its version."""

BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")

OF_LANGUAGE: Final = {
    "bundle": Language.JAVASCRIPT,
    "esbuild": Language.JAVASCRIPT,
    "install": Language.JAVASCRIPT,
    "env": Language.JAVASCRIPT,
    "shared": Language.PYTHON,
    "requirements": Language.PYTHON,
    "extras": Language.PYTHON,
    "groups": Language.PYTHON,
    "resolver": Language.PYTHON,
    "without": Language.PYTHON,
}
"""Settings that mean something for one language alone."""

OF_BUNDLES: Final = ("esbuild", "install", "env")
"""Settings that mean something where esbuild bundles."""

IDENTIFIER: Final = re.compile("[A-Za-z_$][A-Za-z0-9_$]*")


def check(draft: Draft, seen: Seen, allow: tuple[RelPath, ...]) -> Function | NotBuilt:
    """The function, or every reason against it: to skip, else to refuse, else why it failed."""
    if any(map(draft.why, (Skipped, Refused))):
        return _not_built(draft)
    runtime = _runtime(draft)
    architecture = _architecture(draft)
    code_kind = _code(draft, seen, allow)
    if runtime and runtime.language is Language.PYTHON:
        _requirements(draft, seen)
    if draft.handler is None and "handler" not in draft.reasons:
        hint = _missing_hint(draft, "handler")
        draft.failed("handler", error("no-handler", "no handler is set", draft.where, hint))
    handler = _handler(draft, seen, runtime, code_kind) if runtime and code_kind else None
    method = _method(draft, seen, runtime, handler) if runtime and handler else None
    if draft.reasons or not (runtime and architecture and handler and method and draft.handler):
        return _not_built(draft)
    bundled, python = method is Method.ESBUILD, method is Method.PYTHON
    return Function(
        name=draft.name,
        runtime=runtime,
        architecture=architecture,
        handler=handler,
        method=method,
        code=draft.code.value,
        exclude=draft.exclude or (),
        include=draft.include or (),
        globs=draft.beside if bundled else draft.globs,
        copy=draft.copy or (),
        layers=bool(draft.layers),
        allow=allow,
        entry_points=(draft.entry_points or ()) if bundled else (),
        esbuild=tuple(sorted(draft.esbuild.items())) if bundled else (),
        install=tuple(sorted(set(draft.install or ()))) if bundled else (),
        env=tuple(sorted(draft.env.items())) if bundled else (),
        shared=(draft.shared or ()) if python else (),
        requirements=draft.requirements.value if draft.requirements and python else None,
        extras=(draft.extras or ()) if python else (),
        groups=(draft.groups or ()) if python else (),
        resolver=draft.resolver if python else None,
        without=(draft.without or ()) if python else (),
        lint=draft.lint,
        format=draft.format,
        where=draft.where,
        handler_where=draft.handler.where,
        notes=tuple(draft.notes),
    )


def _not_built(draft: Draft) -> NotBuilt:
    ending: Ending = next(filter(draft.why, (Skipped, Refused)), Failed)
    return draft.not_built(ending, *draft.why(ending))


def _missing_hint(draft: Draft, setting: str) -> str:
    name = shortened(draft.name)
    key = name if BARE_KEY.fullmatch(name) else f'"{name}"'
    return f"set it there, or in lambdad.toml: [functions.{key}] {setting} = ..."


def _runtime(draft: Draft) -> Runtime | None:
    if draft.runtime is None:
        if "runtime" not in draft.reasons:
            message = "no runtime is set"
            hint = _missing_hint(draft, "runtime")
            draft.failed("runtime", error("no-runtime", message, draft.where, hint))
        return None
    name, where = draft.runtime.value, draft.runtime.where
    runtime = RUNTIMES.get(name)
    if runtime is None:
        draft.refused("runtime", _unsupported(name, where))
        return None
    for setting, language in OF_LANGUAGE.items():
        if setting in draft.own and language is not runtime.language:
            message = f"{setting} means nothing for {name}"
            draft.failed(
                setting, error("misplaced-option", message, draft.own[setting], "remove it")
            )
    if name in DEPRECATED:
        message = f"AWS no longer supports {name}"
        hint = "it still builds; move to a newer runtime"
        draft.notes.append(warning("deprecated-runtime", message, where, hint))
    return runtime


def _unsupported(name: str, where: Location) -> Diagnostic:
    for prefix, language in OTHERS:
        if name.startswith(prefix):
            message = f"{shortened(name)} is {language}; lambdad builds Python and JavaScript"
            hint = "build it with its own tools, and say skip = true in lambdad.toml"
            return error("unsupported-runtime", message, where, hint)
    if family := FAMILY.fullmatch(name):
        ours = [known for known in RUNTIMES.values() if known.name.startswith(family[1])]
        version = tuple(int(part) for part in family[2].split(".") if part != "x")
        older = version < ours[0].version
        # python312 is no version to come, but python3.12 misspelt.
        newer = version > ours[-1].version and len(version) == len(ours[-1].version)
        age = "older than any" if older else "newer than any" if newer else ""
        if age:
            message = f"{name} is {age} that lambdad builds"
            hint = f"use {ours[-1].name}" if older else "a newer lambdad may build it"
            return error("unsupported-runtime", message, where, hint)
    guess = nearest(name, RUNTIMES)
    current = [known for known in RUNTIMES if known not in DEPRECATED]
    hint = f"did you mean {guess}?" if guess else f"lambdad builds {', '.join(current)}"
    return error("unknown-runtime", f'unknown runtime "{shortened(name)}"', where, hint)


def _architecture(draft: Draft) -> Architecture | None:
    if draft.architecture is None:
        return Architecture.X86_64  # Lambda's default
    name = draft.architecture.value
    if name not in ARCHITECTURES:
        message = f'unknown architecture "{shortened(name)}"'
        hint = "Lambda has x86_64 and arm64"
        where = draft.architecture.where
        draft.failed("architecture", error("unknown-architecture", message, where, hint))
    return ARCHITECTURES.get(name)


def _code(draft: Draft, seen: Seen, allow: tuple[RelPath, ...]) -> PathKind | None:
    path, where = draft.code.value, draft.code.where
    shown = shortened(path)
    if path.endswith(ARCHIVES):
        if path.endswith(".zip") and seen.kind(path) is None:
            message = f"there is no {shown}, an archive that something must make first"
            hint = "run what makes it, or name the sources and let lambdad build them"
            draft.refused("code", error("missing-output", message, where, hint))
        else:
            draft.skipped("code", "ready-archive", f"{shown} is an archive: ready as it is", where)
        return None
    kind = seen.kind(path)
    if kind is None and OUTPUTS.intersection(path.split("/")):
        draft.refused("code", _no_output(shown, where))
    elif kind is None:
        message = f"there is no {shown}"
        hint = "the path starts at the folder of the file that says it"
        draft.failed("code", error("missing-code", message, where, hint))
    elif not seen.leads_inside(path, allow):
        message = f"{shown} is outside the repository"
        hint = f'if that is meant, say so in lambdad.toml: allow = ["{shown}"]'
        draft.failed("code", error("outside-code", message, where, hint))
        return None
    return kind


def _no_output(shown: str, where: Location) -> Diagnostic:
    message = f"there is no {shown}: it looks like the output of a compiler that has not run"
    hint = "run the compiler first, or name the sources and let lambdad bundle them"
    return error("missing-output", message, where, hint)


def _requirements(draft: Draft, seen: Seen) -> None:
    said = draft.requirements
    if said is not None and seen.kind(said.value) != "file":
        message = f"there is no file {shortened(said.value)}"
        hint = "the path starts at the project's folder"
        draft.failed("requirements", error("missing-requirements", message, said.where, hint))


def _handler(draft: Draft, seen: Seen, runtime: Runtime, code_kind: PathKind) -> Handler | None:
    if draft.handler is None:
        return None
    text, where = draft.handler.value, draft.handler.where
    code = draft.code.value
    program = posixpath.normpath(text)
    stem = posixpath.splitext(posixpath.basename(code))[0]
    handler = parse_handler(text, runtime.language)
    if _is_program(draft, seen, program, code_kind, handler):
        return Handler(text, program, None)
    if handler is None:
        example = (
            "path/file.function" if runtime.language is Language.JAVASCRIPT else "mod.function"
        )
        message = f'"{shortened(text)}" names no handler'
        hint = f"write it as {example}, within the code folder"
        draft.failed("handler", error("bad-handler", message, where, hint))
    elif code_kind == "file" and handler.module != stem:
        message = f'"{shortened(text)}" is not in {shortened(code)}, which is all of the code'
        draft.failed("handler", error("bad-handler", message, where, f"write {stem}.FUNCTION"))
        return None
    return handler


def _is_program(
    draft: Draft, seen: Seen, program: str, code_kind: PathKind, handler: Handler | None
) -> bool:
    """An executable such as run.sh, for a layer or a wrapper script to start."""
    if program.startswith(("/", "..")) or not program.isprintable():
        return False
    code = draft.code.value
    if code_kind == "file":
        there = posixpath.basename(code) == program
    else:
        there = seen.kind(_below(code, program)) == "file"
    if not there or draft.wrapped or handler is None:
        return there
    # app.py is the function "py" of the module app, wherever the module is there too.
    endings = (*JAVASCRIPT, *TYPESCRIPT, *PYTHON)
    return not program.endswith(endings) and not seen.first_file(
        _below(code, handler.module) + ending for ending in endings
    )


def _below(folder: RelPath, name: str) -> RelPath:
    return name if folder == "." else f"{folder}/{name}"


def parse_handler(text: str, language: Language) -> Handler | None:
    """The setting's parts, as Lambda's runtimes take it apart; None: it has none.

    Python: the last dot ends the module, dots before it are folders too. Node.js: the first dot
    of the last path component ends the module, dots after it go into the exported object.
    """
    if language is Language.PYTHON:
        module, _, export = text.rpartition(".")
        module = module.replace(".", "/")
        absolute = False
    else:
        folder, slash, name = text.rpartition("/")
        file, _, export = name.partition(".")
        module = folder + slash + file if file else ""
        absolute = module.startswith("/opt/")  # where layers lie
        module = module.removeprefix("./").removeprefix("/" if absolute else "")
    parts = module.split("/")
    if not export or not text.isprintable() or any(part in ("", ".", "..") for part in parts):
        return None
    return Handler(text, f"/{module}" if absolute else module, export)


def _method(draft: Draft, seen: Seen, runtime: Runtime, handler: Handler) -> Method | None:
    if runtime.language is Language.PYTHON:
        return Method.PYTHON
    bundle = draft.bundle
    if bundle is None:
        bundle = _needs_bundling(draft, seen, handler)
    for setting in OF_BUNDLES if not bundle else ():
        if setting in draft.own:
            message = f"{setting} has no part in a function that is not bundled"
            hint = "add bundle = true, or remove it"
            fault = error("misplaced-option", message, draft.own[setting], hint)
            draft.failed(setting, fault)
    if bundle:
        _names_of_bundles(draft)
    return Method.ESBUILD if bundle else Method.NODE


def _names_of_bundles(draft: Draft) -> None:
    """What `env` and `install` name must be names."""
    for name in draft.env:
        if not IDENTIFIER.fullmatch(name):
            message = f"env can't replace process.env.{shortened(name)}: that is no name in code"
            where = draft.own.get("env", draft.where)
            draft.failed("env", error("bad-value", message, where, "use letters, digits and _"))
    if not draft.install:
        return
    from lambdad.bundler.npm.manifest import is_package_name

    for name in draft.install:
        if not is_package_name(name) or "@" in name[1:]:
            message = f"install can't hold \"{shortened(name)}\": that is no package's name"
            where = draft.own.get("install", draft.where)
            hint = "write its name alone, without a version or a path"
            draft.failed("install", error("bad-value", message, where, hint))


def _needs_bundling(draft: Draft, seen: Seen, handler: Handler) -> bool:
    code = draft.code.value
    if seen.kind(code) == "file":
        return code.endswith(TYPESCRIPT)
    if handler.export is None or handler.module.startswith("/"):
        return False
    module = _below(code, handler.module)
    if seen.first_file(module + ending for ending in JAVASCRIPT):
        return False
    if seen.first_file(module + ending for ending in TYPESCRIPT):
        return True
    top = handler.module.partition("/")[0]
    if draft.handler and top in OUTPUTS and seen.kind(_below(code, top)) is None:
        shown = shortened(_below(code, top))
        draft.refused("handler", _no_output(shown, draft.handler.where))
    return False
