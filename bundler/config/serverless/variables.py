"""Serverless Framework variables, worked out where a value is needed, and nowhere else.

Nothing is fetched and nothing of the project's is run: what only AWS, a dashboard, a plugin or a
JavaScript file could give is unknown, with a fallback behind it too, since the deploy might find
another value. What the environment or the command line gives is text as it is.

A hostile file costs no more than a large one: a value is worked out once, a chain of references
has at most DEPTH links, a text LONGEST characters, and all of it STEPS steps and MOST characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from lambdad.bundler.config.paths import joined
from lambdad.bundler.config.serverless.syntax import (
    LONGEST,
    Literal,
    Source,
    SyntaxFaultError,
    Text,
    Variable,
    parse,
)
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import Document, Node, decode, kind, shortened
from lambdad.bundler.model import Diagnostic, ProjectError, RelPath, error

DEPTH: Final = 50
STEPS: Final = 100_000
MOST: Final = 16 << 20

CODE: Final = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts")
"""Files that the framework would run."""

DEPLOYED: Final = {
    "cf": "an output of a CloudFormation stack",
    "doppler": "a value of Doppler",
    "git": "a value that a plugin reads from git",
    "output": "an output of another service",
    "s3": "an object in S3",
    "ssm": "a parameter of AWS Systems Manager",
    "state": "the state of another service",
    "terraform": "an output of Terraform",
    "vault": "a secret of HashiCorp Vault",
}

HINT: Final = "write the value itself, or set the option in lambdad.toml"


class UnresolvedVariableError(Exception):
    """A value that can't be known here, or is stated wrongly."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(slots=True, kw_only=True)
class ServiceScope:
    """What variables of one service may refer to."""

    seen: Seen
    folder: RelPath
    """The service's: where paths in it start."""
    top: Node
    options: Mapping[str, str]
    """The command line's, without their dashes."""
    parameters: Mapping[str, str]
    """Of `${param:NAME}`, from outside; they count before the file's own."""
    environ: Callable[[str], str | None]
    """The environment's variable of that name, if it is set."""
    files: dict[RelPath, Document | UnresolvedVariableError] = field(default_factory=dict)
    """Those that were read so far."""
    known: dict[int, tuple[Node, Node | UnresolvedVariableError]] = field(default_factory=dict)
    """Values worked out, by the identity of the node, which is kept so that it stays its own."""
    pending: set[int] = field(default_factory=set)
    """Nodes whose value is being worked out."""
    steps: int = 0
    length: int = 0
    """Characters of the texts that were put together."""


def resolve(scope: ServiceScope, node: Node) -> Node:
    """The value without variables at its top; its value is None if there is none.

    What lists and mappings hold stays as it is. The place is that of `node`, so that a fault found
    in the value points to the field. Raises UnresolvedError.
    """
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    known = scope.known.get(id(node))
    if known is None:
        found = _worked_out(scope, node, node.value)
        known = scope.known[id(node)] = (node, found)
        if isinstance(found, Node):
            # What came out may look like a variable, and is none: an escape, or text from outside.
            scope.known[id(found)] = (found, found)
    if isinstance(known[1], UnresolvedVariableError):
        raise known[1]
    return known[1]


def _worked_out(scope: ServiceScope, node: Node, text: str) -> Node | UnresolvedVariableError:
    if id(node) in scope.pending:
        # Not to be remembered: for what is asked first it is the way that leads round.
        raise _fault(node, f'"{shortened(text)}" refers to itself')
    if len(scope.pending) >= DEPTH:
        raise _fault(node, f"variables refer to each other more than {DEPTH} times on end")
    scope.pending.add(id(node))
    try:
        found = _of_text(scope, node, parse(text))
    except SyntaxFaultError as fault:
        return _fault(node, str(fault), "correct the variable")
    except RecursionError:
        return _fault(node, "variables are nested too deep")
    except UnresolvedVariableError as fault:
        return fault
    finally:
        scope.pending.discard(id(node))
    return replace(
        found,
        file=node.file,
        line=node.line,
        column=node.column,
        key_line=node.key_line,
        key_column=node.key_column,
    )


def resolve_all(scope: ServiceScope, node: Node) -> Node:
    """The value without variables anywhere. Raises UnresolvedError."""
    return _resolve_all(scope, node, 0)


def _resolve_all(scope: ServiceScope, node: Node, depth: int) -> Node:
    _count(scope, node)
    if depth > DEPTH:
        raise _fault(node, f"it is nested more than {DEPTH} deep")
    found = resolve(scope, node)
    if isinstance(found.value, dict):
        fields = {name: _resolve_all(scope, item, depth + 1) for name, item in found.fields.items()}
        return replace(found, value=fields)
    if isinstance(found.value, list):
        items = [_resolve_all(scope, item, depth + 1) for item in found.items]
        return replace(found, value=items)
    return found


def at(scope: ServiceScope, path: str) -> Node | None:
    """The value at a path such as "custom.stages.dev"; None: there is none. Raises
    UnresolvedError."""
    return _below(scope, scope.top, path)


def stage(scope: ServiceScope) -> str:
    """The stage that is deployed to. Raises UnresolvedError."""
    if given := scope.options.get("stage"):
        return given
    provider = _below(scope, scope.top, "provider.stage", defaults=False)
    return provider.text if provider and provider.text else "dev"


def _fault(node: Node, message: str, hint: str = HINT) -> UnresolvedVariableError:
    return UnresolvedVariableError(error("unresolved-value", message, node.where, hint))


def _count(scope: ServiceScope, node: Node) -> None:
    scope.steps += 1
    if scope.steps > STEPS:
        raise _fault(node, "the file's variables stand for more than lambdad reads")


# --- text ------------------------------------------------------------------------------------


def _of_text(scope: ServiceScope, node: Node, text: Text) -> Node:
    """A lone variable keeps its kind of value; among text it becomes text."""
    if len(text) == 1 and isinstance(text[0], Variable):
        return _value(scope, node, text[0])
    parts: list[str] = []
    length = 0
    for part in text:
        shown = part if isinstance(part, str) else _as_text(_value(scope, node, part), node)
        parts.append(shown)
        length += len(shown)
        if length > LONGEST:
            raise _fault(node, f"the value is longer than {LONGEST} characters")
    scope.length += length
    if scope.length > MOST:
        raise _fault(node, "the file's variables stand for more than lambdad reads")
    return _text(node, "".join(parts))


def _as_text(found: Node, node: Node) -> str:
    if found.value is None or isinstance(found.value, (dict, list)):
        raise _fault(node, f"a variable in a text stands for {kind(found)}")
    return found.text


def _plain(scope: ServiceScope, node: Node, text: Text | None) -> str:
    """An address or a parameter."""
    return _of_text(scope, node, text).text if text else ""


def _text(node: Node, text: str) -> Node:
    return Node(text, node.file, node.line, node.column, text)


# --- variables -------------------------------------------------------------------------------


def _value(scope: ServiceScope, node: Node, variable: Variable) -> Node:
    """Of the first source that has one. Raises UnresolvedError."""
    missing = ""
    for source in variable.sources:
        _count(scope, node)
        if isinstance(source, Literal):
            return Node(source.value, node.file, node.line, node.column, source.text)
        find = SOURCES.get(source.type)
        if find is None:
            raise _unknown(node, source)
        found = find(scope, node, source)
        if found is not None and found.value is not None:
            return found
        missing = missing or _missing(scope, node, source)
    raise _fault(node, missing, _way_out(variable))


def _unknown(node: Node, source: Source) -> UnresolvedVariableError:
    what = DEPLOYED.get(source.type)
    shown = f"${{{shortened(source.type)}:...}}"
    if what:
        return _fault(node, f"{shown} is {what}, which is known only at the deploy")
    return _fault(node, f"{shown} is no variable that lambdad knows; a plugin may give it a value")


def _missing(scope: ServiceScope, node: Node, source: Source) -> str:
    address = shortened(_plain(scope, node, source.address))
    match source.type:
        case "file":
            path = shortened(_plain(scope, node, source.parameters[0] if source.parameters else ()))
            where = f"{path} has no {address}" if address else f"there is no {path}"
            return f"nothing to take a value from: {where}"
        case "opt":
            return f"the option --{address} is not given"
        case "env":
            return f"the environment variable {address} is not set"
        case "param":
            return f'parameter "{address}" has no value'
        case "self":
            return f"the file has no {address}"
    return f"{source.type}:{address} has no value"


def _way_out(variable: Variable) -> str:
    for source in variable.sources:
        name = source.address[0] if isinstance(source, Source) and source.address else None
        if not isinstance(source, Source) or not isinstance(name, str):
            continue
        match source.type:
            case "opt" if name == "stage":
                return "give it one: --stage NAME, or a fallback: ${opt:stage, 'dev'}"
            case "opt":
                return f"give it one: --opt {shortened(name)}=VALUE, or write a fallback"
            case "param":
                return f"give it one: --parameter {shortened(name)}=VALUE"
            case "env":
                return "set it, or write a fallback behind it"
    return HINT


def _self(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    return _below(scope, scope.top, _plain(scope, node, source.address))


def _below(scope: ServiceScope, top: Node, path: str, *, defaults: bool = True) -> Node | None:
    found = top
    for name in path.split(".") if path else ():
        _count(scope, top)
        found = resolve(scope, found)
        if isinstance(found.value, list) and name.isascii() and name.isdigit() and len(name) < 9:
            item = found.value[int(name)] if int(name) < len(found.value) else None
        else:
            item = found.fields.get(name)
        if item is None:
            if defaults and path == "provider.stage" and top is scope.top:
                return _text(top, stage(scope))
            return None
        found = item
    return resolve(scope, found)


def _opt(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    return _maybe(node, scope.options.get(_plain(scope, node, source.address)))


def _env(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    return _maybe(node, scope.environ(_plain(scope, node, source.address)))


def _maybe(node: Node, text: str | None) -> Node | None:
    return None if text is None else _text(node, text)


def _sls(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    address = _plain(scope, node, source.address)
    if address == "stage":
        return _text(node, stage(scope))
    if address == "instanceId":
        raise _fault(node, "${sls:instanceId} is another one at each deploy")
    raise _fault(node, f"there is no ${{sls:{shortened(address)}}}")


def _aws(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    address = _plain(scope, node, source.address)
    if address == "region":
        if given := scope.options.get("region"):
            return _text(node, given)
        said = at(scope, "provider.region")
        return said if said and said.value is not None else _text(node, REGION)
    raise _fault(node, f"${{aws:{shortened(address)}}} is known only at the deploy")


REGION: Final = "us-east-1"
"""Where nothing says another one."""


def _param(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    name = _plain(scope, node, source.address)
    if name in scope.parameters:
        return _text(node, scope.parameters[name])
    for home in homes_of_parameters(stage(scope)):
        parameters = at(scope, home)
        if parameters is not None and name in parameters.fields:
            return resolve(scope, parameters.fields[name])
    return None


def homes_of_parameters(name: str) -> Iterator[str]:
    """The paths of mappings that give parameters their values on that stage, the first before."""
    yield from (f"stages.{name}.params", f"params.{name}")
    yield from ("stages.default.params", "params.default")


def _str_to_bool(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    text = _plain(scope, node, source.parameters[0] if source.parameters else ())
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
    if value is None:
        raise _fault(node, f'strToBool knows true, false, 1 and 0, not "{shortened(text)}"')
    return Node(value, node.file, node.line, node.column, "true" if value else "false")


# --- files -----------------------------------------------------------------------------------


def _file(scope: ServiceScope, node: Node, source: Source) -> Node | None:
    written = _plain(scope, node, source.parameters[0] if source.parameters else ())
    if not written:
        raise _fault(node, "${file()} names no file", "write ${file(path):key}")
    path = joined(scope.folder, written, scope.seen.root)
    if path.endswith(CODE):
        message = f"{shortened(path)} is code, which lambdad does not run"
        hint = "write its values into a .yml or .json file, or set the option in lambdad.toml"
        raise _fault(node, message, hint)
    document = scope.files.get(path)
    if document is None:
        document = _read(scope, node, path)
        if document is None:
            return None
        scope.files[path] = document
    if isinstance(document, UnresolvedVariableError):
        raise document
    return _below(scope, document.top, _plain(scope, node, source.address))


def _read(
    scope: ServiceScope, node: Node, path: RelPath
) -> Document | UnresolvedVariableError | None:
    if not scope.seen.leads_inside(path, ()):
        return _fault(node, f"{shortened(path)} is outside the repository")
    try:
        content = scope.seen.read(path)
        return None if content is None else _parsed(decode(content, path), path)
    except ProjectError as fault:
        told = fault.diagnostics[0]
        message = f"{shortened(path)}: {told.message}"
        return UnresolvedVariableError(error(told.code, message, told.where, told.hint))


def _parsed(text: str, path: RelPath) -> Document:
    if path.endswith((".yml", ".yaml")):
        from lambdad.bundler.located import located_yaml

        return located_yaml.parse(text, path)
    if path.endswith((".json", ".tfstate")):
        from lambdad.bundler.located import located_json

        return located_json.parse(text, path)
    return Document(Node(text, path, 1, 1, text))


SOURCES: Final[Mapping[str, Callable[[ServiceScope, Node, Source], Node | None]]] = {
    "aws": _aws,
    "env": _env,
    "file": _file,
    "opt": _opt,
    "param": _param,
    "self": _self,
    "sls": _sls,
    "strToBool": _str_to_bool,
}
