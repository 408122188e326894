"""AWS SAM and CloudFormation templates.

Source: AWS SAM Developer Guide, "AWS SAM template anatomy" and "Nested applications". A function
whose resource has a `Condition` is built whatever the condition says: the deploy decides.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.config.api_drafts import FoundApis
from lambdad.bundler.config.declared import Found, Said
from lambdad.bundler.config.paths import folder_of, joined
from lambdad.bundler.config.sam.function import CODE, REMOTE, Context, read_function
from lambdad.bundler.config.sam.intrinsics import (
    TemplateScope,
    UnresolvedIntrinsicError,
    resolve,
    resolve_all,
)
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import Document, Node, broken, decode, kind, shortened
from lambdad.bundler.model import Location, ProjectError, RelPath, error, warning

FILES: Final = ("template.yaml", "template.yml", "template.json")
"""In the order in which one is taken."""

NESTED: Final = {
    "AWS::Serverless::Application": "Location",
    "AWS::CloudFormation::Stack": "TemplateURL",
}
"""The types that are stacks, each with the property that names its template."""

LAYERS: Final = frozenset({"AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion"})

MOST: Final = 100
"""Templates that one may lead to; CloudFormation takes far fewer."""

ParameterValues = Mapping[str, str]
"""Parameters' values from outside."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """A template, and its place among those that nest it."""

    file: RelPath
    given: ParameterValues
    where: Location
    """Of what names it."""
    prefix: str = ""
    """Of its functions' names."""
    above: tuple[RelPath, ...] = ()
    """The templates that nest it, outermost first."""


@dataclass(frozen=True, slots=True)
class _Reading:
    seen: Seen
    found: Found
    read: list[RelPath]
    """Every template so far, as often as it was read."""


def read(seen: Seen, file: Said[RelPath], given: ParameterValues) -> Found:
    """The functions of a template, and of the local templates it nests (named Stack/Function)."""
    reading = _Reading(seen, Found(), [])
    _read(reading, _Stack(file.value, given, where=file.where))
    return reading.found


def _read(reading: _Reading, stack: _Stack) -> None:
    found = reading.found
    reading.read.append(stack.file)
    try:
        document = _document(reading.seen, stack.file, stack.where)
    except ProjectError as fault:
        found.diagnostics += fault.diagnostics
        found.broken = True
        return
    top = document.top.fields
    scope = TemplateScope(
        parameters=_section(top, "Parameters"),
        mappings=_section(top, "Mappings"),
        conditions=_section(top, "Conditions"),
        resources=_section(top, "Resources"),
        given=stack.given,
    )
    function = _section(top, "Globals").get("Function")
    context = Context(
        root=reading.seen.root,
        folder=folder_of(stack.file),
        scope=scope,
        defaults=function.fields if function else {},
    )
    found.diagnostics += document.diagnostics
    if not stack.above:
        found.parameters.update(scope.parameters)
    for name in ("Globals", "Parameters", "Mappings", "Conditions"):
        section = top.get(name)
        if section and section.value is not None and not isinstance(section.value, dict):
            message = f"{name} must be a mapping, not {kind(section)}"
            found.diagnostics.append(error("bad-value", message, section.where))
    for name, resource in _section(top, "Resources").items():
        _resource(reading, stack, context, name, resource)
    found.apis.append(functools.partial(_apis, reading.seen, stack, context, top))


def _apis(seen: Seen, stack: _Stack, context: Context, top: Mapping[str, Node]) -> FoundApis:
    """The template's HTTP APIs, without those of the templates that it nests."""
    from lambdad.bundler.config.sam import gateway, http
    from lambdad.bundler.config.sam.references import Template

    resources = _section(top, "Resources")
    template = Template(
        seen=seen,
        folder=context.folder,
        scope=context.scope,
        resources=resources,
        functions={
            name: stack.prefix + name
            for name, resource in resources.items()
            if "Type" in resource.fields and resource.fields["Type"].text in CODE
        },
        named=lambda name, _resource: stack.prefix + name,
    )
    drafts = [*http.read(template, top), *gateway.read(template)]
    return FoundApis(drafts, template.faults)


def _document(seen: Seen, file: RelPath, where: Location) -> Document:
    content = seen.read(file)
    if content is None:
        hint = "check the path; it starts at the folder of the file that says it"
        message = f"there is no template {shortened(file)}"
        raise ProjectError(error("missing-template", message, where, hint))
    text = decode(content, file)
    if file.endswith(".json") or text.lstrip().startswith("{"):
        from lambdad.bundler.located import located_json

        try:
            document = located_json.parse(text, file)
        except ProjectError:
            if file.endswith(".json"):
                raise
            # A flow mapping: YAML that only looks like JSON.
            document = _yaml(text, file)
    else:
        document = _yaml(text, file)
    if not isinstance(document.top.value, dict):
        what = "it is empty" if document.top.value is None else f"it is {kind(document.top)}"
        raise broken(f"not a template: {what}", file, 1, 1)
    resources = document.top.fields.get("Resources")
    if resources is None or not isinstance(resources.value, dict):
        message = "not a template: it has no Resources"
        raise broken(message, file, *_line_of(resources or document.top))
    return document


def _line_of(node: Node) -> tuple[int, int]:
    where = node.key_where
    return where.line or 1, where.column or 1


def _yaml(text: str, file: RelPath) -> Document:
    from lambdad.bundler.located import located_yaml

    return located_yaml.parse(text, file)


def _section(top: Mapping[str, Node], name: str) -> Mapping[str, Node]:
    section = top.get(name)
    return section.fields if section else {}


def _resource(
    reading: _Reading, stack: _Stack, context: Context, name: str, resource: Node
) -> None:
    found = reading.found
    if name.startswith("Fn::"):
        if _mentions_function(resource):
            message = f"{shortened(name)} declares functions, which lambdad does not read"
            where = resource.key_where
            fault = error("unsupported-loop", message, where, "write the functions out")
            found.diagnostics.append(fault)
        return
    if not isinstance(resource.value, dict):
        message = f"resource {shortened(name)} must be a mapping, not {kind(resource)}"
        found.diagnostics.append(error("bad-value", message, resource.key_where))
        return
    form = resource.fields.get("Type")
    if form is None:
        return
    if form.text in CODE:
        found.drafts.append(read_function(context, stack.prefix + name, resource, form.text))
    elif form.text in NESTED:
        inner = _nested(reading, stack, context, name, resource)
        if inner is not None:
            _read(reading, inner)
    elif form.text in LAYERS:
        _layer(found, stack.prefix + name, resource)
    elif meant := _function_meant(form.text):
        message = f"{shortened(form.text)} is no type, so that {shortened(name)} is not built"
        hint = f"did you mean {meant}?"
        found.diagnostics.append(warning("unknown-type", message, form.where, hint))


def _function_meant(text: str) -> str | None:
    """The function's type that is misspelt, if one is: else the function would silently be gone."""
    near = [known for known in CODE if abs(len(known) - len(text)) <= 1]
    if not near:
        return None
    import difflib

    return next(iter(difflib.get_close_matches(text, near, n=1, cutoff=0.9)), None)


def _layer(found: Found, name: str, resource: Node) -> None:
    """A layer that needs a build gets none, which must not surprise at the deploy."""
    metadata = resource.fields.get("Metadata")
    method = metadata.fields.get("BuildMethod") if metadata else None
    if method is None:
        return
    message = f"layer {shortened(name)} is not built: lambdad builds functions"
    hint = "build the layer as before, or name what it holds in the functions' own requirements"
    found.diagnostics.append(warning("layer-not-built", message, method.where, hint))


def _mentions_function(node: Node) -> bool:
    if isinstance(node.value, (dict, list)):
        children = [*node.fields.values(), *node.items]
        return any(_mentions_function(child) for child in children)
    return node.text in CODE


def _nested(
    reading: _Reading, stack: _Stack, context: Context, name: str, resource: Node
) -> _Stack | None:
    """The stack of a resource, if its template is among the project's files."""
    properties = resource.fields.get("Properties")
    own = properties.fields if properties else {}
    location = own.get(NESTED[resource.fields["Type"].text])
    try:
        location = resolve(context.scope, location) if location else None
    except (UnresolvedIntrinsicError, RecursionError):
        return None  # known only after a deploy, so not a file of the project
    if location is None or not isinstance(location.value, str):
        return None
    if not location.value or location.value.startswith(REMOTE):
        return None
    file = joined(context.folder, location.value, context.root)
    above = (*stack.above, stack.file)
    fault = None
    if file in above:
        fault = f"{shortened(file)} nests itself"
    elif len(reading.read) >= MOST:
        fault = f"the template leads to more than {MOST} others"
    if fault:
        hint = "remove this stack"
        reading.found.diagnostics.append(error("template-loop", fault, location.where, hint))
        return None
    given = _passed(context.scope, own.get("Parameters"))
    return _Stack(file, given, location.where, f"{stack.prefix}{name}/", above)


def _passed(scope: TemplateScope, parameters: Node | None) -> ParameterValues:
    """What a stack is given; what can't be known is left out, and matters only if it is needed."""
    given: dict[str, str] = {}
    for name, node in (parameters.fields if parameters else {}).items():
        try:
            found = resolve_all(scope, node)
        except (UnresolvedIntrinsicError, RecursionError):
            continue
        if found is not None and not isinstance(found.value, dict):
            given[name] = ",".join(item.text for item in found.items) or found.text
    return given
