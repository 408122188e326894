"""SST's lists of handlers: .sst/functions.jsonl of SST 1, .build/lambda-handlers.json of SST 0.x.

`sst start` writes them for its own use. Source: @serverless-stack/resources, Function, 0.9 to 1.18.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

from lambdad.bundler.config.declared import Draft, Found, Said
from lambdad.bundler.config.files import NO_LIST, SST_LINES, SST_LIST
from lambdad.bundler.config.paths import folder_of, joined
from lambdad.bundler.config.sst import bundle
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import located_json
from lambdad.bundler.located.located import Node, broken, decode, kind, plain, shortened
from lambdad.bundler.model import ProjectError, RelPath, error

RUNTIMES: Final = {SST_LINES: "nodejs14.x", SST_LIST: "nodejs12.x"}
"""What a function is given that says no runtime; SST 1 and 0.x differ."""


def read(seen: Seen, file: Said[RelPath]) -> Found:
    """The functions of the list, once each."""
    found = Found()
    try:
        content = seen.read(file.value)
        if content is None:
            message = f"there is no {shortened(file.value)}"
            raise ProjectError(error("missing-synth", message, file.where, NO_LIST[1]))
        text = decode(content, file.value)
    except ProjectError as fault:
        return Found(diagnostics=list(fault.diagnostics), broken=True)
    is_lines = posixpath.basename(file.value) == posixpath.basename(SST_LINES)
    nodes = _of_lines(text, file.value, found) if is_lines else _of_list(text, file.value, found)
    # .sst and .build lie in the app's folder, where SST's paths start.
    folder = folder_of(folder_of(file.value))
    form = SST_LINES if is_lines else SST_LIST
    drafts = [_function(seen, folder, node, form, found) for node in nodes]
    # An id is one function, and its last line the newest. SST 0.x lists a handler once for each
    # function that has it, and they may differ in their options: that is reported as a clash.
    found.drafts += {
        draft.name if is_lines else (draft.name, *_options(node)): draft
        for node, draft in zip(nodes, drafts, strict=True)
        if draft
    }.values()
    return found


def _options(node: Node) -> list[str]:
    said = (node.fields.get(name) for name in ("runtime", "bundle"))
    return [repr(plain(item)) if item else "" for item in said]


def _of_lines(text: str, file: RelPath, found: Found) -> list[Node]:
    nodes = []
    # Not by splitlines: JSON may hold what Unicode calls a line's end.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = located_json.parse(line, file, number)
        except ProjectError as fault:
            found.diagnostics += fault.diagnostics
            found.broken = True
            continue
        found.diagnostics += document.diagnostics
        nodes.append(document.top)
    return nodes


def _of_list(text: str, file: RelPath, found: Found) -> list[Node]:
    try:
        document = located_json.parse(text, file)
        if not isinstance(document.top.value, list):
            raise broken(f"not a list of handlers: it is {kind(document.top)}", file, 1, 1)
    except ProjectError as fault:
        found.diagnostics += fault.diagnostics
        found.broken = True
        return []
    found.diagnostics += document.diagnostics
    return document.top.items


def _function(seen: Seen, folder: RelPath, node: Node, form: str, found: Found) -> Draft | None:
    """None if it is no function, which `found` then reports."""
    said = {name: item for name, item in node.fields.items() if item.value is not None}
    for name in ("id", "handler", "runtime", "srcPath", "architecture"):
        if name in said and not isinstance(said[name].value, str):
            message = f"{name} must be text, not {kind(said[name])}"
            found.diagnostics.append(error("bad-value", message, said[name].where))
            return None
    if "layers" in said and not isinstance(said["layers"].value, bool):
        message = f"layers must be true or false, not {kind(said['layers'])}"
        found.diagnostics.append(error("bad-value", message, said["layers"].where))
        return None
    handler = said.get("handler")
    if handler is None or not handler.text:
        message = f"{kind(node)} is no function: it has no handler"
        found.diagnostics.append(error("bad-value", message, node.where))
        return None
    source = said["srcPath"].text if "srcPath" in said else "."
    name = said["id"].text if "id" in said else _name(source, handler.text)
    where = said["srcPath"].where if "srcPath" in said else node.where
    runtime = said.get("runtime")
    draft = Draft(
        name=name,
        where=node.where,
        code=Said(joined(folder, source or ".", seen.root), where),
        handler=Said(handler.text, handler.where),
        runtime=Said(runtime.text, runtime.where) if runtime else None,
        runtime_default=Said(RUNTIMES[form], node.where),
    )
    _placed(draft, said)
    if "/node_modules/@serverless-stack/" in source:
        draft.skipped("source", "framework-function", "it is a function of SST's own", where)
    bundle.read(seen, draft, said.get("bundle"), is_first=form == SST_LIST)
    return draft


def _placed(draft: Draft, said: Mapping[str, Node]) -> None:
    """Where it runs on Lambda, which SST's own lists leave out and lambdad-sst's have."""
    if architecture := said.get("architecture"):
        draft.architecture = Said(architecture.text, architecture.where)
    if layers := said.get("layers"):
        draft.layers = layers.value is True


def _name(source: str, handler: str) -> str:
    """SST 0.x knows a function by where it is."""
    source = posixpath.normpath(source or ".")
    while source.startswith("../"):
        source = source[3:]
    return handler if source in (".", "..") else f"{source.lstrip('/')}-{handler}"
