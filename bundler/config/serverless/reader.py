"""The Serverless Framework's serverless.yml, .yaml or .json: versions 1 to 4, for AWS.

Source: Serverless Framework, "Serverless.yml Reference". What a plugin does to the configuration is
not known; the settings of the plugins that bundle are read (esbuild.py and python.py
beside).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from lambdad.bundler.config.api_drafts import FoundApis
from lambdad.bundler.config.declared import Found, Said
from lambdad.bundler.config.paths import folder_of, joined
from lambdad.bundler.config.serverless import service
from lambdad.bundler.config.serverless.function import read_function, ways
from lambdad.bundler.config.serverless.service import Service
from lambdad.bundler.config.serverless.variables import (
    ServiceScope,
    UnresolvedVariableError,
    at,
    resolve,
    stage,
)
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import Document, Node, broken, decode, kind, shortened
from lambdad.bundler.model import ProjectError, Refused, RelPath, Skipped, error

PARAMETER: Final = re.compile(r"param:\s*([A-Za-z0-9_.-]+)")


def read(
    seen: Seen,
    file: Said[RelPath],
    parameters: Mapping[str, str],
    options: Mapping[str, str],
    environ: Mapping[str, str],
) -> Found:
    """The functions of a service, with the options of the command line that variables ask for."""
    found = Found()
    try:
        document = _document(seen, file)
    except ProjectError as fault:
        found.diagnostics += fault.diagnostics
        found.broken = True
        return found
    scope = ServiceScope(
        seen=seen,
        folder=folder_of(file.value),
        top=document.top,
        options=options,
        parameters=parameters,
        environ=environ.get,
    )
    scope.environ = _environment(scope, environ, found)
    known_service = service.load(scope, file.value)
    found.parameters |= _parameters(scope)
    known = ways(known_service)
    functions = list(_functions(scope, found))
    found.apis.append(functools.partial(_apis, known_service, functions))
    for name, node in functions:
        draft = read_function(known, name, node)
        if draft is not None:
            found.drafts.append(draft)
    found.diagnostics += document.diagnostics
    for included in scope.files.values():
        if isinstance(included, Document):
            found.diagnostics += included.diagnostics
            found.parameters.update(_asked_for(included.top))
    if any(not (draft.why(Refused) or draft.why(Skipped)) for draft in found.drafts):
        found.diagnostics += known_service.notes
    return found


def _apis(known: Service, functions: list[tuple[str, Node]]) -> FoundApis:
    from lambdad.bundler.config.serverless import http

    return http.read(known, functions)


def _document(seen: Seen, file: Said[RelPath]) -> Document:
    path = file.value
    content = seen.read(path)
    if content is None:
        hint = "check the path; it starts at the folder of the file that says it"
        message = f"there is no file {shortened(path)}"
        raise ProjectError(error("missing-template", message, file.where, hint))
    text = decode(content, path)
    if path.endswith(".json"):
        from lambdad.bundler.located import located_json

        document = located_json.parse(text, path)
    else:
        from lambdad.bundler.located import located_yaml

        document = located_yaml.parse(text, path)
    if not isinstance(document.top.value, dict):
        what = "it is empty" if document.top.value is None else f"it is {kind(document.top)}"
        raise broken(f"not a service of the Serverless Framework: {what}", path, 1, 1)
    return document


def _functions(scope: ServiceScope, found: Found) -> Iterator[tuple[str, Node]]:
    """Inline, from a file, or a list of both; of functions with one name the later fields count."""
    named: dict[str, Node] = {}
    try:
        node = at(scope, "functions")
        several = node.items if node and isinstance(node.value, list) else [node] if node else []
    except UnresolvedVariableError as fault:
        found.diagnostics.append(fault.diagnostic)
        found.broken = True
        return
    for item in several:
        try:
            part = resolve(scope, item)
        except UnresolvedVariableError as fault:
            found.diagnostics.append(fault.diagnostic)
            found.broken = True
            continue
        if part.value is None:
            continue
        if not isinstance(part.value, dict):
            message = f"functions must be a mapping, or a list of them, not {kind(part)}"
            found.diagnostics.append(error("bad-value", message, part.where))
            found.broken = True
        for name, function in part.fields.items():
            named[name] = _merged(scope, named[name], function) if name in named else function
    yield from named.items()


def _merged(scope: ServiceScope, one: Node, other: Node) -> Node:
    try:
        before, after = resolve(scope, one), resolve(scope, other)
    except UnresolvedVariableError:
        return other
    if not (isinstance(before.value, dict) and isinstance(after.value, dict)):
        return other
    return replace(after, value={**before.value, **after.value})


def _parameters(scope: ServiceScope) -> set[str]:
    """Those that the file gives values on any stage, or asks for by name."""
    found = set(_asked_for(scope.top))
    for table, inner in (("params", ""), ("stages", "params")):
        try:
            stages = at(scope, table)
            for item in (stages.fields if stages else {}).values():
                parameters: Node | None = resolve(scope, item)
                if inner and parameters is not None:
                    named = parameters.fields.get(inner)
                    parameters = resolve(scope, named) if named else None
                found.update(parameters.fields if parameters else ())
        except UnresolvedVariableError:
            continue
    return found


def _asked_for(node: Node) -> Iterator[str]:
    """The names of parameters that texts ask for, needed or not."""
    for child in (*node.fields.values(), *node.items):
        yield from _asked_for(child)
    if isinstance(node.value, str) and "param:" in node.value:
        yield from PARAMETER.findall(node.value)


def _environment(
    scope: ServiceScope, environ: Mapping[str, str], found: Found
) -> Callable[[str], str | None]:
    """The process's environment, and behind it the .env files that the framework would load."""
    files: dict[str, str] | None = None

    def of_process(name: str) -> str | None:
        found.environ.add(name)
        return environ.get(name)

    def value(name: str) -> str | None:
        nonlocal files
        said = of_process(name)
        if said is None and files is None:
            # Which files there are may depend on variables, too: those know the process's alone.
            apart = ServiceScope(
                seen=scope.seen,
                folder=scope.folder,
                top=scope.top,
                options=scope.options,
                parameters=scope.parameters,
                environ=of_process,
            )
            try:
                files = _from_files(apart, environ, service.major_of(apart))
            except ProjectError as fault:
                raise UnresolvedVariableError(fault.diagnostics[0]) from fault
        return said if said is not None else (files or {}).get(name)

    return value


def _from_files(scope: ServiceScope, environ: Mapping[str, str], major: int) -> dict[str, str]:
    from lambdad.bundler.config.serverless import env

    found: dict[str, str] = {}
    for path in _env_files(scope, major):
        content = scope.seen.read(path) if scope.seen.leads_inside(path, ()) else None
        if content is not None:
            more = env.parse(decode(content, path), {**found, **environ})
            found = {**more, **found}
            if major < 4:
                break  # the stage's own file alone
    return found


def _env_files(scope: ServiceScope, major: int) -> Iterator[RelPath]:
    """The first goes before."""
    said = at(scope, "useDotenv")
    if major < 4 and (said is None or said.value is not True):
        return
    if said is not None and said.value is False:
        return
    folder, seen = scope.folder, scope.seen
    name = stage(scope)
    for place in (".", *_places(said)):
        path = joined(folder, place, seen.root)
        if place != "." and seen.kind(path) == "file":
            yield path
            continue
        yield joined(path, f".env.{name}", seen.root)
        yield joined(path, ".env", seen.root)


def _places(said: Node | None) -> list[str]:
    items = said.items or [said] if said else []
    return [item.text for item in items if isinstance(item.value, str) and item.text]
