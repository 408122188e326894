"""The cases in fixtures/config: a project each, and what reading it gives, as text to compare."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from lambdad.bundler.config.find import REPOSITORY, read_project
from lambdad.bundler.model import Diagnostic, Function, Location, NotBuilt, Project
from lambdad.bundler.report.render import status
from tests.support.paths import ROOT

CASES = ROOT / "fixtures" / "config"

NAMES = sorted(path.name for path in CASES.iterdir())


def lay_out(name: str, folder: Path) -> dict[str, Any]:
    """Puts the case's project into `folder`; returns what its case.json says."""
    shutil.copytree(CASES / name, folder, dirs_exist_ok=True)
    case: dict[str, Any] = json.loads((folder / "case.json").read_text())
    (folder / "case.json").unlink()
    (folder / "expected.json").unlink(missing_ok=True)
    for path in case.get("touch", ()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return case


def read_case(name: str, folder: Path) -> Project:
    case = lay_out(name, folder)
    return read_project(
        str(folder / case.get("start", ".")),
        case.get("environ", {}),
        case.get("templates", ()),
        case.get("parameters", {}),
        case.get("options", {}),
    )


def told(project: Project) -> dict[str, Any]:
    """All of a Project that a case states, as JSON; what is as by default is left out."""
    return {
        "functions": {function.name: _function(function) for function in project.functions},
        "not_built": {
            each.name: [_ending(each), *map(_diagnostic, each.diagnostics)]
            for each in project.not_built
        },
        "diagnostics": [_diagnostic(each) for each in project.diagnostics],
        "inputs": sorted(filter(_is_shown, project.inputs.files)),
    }


def _ending(item: NotBuilt) -> str:
    return f"{status(item.outcome)} {_place(item.where)}"


def _function(function: Function) -> dict[str, Any]:
    handler = function.handler
    shown: dict[str, Any] = {
        "where": _place(function.where),
        "handler": f"{handler.module} {handler.export} {_place(function.handler_where)}",
        "build": f"{function.method.value} {function.runtime.name} {function.architecture.value}",
        "code": function.code,
        "exclude": function.exclude,
        "include": function.include,
        "globs": function.globs,
        "copy": [[copy.source, copy.to] for copy in function.copy],
        "layers": function.layers,
        "allow": function.allow,
        "entry_points": function.entry_points,
        "esbuild": dict(function.esbuild),
        "install": function.install,
        "env": dict(function.env),
        "shared": function.shared,
        "requirements": function.requirements,
        "extras": function.extras,
        "groups": function.groups,
        "resolver": function.resolver,
        "without": function.without,
        "notes": [_diagnostic(note) for note in function.notes],
    }
    plain: dict[str, Any] = json.loads(json.dumps(shown))
    return {name: value for name, value in plain.items() if value}


def _place(where: Location | None) -> str:
    return f"{where.file}:{where.line}:{where.column}" if where else "-"


def _diagnostic(diagnostic: Diagnostic) -> str:
    text = f"{_place(diagnostic.where)} {diagnostic.severity.value}[{diagnostic.code}]"
    return f"{text} {diagnostic.message} | {diagnostic.hint}"


def _is_shown(path: str) -> bool:
    """What version control is known by is looked for up to the root of the file system, wherever a
    case lies."""
    return os.path.basename(path) not in REPOSITORY
