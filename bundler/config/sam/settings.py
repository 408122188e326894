"""Limits and environment of a function in an AWS SAM or CloudFormation template."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.bundler.config.function_settings import LARGEST_MB, LONGEST_S, SaidSettings
from lambdad.bundler.config.sam.intrinsics import (
    TemplateScope,
    UnresolvedIntrinsicError,
    resolve,
)
from lambdad.bundler.located.located import Node


def read_settings(
    scope: TemplateScope, own: Mapping[str, Node], defaults: Mapping[str, Node]
) -> SaidSettings:
    """Of the function's properties, and of `Globals.Function` behind them."""
    said = SaidSettings()

    def get(fields: Mapping[str, Node], name: str) -> Node | None:
        node = fields.get(name)
        try:
            return None if node is None else resolve(scope, node)
        except (UnresolvedIntrinsicError, RecursionError):
            return None  # the default counts, as where nothing is said

    def first(name: str) -> Node | None:
        return get(own, name) or get(defaults, name)

    said.timeout_s = said.limit("Timeout", first("Timeout"), LONGEST_S)
    memory = said.limit("MemorySize", first("MemorySize"), LARGEST_MB)
    said.memory_mb = None if memory is None else int(memory)
    description = first("Description")
    said.description = description.text if description else None
    for fields in (defaults, own):
        environment = get(fields, "Environment")
        variables = get(environment.fields, "Variables") if environment else None
        for name, node in (variables.fields if variables else {}).items():
            _variable(said, scope, name, node)
    return said


def _variable(said: SaidSettings, scope: TemplateScope, name: str, node: Node) -> None:
    try:
        found = resolve(scope, node)
    except UnresolvedIntrinsicError as fault:
        said.unknown(name, fault.diagnostic)
        return
    except RecursionError:
        return
    if found is not None and not isinstance(found.value, (dict, list)):
        said.environment[name] = found.text
