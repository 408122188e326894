"""What every command that works on a project shares: its options, and the way to its functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from bundler.config.find import read_project
from bundler.model import BundlerError, Function, NotBuilt, Project, Severity
from bundler.store import Store, cache_folder
from bundler.workshop import Workshop, silent
from daemon.cli.screen import show_diagnostic

Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a command works: the values of the options that `options` adds."""

    project: str | None
    template: tuple[str, ...]
    parameter: tuple[str, ...]


def options(command: Command) -> Command:
    """Adds --project, --template and --parameter; they arrive under these names."""
    decorate = (
        click.option(
            "--project",
            metavar="DIR",
            type=click.Path(exists=True, file_okay=False),
            help="The project's folder. [default: found from here upwards]",
        ),
        click.option(
            "--template",
            metavar="FILE",
            multiple=True,
            help="A SAM or CloudFormation template; may be given several times. "
            "[default: template.yaml, .yml or .json]",
        ),
        click.option(
            "--parameter",
            metavar="NAME=VALUE",
            multiple=True,
            help="A value for a parameter of the template, where its default does not do.",
        ),
    )
    for option in reversed(decorate):
        command = option(command)
    return command


def read(place: Place) -> Project:
    """The project that the options name. Raises BundlerError `no-project`, click.UsageError."""
    parameters = {}
    for given in place.parameter:
        name, equals, value = given.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--parameter {given}: write it as NAME=VALUE")
        parameters[name] = value
    start = os.path.realpath(place.project or os.getcwd())
    templates = tuple(os.path.abspath(template) for template in place.template)
    return read_project(start, dict(os.environ), templates=templates, parameters=parameters)


def workshop_for(
    project: Project, *, say: Callable[[str], None] = silent, offline: bool = False
) -> Workshop:
    environ = dict(os.environ)
    return Workshop(
        root=project.root,
        repository=project.repository,
        store=Store(Path(cache_folder(environ))),
        environ=environ,
        say=say,
        offline=offline,
    )


def names_of(project: Project) -> list[str]:
    """Of every function declared, whether it can be built or not."""
    return [function.name for function in project.functions] + [
        function.name for function in project.not_built
    ]


def select(project: Project, names: Sequence[str]) -> tuple[list[Function], list[NotBuilt]]:
    """The functions named, or all. Raises BundlerError `unknown-function`; it lists the known, once
    the faults are told for which others may be missing."""
    known = set(names_of(project))
    if unknown := [name for name in names if name not in known]:
        for item in project.diagnostics:
            if item.severity is Severity.ERROR:
                show_diagnostic(item, project.root)
        raise BundlerError(
            "unknown-function",
            f"no function is called {', '.join(unknown)}",
            f"there {'is' if len(known) == 1 else 'are'}: {', '.join(sorted(known)) or 'none'}",
        )
    wanted = set(names) or known
    return (
        [function for function in project.functions if function.name in wanted],
        [item for item in project.not_built if item.name in wanted],
    )
