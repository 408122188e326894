"""A template as readers of its APIs need it: which resource a value refers to, and what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from lambdad.bundler.config.routes import Pairs
from lambdad.bundler.config.sam.intrinsics import (
    TemplateScope,
    UnresolvedIntrinsicError,
    resolve,
    resolve_all,
)
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import Node
from lambdad.bundler.model import Diagnostic, Location, RelPath, Severity

SUBSTITUTED: Final = re.compile(r"\$\{([A-Za-z0-9]+)[^}]*\}")
ARN: Final = re.compile(r":function:([A-Za-z0-9_-]+)")

ALIASES: Final = {
    "AWS::Lambda::Alias": "FunctionName",
    "AWS::Lambda::Version": "FunctionName",
}
"""Resources that stand for a function, each with the property that names it."""


@dataclass(slots=True, kw_only=True)
class Template:
    """One template's resources."""

    seen: Seen
    folder: RelPath
    """Where its paths start."""
    scope: TemplateScope
    resources: Mapping[str, Node]
    functions: Mapping[str, str]
    """The functions' names, by their logical ids."""
    named: Callable[[str, Node], str]
    """What a resource goes by, from its logical id."""
    imported: Mapping[str, str] = field(default_factory=dict)
    """The functions' names, by the exports of other templates of the app."""
    faults: list[Diagnostic] = field(default_factory=list)
    """Warnings, since a build needs nothing of this."""

    def of_type(self, *types: str) -> Iterator[tuple[str, Node, Mapping[str, Node]]]:
        """Logical id, resource and properties of each resource of these types."""
        for name, resource in self.resources.items():
            form = resource.fields.get("Type")
            if form is not None and form.text in types:
                yield name, resource, self.properties(resource)

    def properties(self, resource: Node | None) -> Mapping[str, Node]:
        return self.fields(resource.fields.get("Properties") if resource else None)

    def value(self, node: Node | None) -> Node | None:
        """Without intrinsics at its top; None: not there, or not to be known, which is reported."""
        if node is None:
            return None
        try:
            return resolve(self.scope, node)
        except UnresolvedIntrinsicError as fault:
            self._warn(fault.diagnostic)
        except RecursionError:
            pass
        return None

    def whole(self, node: Node | None) -> Node | None:
        """Without intrinsics anywhere; None likewise, and not reported."""
        if node is None:
            return None
        try:
            return resolve_all(self.scope, node)
        except (UnresolvedIntrinsicError, RecursionError):
            return None

    def fields(self, node: Node | None) -> Mapping[str, Node]:
        found = self.value(node)
        return found.fields if found else {}

    def items(self, node: Node | None) -> list[Node]:
        found = self.value(node)
        return found.items if found else []

    def text(self, node: Node | None) -> str | None:
        found = self.value(node)
        if found is None or isinstance(found.value, (dict, list)) or not found.text:
            return None
        return found.text

    def texts(self, node: Node | None) -> tuple[str, ...]:
        """Of a list, or of one text."""
        found = self.value(node)
        if found is None:
            return ()
        several = found.items if isinstance(found.value, list) else [found]
        return tuple(text for item in several if (text := self.text(item)) is not None)

    def number(self, node: Node | None) -> int | None:
        text = self.text(node)
        try:
            return int(text) if text is not None else None
        except ValueError:
            return None

    def is_true(self, node: Node | None) -> bool:
        return (self.text(node) or "").lower() == "true"

    def pairs(self, node: Node | None) -> Pairs:
        """A mapping of texts."""
        fields = self.fields(node)
        return tuple(
            (name, text) for name, item in fields.items() if (text := self.text(item)) is not None
        )

    def logical_id(self, node: Node | None) -> str | None:
        """The first resource that the value refers to."""
        known = (name for name in referred(node) if name in self.resources) if node else ()
        return next(iter(known), None)

    def function(self, node: Node | None) -> str | None:
        """The project's function that the value refers to, by its own name."""
        if node is None:
            return None
        for name in referred(node):
            for _ in range(5):
                if name in self.functions:
                    return self.functions[name]
                resource = self.resources.get(name)
                form = resource.fields.get("Type") if resource else None
                if resource is None or form is None or form.text not in ALIASES:
                    break
                inner = self.properties(resource).get(ALIASES[form.text])
                name = next(iter(referred(inner)), "") if inner else ""  # noqa: PLW2901 -- followed
        for name in imports(node):
            if name in self.imported:
                return self.imported[name]
        return self._by_arn(node)

    def _by_arn(self, node: Node) -> str | None:
        """An ARN that is written out names the function as AWS calls it."""
        found = self.whole(node)
        if found is None or not isinstance(found.value, str):
            return None
        named = ARN.search(found.value)
        wanted = named[1] if named else found.value
        for name, resource in self.resources.items():
            if name in self.functions:
                said = self.whole(self.properties(resource).get("FunctionName"))
                if wanted == name or (said is not None and said.text == wanted):
                    return self.functions[name]
        return None

    def _warn(self, fault: Diagnostic) -> None:
        told = replace(fault, severity=Severity.WARNING)
        if told not in self.faults:
            self.faults.append(told)


def referred(node: Node) -> Iterator[str]:
    """The logical ids that a value refers to, in the order of the text."""
    for name, item in node.fields.items():
        if name == "Ref":
            yield item.text
        elif name == "Fn::GetAtt":
            yield item.items[0].text if item.items else item.text.partition(".")[0]
        elif name == "Fn::Sub":
            text = item.items[0] if item.items else item
            yield from SUBSTITUTED.findall(text.text)
            for inner in item.items[1:]:
                yield from referred(inner)
        else:
            yield from referred(item)
    for item in node.items:
        yield from referred(item)


def imports(node: Node) -> Iterator[str]:
    """The exports of other stacks that a value names."""
    for name, item in node.fields.items():
        if name == "Fn::ImportValue" and isinstance(item.value, str):
            yield item.value
        else:
            yield from imports(item)
    for item in node.items:
        yield from imports(item)


def place(node: Node | None, otherwise: Location) -> Location:
    return otherwise if node is None else node.where
