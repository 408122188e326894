"""Dependencies that are declared and that nothing of own code names: a hint, and no more.

What another distribution needs is not meant, nor what offers itself to others by an entry point.
"""

from __future__ import annotations

import configparser
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Final

from lambdad.bundler.inputs import tree
from lambdad.bundler.lint.graph import OwnCode
from lambdad.bundler.lint.installed import InstalledModules, module_of
from lambdad.bundler.model import BuildRequest, Diagnostic, Location, ProjectError, Severity
from lambdad.bundler.store.project_folder import OurFile, ProjectFolder
from lambdad.bundler.workshop import Workshop

_NEEDS: Final = re.compile(r"^Requires-Dist:\s*([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_COMMANDS: Final = frozenset({"console_scripts", "gui_scripts"})
"""Groups of entry points that are no offer to other code."""


def check(
    request: BuildRequest, own: OwnCode, installed: InstalledModules, workshop: Workshop
) -> list[Diagnostic]:
    """A hint for each, where it is required."""
    if installed.archive is None or not installed.owners:
        return []
    modules = _modules(installed)
    try:
        used = _used(own, workshop)
        spoken_for = set(_spoken_for(installed, ProjectFolder(workshop.root).at(installed.archive)))
        return [
            _hint(item)
            for item in _direct(request, workshop)
            if (name := _normal(item[0])) in modules
            and name not in spoken_for
            and modules[name].isdisjoint(used)
        ]
    except (OSError, ValueError, zipfile.BadZipFile, ProjectError):
        return []  # a build reports what is wrong


def _modules(installed: InstalledModules) -> Mapping[str, set[str]]:
    """Of each distribution the top-level modules it brings; one that brings none is left out."""
    found: dict[str, set[str]] = {}
    for path, distribution in installed.owners.items():
        module = module_of(path)
        if distribution and module is not None:
            found.setdefault(_normal(distribution), set()).add(module)
    return found


def _used(own: OwnCode, workshop: Workshop) -> set[str]:
    """Every word in own Python code: a name in a text may be a module that something loads."""
    words: set[str] = set()
    for name, file in own.files.items():
        if name.endswith(".py"):
            words.update(
                re.findall(r"\w+", tree.read(workshop.seen, file).decode("utf-8", "replace"))
            )
    return words


def _spoken_for(installed: InstalledModules, archive: OurFile) -> Iterator[str]:
    """Distributions that others require, and those that offer something by entry points.

    Raises OSError or BadZipFile.
    """
    with archive.open() as file, zipfile.ZipFile(file) as opened:
        for name in sorted(installed.names):
            folder, _, last = name.partition("/")
            if not folder.endswith(".dist-info") or last not in ("METADATA", "entry_points.txt"):
                continue
            text = opened.read(name).decode("utf-8", "replace")
            if last == "METADATA":
                headers = text.partition("\n\n")[0]
                yield from (_normal(needed) for needed in _NEEDS.findall(headers))
            elif _offers(text):
                yield _normal(folder.partition("-")[0])


def _offers(text: str) -> bool:
    entries = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    try:
        entries.read_string(text)
    except configparser.Error:
        return True
    return not set(entries.sections()) <= _COMMANDS


def _direct(request: BuildRequest, workshop: Workshop) -> list[tuple[str, Location]]:
    """What people require by name, with its place. Raises ProjectError."""
    from lambdad.bundler.python import target
    from lambdad.bundler.python.locks import declared

    said = declared.read(request.function, target.wanted(request), workshop)
    return [
        (wanted.requirement.name, wanted.where)
        for wanted in (said.direct if said is not None else ())
        if wanted.requirement is not None
    ]


def _hint(item: tuple[str, Location]) -> Diagnostic:
    name, where = item
    return Diagnostic(
        code="unused-dependency",
        severity=Severity.INFO,
        message=f"nothing in the code names {name}",
        where=where,
        hint="if nothing else needs it, remove it: the zip gets smaller",
    )


def _normal(name: str) -> str:
    """As PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()
