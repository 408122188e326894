"""From a folder to the Project: which files describe it, and what they say together."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler.config import toml
from lambdad.bundler.config.check import check
from lambdad.bundler.config.declared import Found, Said, aliases, by_place, nearest
from lambdad.bundler.config.files import (
    AWAITED,
    CDK_APP,
    CDK_ASSEMBLY,
    CDK_MANIFEST,
    SERVERLESS,
    SST_APP,
    SST_LINES,
    SST_LIST,
)
from lambdad.bundler.config.function_settings import FunctionSettings, settled
from lambdad.bundler.config.names import sort_out
from lambdad.bundler.config.paths import folder_of
from lambdad.bundler.config.routes import Apis
from lambdad.bundler.config.sam import reader
from lambdad.bundler.config.sam.intrinsics import PSEUDO
from lambdad.bundler.config.toml import Own
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import shortened
from lambdad.bundler.model import (
    BundlerError,
    Diagnostic,
    Function,
    Location,
    Project,
    RelPath,
    error,
    warning,
)

REPOSITORY: Final = (".git", ".hg", ".jj", ".svn")


@dataclass(frozen=True, slots=True)
class Given:
    """What there is from outside of the file that a reader reads."""

    environ: Mapping[str, str]
    parameters: Mapping[str, str]
    """Of the caller and of lambdad.toml, the caller's first."""
    options: Mapping[str, str]
    """Of a command line of the Serverless Framework: `stage` among them."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that describes functions."""

    files: tuple[str, ...]
    """Its names, in the order in which one is taken."""
    read: Callable[[Seen, Said[RelPath], Given], Found]
    named: Callable[[Seen], tuple[Said[RelPath] | None, list[Diagnostic]]]
    """The file that another file in the project's folder names instead, and what is wrong there."""


def _read_sam(seen: Seen, file: Said[RelPath], given: Given) -> Found:
    from lambdad.bundler.config.sam import samconfig

    config = samconfig.read(seen, folder_of(file.value))
    found = reader.read(seen, file, {**config.parameters, **given.parameters})
    found.diagnostics += config.diagnostics
    return found


def _named_by_samconfig(seen: Seen) -> tuple[Said[RelPath] | None, list[Diagnostic]]:
    from lambdad.bundler.config.sam import samconfig

    config = samconfig.read(seen, ".")
    return config.template, config.diagnostics


def _read_cdk(seen: Seen, file: Said[RelPath], given: Given) -> Found:
    from lambdad.bundler.config.cdk import reader

    return reader.read(seen, file, given.parameters)


def _named_by_cdk_json(seen: Seen) -> tuple[Said[RelPath] | None, list[Diagnostic]]:
    if seen.kind(CDK_APP) != "file":
        return None, []
    from lambdad.bundler.config.cdk import reader

    return reader.named(seen), []


def _read_sst(seen: Seen, file: Said[RelPath], _given: Given) -> Found:
    from lambdad.bundler.config.sst import reader

    return reader.read(seen, file)


def _read_serverless(seen: Seen, file: Said[RelPath], given: Given) -> Found:
    from lambdad.bundler.config.serverless import reader

    return reader.read(seen, file, given.parameters, given.options, given.environ)


def _not_named(_seen: Seen) -> tuple[None, list[Diagnostic]]:
    return None, []


SST: Final = Format((SST_LINES, SST_LIST), _read_sst, _not_named)

FORMATS: Final = (
    Format(reader.FILES, _read_sam, _named_by_samconfig),
    Format(SERVERLESS, _read_serverless, _not_named),
    SST,
    Format((f"{CDK_ASSEMBLY}/{CDK_MANIFEST}",), _read_cdk, _named_by_cdk_json),
)
"""The first that a folder has a file of describes the project; in an app of SST only its list does,
since a template or serverless.yml beside it is often a leftover of a move to SST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a caller gives beside the folder."""

    environ: Mapping[str, str]
    templates: Sequence[str]
    parameters: Mapping[str, str]
    options: Mapping[str, str]


def read_project(
    start: str,
    environ: Mapping[str, str],
    templates: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Project:
    """The project that `start` lies in: the nearest folder upwards that something describes.

    `templates`, relative to `start`, describe it instead of what lies there; its folder is then
    that of a lambdad.toml upwards, else `start`. `parameters` go before what any file says, and
    `options` are the values of `${opt:NAME}`.
    Raises BundlerError `no-project`.
    """
    start = os.path.realpath(start)
    seen, own = _located(start, bool(templates))
    asked = _Asked(
        environ=environ, templates=templates, parameters=parameters or {}, options=options or {}
    )
    return _read(start, asked, seen, own, Found())


def read_with_apis(
    start: str,
    environ: Mapping[str, str],
    templates: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> tuple[Project, Apis]:
    """What `read_project` returns, and the HTTP APIs that the same files describe.

    What the APIs alone are made of, such as an OpenAPI document, is among the project's inputs.
    Raises as `read_project` does.
    """
    found = read_live(start, environ, templates, parameters, options)
    return found.project, found.apis


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDeclaration:
    """What `lambdad start` needs of a project's configuration."""

    project: Project
    apis: Apis
    settings: Mapping[str, FunctionSettings]
    """By function."""


def read_live(
    start: str,
    environ: Mapping[str, str],
    templates: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> LiveDeclaration:
    """What `read_project` returns, the HTTP APIs, and how each function runs.

    What those alone are made of is among the project's inputs. Raises as `read_project` does.
    """
    from lambdad.bundler.config.apis import together

    start = os.path.realpath(start)
    seen, own = _located(start, bool(templates))
    asked = _Asked(
        environ=environ, templates=templates, parameters=parameters or {}, options=options or {}
    )
    found = Found()
    project = _read(start, asked, seen, own, found)
    apis = together([read() for read in found.apis])
    settings = {
        function.name: settled(found.settings[function.name]())
        for function in project.functions
        if function.name in found.settings
    }
    return LiveDeclaration(
        project=replace(project, inputs=seen.inputs(), environ=frozenset(found.environ)),
        apis=apis,
        settings=settings,
    )


def _read(start: str, asked: _Asked, seen: Seen, own: Own, found: Found) -> Project:
    """The project; what the readers found is added to `found`."""
    parameters, options = asked.parameters, asked.options
    given = Given(
        asked.environ,
        {**{name: said.value for name, said in own.parameters.items()}, **parameters},
        options,
    )
    files: list[Said[RelPath]] = []
    if not own.broken:
        paths = [os.path.join(start, template) for template in asked.templates]
        files, faults = _files(seen, own, paths)
        found.diagnostics += faults
        if not files and own.templates is None:
            _await(seen, own, found)
    for file in files:
        _add(found, _format(file.value).read(seen, file, given))
    drafts = [] if own.broken else toml.overlay(own, found, seen)
    found.settings = {draft.name: draft.settings for draft in drafts if draft.settings is not None}
    if options and not any(_format(file.value).files == SERVERLESS for file in files):
        message = "--opt and --stage are for the Serverless Framework, and no file of it is read"
        found.diagnostics.append(warning("unknown-parameter", message))
    if files and not found.broken:
        found.diagnostics += _unknown_parameters(own, parameters, found.parameters)
    good, not_built = sort_out(drafts)
    functions: list[Function] = []
    for draft in good:
        checked = check(draft, seen, own.allow)
        if isinstance(checked, Function):
            functions.append(checked)
        else:
            not_built.append(checked)
    diagnostics = [*own.diagnostics, *found.diagnostics]
    if not drafts and not diagnostics:
        described = own.file or (files[0].value if files else ".")
        hint = "lambdad.toml declares functions in [functions.NAME]"
        diagnostics.append(
            warning("no-functions", "no function is declared", Location(described), hint)
        )
    return Project(
        root=seen.root,
        repository=seen.repository,
        functions=tuple(functions),
        not_built=tuple(sorted(not_built, key=lambda each: each.name)),
        diagnostics=tuple(sorted(dict.fromkeys(diagnostics), key=by_place)),
        inputs=seen.inputs(),
        aliases=aliases(drafts),
        environ=frozenset(found.environ),
    )


def project_folder(start: str) -> str:
    """The folder of the project that `read_project` would read. Raises as that does."""
    return _located(os.path.realpath(start), False)[0].root


def _located(start: str, has_templates: bool) -> tuple[Seen, Own]:
    """A recorder of what is looked at in the project's folder, and what its own file says."""
    if not os.path.isdir(start):
        raise BundlerError("no-project", f"there is no folder {start}")
    repository, marks = _repository(start)
    passed: list[str] = []
    for folder in _upwards(start, repository):
        seen = Seen(folder, repository or folder, once=True)
        own = toml.read(seen)
        if own.file or (not has_templates and any(_describing(seen))):
            seen.file(*marks, *passed)
            return seen, own
        passed += map(seen.absolute, seen.inputs().files)
    if has_templates:
        seen = Seen(start, repository or start, once=True)
        seen.file(*marks, *passed)
        return seen, toml.read(seen)
    for folder in _upwards(start, repository):
        for name, (what, lacking, hint) in AWAITED.items():
            if os.path.exists(os.path.join(folder, name)):
                raise BundlerError("no-project", f"{name} is {what}: {lacking}", hint)
    raise BundlerError(
        "no-project",
        f"nothing in {start} or above says what to build",
        "lambdad init writes a lambdad.toml; a template elsewhere is named by --template FILE",
    )


def _upwards(start: str, last: str | None) -> Iterator[str]:
    folder = start
    while True:
        yield folder
        above = os.path.dirname(folder)
        if folder in (last, above):
            return
        folder = above


def _repository(start: str) -> tuple[str | None, list[str]]:
    """The nearest folder upwards that version control starts at, and what was looked for."""
    looked: list[str] = []
    for folder in _upwards(start, None):
        for name in REPOSITORY:
            looked.append(os.path.join(folder, name))
            # A file in a worktree or a submodule, a folder otherwise.
            if os.path.exists(looked[-1]):
                return folder, looked
    return None, looked


def _describing(seen: Seen) -> tuple[Said[RelPath] | None, list[Diagnostic]]:
    """The file of the project's folder, or named there, that describes functions."""
    faults: list[Diagnostic] = []
    for form in (SST,) if seen.kind(SST_APP) == "file" else FORMATS:
        named, wrong = form.named(seen)
        faults += wrong
        if named:
            return named, faults
        if file := seen.first_file(form.files):
            return Said(file, Location(file)), faults
    return None, faults


def _files(
    seen: Seen, own: Own, templates: Sequence[str]
) -> tuple[list[Said[RelPath]], list[Diagnostic]]:
    if templates:
        paths = [posixpath.relpath(path, seen.root) for path in templates]
        return [Said(path, Location(path)) for path in dict.fromkeys(paths)], []
    if own.templates is not None:
        return own.templates, []
    found, faults = _describing(seen)
    return [found] if found else [], faults


def _format(file: RelPath) -> Format:
    """By its name; a name of no format is a SAM template's."""
    name = posixpath.basename(file)
    if name.startswith("serverless"):  # services of one folder: serverless.api.yml
        return next(form for form in FORMATS if form.files == SERVERLESS)
    named = (form for form in FORMATS if name in map(posixpath.basename, form.files))
    return next(named, FORMATS[0])


def _await(seen: Seen, own: Own, found: Found) -> None:
    """Unless lambdad.toml declares every function itself, another tool must declare the others."""
    if own.functions and all("handler" in table.fields for table in own.functions.values()):
        return
    for name, (what, lacking, hint) in AWAITED.items():
        if seen.kind(name):
            message = f"{name} is {what}: {lacking}"
            found.diagnostics.append(error("missing-synth", message, Location(name), hint))
            found.broken = True
            return


def _add(found: Found, more: Found) -> None:
    found.drafts += more.drafts
    found.diagnostics += more.diagnostics
    found.parameters |= more.parameters
    found.environ |= more.environ
    found.broken |= more.broken
    found.apis += more.apis


def _unknown_parameters(
    own: Own, parameters: Mapping[str, str], declared: set[str]
) -> Iterator[Diagnostic]:
    places = {name: said.where for name, said in own.parameters.items()}
    for name in {**places, **parameters}:
        if name in declared or name in PSEUDO:
            continue
        guess = nearest(name, declared)
        hint = f"did you mean {shortened(guess)}?" if guess else None
        message = f'no template has a parameter "{shortened(name)}"'
        where = None if name in parameters else places.get(name)
        yield warning("unknown-parameter", message, where, hint)
