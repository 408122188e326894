"""Ready-made values for tests."""

from __future__ import annotations

from typing import Any

from lambdad.bundler.model import Architecture, Function, Handler, Location, Method
from lambdad.bundler.runtimes import RUNTIMES


def function(name: str = "Sample", **changes: Any) -> Function:
    """A Python function; `changes` are fields that differ."""
    fields: dict[str, Any] = {
        "name": name,
        "runtime": RUNTIMES["python3.12"],
        "architecture": Architecture.X86_64,
        "handler": Handler("app.handler", "app", "handler"),
        "method": Method.PYTHON,
        "code": "src",
        "where": Location("template.yaml", 1, 1),
        "handler_where": Location("template.yaml", 2, 3),
    }
    return Function(**{**fields, **changes})
