"""The project's own type checkers: tsc, pyright, mypy.

They read a project as a whole, and so do we: their findings hold for as long as nothing differs
that they may have read.
"""

from __future__ import annotations

import configparser
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from lambdad.bundler.inputs.reading import SETTINGS, read_regular
from lambdad.bundler.lint import checked, javascript, own, reports, scope
from lambdad.bundler.lint.own import ProjectTool
from lambdad.bundler.lint.positions import Places, Units
from lambdad.bundler.lint.tool import (
    Batch,
    Findings,
    Tool,
    by_file,
    content_digest,
    digest,
    kept,
    merged,
    misconfigured,
)
from lambdad.bundler.located import anytoml
from lambdad.bundler.model import Diagnostic, Location, RelPath
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop

KIND: Final = "checks"
"""Of the store: what checkers keep between their runs."""

PYTHON: Final = (".py", ".pyi")
_PYTHON_READ: Final = (*PYTHON, ".toml", ".ini", ".cfg", ".pth")
_PYTHON_NAMES: Final = frozenset({"pyrightconfig.json", "py.typed"})


def is_read_by_python(name: str) -> bool:
    """Whether a type checker for Python may read a file of that name."""
    return name.endswith(_PYTHON_READ) or name in _PYTHON_NAMES


def python_stamp(batch: Batch, workshop: Workshop) -> str:
    """Equal as long as nothing differs that a type checker for Python may read."""
    shared = {path for each in batch.functions for path in each.shared if path.startswith("..")}
    tops = sorted({*scope.outside(batch), *shared})
    return scope.stamp(workshop, tops, is_read_by_python)


@dataclass(frozen=True, slots=True)
class _Run:
    """One call of a checker."""

    name: str
    own: ProjectTool
    config: str
    """Absolute; the checker runs in its folder."""
    arguments: tuple[str, ...]
    read: Callable[[Completed, reports.Named, Places], Iterable[Diagnostic]]
    workshop: Workshop

    @property
    def cwd(self) -> str:
        return os.path.dirname(self.config)

    def named(self, name: str) -> RelPath:
        """The path of a file as the checker calls it."""
        return own.named(name, self.cwd, self.workshop)


Runs = Callable[[str, Sequence[RelPath], Batch, Workshop], Sequence[_Run] | Findings]
"""(configuration, files below it) -> the calls that check them."""


@dataclass(frozen=True, slots=True)
class Checker:
    name: str
    takes: Callable[[str], bool]
    """Whether a file of that name, saved or gone, is its business."""
    config: Callable[[str], str | None]
    """What configures it in a folder, absolute."""
    runs: Runs
    stamp: Callable[[Batch, Workshop], str]


def _plan(
    checker: Checker, batch: Batch, workshop: Workshop
) -> Iterable[tuple[Sequence[RelPath], Sequence[_Run] | Findings]]:
    """Each project that has files of the batch: those files, and how it is checked."""
    projects: dict[str, list[RelPath]] = {}
    for path in filter(checker.takes, batch.files):
        folder = os.path.dirname(workshop.absolute(path))
        if (config := own.nearest(workshop, folder, checker.config)) is not None:
            projects.setdefault(config, []).append(path)
    for config, files in projects.items():
        yield files, checker.runs(config, files, batch, workshop)


def concerns(checker: Checker, batch: Batch, workshop: Workshop) -> bool:
    """Whether a file of the batch is part of what the checker checks."""
    plan = _plan(checker, batch, workshop)
    return any(runs.failed if isinstance(runs, Findings) else runs for _files, runs in plan)


def lint(checker: Checker, batch: Batch, workshop: Workshop) -> Findings:
    """What the checker finds wherever a file of the batch is part, each project checked once."""
    several: list[Findings] = []
    for files, runs in _plan(checker, batch, workshop):
        if isinstance(runs, Findings):
            several.append(runs)
        elif batch.trusted:
            several.append(_kept(checker, runs, files, batch, workshop))
        else:
            several += [own.untrusted(checker.name, run.own, workshop) for run in runs]
    return merged(several)


def _kept(
    checker: Checker,
    runs: Sequence[_Run],
    files: Sequence[RelPath],
    batch: Batch,
    workshop: Workshop,
) -> Findings:
    decided = [checker.stamp(batch, workshop)]
    calls = [(run.own.version, run.config, run.arguments) for run in runs]

    def key_of(path: RelPath) -> str | None:
        return digest(content_digest(workshop, path), decided[-1], calls)

    def lint_now(left: Sequence[RelPath]) -> Findings:
        found = merged([_check(run) for run in runs])
        decided.append(checker.stamp(batch, workshop))
        if decided[-1] != decided[0]:
            return replace(found, files={})
        clean = {path: () for path in left if os.path.isfile(workshop.absolute(path))}
        ended = clean if not found.failed else {}
        return replace(found, files={**ended, **found.files})

    return kept(checker.name, files, key_of, lint_now, workshop)


def _check(run: _Run) -> Findings:
    workshop = run.workshop
    answer = own.run(run.name, run.own, run.arguments, cwd=run.cwd, workshop=workshop)
    if isinstance(answer, Findings):
        return answer
    try:
        read = list(run.read(answer, run.named, Places(workshop)))
    except checked.CheckerRefusalError as fault:
        hint, where = own.again(run.own, workshop), Location(own.relative(run.config, workshop))
        return misconfigured(run.name, own.first_words(str(fault)), hint, where)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return own.unreadable(run.name, run.own, answer, workshop)
    failed = tuple(item for item in read if item.where is None)
    return Findings(files=by_file(read), failed=failed)


# --- tsc -----------------------------------------------------------------------------------------


def _tsc(
    config: str, _files: Sequence[RelPath], _batch: Batch, workshop: Workshop
) -> Sequence[_Run] | Findings:
    """A project without TypeScript in its node_modules has no checker of its own."""
    found = own.of_node(workshop, os.path.dirname(config), "typescript", "tsc")
    if found is None:
        return Findings()
    runs = []
    for project in _projects(config, set()):
        arguments = (
            *("--noEmit", "--emitDeclarationOnly", "false", "--pretty", "false"),
            *("--incremental", "--tsBuildInfoFile", _state(workshop, f"{project}.tsbuildinfo")),
            *("--project", project),
        )
        runs.append(_Run("tsc", found, config, arguments, checked.tsc, workshop))
    return runs


def _projects(config: str, met: set[str]) -> Iterable[str]:
    """Of a tsconfig.json without files of its own those that it refers to; else itself."""
    from lambdad.bundler.esbuild import tsconfig

    met.add(config)
    content = tsconfig.read(config)
    references = content.get("references")
    if content.get("files") != [] or content.get("include") or not isinstance(references, list):
        yield config
        return
    for item in references:
        path = item.get("path") if isinstance(item, dict) else None
        if isinstance(path, str):
            place = os.path.normpath(os.path.join(os.path.dirname(config), path))
            place = f"{place}/tsconfig.json" if os.path.isdir(place) else place
            if place not in met:
                yield from _projects(place, met)


def _state(workshop: Workshop, of: str) -> str:
    """Where a checker keeps what makes its next run quicker, absolute: in the store, where no
    project can bring a symlink that the checker would follow, or a state that it would believe."""
    name = workshop.state().checkers(os.path.relpath(of, workshop.root))
    name = workshop.store.named(of, name) + os.path.splitext(of)[1]
    workshop.store.drop_former(KIND, name)
    return str(workshop.store.find(KIND, name) or workshop.store.path(KIND, name))


# --- pyright -------------------------------------------------------------------------------------


def _pyright(
    config: str, _files: Sequence[RelPath], _batch: Batch, workshop: Workshop
) -> Sequence[_Run] | Findings:
    folder = os.path.dirname(config)
    found = own.of_python(workshop, folder, "pyright")
    found = found or own.of_node(workshop, folder, "pyright", "pyright")
    if found is None:
        hint = "install pyright into the project's .venv or node_modules"
        return own.absent("pyright", config, "pyright", hint, workshop)
    arguments = ["--outputjson", "--project", config]
    python = own.of_python(workshop, folder, "python")
    if python is not None and not _says(config, "venv"):
        arguments += ["--pythonpath", python.command]
    return [_Run("pyright", found, config, tuple(arguments), checked.pyright, workshop)]


def _pyright_config(folder: str) -> str | None:
    path = f"{folder}/pyrightconfig.json"
    return path if os.path.isfile(path) else _in_pyproject(folder, "pyright")


def _says(config: str, word: str) -> bool:
    try:
        return word.encode() in read_regular(config, SETTINGS)
    except OSError:
        return False


# --- mypy ----------------------------------------------------------------------------------------


def _mypy(
    config: str, files: Sequence[RelPath], batch: Batch, workshop: Workshop
) -> Sequence[_Run] | Findings:
    folder = os.path.dirname(config)
    found = own.of_python(workshop, folder, "mypy")
    if found is None:
        hint = "install mypy into the project's .venv"
        return own.absent("mypy", config, "mypy", hint, workshop)
    output = () if found.version.startswith(_TEXT_ONLY) else ("--output", "json")
    units = Units.BYTES if found.version.startswith(_IN_BYTES) else Units.CHARACTERS
    read = functools.partial(checked.mypy, units=units)
    groups = {config: ()} if _mypy_knows(config) else _groups(files, batch, workshop)
    runs = []
    for code, group in groups.items():
        # In a cache that two functions share, app.py of the one would pass for that of the other.
        cache = _state(workshop, f"{code}.mypy")
        named = [os.path.relpath(workshop.absolute(path), folder) for path in group]
        arguments = ("--config-file", config, "--cache-dir", cache, *_PLAIN, *output, "--", *named)
        runs.append(_Run("mypy", found, config, arguments, read, workshop))
    return runs


_PLAIN: Final = (
    *("--no-pretty", "--no-color-output", "--show-error-codes", "--show-column-numbers"),
    *("--hide-error-context", "--no-error-summary"),
)
_TEXT_ONLY: Final = ("mypy-0.", *(f"mypy-1.{minor}." for minor in range(11)))
"""`--output` came with 1.11."""
_IN_BYTES: Final = ("mypy-0.", "mypy-1.")
"""Whose columns are Python's own."""
_MYPY_SOURCES: Final = ("files", "packages", "modules")


def _groups(
    files: Sequence[RelPath], batch: Batch, workshop: Workshop
) -> Mapping[str, Sequence[RelPath]]:
    """The files of each code folder: mypy refuses two modules of one name, and each function has
    its app.py."""
    groups: dict[str, list[RelPath]] = {}
    for path in files:
        if os.path.isfile(workshop.absolute(path)):
            codes = sorted(function.code for function in batch.holders.get(path, ()))
            groups.setdefault(codes[0] if codes else os.path.dirname(path), []).append(path)
    return groups


def _mypy_knows(config: str) -> bool:
    """Whether the configuration says which files are checked."""
    settings = _mypy_settings(config)
    return settings is not None and any(settings.get(name) for name in _MYPY_SOURCES)


def _mypy_settings(config: str) -> Mapping[str, Any] | None:
    """None: mypy has no section there."""
    if config.endswith(".toml"):
        return _section(config, "mypy")
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}  # mypy says what is wrong with it
    return dict(parser["mypy"]) if parser.has_section("mypy") else None


def _mypy_config(folder: str) -> str | None:
    """In mypy's order: https://mypy.readthedocs.io/en/stable/config_file.html"""
    for name in ("mypy.ini", ".mypy.ini", "pyproject.toml", "setup.cfg"):
        path = f"{folder}/{name}"
        if os.path.isfile(path):
            settings = _mypy_settings(path)
            is_its_own = name.endswith("mypy.ini")
            if (is_its_own and settings is not None) or settings:
                return path
    return None


def _in_pyproject(folder: str, tool: str) -> str | None:
    path = f"{folder}/pyproject.toml"
    return path if os.path.isfile(path) and _section(path, tool) is not None else None


def _section(path: str, tool: str) -> Mapping[str, Any] | None:
    """[tool.<tool>] of a pyproject.toml; None where there is none, or that can't be read."""
    try:
        settings = anytoml.loads(read_regular(path, SETTINGS).decode())
        found = settings.get("tool", {}).get(tool)
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# --- the table -----------------------------------------------------------------------------------


def _is_typed(path: str) -> bool:
    name = os.path.basename(path)
    return path.endswith(javascript.ENDINGS) or (name.startswith("tsconfig") and ".json" in name)


def _is_python(path: str) -> bool:
    return path.endswith(PYTHON)


CHECKERS: Final = (
    Checker("tsc", _is_typed, own.file_in(["tsconfig.json"]), _tsc, javascript.stamp),
    Checker("pyright", _is_python, _pyright_config, _pyright, python_stamp),
    Checker("mypy", _is_python, _mypy_config, _mypy, python_stamp),
)


def _tool(checker: Checker) -> Tool:
    return Tool(
        name=checker.name,
        lint=functools.partial(lint, checker),
        is_slow=True,
        concerns=functools.partial(concerns, checker),
        stamp=checker.stamp,
    )


TOOLS: Final = tuple(map(_tool, CHECKERS))
