"""esbuild's messages as diagnostics: stable codes, places in characters, and a next step."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.bundler import aws_sdk
from lambdad.bundler.esbuild.engine import Message, MessagePlace
from lambdad.bundler.esbuild.manifest import split_package
from lambdad.bundler.inputs.reading import LOCK, SOURCE
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Diagnostic, Function, Location, Walk, error, warning
from lambdad.bundler.npm import installer
from lambdad.bundler.npm.manifest import GENERATED

UNRESOLVED: Final = re.compile(r'Could not resolve "(.*)"$')

_KNOWN: Final = (
    (re.compile(r"Could not resolve "), "unresolved-import"),
    (re.compile(r"No matching export in "), "no-matching-export"),
    (re.compile(r"Ambiguous import "), "no-matching-export"),
    (re.compile(r"No loader is configured for "), "no-loader"),
    (re.compile(r"Top-level await is .*not (?:supported|available)"), "top-level-await"),
    (re.compile(r"Transforming .* is not supported"), "unsupported-syntax"),
    (re.compile(r"(?:Could not|can't) read |Cannot read (?:file|directory)"), "unreadable-file"),
    (re.compile(r"Cannot find tsconfig file"), "missing-option-file"),
    (re.compile(r"(?:Invalid|Expected|External path|Must use|Missing) .*"), "invalid-option"),
)
"""By text, since esbuild's errors have no id. The last one is for errors without a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Whose build the messages are of."""

    function: Function
    folder: str
    """esbuild's working directory."""
    seen: Seen
    """Next steps depend on what lies near: it is looked at through this."""


def diagnostics_of(
    errors: Sequence[Message], warnings: Sequence[Message], scene: Scene
) -> tuple[Diagnostic, ...]:
    """Errors, then warnings, each sorted by place.

    AWS SDK v2 is reported once, and so are imports of packages that one step mends.
    """
    found = _once([_error(message, scene) for message in errors], "aws-sdk-v2-missing")
    found.sort(key=_order)
    found = _once_by_hint(found)
    found += sorted((_warning(message, scene) for message in warnings), key=_order)
    return tuple(dict.fromkeys(found))


def unresolved_packages(errors: Iterable[Message]) -> set[str]:
    """The packages that imports asked for in vain."""
    names = set()
    for message in errors:
        found = UNRESOLVED.match(message.text)
        if found and not found[1].startswith((".", "/", "#")):
            names.add(split_package(found[1])[0])
    return names


def _error(message: Message, scene: Scene) -> Diagnostic:
    where = _location(message.place, scene)
    if found := UNRESOLVED.match(message.text):
        return _unresolved(found[1], message, where, scene)
    code = "syntax-error" if message.place else "esbuild-error"
    for pattern, known in _KNOWN:
        if pattern.match(message.text) and not (known == "invalid-option" and message.place):
            code = known
            break
    return error(code, message.text, where, _hint(code, message))


def _warning(message: Message, scene: Scene) -> Diagnostic:
    code = f"esbuild-{message.id.replace('.', '-')}" if message.id else "esbuild-warning"
    return warning(code, message.text, _location(message.place, scene), _hint(code, message))


def _hint(code: str, message: Message) -> str | None:
    match code:
        case "top-level-await":
            return (
                'set format = "esm": Lambda loads it as .mjs, which may use await at the top level'
            )
        case "no-loader":
            found = re.search(r'for "(\.[^"]*)" files', message.text)
            extension = found[1] if found else ".ext"
            return (
                f'set loader = {{ "{extension}" = "text" }} (or "file", "dataurl", "binary", ...)'
            )
        case "invalid-option":
            return "https://esbuild.github.io/api/ says what the option takes"
    return _note(message)


def _note(message: Message) -> str | None:
    """The first note that says something by itself, without the source that follows it."""
    return next((note for note in message.notes if not note.endswith(":")), None)


def _location(place: MessagePlace | None, scene: Scene) -> Location:
    if place is None:
        return scene.function.where
    path = os.path.normpath(os.path.join(scene.folder, place.file))
    file = scene.seen.relative(path)
    if place.line < 1:
        return Location(file)
    line = place.line_text or _line(path, place.line, scene.seen)
    before = line.encode("utf-8", "surrogateescape")[: place.column]
    return Location(file, place.line, len(before.decode("utf-8", "replace")) + 1)


def _line(path: str, number: int, seen: Seen) -> str:
    try:
        content = seen.content(path, SOURCE)
    except OSError:
        return ""
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    return lines[number - 1] if number <= len(lines) else ""


# --- imports that lead nowhere ---


def _unresolved(specifier: str, message: Message, where: Location, scene: Scene) -> Diagnostic:
    if f"{specifier}/".startswith(tuple(f"{name}/" for name in GENERATED.values())):
        hint = (
            'run `npx prisma generate`; install = ["@prisma/client"] in lambdad.toml ships it '
            "with its engine, beside the bundle"
        )
        return error("unresolved-import", "Prisma's client was not generated yet", where, hint)
    if specifier.startswith((".", "/")):
        return error(
            "unresolved-import",
            f'no file "{specifier}"',
            where,
            _native(specifier, where, scene)
            or _near(specifier, where, scene)
            or "create it, or mend the path",
        )
    if specifier.startswith("#"):
        return error(
            "unresolved-import",
            f'no package.json above has "{specifier}" among its "imports"',
            where,
            _note(message),
        )
    name, _below = split_package(specifier)
    runtime = scene.function.runtime
    manifest, field = _declaration(name, where, scene)
    folder = _installing(os.path.dirname(manifest))
    at = "" if folder == "." else f" in {folder}"
    by = manager(folder, scene)
    install = f"`{installer.adding(by, name)}`{at}"
    if name == aws_sdk.V2 and field is None and not aws_sdk.provided(runtime, name):
        return aws_sdk.v2_missing(runtime, where, install)
    if field is not None:
        installed = _installed(name, where, scene)
        if installed is not None:
            hint = _note(message) or f"look into {installed}"
            return error("unresolved-import", f'package {name} has no "{specifier}"', where, hint)
        # What a package wants of others is the project's to bring.
        is_wanted = field == "peerDependencies" and folder != os.path.dirname(manifest)
        return error(
            "unresolved-import",
            f'package "{name}" is not installed; {manifest} declares it in {field}',
            where,
            f"run {install}" if is_wanted else f"run `{by} install`{at}",
        )
    declared = f"{manifest} does not declare it" if manifest else "there is no package.json"
    lacks = ""
    if name.startswith("@aws-sdk/"):
        lacks = f", and {runtime.name} is not known to have it"
    return error(
        "unresolved-import",
        f'package "{name}" is not installed, {declared}{lacks}',
        where,
        f"run {install}, or name it in `external` if a layer brings it",
    )


_MODULES: Final = "node_modules/"
_FIELDS: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


def _declaration(name: str, where: Location, scene: Scene) -> tuple[str, str | None]:
    """(package.json, field) that declare a package, else the nearest package.json and None."""
    nearest = ""
    for folder in _folders(where, scene):
        path = f"{folder}/package.json"
        try:
            content = json.loads(scene.seen.content(path, LOCK))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError):
            content = None
        shown = scene.seen.relative(path)
        nearest = nearest or shown
        # An installed package comes without what it was developed with.
        theirs = _MODULES in shown
        for field in _FIELDS:
            if theirs and field == "devDependencies":
                continue
            table = content.get(field) if isinstance(content, dict) else None
            if isinstance(table, dict) and name in table:
                return shown, field
    return nearest, None


def _installing(folder: str) -> str:
    """Where a package manager is run for a folder: never inside of node_modules."""
    above, modules, _below = f"{folder}/".partition(_MODULES)
    return (above.rstrip("/") if modules else folder) or "."


def _installed(name: str, where: Location, scene: Scene) -> str | None:
    for folder in _folders(where, scene):
        if scene.seen.is_folder(f"{folder}/node_modules/{name}"):
            return scene.seen.relative(f"{folder}/node_modules/{name}")
    return None


def _folders(where: Location, scene: Scene) -> Iterable[str]:
    folder = os.path.dirname(os.path.normpath(os.path.join(scene.seen.root, where.file)))
    while True:
        yield folder
        above = os.path.dirname(folder)
        if folder in (scene.seen.repository, above):
            return
        folder = above


def manager(folder: str, scene: Scene) -> str:
    """Whose lock lies in the folder, relative to the project, or nearest above it."""
    path = os.path.normpath(os.path.join(scene.seen.root, folder))
    while True:
        for lock, tool in installer.LOCKS:
            if scene.seen.exists(f"{path}/{lock}"):
                return tool
        above = os.path.dirname(path)
        if path in (scene.seen.repository, above):
            return "npm"
        path = above


def _native(specifier: str, where: Location, scene: Scene) -> str | None:
    """Of a native module that an npm package has no file of yet."""
    above, modules, below = where.file.rpartition(_MODULES)
    if not modules or not specifier.endswith(".node"):
        return None
    name = split_package(below)[0]
    # npm's works on what yarn installed, too; yarn has none in its version 1.
    by = "pnpm" if manager(_installing(above), scene) == "pnpm" else "npm"
    return (
        f"{name} gets its native code from its install script: run `{by} rebuild {name}`; "
        f'install = ["{name}"] in lambdad.toml ships it beside the bundle'
    )


def _near(specifier: str, where: Location, scene: Scene) -> str | None:
    import difflib

    here = os.path.dirname(os.path.join(scene.seen.root, where.file))
    folder, name = os.path.split(os.path.normpath(os.path.join(here, specifier)))
    shown = scene.seen.relative(folder)
    scene.seen.listing(folder, Walk(shown))
    try:
        names = [entry for entry in os.listdir(folder) if not entry.startswith(".")]
    except OSError:
        return f"there is no folder {shown}"
    stems = {os.path.splitext(entry)[0]: entry for entry in sorted(names)}
    near = difflib.get_close_matches(os.path.splitext(name)[0], stems, n=3)
    if not near:
        return None
    return f"near it: {', '.join(stems[stem] for stem in near)}"


def _once(found: list[Diagnostic], code: str) -> list[Diagnostic]:
    first = next((one for one in sorted(found, key=_order) if one.code == code), None)
    return [one for one in found if one.code != code or one is first]


def _once_by_hint(found: list[Diagnostic]) -> list[Diagnostic]:
    """Without the further imports inside of node_modules that the same step mends: a package that
    is not installed is often asked for by dozens of files there."""
    told: set[str | None] = set()
    kept = []
    for one in found:
        is_theirs = one.where is not None and _MODULES in one.where.file
        if one.code == "unresolved-import" and is_theirs and one.hint in told:
            continue
        kept.append(one)
        told.add(one.hint)
    return kept


def _order(one: Diagnostic) -> tuple[str, int, int, str]:
    where = one.where or Location("")
    return where.file, where.line or 0, where.column or 0, one.message
