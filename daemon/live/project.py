"""The project's functions as its configuration has them at the moment of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lambdad.bundler.config.find import LiveDeclaration
from lambdad.bundler.config.function_settings import FunctionSettings
from lambdad.bundler.config.routes import Apis
from lambdad.bundler.model import Diagnostic, Function, Project
from lambdad.bundler.store.reread import Reread
from lambdad.daemon.live.env_files import read_env_file
from lambdad.daemon.live.invocation import FunctionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """One reading of the configuration."""

    project: Project
    apis: Apis
    functions: Mapping[str, FunctionConfig]
    """By name."""
    aliases: Mapping[str, str]
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of the files of variables, by function; "" for all."""

    def named(self, name: str) -> FunctionConfig | None:
        """The function with that name."""
        return self.functions.get(self.aliases.get(name, name))

    def known(self) -> tuple[str, ...]:
        return tuple(sorted([*self.functions, *(one.name for one in self.project.not_built)]))

    def is_declared(self, name: str) -> bool:
        """Whether the configuration has it, though it may not be built."""
        name = self.aliases.get(name, name)
        return name in self.functions or any(one.name == name for one in self.project.not_built)


class LiveProject:
    """Reads the configuration again when one of its files moved. Threads may use it."""

    def __init__(
        self, root: str, read: Callable[[], LiveDeclaration], env_files: Sequence[str] = ()
    ) -> None:
        self._usual = f"{root}/.env"
        self._env_files = tuple(env_files)
        self._config = Reread(root, lambda: _live(read()), lambda live: live.project.inputs)

    def now(self) -> LiveConfig:
        """As it is: every file of it was looked at after this call began. Raises BundlerError."""
        config = self._config.now()
        variables: dict[str, Mapping[str, str]] = {}
        for path in (self._usual, *self._env_files):
            for name, found in read_env_file(path, required=path != self._usual).items():
                variables[name] = {**variables.get(name, {}), **found}
        return replace(config, variables=variables)


def _live(declared: LiveDeclaration) -> LiveConfig:
    """Without the files of variables."""
    project = declared.project
    others: dict[str, list[str]] = {}
    for alias, name in project.aliases.items():
        others.setdefault(name, []).append(alias)
    return LiveConfig(
        project=project,
        apis=declared.apis,
        functions={
            function.name: _config(
                function,
                tuple(sorted(others.get(function.name, ()))),
                declared.settings.get(function.name, FunctionSettings()),
            )
            for function in sorted(project.functions, key=lambda one: one.name)
        },
        aliases=project.aliases,
    )


def _config(
    function: Function, aliases: tuple[str, ...], settings: FunctionSettings
) -> FunctionConfig:
    return FunctionConfig(
        name=function.name,
        function=function,
        aliases=aliases,
        timeout_s=settings.timeout_s,
        memory_mb=settings.memory_mb,
        environment=settings.environment,
        description=settings.description,
        unresolved=settings.unresolved,
        diagnostics=settings.diagnostics,
    )


def overridden(config: LiveConfig, function: FunctionConfig) -> Mapping[str, str]:
    """The variables that files give the function: for all, then for it by any of its names."""
    found = dict(config.variables.get("", {}))
    for name in (*function.aliases, function.name):
        found |= config.variables.get(name, {})
    return found


def lacks(function: FunctionConfig, given: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """What of its settings is not known; variables that files give are."""
    unset = (fault for name, fault in function.unresolved.items() if name not in given)
    return (*function.diagnostics, *unset)
