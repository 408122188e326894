"""lambdad.toml, or [tool.lambdad] in pyproject.toml: what it says, and its way over other readers.

A function's own table goes before what a template says of it, and that before `[defaults]`.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.declared import Draft, Found, Reason, Said, T, aliases, nearest
from lambdad.bundler.config.function_settings import LARGEST_MB, LONGEST_S, SaidSettings
from lambdad.bundler.config.paths import joined
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import located_toml
from lambdad.bundler.located.located import Node, decode, plain, shortened
from lambdad.bundler.model import (
    Copy,
    Diagnostic,
    Location,
    Options,
    OptionValue,
    ProjectError,
    RelPath,
    error,
    warning,
)

FILE: Final = "lambdad.toml"
PYPROJECT: Final = "pyproject.toml"

STATED: Final = (
    *("exclude", "include", "copy", "install"),
    *("shared", "requirements", "extras", "groups", "resolver", "without"),
)
"""Settings that a Draft has under their own names, and that one list or text replaces."""


@dataclass(slots=True, kw_only=True)
class Own:
    """What the file says; empty if there is none."""

    file: RelPath | None = None
    templates: list[Said[RelPath]] | None = None
    """None: it leaves the search to us."""
    parameters: dict[str, Said[str]] = field(default_factory=dict)
    allow: tuple[RelPath, ...] = ()
    defaults: Mapping[str, Node] = field(default_factory=dict)
    functions: Mapping[str, Node] = field(default_factory=dict)
    faults: dict[str, list[tuple[str, Diagnostic]]] = field(default_factory=dict)
    """Of a function's table: by its name, each with the setting."""
    diagnostics: list[Diagnostic] = field(default_factory=list)
    broken: bool = False
    """It could not be read, so what it says of any function is not known."""


def read(seen: Seen) -> Own:
    """What the project's own file says. lambdad.toml hides a [tool.lambdad] beside it."""
    try:
        for file in (FILE, PYPROJECT):
            if (content := seen.read(file)) is None:
                continue
            if file == PYPROJECT and b"lambdad" not in content:
                continue
            top = located_toml.parse(decode(content, file), file).top
            if file == PYPROJECT:
                tool = top.fields.get("tool")
                own = tool.fields.get("lambdad") if tool else None
                if own is None:
                    continue
                top = own
            return _checked(seen, file, top)
    except ProjectError as fault:
        return Own(file=file, diagnostics=list(fault.diagnostics), broken=True)
    return Own()


def _checked(seen: Seen, file: RelPath, top: Node) -> Own:
    from lambdad.bundler.config import schema

    own = Own(file=file)
    wrong: set[tuple[str, ...]] = set()
    for path, fault in schema.faults(top, schema.load()):
        match path:
            case ("functions", name, *rest):
                setting = rest[0] if rest else ""
                own.faults.setdefault(name, []).append((setting, fault))
                wrong.add(("functions", name, setting) if rest else ("functions", name))
            case _:
                own.diagnostics.append(fault)
                wrong.add(path[:2] if path[:1] in (("defaults",), ("parameters",)) else path[:1])

    def good(*path: str) -> Mapping[str, Node]:
        """The table's entries that the schema has nothing against."""
        node: Node | None = top
        for name in path:
            node = node.fields.get(name) if node else None
        entries = node.fields if node else {}
        return {name: item for name, item in entries.items() if (*path, name) not in wrong}

    said = good()
    if templates := said.get("templates"):
        own.templates = [
            Said(joined(".", item.text, seen.root), item.where) for item in templates.items
        ]
    if allow := said.get("allow"):
        own.allow = tuple(joined(".", item.text, seen.root) for item in allow.items)
    own.parameters = {
        name: Said(item.text, item.key_where) for name, item in good("parameters").items()
    }
    own.defaults = good("defaults")
    own.functions = {
        name: Node(
            dict(good("functions", name)),
            file,
            table.line,
            table.column,
            key_line=table.key_line,
            key_column=table.key_column,
        )
        for name, table in good("functions").items()
    }
    return own


def overlay(own: Own, found: Found, seen: Seen) -> list[Draft]:
    """The functions that readers found, changed as the file says, and those it adds.

    Reports in `found.diagnostics` tables of functions that are not there.
    """
    by_name = {draft.name: draft for draft in found.drafts}
    _rename(own, aliases(found.drafts))
    esbuild = _options(own.defaults.get("esbuild"))
    found.diagnostics += esbuild[1]
    for draft in found.drafts:
        _apply(own, draft, seen, dict(esbuild[0]))
    drafts = list(found.drafts)
    for name in {**own.functions, **own.faults}:
        table = own.functions.get(name)
        if name in by_name:
            continue
        if table is None or "handler" in table.fields or name in own.faults:
            drafts.append(_added(own, name, table, seen, dict(esbuild[0])))
        elif not found.broken:
            found.diagnostics.append(_unknown(name, table, by_name))
    return drafts


def _rename(own: Own, names: Mapping[str, str]) -> None:
    """Tables under another name of their function get its own name, unless it has a table, too."""

    def renamed(table: Mapping[str, T]) -> dict[str, T]:
        taken = {**own.functions, **own.faults}
        return {
            names[name] if name in names and names[name] not in taken else name: item
            for name, item in table.items()
        }

    own.functions, own.faults = renamed(own.functions), renamed(own.faults)


def _added(
    own: Own, name: str, table: Node | None, seen: Seen, esbuild: dict[str, OptionValue]
) -> Draft:
    where = table.key_where if table else own.faults[name][0][1].where
    where = where or Location(own.file or FILE)
    draft = Draft(name=name, where=where, code=Said(".", where))
    _apply(own, draft, seen, esbuild)
    if draft.bundle is None:
        draft.bundle = True
    return draft


def _unknown(name: str, table: Node, known: Mapping[str, Draft]) -> Diagnostic:
    message = f'there is no function "{shortened(name)}" to change'
    hint = "to add one, say its handler and its runtime"
    if guess := nearest(name, known):
        hint = f"did you mean {shortened(guess)}? {hint[0].upper()}{hint[1:]}"
    return error("unknown-function", message, table.key_where, hint)


def _apply(own: Own, draft: Draft, seen: Seen, esbuild: dict[str, OptionValue]) -> None:
    table = own.functions.get(draft.name)
    said = table.fields if table else {}
    draft.own = {name: item.key_where for name, item in said.items()}
    for setting in said:
        draft.reasons.pop(setting, None)
    if not said.keys().isdisjoint(("code", "handler")):
        draft.reasons.pop("source", None)
    if "esbuild" in said or "esbuild" in own.defaults:
        draft.notes += map(_replaced, draft.reasons.pop("plugins", ()))
    # A setting that the template states takes no default, though it could not be read.
    stated = {*draft.reasons, *(name for name in STATED if getattr(draft, name))}
    settings = {
        **{name: item for name, item in own.defaults.items() if name not in stated},
        **said,
    }
    draft.handler = _text(said.get("handler")) or draft.handler
    draft.runtime = (
        _text(said.get("runtime"))
        or draft.runtime
        or _text(settings.get("runtime"))
        or draft.runtime_default
    )
    draft.architecture = (
        _text(said.get("architecture")) or draft.architecture or _text(settings.get("architecture"))
    )
    if code := said.get("code"):
        draft.code = Said(joined(".", code.text, seen.root), code.where)
        draft.globs = draft.beside = ()  # of another folder
    if entry_points := said.get("entry_points"):
        draft.entry_points = tuple(posixpath.normpath(item.text) for item in entry_points.items)
    _apply_files(draft, settings, seen)
    _apply_python(draft, settings, seen)
    _apply_switches(draft, said, settings)
    _apply_lint(draft, settings)
    # Name by name: the function's own, then the template's, then the defaults.
    draft.env = {**_env(own.defaults), **draft.env, **_env(said)}
    table_of_options = said.get("esbuild")
    options, faults = _options(table_of_options)
    defaults = {name: value for name, value in esbuild.items() if name not in draft.unset}
    draft.esbuild = {**defaults, **draft.esbuild, **dict(options)}
    for name in (table_of_options.fields if table_of_options else {}).keys() - dict(options):
        draft.esbuild.pop(name, None)
    for fault in faults:
        draft.failed("esbuild", fault)
    draft.settings = functools.partial(_settings, own.defaults, draft.settings, said)
    for setting, fault in own.faults.get(draft.name, ()):
        draft.failed(setting, fault)


def _settings(
    defaults: Mapping[str, Node],
    declared: Callable[[], SaidSettings] | None,
    own: Mapping[str, Node],
) -> SaidSettings:
    """The function's own, then the template's, then the defaults; variables one by one."""
    behind = SaidSettings() if declared is None else declared()
    found = SaidSettings(unresolved=behind.unresolved, diagnostics=behind.diagnostics)
    for table in (own, None, defaults):
        said = behind if table is None else _said_settings(table)
        found.timeout_s = said.timeout_s if found.timeout_s is None else found.timeout_s
        found.memory_mb = said.memory_mb if found.memory_mb is None else found.memory_mb
        found.environment = {**said.environment, **found.environment}
        found.description = found.description or said.description
    return found


def _said_settings(table: Mapping[str, Node]) -> SaidSettings:
    """Of a table that the schema has nothing against."""
    found = SaidSettings()
    found.timeout_s = found.limit("timeout", table.get("timeout"), LONGEST_S)
    memory = found.limit("memory", table.get("memory"), LARGEST_MB)
    found.memory_mb = None if memory is None else int(memory)
    if environment := table.get("environment"):
        found.environment = {name: node.text for name, node in environment.fields.items()}
    return found


def _replaced(reason: Reason) -> Diagnostic:
    """Of code that would decide esbuild's options: those of this file do instead."""
    hint = "the options of esbuild in lambdad.toml are taken instead"
    told = reason.diagnostic
    return warning("ignored-setting", told.message, told.where, hint)


def _text(node: Node | None) -> Said[str] | None:
    return Said(node.text, node.where) if node else None


def _apply_files(draft: Draft, settings: Mapping[str, Node], seen: Seen) -> None:
    if exclude := settings.get("exclude"):
        draft.exclude = tuple(item.text for item in exclude.items)
    if include := settings.get("include"):
        draft.include = tuple(item.text for item in include.items)
    if copy := settings.get("copy"):
        draft.copy = tuple(_copy(item, seen) for item in copy.items)
    if install := settings.get("install"):
        draft.install = tuple(item.text for item in install.items)


def _copy(item: Node, seen: Seen) -> Copy:
    to = item.fields.get("to")
    return Copy(joined(".", item.fields["from"].text, seen.root), to.text if to else "")


def _apply_python(draft: Draft, settings: Mapping[str, Node], seen: Seen) -> None:
    if requirements := settings.get("requirements"):
        path = joined(".", requirements.text, seen.root)
        draft.requirements = Said(path, requirements.where)
    if resolver := settings.get("resolver"):
        draft.resolver = resolver.text
    if extras := settings.get("extras"):
        draft.extras = _names(extras)
    if groups := settings.get("groups"):
        draft.groups = _names(groups)
    if without := settings.get("without"):
        draft.without = _names(without)
    if shared := settings.get("shared"):
        draft.shared = tuple(joined(".", item.text, seen.root) for item in shared.items)


def _names(node: Node) -> tuple[str, ...]:
    """In the normal form of PEP 503."""
    return tuple(sorted({re.sub(r"[-_.]+", "-", item.text).lower() for item in node.items}))


def _apply_switches(draft: Draft, said: Mapping[str, Node], settings: Mapping[str, Node]) -> None:
    if (bundle := settings.get("bundle")) and ("bundle" in said or draft.bundle is None):
        draft.bundle = bundle.value is True
    if (layers := settings.get("layers")) and ("layers" in said or draft.layers is None):
        draft.layers = layers.value is True
    if (skip := said.get("skip")) and skip.value is True:
        file = skip.file
        draft.skipped("skip", "told-to-skip", f"{file} says to skip it", skip.where)


def _apply_lint(draft: Draft, settings: Mapping[str, Node]) -> None:
    if lint := settings.get("lint"):
        draft.lint = lint.text
    if format_ := settings.get("format"):
        draft.format = format_.value is True


def _env(settings: Mapping[str, Node]) -> dict[str, str]:
    table = settings.get("env")
    return {name: item.text for name, item in table.fields.items()} if table else {}


def _options(table: Node | None) -> tuple[Options, tuple[Diagnostic, ...]]:
    if table is None:
        return (), ()
    from lambdad.bundler.esbuild import options

    fields = table.fields
    raw = {name: plain(item) for name, item in fields.items()}
    return options.parse(raw, lambda name: fields[name].key_where)
