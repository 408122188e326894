"""Limits and environment of a function of the Serverless Framework.

Source: Serverless Framework, "AWS Lambda Functions". Its own defaults are 6 seconds and 1024 MB.
"""

from __future__ import annotations

from typing import Final

from lambdad.bundler.config.function_settings import LARGEST_MB, LONGEST_S, SaidSettings
from lambdad.bundler.config.serverless.service import ServiceFields
from lambdad.bundler.config.serverless.variables import UnresolvedVariableError, resolve
from lambdad.bundler.located.located import Node
from lambdad.bundler.model import error

TIMEOUT_S: Final = 6.0
MEMORY_MB: Final = 1024


def read_settings(fields: ServiceFields) -> SaidSettings:
    """Of the function, and of `provider` behind it."""
    said = SaidSettings()
    sources = [fields.own]
    if not isinstance(fields.provider, UnresolvedVariableError):
        sources.append(fields.provider)

    def first(name: str) -> Node | None:
        for source in sources:
            try:
                found = resolve(fields.scope, source[name]) if name in source else None
            except UnresolvedVariableError:
                continue
            if found is not None and found.value is not None:
                return found
        return None

    timeout_s = said.limit("timeout", first("timeout"), LONGEST_S)
    said.timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    memory_mb = said.limit("memorySize", first("memorySize"), LARGEST_MB)
    said.memory_mb = MEMORY_MB if memory_mb is None else int(memory_mb)
    description = fields.own.get("description")
    said.description = description.text if description else None
    for source in reversed(sources):
        try:
            table = (
                resolve(fields.scope, source["environment"]) if "environment" in source else None
            )
        except UnresolvedVariableError as fault:
            said.unknown("environment", fault.diagnostic)
            continue
        for name, node in (table.fields if table else {}).items():
            _variable(said, fields, name, node)
    return said


def _variable(said: SaidSettings, fields: ServiceFields, name: str, node: Node) -> None:
    try:
        found = resolve(fields.scope, node)
    except UnresolvedVariableError as fault:
        said.unknown(name, fault.diagnostic)
        return
    if isinstance(found.value, dict):
        called = next(iter(found.value), "nothing")
        message = f"{called} is known only after a deploy"
        said.unknown(name, error("unresolved-value", message, found.where))
    elif found.value is not None and not isinstance(found.value, list):
        said.environment[name] = found.text
