"""The HTTP APIs of an AWS CDK cloud assembly: API Gateway's resources in its templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from lambdad.bundler.config.api_drafts import FoundApis
from lambdad.bundler.config.cdk.assembly import Stack
from lambdad.bundler.config.paths import folder_of
from lambdad.bundler.config.sam import gateway
from lambdad.bundler.config.sam.intrinsics import scope_of
from lambdad.bundler.config.sam.references import Template
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import located_json
from lambdad.bundler.located.located import Document, Node, decode
from lambdad.bundler.model import ProjectError

FUNCTION: Final = "AWS::Lambda::Function"
GATEWAY: Final = "AWS::ApiGateway"

_Named = Callable[[Stack, str, Node], str]
"""What a resource goes by."""


def read(
    seen: Seen,
    parsed: Sequence[tuple[Stack, Document | None]],
    given: Mapping[str, str],
    named: _Named,
) -> FoundApis:
    """Of every stack. One without a template holds no function, and is read here if it has APIs."""
    found = FoundApis()
    templates: list[Template] = []
    imported: dict[str, str] = {}
    for stack, known in parsed:
        try:
            document = known or _of_apis_alone(seen, stack)
        except ProjectError as fault:
            found.diagnostics += fault.diagnostics
            continue
        if document is None:
            continue
        template = _template(seen, stack, document, given, named)
        template.imported = imported
        imported.update(_exports(template, document))
        templates.append(template)
    for template in templates:
        found.drafts += gateway.read(template)
        found.diagnostics += template.faults
    return found


def _of_apis_alone(seen: Seen, stack: Stack) -> Document | None:
    text = decode(seen.read(stack.file) or b"", stack.file)
    if GATEWAY not in text:
        return None
    document = located_json.parse(text, stack.file)
    return document if isinstance(document.top.value, dict) else None


def _template(
    seen: Seen, stack: Stack, document: Document, given: Mapping[str, str], named: _Named
) -> Template:
    section = document.top.fields.get("Resources")
    resources = section.fields if section else {}
    return Template(
        seen=seen,
        folder=folder_of(stack.file),
        scope=scope_of(document, given),
        resources=resources,
        functions={
            name: named(stack, name, resource)
            for name, resource in resources.items()
            if "Type" in resource.fields and resource.fields["Type"].text == FUNCTION
        },
        named=lambda name, resource: named(stack, name, resource),
    )


def _exports(template: Template, document: Document) -> Iterator[tuple[str, str]]:
    """The functions that other stacks refer to by an export's name."""
    outputs = document.top.fields.get("Outputs")
    for output in (outputs.fields if outputs else {}).values():
        export = output.fields.get("Export")
        name = template.whole(export.fields.get("Name")) if export else None
        function = template.function(output.fields.get("Value"))
        if name is not None and function is not None:
            yield name.text, function
