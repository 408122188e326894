"""CloudFormation's intrinsic functions, as far as they can be known before a deploy.

Source: AWS CloudFormation User Guide, "Intrinsic function reference" and "Pseudo parameters".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from lambdad.bundler.config.declared import nearest
from lambdad.bundler.located.located import Document, Node, kind, shortened
from lambdad.bundler.model import Diagnostic, error

LONGEST: Final = 1 << 16
"""Characters of a result: a few nested functions can ask for more than memory holds."""

NO_VALUE: Final = "AWS::NoValue"

# Fixed, whatever the machine's own region and account: the same template means the same build
# everywhere. `--parameter AWS::Region=...` says otherwise.
PSEUDO: Final = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}

DEPLOYED: Final = frozenset({"Fn::GetAtt", "Fn::GetAZs", "Fn::ImportValue", "Fn::Transform"})

VARIABLE: Final = re.compile(r"\$\{(!?)([^{}]*)\}")


class UnresolvedIntrinsicError(Exception):
    """A value that the template leaves open, or states wrongly."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(slots=True)
class TemplateScope:
    """What names mean in one template."""

    parameters: Mapping[str, Node]
    """The template's `Parameters`: declarations by name."""
    mappings: Mapping[str, Node] = field(default_factory=dict)
    conditions: Mapping[str, Node] = field(default_factory=dict)
    resources: Collection[str] = ()
    """Their names: values of them are known after a deploy."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Parameters' values from outside; they count before defaults."""
    decided: dict[str, bool | None] = field(default_factory=dict)
    """Conditions decided so far; None while one is being decided."""


def scope_of(document: Document, given: Mapping[str, str]) -> TemplateScope:
    """What names mean in the template, with these values of parameters."""
    sections = {name: node.fields for name, node in document.top.fields.items()}
    return TemplateScope(
        parameters=sections.get("Parameters", {}),
        mappings=sections.get("Mappings", {}),
        conditions=sections.get("Conditions", {}),
        resources=sections.get("Resources", {}),
        given=given,
    )


def resolve(scope: TemplateScope, node: Node) -> Node | None:
    """The value without intrinsics at its top; None: `AWS::NoValue`, as if it were not written.

    What lists and mappings hold stays as it is. The place is that of `node`, so that a fault
    found in the value points to the field. Raises UnresolvedError.
    """
    name = called(node)
    if name is None:
        return node
    evaluate = FUNCTIONS.get(name)
    if evaluate is None:
        if name in DEPLOYED:
            raise _fault(node, f"{name} is known only after a deploy")
        raise _fault(node, f"lambdad can't work out {shortened(name)}")
    result = evaluate(scope, node.fields[name])
    if result is None:
        return None
    return replace(
        result,
        file=node.file,
        line=node.line,
        column=node.column,
        key_line=node.key_line,
        key_column=node.key_column,
    )


def resolve_all(scope: TemplateScope, node: Node) -> Node | None:
    """The value without intrinsics anywhere. Raises UnresolvedError."""
    found = resolve(scope, node)
    if found is None:
        return None
    if isinstance(found.value, dict):
        fields = {key: resolve_all(scope, item) for key, item in found.value.items()}
        return replace(found, value={key: item for key, item in fields.items() if item is not None})
    if isinstance(found.value, list):
        items = [resolve_all(scope, item) for item in found.value]
        return replace(found, value=[item for item in items if item is not None])
    return found


def called(node: Node) -> str | None:
    """The intrinsic function that a mapping calls: its only key."""
    if isinstance(node.value, dict) and len(node.value) == 1:
        name = next(iter(node.value))
        if name == "Ref" or name.startswith("Fn::"):
            return name
    return None


def _fault(node: Node, message: str, hint: str | None = None) -> UnresolvedIntrinsicError:
    hint = hint or "write the value itself, or set the option in lambdad.toml"
    return UnresolvedIntrinsicError(error("unresolved-value", message, node.where, hint))


def _text(scope: TemplateScope, node: Node) -> str:
    found = resolve(scope, node)
    if found is None or isinstance(found.value, (dict, list)):
        raise _fault(node, f"expected text, found {kind(found or node)}")
    return found.text


def _items(scope: TemplateScope, node: Node) -> list[Node]:
    found = resolve(scope, node)
    if found is None or not isinstance(found.value, list):
        raise _fault(node, f"expected a list, found {kind(found or node)}")
    return found.value


def _arguments(node: Node, name: str, least: int, most: int) -> list[Node]:
    if not isinstance(node.value, list) or not least <= len(node.value) <= most:
        count = str(least) if least == most else f"{least} to {most}"
        raise _fault(node, f"{name} needs a list of {count} values")
    return node.value


def _made(node: Node, text: str) -> Node:
    if len(text) > LONGEST:
        raise _fault(node, f"the result is longer than {LONGEST} characters")
    return Node(text, node.file, node.line, node.column, text)


def _value_of(scope: TemplateScope, name: str, node: Node) -> Node | None:
    """The value of a name: a parameter or a pseudo parameter."""
    if name == NO_VALUE:
        return None
    declared = scope.parameters.get(name)
    given = scope.given.get(name)
    if given is None and declared is None:
        given = PSEUDO.get(name)
        if given is None:
            raise _unknown(scope, name, node)
    if declared is None:
        return _made(node, given or "")
    form = declared.fields.get("Type")
    form_text = form.text if form else ""
    default = declared.fields.get("Default")
    if given is None:
        # A default of an SSM type is the name of a stored value, not the value.
        if default is None or form_text.startswith("AWS::SSM::"):
            raise _fault(
                node,
                f'parameter "{shortened(name)}" has no value',
                f"give it one: --parameter {shortened(name)}=VALUE"
                + (", or a Default in the template" if default is None else ""),
            )
        given = default.text
    if "List" in form_text:
        parts = [_made(node, part.strip()) for part in given.split(",")]
        return Node(parts, node.file, node.line, node.column)
    return _made(node, given)


def _unknown(scope: TemplateScope, name: str, node: Node) -> UnresolvedIntrinsicError:
    if name.startswith("AWS::") or name.partition(".")[0] in scope.resources:
        return _fault(node, f'"{shortened(name)}" is known only after a deploy')
    guess = nearest(name, scope.parameters)
    hint = f"did you mean {shortened(guess)}?" if guess else None
    return _fault(node, f'the template has no parameter "{shortened(name)}"', hint)


def _ref(scope: TemplateScope, node: Node) -> Node | None:
    return _value_of(scope, node.text, node)


def _sub(scope: TemplateScope, node: Node) -> Node:
    text, own = node, {}
    if isinstance(node.value, list):
        text, names = _arguments(node, "Fn::Sub", 2, 2)
        # Once each, however often the text names them: nested, that would multiply.
        own = {name: _text(scope, item) for name, item in names.fields.items()}
    if not isinstance(text.value, str):
        raise _fault(text, f"Fn::Sub needs text, found {kind(text)}")
    parts: list[str] = []
    length = end = 0
    for match in VARIABLE.finditer(text.value):
        literal, name = match[1], match[2].strip()
        if literal:
            part = f"${{{match[2]}}}"
        elif name in own:
            part = own[name]
        else:
            found = _value_of(scope, name, text)
            if found is None or isinstance(found.value, list):
                raise _fault(text, f'"{shortened(name)}" is not text')
            part = found.text
        parts += (text.value[end : match.start()], part)
        end = match.end()
        length += len(part)
        if length > LONGEST:
            break
    return _made(text, "".join((*parts, text.value[end:])))


def _join(scope: TemplateScope, node: Node) -> Node:
    separator, values = _arguments(node, "Fn::Join", 2, 2)
    between = _text(scope, separator)
    parts: list[str] = []
    length = 0
    for item in _items(scope, values):
        parts.append(_text(scope, item))
        length += len(parts[-1]) + len(between)
        if length > LONGEST + len(between):
            break
    return _made(node, between.join(parts))


def _split(scope: TemplateScope, node: Node) -> Node:
    separator, text = (_text(scope, item) for item in _arguments(node, "Fn::Split", 2, 2))
    if not separator:
        raise _fault(node, "Fn::Split needs a separator")
    parts = [_made(node, part) for part in text.split(separator)]
    return Node(parts, node.file, node.line, node.column)


def _select(scope: TemplateScope, node: Node) -> Node | None:
    index, values = _arguments(node, "Fn::Select", 2, 2)
    number, items = _text(scope, index), _items(scope, values)
    if not (number.isascii() and number.isdigit() and len(number) < 9 and int(number) < len(items)):
        raise _fault(index, f'there is no item "{shortened(number)}" in a list of {len(items)}')
    return resolve(scope, items[int(number)])


def _find_in_map(scope: TemplateScope, node: Node) -> Node | None:
    names = _arguments(node, "Fn::FindInMap", 3, 4)
    keys = [_text(scope, name) for name in names[:3]]
    found: Node | None = scope.mappings.get(keys[0])
    for key in keys[1:]:
        found = found.fields.get(key) if found else None
    if found is not None:
        return found
    # AWS::LanguageExtensions: {"DefaultValue": ...} as the fourth argument.
    if len(names) == 4 and (default := names[3].fields.get("DefaultValue")):
        return resolve(scope, default)
    path = " / ".join(map(shortened, keys))
    raise _fault(node, f"Mappings has no {path}")


def _if(scope: TemplateScope, node: Node) -> Node | None:
    name, then, otherwise = _arguments(node, "Fn::If", 3, 3)
    return resolve(scope, then if _condition(scope, name) else otherwise)


def _condition(scope: TemplateScope, name: Node) -> bool:
    key = name.text
    known = scope.decided.get(key)
    if known is not None:
        return known
    if key not in scope.conditions:
        raise _fault(name, f'Conditions has no "{shortened(key)}"')
    if key in scope.decided:
        raise _fault(name, f'condition "{shortened(key)}" depends on itself')
    scope.decided[key] = None
    try:
        scope.decided[key] = answer = _holds(scope, scope.conditions[key])
    finally:
        if scope.decided[key] is None:
            del scope.decided[key]
    return answer


def _holds(scope: TemplateScope, node: Node) -> bool:
    match [*node.fields.items()]:
        case [("Condition", name)]:
            return _condition(scope, name)
        case [("Fn::Equals", both)]:
            left, right = _arguments(both, "Fn::Equals", 2, 2)
            return _comparable(scope, left) == _comparable(scope, right)
        case [("Fn::Not", one)]:
            return not _holds(scope, _arguments(one, "Fn::Not", 1, 1)[0])
        case [("Fn::And", several)]:
            return all(_holds(scope, one) for one in _arguments(several, "Fn::And", 1, 10))
        case [("Fn::Or", several)]:
            return any(_holds(scope, one) for one in _arguments(several, "Fn::Or", 1, 10))
    raise _fault(node, f"expected a condition, found {kind(node)}")


def _comparable(scope: TemplateScope, node: Node) -> object:
    found = resolve_all(scope, node)
    return None if found is None else _texts(found)


def _texts(node: Node) -> object:
    """CloudFormation compares text: 1 and "1" are equal."""
    if isinstance(node.value, dict):
        return {key: _texts(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [_texts(item) for item in node.value]
    return node.text


FUNCTIONS: Final[Mapping[str, Callable[[TemplateScope, Node], Node | None]]] = {
    "Ref": _ref,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
    "Fn::If": _if,
}
