"""Holds a file against schema.json, every fault with its place and in words for people.

The library jsonschema would do it too, but importing it takes 70 ms, more than all of the reading;
the tests hold the two against each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lambdad.bundler.config.declared import nearest
from lambdad.bundler.located.located import Node, kind, plain, shortened
from lambdad.bundler.model import Diagnostic, Location, error

ValuePath = tuple[str, ...]

TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "object": (dict, "a table"),
    "array": (list, "a list"),
    "string": (str, "text"),
    "boolean": (bool, "true or false"),
    "integer": (int, "a whole number"),
    "number": (float, "a number"),
}

KEYWORDS: Final = frozenset(
    {"type", "properties", "additionalProperties", "items", "enum", "pattern", "minLength"}
    | {"minimum", "exclusiveMinimum", "maximum"}
    | {"uniqueItems", "required", "$ref", "$defs", "$schema", "title", "description", "examples"}
)
"""All that schema.json may use: what is not here would not be checked."""


def load() -> dict[str, Any]:
    import json

    with open(os.path.join(os.path.dirname(__file__), "schema.json"), encoding="utf-8") as file:
        schema: dict[str, Any] = json.load(file)
    return schema


def faults(node: Node, schema: Mapping[str, Any]) -> Iterator[tuple[ValuePath, Diagnostic]]:
    """Every fault of the file, each with the keys that lead to it."""
    yield from _faults(node, schema, schema, ())


def _faults(
    node: Node, schema: Mapping[str, Any], top: Mapping[str, Any], path: ValuePath
) -> Iterator[tuple[ValuePath, Diagnostic]]:
    if (reference := schema.get("$ref")) is not None:
        target = top["$defs"][reference.removeprefix("#/$defs/")]
        yield from _faults(node, target, top, path)
    if "type" in schema and not _is_of(node.value, schema["type"]):
        hint = "put it in quotes" if schema["type"] == "string" and _is_number(node) else None
        yield path, _fault(path, f"must be {TYPES[schema['type']][1]}", node, node.where, hint)
    elif isinstance(node.value, dict):
        yield from _object_faults(node, schema, top, path)
    elif isinstance(node.value, list):
        if schema.get("uniqueItems"):
            yield from _repeated(node, path)
        for item in node.value if "items" in schema else ():
            yield from _faults(item, schema["items"], top, path)
    elif isinstance(node.value, str):
        yield from _text_faults(node, node.value, schema, path)
    elif isinstance(node.value, (int, float)):
        yield from _number_faults(node, node.value, schema, path)


def _is_of(value: object, kind_of: str) -> bool:
    """As JSON Schema has it: true is no number, and 1.0 is a whole one."""
    if kind_of not in ("integer", "number"):
        return isinstance(value, TYPES[kind_of][0])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return kind_of == "number" or float(value).is_integer()


def _object_faults(
    node: Node, schema: Mapping[str, Any], top: Mapping[str, Any], path: ValuePath
) -> Iterator[tuple[ValuePath, Diagnostic]]:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in node.fields:
            yield path, _fault(path, f"must say {name}", None, node.where)
    for name, item in node.fields.items():
        inner = (*path, name)
        if name in properties:
            yield from _faults(item, properties[name], top, inner)
        elif isinstance(others, dict):
            yield from _faults(item, others, top, inner)
        elif not others:
            guess = nearest(name, properties)
            hint = f"did you mean {guess}?" if guess else f"there are {', '.join(properties)}"
            message = f'unknown key "{shortened(name)}"'
            yield inner, error("unknown-key", message, item.key_where, hint)


def _text_faults(
    node: Node, text: str, schema: Mapping[str, Any], path: ValuePath
) -> Iterator[tuple[ValuePath, Diagnostic]]:
    if len(text) < schema.get("minLength", 0):
        yield path, _fault(path, "must not be empty", None, node.where)
    elif "enum" in schema and text not in schema["enum"]:
        known = schema["enum"]
        yield path, _fault(path, f"must be {' or '.join(known)}", node, node.where)
    elif "pattern" in schema and not re.search(schema["pattern"], text):
        # The only pattern there is: a distribution's name.
        yield path, _fault(path, "must be a distribution's name", node, node.where)


def _number_faults(
    node: Node, number: float, schema: Mapping[str, Any], path: ValuePath
) -> Iterator[tuple[ValuePath, Diagnostic]]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if (least is not None and number < least) or number <= schema.get("exclusiveMinimum", -1):
        above = f"at least {least}" if least is not None else "more than 0"
        yield path, _fault(path, f"must be {above}", None, node.where)
    elif most is not None and number > most:
        yield path, _fault(path, f"must be at most {most}", None, node.where)


def _repeated(node: Node, path: ValuePath) -> Iterator[tuple[ValuePath, Diagnostic]]:
    seen = []
    for item in node.items:
        value = plain(item)
        if value in seen:
            yield path, _fault(path, f"holds {kind(item)} twice", None, item.where)
        seen.append(value)


def _fault(
    path: ValuePath, message: str, found: Node | None, where: Location, hint: str | None = None
) -> Diagnostic:
    name = shortened(path[-1]) if path else "the file"
    instead = f", not {kind(found)}" if found else ""
    return error("bad-value", f"{name} {message}{instead}", where, hint)


def _is_number(node: Node) -> bool:
    return not isinstance(node.value, (dict, list, str)) and node.value is not None
