"""The project's own linters of JavaScript and TypeScript: eslint, oxlint, biome."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from lambdad.bundler.inputs.reading import SETTINGS, read_regular
from lambdad.bundler.lint import own, reports, scope
from lambdad.bundler.lint.own import ProjectTool
from lambdad.bundler.lint.positions import Places
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
from lambdad.bundler.model import Location, RelPath
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop

ENDINGS: Final = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
TYPED: Final = (".ts", ".mts", ".cts", ".tsx")

_READ: Final = (*ENDINGS, ".json", ".jsonc", ".vue", ".svelte", ".astro")
_READ_NAMES: Final = frozenset({".gitignore", ".editorconfig", "yarn.lock"})
_AT_ONCE: Final = 500
"""Files of one run: a command line has an end."""
_CRASHED: Final = "Occurred while linting"
"""What eslint says where a rule of the project fails, and not its configuration."""


def is_read(name: str) -> bool:
    """Whether a tool for JavaScript may read a file of that name."""
    return name.endswith(_READ) or name.startswith(".eslint") or name in _READ_NAMES


def stamp(batch: Batch, workshop: Workshop) -> str:
    """Equal as long as nothing differs that a tool for JavaScript may read."""
    return scope.stamp(workshop, scope.outside(batch), is_read)


@dataclass(frozen=True, slots=True)
class Linter:
    """One of the tools, and how it is run and read."""

    name: str
    package: str
    configs: tuple[str, ...]
    """The nearest one above a file counts."""
    arguments: tuple[str, ...]
    """Before the files' names."""
    read: reports.Read
    key: str | None = None
    """Of a package.json that configures it."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A linter as it is run for files that share a configuration."""

    linter: Linter
    own: ProjectTool
    config: str
    """Absolute."""
    workshop: Workshop = field(compare=False)

    @property
    def cwd(self) -> str:
        """eslint's older configurations name plugins that are found from where it is installed; all
        else is relative to the configuration."""
        name = os.path.basename(self.config)
        is_older = name.startswith(".eslintrc") or name == "package.json"
        return self.own.folder if is_older else os.path.dirname(self.config)

    def named(self, name: str) -> RelPath:
        """The path of a file as the tool calls it."""
        return own.named(name, self.cwd, self.workshop)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done about a batch."""

    runs: Mapping[_Run, Sequence[RelPath]]
    missing: Mapping[str, Findings]
    """By configuration: its linter is not installed."""


def _plan(linter: Linter, batch: Batch, workshop: Workshop) -> _Plan:
    runs: dict[_Run, list[RelPath]] = {}
    missing: dict[str, Findings] = {}
    for path in batch.files:
        whole = workshop.absolute(path)
        if not path.endswith(ENDINGS) or not os.path.isfile(whole):
            continue
        config = own.nearest(workshop, os.path.dirname(whole), functools.partial(_config, linter))
        if config is None:
            continue
        found = own.of_node(workshop, os.path.dirname(config), linter.package, linter.name)
        if found is None:
            hint = "install the project's packages, or remove that configuration"
            missing[config] = own.absent(linter.name, config, linter.package, hint, workshop)
            continue
        run = _Run(linter, found, config, workshop)
        if _takes(run, path):
            runs.setdefault(run, []).append(path)
    return _Plan(runs, missing)


def concerns(linter: Linter, batch: Batch, workshop: Workshop) -> bool:
    """Whether a file of the batch is the linter's business."""
    plan = _plan(linter, batch, workshop)
    return bool(plan.runs or plan.missing)


def lint(linter: Linter, batch: Batch, workshop: Workshop) -> Findings:
    """The linter's findings in the batch's files, each with the configuration that is nearest."""
    plan = _plan(linter, batch, workshop)
    several = [*plan.missing.values()]
    for run, files in plan.runs.items():
        if batch.trusted:
            several.append(_kept(run, files, batch))
        else:
            several.append(own.untrusted(linter.name, run.own, workshop))
    return merged(several)


def _config(linter: Linter, folder: str) -> str | None:
    found = own.file_in(linter.configs)(folder)
    if found is None and linter.key is not None:
        manifest = f"{folder}/package.json"
        try:
            content = msgspec.json.decode(read_regular(manifest, SETTINGS))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if isinstance(content, dict) and linter.key in content:
            return manifest
    return found


def _takes(run: _Run, path: RelPath) -> bool:
    """eslint 8 lints any file that is named, and without a parser for TypeScript every such file
    would be a syntax error. With the newer form of its configuration it knows by that."""
    if run.linter.name != "eslint" or not path.endswith(TYPED):
        return True
    if os.path.basename(run.config).startswith("eslint.config."):
        return True
    parsers = ("@typescript-eslint/parser", "@babel/eslint-parser", "typescript-eslint")
    found = (own.of_package(run.workshop, run.cwd, name) for name in parsers)
    return any(found)


def _kept(run: _Run, files: Sequence[RelPath], batch: Batch) -> Findings:
    workshop = run.workshop
    decided = [stamp(batch, workshop)]

    def key_of(path: RelPath) -> str | None:
        content = content_digest(workshop, path)
        return content and digest(content, decided[-1], run.own.version, run.config)

    def lint_now(left: Sequence[RelPath]) -> Findings:
        parts = [left[first : first + _AT_ONCE] for first in range(0, len(left), _AT_ONCE)]
        found = merged([_lint_now(run, part) for part in parts])
        decided.append(stamp(batch, workshop))
        return found

    return kept(run.linter.name, files, key_of, lint_now, workshop)


def _lint_now(run: _Run, files: Sequence[RelPath]) -> Findings:
    name, workshop = run.linter.name, run.workshop
    names = [os.path.relpath(workshop.absolute(path), run.cwd) for path in files]
    arguments = [*run.linter.arguments, "--", *names]
    answer = own.run(name, run.own, arguments, cwd=run.cwd, workshop=workshop)
    if isinstance(answer, Findings):
        return answer
    try:
        read = list(run.linter.read(answer.stdout, run.named, Places(workshop)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _unreadable(run, answer)
    return Findings(files=by_file(read, files))


def _unreadable(run: _Run, answer: Completed) -> Findings:
    said = answer.stderr + answer.stdout
    by_name = run.linter.name == "eslint" and answer.code == 2 and _CRASHED not in said
    if answer.code and (by_name or "onfig" in said):
        told = own.first_words(answer.stderr) or own.first_words(answer.stdout)
        where = Location(own.relative(run.config, run.workshop))
        return misconfigured(run.linter.name, told, own.again(run.own, run.workshop), where)
    return own.unreadable(run.linter.name, run.own, answer, run.workshop)


# --- the table -----------------------------------------------------------------------------------

LINTERS: Final = (
    Linter(
        "eslint",
        "eslint",
        (
            *(f"eslint.config.{end}" for end in ("js", "mjs", "cjs", "ts", "mts", "cts")),
            *(f".eslintrc{end}" for end in (".js", ".cjs", ".yaml", ".yml", ".json", "")),
        ),
        ("--format", "json", "--no-error-on-unmatched-pattern"),
        reports.eslint,
        key="eslintConfig",
    ),
    Linter(
        "oxlint",
        "oxlint",
        (".oxlintrc.json", ".oxlintrc.jsonc", "oxlint.config.ts"),
        ("--format", "json"),
        reports.oxlint,
    ),
    Linter(
        "biome",
        "@biomejs/biome",
        ("biome.json", "biome.jsonc", ".biome.json", ".biome.jsonc"),
        (
            *("lint", "--reporter=json", "--max-diagnostics=none", "--colors=off"),
            *("--no-errors-on-unmatched", "--files-ignore-unknown=true"),
        ),
        reports.biome,
    ),
)


def _tool(linter: Linter) -> Tool:
    return Tool(
        name=linter.name,
        lint=functools.partial(lint, linter),
        is_slow=True,
        concerns=functools.partial(concerns, linter),
        stamp=stamp,
    )


TOOLS: Final = tuple(map(_tool, LINTERS))
