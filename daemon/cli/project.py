"""What every command that works on a project shares: its options, and the way to its functions."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from lambdad.bundler import trust
from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import (
    BundlerError,
    Function,
    NotBuilt,
    Project,
    Severity,
    warning,
)
from lambdad.bundler.store import project_state, user_state
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.store import cache_folder, store_of, usual_cache_folder
from lambdad.bundler.workshop import Workshop, silent
from lambdad.daemon.terminal.screen import show_diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPlace:
    """Where a command works: the values of the options that `options` adds."""

    project: str | None = None
    template: tuple[str, ...] = ()
    parameter: tuple[str, ...] = ()
    opt: tuple[str, ...] = ()
    stage: str | None = None

    @property
    def says_more(self) -> bool:
        """Whether it says what a daemon of the project does not know."""
        return bool(self.template or self.parameter or self.opt or self.stage)


def options(command: Callable[..., int]) -> Callable[..., int]:
    """Adds --project and what says how it is read; they arrive together, as `place`."""

    @functools.wraps(command)
    def placed(**given: Any) -> int:
        names = [field.name for field in dataclasses.fields(CommandPlace)]
        return command(place=CommandPlace(**{name: given.pop(name) for name in names}), **given)

    decorated: Callable[..., int] = placed
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
            help="A SAM or CloudFormation template, or a file of the Serverless Framework; may be "
            "given several times. [default: template.yaml or serverless.yml]",
        ),
        click.option(
            "--parameter",
            metavar="NAME=VALUE",
            multiple=True,
            help="A value for a parameter of the template, in place of its default.",
        ),
        click.option(
            "--opt",
            metavar="NAME=VALUE",
            multiple=True,
            help="Serverless Framework: the value of ${opt:NAME}, as its own command line has it.",
        ),
        click.option(
            "--stage", metavar="NAME", help="Serverless Framework: the stage. [default: the file's]"
        ),
    )
    for option in reversed(decorate):
        decorated = option(decorated)
    return decorated


def read(place: CommandPlace, *, vouches: bool = True) -> Project:
    """The project that the options name. With `vouches`, a person who gives the command in a
    terminal trusts the project's own tools from then on: for commands that may run them, and that
    are not an editor's. Where nothing can be remembered between runs, a line on stderr says so.

    Raises BundlerError `no-project`, click.UsageError.
    """
    start = os.path.realpath(place.project or os.getcwd())
    options = _pairs("--opt", place.opt)
    if place.stage is not None:
        options["stage"] = place.stage
    project = read_project(
        start,
        dict(os.environ),
        templates=tuple(os.path.abspath(template) for template in place.template),
        parameters=_pairs("--parameter", place.parameter),
        options=options,
    )
    if vouches and trust.is_terminal():
        trust.trust(project.root, os.environ)
    if fault := user_state.user_key(os.environ, project.root).fault:
        note = f"nothing is remembered between runs: {fault}; XDG_STATE_HOME names another folder"
        show_diagnostic(warning("not-remembered", note))
    if (store := cache_folder(os.environ)) != (usual := usual_cache_folder(os.environ)):
        where = f"{usual} can't be written" if usual is not None else "there is no home folder"
        note = f"{where}, so what builds fetch is kept in {store}; LAMBDAD_CACHE_DIR names another"
        show_diagnostic(warning("store-elsewhere", note))
    return project


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} {one}: write it as NAME=VALUE")
        pairs[name] = value
    return pairs


def workshop_for(
    project: Project, *, say: Callable[[str], None] = silent, offline: bool = False
) -> Workshop:
    environ = dict(os.environ)
    return Workshop(
        root=project.root,
        repository=project.repository,
        store=store_of(environ, project.root),
        environ=environ,
        say=say,
        offline=offline,
    )


def state_of(project: Project) -> ProjectState:
    """What is remembered of the project."""
    return project_state.of(project.root, os.environ)


def names_of(project: Project) -> list[str]:
    """Of every function declared, whether it can be built or not."""
    return [function.name for function in project.functions] + [
        function.name for function in project.not_built
    ]


def called(project: Project, names: Sequence[str]) -> list[str]:
    """The functions' own names, where other names of theirs were given."""
    return [project.aliases.get(name, name) for name in names]


def select(project: Project, names: Sequence[str]) -> tuple[list[Function], list[NotBuilt]]:
    """The functions named, or all. Raises BundlerError `unknown-function`; it lists the known, once
    the faults are reported for which others may be missing."""
    known = set(names_of(project))
    names = called(project, names)
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
