"""YAML 1.1, as CloudFormation and SAM read it, into located values.

Built from the parser's events, not with PyYAML's composer: that one recurses, so a file of
brackets could end the process, and it keeps no count of what aliases repeat.

Short-form tags become their long form (`!Sub x`: {"Fn::Sub": "x"}), unknown ones too, so a caller
that reads the field decides. Keys are text as written: `On`, `012345`. Of duplicate keys the last
counts, as everywhere else, and each of the others is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from lambdad.bundler.located.located import (
    DEPTH,
    REPEATED,
    VALUES,
    Document,
    Node,
    Scalar,
    broken,
    check_depth,
    duplicate,
    shortened,
    too_deep,
    too_many,
)
from lambdad.bundler.model import Diagnostic, RelPath

# YAML 1.1, section 5.1: the characters that a stream may hold.
UNPRINTABLE: Final = re.compile(
    "[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
NESTING: Final = re.compile(r"""[\[\]{}]|(?<!\S)#[^\n]*|"(?:[^"\\]|\\.)*"?|'[^']*'?""", re.DOTALL)
STANDARD: Final = "tag:yaml.org,2002:"
_EVENTS: Final = 2 * VALUES
"""A key is an event as well as its value, and so are both ends of a list or a mapping."""
WORDS: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(slots=True)
class _Open:
    """A value whose end has not come."""

    node: Node
    anchor: str | None
    tag: str | None
    key: Node | None = None
    merged: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class _Anchored:
    node: Node
    size: int
    height: int


@dataclass(slots=True)
class _Builder:
    file: RelPath
    implicit: Any
    opened: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Anchored | None] = field(default_factory=dict)
    """None while the anchored value is not whole yet."""
    repeated: int = 0
    top: Node | None = None
    read: int = 0
    """Where the last event ended, as an offset into the text."""
    diagnostics: list[Diagnostic] = field(default_factory=list)


def parse(text: str, file: RelPath) -> Document:
    """Raises ProjectError `broken-config`. An empty file is a document that holds None."""
    import yaml

    if found := UNPRINTABLE.search(text):
        raise broken(
            f"a character that YAML does not allow: U+{ord(found[0]):04X}",
            file,
            text.count("\n", 0, found.start()) + 1,
            found.start() - text.rfind("\n", 0, found.start()),
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(file, yaml.SafeLoader.yaml_implicit_resolvers)
    try:
        _build(builder, yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        if mark:
            _check_ahead(builder, text, mark.index)
        message = ", ".join(filter(None, (fault.context, fault.problem))) or "not YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise broken(message, file, line, column) from fault
    except yaml.YAMLError as fault:
        raise broken(shortened(str(fault)), file) from fault
    top = builder.top or Node(None, file, 1, 1)
    return Document(top, tuple(builder.diagnostics))


def _check_ahead(builder: _Builder, text: str, failed: int) -> None:
    """Raises `too_deep` if the parser gave up on brackets that are nested deeper than we allow.

    It reads up to 1,024 characters ahead of its events (YAML 1.1, section 9.4: how far it looks
    for the ":" of a key), so its own limit, of which newer versions have one, can come first.
    """
    depth = len(builder.opened)
    check_depth(text, builder.file, NESTING, start=builder.read, end=failed + 1, depth=depth)


def _build(builder: _Builder, events: Iterator[Any]) -> None:
    import yaml

    documents = 0
    for count, event in enumerate(events):
        if count > _EVENTS:
            raise too_many(builder.file)
        mark, builder.read = event.start_mark, event.end_mark.index
        if isinstance(event, yaml.ScalarEvent):
            _finish(builder, _Open(_scalar(builder, event), event.anchor, event.tag))
        elif isinstance(event, yaml.AliasEvent):
            _alias(builder, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(builder.opened) >= DEPTH:
                raise too_deep(builder.file, mark.line + 1, mark.column + 1)
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            node = Node(value, builder.file, mark.line + 1, mark.column + 1)
            builder.opened.append(_Open(node, event.anchor, event.tag))
            if event.anchor:
                builder.anchors[event.anchor] = None
        elif isinstance(event, yaml.CollectionEndEvent):
            done = builder.opened.pop()
            _merge(builder, done)
            _finish(builder, done)
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                message = "a second document begins here; a configuration file has one"
                raise broken(message, builder.file, mark.line + 1, mark.column + 1)


def _scalar(builder: _Builder, event: Any) -> Node:
    mark = event.start_mark
    text: str = event.value
    value: Scalar = text
    tag = event.tag
    if tag is None and event.implicit[0]:
        for name, pattern in builder.implicit.get(text[:1], ()):
            if pattern.match(text):
                value = _typed(name, text)
                break
    elif tag is not None and tag.startswith(STANDARD):
        value = _typed(tag, text)
    return Node(value, builder.file, mark.line + 1, mark.column + 1, text)


def _typed(tag: str, text: str) -> Scalar:
    import yaml

    name = tag.removeprefix(STANDARD)
    if name == "null":
        return None
    if name == "bool":
        return WORDS.get(text.lower(), text)
    if name in ("int", "float"):
        scalar = yaml.ScalarNode(tag, text)
        construct = yaml.constructor.SafeConstructor()
        try:
            number: int | float = (
                construct.construct_yaml_int(scalar)
                if name == "int"
                else construct.construct_yaml_float(scalar)
            )
        except (ValueError, IndexError, OverflowError):
            return text
        return number
    # Dates (AWSTemplateFormatVersion) and the rest: text, as CloudFormation takes them.
    return text


def _alias(builder: _Builder, event: Any) -> None:
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if event.anchor not in builder.anchors:
        raise broken(f"*{event.anchor} names nothing above", builder.file, line, column)
    anchored = builder.anchors[event.anchor]
    if anchored is None:
        raise broken(f"*{event.anchor} would hold itself", builder.file, line, column)
    builder.repeated += anchored.size
    if builder.repeated > REPEATED:
        raise broken("aliases repeat too much", builder.file, line, column)
    if len(builder.opened) + anchored.height > DEPTH:
        raise too_deep(builder.file, line, column)
    node = Node(anchored.node.value, builder.file, line, column, anchored.node.text)
    _place(builder, node, anchored.size, anchored.height)


def _finish(builder: _Builder, done: _Open) -> None:
    tag = done.tag
    if tag is not None and tag != "!" and not _is_standard(tag):
        done.node = _long_form(tag, done.node)
        done.size += 1
        done.height += 1
    if done.anchor:
        builder.anchors[done.anchor] = _Anchored(done.node, done.size, done.height)
    _place(builder, done.node, done.size, done.height)


def _is_standard(tag: str) -> bool:
    # !!python/object and its like are as unknown as !Foo.
    return tag.startswith(STANDARD) and "/" not in tag


def _long_form(tag: str, node: Node) -> Node:
    name = tag.removeprefix("!")
    key = name if name in ("Ref", "Condition") else f"Fn::{name}"
    if key == "Fn::GetAtt" and isinstance(node.value, str):
        parts = node.text.partition(".")[::2]
        node = Node(
            [Node(part, node.file, node.line, node.column, part) for part in parts],
            node.file,
            node.line,
            node.column,
        )
    node.key_line, node.key_column = node.line, node.column
    return Node({key: node}, node.file, node.line, node.column)


def _place(builder: _Builder, node: Node, size: int, height: int) -> None:
    """Puts a whole value where it belongs: the top, a list, or a mapping's key or value."""
    if not builder.opened:
        builder.top = node
        return
    parent = builder.opened[-1]
    parent.size += size
    parent.height = max(parent.height, height + 1)
    value = parent.node.value
    if isinstance(value, list):
        value.append(node)
    elif parent.key is None:
        if isinstance(node.value, (dict, list)):
            raise broken("a key must be plain text", node.file, node.line, node.column)
        parent.key = node
    elif isinstance(value, dict):
        key, parent.key = parent.key, None
        if key.text == "<<":
            parent.merged.append(node)
            return
        if key.text in value:
            builder.diagnostics.append(duplicate(key, value[key.text]))
        node.key_line, node.key_column = key.line, key.column
        value[key.text] = node


def _merge(builder: _Builder, done: _Open) -> None:
    """`<<`: what the mapping says itself counts first, then the earlier of the merged."""
    own = done.node.value
    for node in done.merged:
        for source in node.items or [node]:
            if not isinstance(source.value, dict) or not isinstance(own, dict):
                raise broken('"<<" needs a mapping', source.file, source.line, source.column)
            builder.repeated += len(source.value)
            if builder.repeated > REPEATED:
                raise broken("merges repeat too much", node.file, node.line, node.column)
            for key, item in source.value.items():
                own.setdefault(key, item)
