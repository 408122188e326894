"""samconfig.toml (or .yaml): what `sam build` would take its options from.

Source: AWS SAM Developer Guide, "AWS SAM CLI configuration file". Of the environment "default", as
SAM takes without --config-env: a command's own parameters go before those of "global".
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.declared import Said
from lambdad.bundler.config.paths import folder_of, joined
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import Node, decode, kind
from lambdad.bundler.model import Diagnostic, ProjectError, RelPath, warning

FILES: Final = ("samconfig.toml", "samconfig.yaml", "samconfig.yml")


@dataclass(slots=True)
class SamConfig:
    template: Said[RelPath] | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def read(seen: Seen, folder: RelPath) -> SamConfig:
    """What the file of that folder says; empty without one, and with faults if it is broken."""
    config = SamConfig()
    for name in FILES:
        file = joined(folder, name, seen.root)
        try:
            content = seen.read(file)
            if content is None:
                continue
            _take(config, seen, _parsed(content, file))
        except ProjectError as fault:
            config.diagnostics += fault.diagnostics
        break
    return config


def _parsed(content: bytes, file: RelPath) -> Node:
    text = decode(content, file)
    if file.endswith(".toml"):
        from lambdad.bundler.located import located_toml

        return located_toml.parse(text, file).top
    from lambdad.bundler.located import located_yaml

    return located_yaml.parse(text, file).top


def _take(config: SamConfig, seen: Seen, top: Node) -> None:
    default = top.fields.get("default")
    for command in ("build", "global"):
        section = default.fields.get(command) if default else None
        parameters = section.fields.get("parameters") if section else None
        fields = parameters.fields if parameters else {}
        template = fields.get("template_file") or fields.get("template")
        if config.template is None and template and isinstance(template.value, str):
            path = joined(folder_of(template.file), template.text, seen.root)
            config.template = Said(path, template.where)
        overrides = fields.get("parameter_overrides")
        if not config.parameters and overrides:
            config.parameters = _overrides(config, overrides)


def _overrides(config: SamConfig, node: Node) -> dict[str, str]:
    """`A=1 B="two words"`, `ParameterKey=A,ParameterValue=1`, a list of such, or a table."""
    if isinstance(node.value, dict):
        return {name: item.text for name, item in node.value.items()}
    given: dict[str, str] = {}
    for item in node.items or [node]:
        if isinstance(item.value, dict):
            given.update((name, value.text) for name, value in item.value.items())
            continue
        try:
            words = shlex.split(item.text)
        except ValueError:
            words = []
        if node.items and not all("=" in word for word in words):
            words = [item.text]  # NAME=two words, as an item of a list
        for word in words:
            name, equals, value = word.partition("=")
            if name == "ParameterKey":
                name, comma, rest = value.partition(",")
                equals, value = comma, rest.removeprefix("ParameterValue=")
            if not equals or not name:
                message = f"parameter_overrides holds {kind(item)}, not NAME=VALUE"
                config.diagnostics.append(warning("bad-value", message, item.where))
                break
            given[name] = value
    return given
