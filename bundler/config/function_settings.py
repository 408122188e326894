"""What the configuration says of a function beside its build: its limits and its environment.

No build asks for it: it decides no bytes, and to work it out can take files and variables that no
build depends on. `lambdad start` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.located.located import Node, shortened
from lambdad.bundler.model import Diagnostic, warning

TIMEOUT_S: Final = 3.0
"""Lambda's default."""
MEMORY_MB: Final = 128
"""Lambda's default."""
LONGEST_S: Final = 5400.0
LARGEST_MB: Final = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """How a function runs."""

    timeout_s: float = TIMEOUT_S
    memory_mb: int = MEMORY_MB
    environment: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    unresolved: Mapping[str, Diagnostic] = field(default_factory=dict)
    """Variables that are not known before a deploy, each with a warning."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings about the others."""


@dataclass(slots=True)
class SaidSettings:
    """What a file says; None and what is absent: nothing."""

    timeout_s: float | None = None
    memory_mb: int | None = None
    description: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    unresolved: dict[str, Diagnostic] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def limit(self, name: str, node: Node | None, most: float) -> float | None:
        """A positive number; anything else is passed over, with a warning."""
        if node is None or node.value is None:
            return None
        try:
            number = float(node.text)
        except ValueError:
            number = -1.0
        if 0 < number <= most:
            return number
        message = f"{name} must be a number up to {most:g}, not {shortened(node.text) or 'this'}"
        self.diagnostics.append(warning("bad-limit", message, node.where))
        return None

    def unknown(self, name: str, fault: Diagnostic) -> None:
        """A variable whose value is not known on this machine."""
        message = f"{shortened(name)} is not set, since {fault.message}"
        hint = f"set it in .env: {shortened(name)}=..."
        self.environment.pop(name, None)
        self.unresolved[name] = warning("unresolved-variable", message, fault.where, hint)


def settled(said: SaidSettings) -> FunctionSettings:
    """With Lambda's defaults for what nothing says."""
    return FunctionSettings(
        timeout_s=TIMEOUT_S if said.timeout_s is None else said.timeout_s,
        memory_mb=MEMORY_MB if said.memory_mb is None else said.memory_mb,
        environment=said.environment,
        description=said.description or "",
        unresolved={
            name: fault for name, fault in said.unresolved.items() if name not in said.environment
        },
        diagnostics=tuple(said.diagnostics),
    )
