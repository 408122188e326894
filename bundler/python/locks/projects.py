"""Python projects with a tool of their own: their files, and how each is read.

A new format is a module that gives a Lock, and a line in FORMATS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from lambdad.bundler.model import (
    Diagnostic,
    Function,
    Location,
    ProjectError,
    RelPath,
    error,
    warning,
)
from lambdad.bundler.python import credentials
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import manifest as manifests
from lambdad.bundler.python.locks.lock import Lock
from lambdad.bundler.python.locks.manifest import Manifest
from lambdad.bundler.python.locks.requirements import RequirementsFile, WantedPackage
from lambdad.bundler.python.target import Target
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True)
class LockFormat:
    """A lock, the file that it was made from, and how it is read."""

    lock: str
    manifest: str
    tool: str
    read: Callable[[Manifest, RelPath, Function, Target, Workshop], Lock]
    find: Callable[[RelPath, Workshop], RelPath | None] | None = None
    """The lock of the project in a folder, where it may lie elsewhere than beside the manifest."""


# The readers bring libraries, so each is loaded only for whom has its file.


def _uv(*asked: Any) -> Lock:
    from lambdad.bundler.python.locks import uv

    return uv.read(*asked)


def _uv_place(folder: RelPath, workshop: Workshop) -> RelPath | None:
    from lambdad.bundler.python.locks import uv

    return uv.find(folder, workshop)


def _poetry(*asked: Any) -> Lock:
    from lambdad.bundler.python.locks import poetry_lock

    return poetry_lock.read(*asked)


def _pipenv(*asked: Any) -> Lock:
    from lambdad.bundler.python.locks import pipenv

    return pipenv.lock(*asked)


def _pyproject(path: RelPath, function: Function, workshop: Workshop) -> Manifest | None:
    from lambdad.bundler.python.locks import pyproject

    return pyproject.read(path, function, workshop)


def _pipfile(path: RelPath, function: Function, workshop: Workshop) -> Manifest | None:
    from lambdad.bundler.python.locks import pipenv

    return pipenv.read(path, function, workshop)


FORMATS: Final = (
    LockFormat("uv.lock", "pyproject.toml", "uv", _uv, _uv_place),
    LockFormat("poetry.lock", "pyproject.toml", "poetry", _poetry),
    LockFormat("Pipfile.lock", "Pipfile", "pipenv", _pipenv),
)
"""The first that is there goes before the others."""

MANIFESTS: Final = {"pyproject.toml": _pyproject, "Pipfile": _pipfile}

NAMES: Final = frozenset((*MANIFESTS, *(one.lock for one in FORMATS)))
"""What `requirements` may name beside files of requirements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedProject:
    manifest: Manifest
    format: LockFormat | None
    """None: nothing locks it."""
    lock_path: RelPath | None

    @property
    def path(self) -> RelPath:
        return self.manifest.path


def find(
    folder: RelPath, named: str | None, function: Function, workshop: Workshop
) -> ManagedProject | None:
    """The project whose files lie in that folder.

    `named` is the file that the configuration names there; None: any. A file that asks for nothing
    declares none. Raises ProjectError as the readers of MANIFESTS.
    """
    seen = workshop.seen
    read: dict[str, Manifest | None] = {}
    for one in FORMATS:
        if named not in (None, one.lock, one.manifest):
            continue
        path = os.path.normpath(f"{folder}/{one.manifest}")
        lock_path = os.path.normpath(f"{folder}/{one.lock}")
        seen.file(path, lock_path)
        if one.manifest not in read:
            there = seen.exists(path)
            read[one.manifest] = (
                MANIFESTS[one.manifest](path, function, workshop) if there else None
            )
        manifest = read[one.manifest] or _alone(one, path, named, workshop)
        if manifest is None or not (manifest.asks or named == one.lock):
            continue
        if one.find is not None:
            lock_path = one.find(folder, workshop) or lock_path
        if seen.is_file(lock_path):
            manifest = replace(manifest, tool=one.tool)
            return ManagedProject(manifest=manifest, format=one, lock_path=lock_path)
    for manifest in read.values():
        if manifest is not None and manifest.asks:
            return ManagedProject(manifest=manifest, format=None, lock_path=None)
    return None


def _alone(
    one: LockFormat, path: RelPath, named: str | None, workshop: Workshop
) -> Manifest | None:
    """Of a lock without its manifest: Pipfile.lock says all by itself; the others do not say
    what the project itself asks for."""
    lock_path = os.path.normpath(f"{os.path.dirname(path) or '.'}/{one.lock}")
    if not workshop.seen.is_file(lock_path):
        return None
    if one.tool == "pipenv":
        return Manifest(path=path, tool=one.tool, unknown=True)
    if named != one.lock:
        return None
    message = f"{lock_path} is there without its {one.manifest}"
    hint = f"put the {one.manifest} beside it, or name another file as `requirements`"
    raise ProjectError(error("missing-requirements", message, Location(path), hint))


def lock(project: ManagedProject, function: Function, target: Target, workshop: Workshop) -> Lock:
    """What its lock pins for the target. Raises ProjectError as the format's reader."""
    assert project.format is not None  # noqa: S101 - it is for those that are locked
    assert project.lock_path is not None  # noqa: S101
    return project.format.read(project.manifest, project.lock_path, function, target, workshop)


def open_requirements(
    project: ManagedProject, target: Target, workshop: Workshop
) -> RequirementsFile:
    """What an unlocked project asks for, as files of requirements would.

    Raises ProjectError: `needs-lock`, `unsupported-requirement`, `missing-requirements`.
    """
    manifest = project.manifest
    wanted = requirements(project, workshop)
    faults = list(manifest.needs_lock)
    for one in wanted:
        if one.path is None or one.is_folder or not targets.holds(target, one.marker):
            continue
        if not workshop.seen.exists(one.path):
            hint = "its path is taken from this file's folder"
            message = f"there is no {os.path.relpath(one.path, workshop.root)}"
            faults.append(error("missing-requirements", message, one.where, hint))
    if faults:
        raise ProjectError(*faults)
    return RequirementsFile(
        wanted=wanted,
        constraints=manifest.constraints,
        indexes=sources(project, None, workshop),
        require_hashes=False,
    )


def requirements(project: ManagedProject, workshop: Workshop) -> tuple[WantedPackage, ...]:
    """What the project asks for by name or place."""
    folder = os.path.normpath(workshop.absolute(project.manifest.folder))
    return tuple(manifests.wanted(one, folder) for one in project.manifest.asked)


def unread(function: Function, workshop: Workshop) -> Diagnostic | None:
    """That dependencies are declared where a function that installs none does not get them: by
    a build backend, or above its code. Whether those are meant for it, only people know."""
    if function.requirements is not None:
        return None
    asked = replace(function, extras=(), groups=())
    folder = function.code
    while True:
        try:
            project = find(folder, None, asked, workshop)
        except ProjectError:  # its own tool's to complain of
            return None
        if project is not None:
            return _unread(project, function, above=folder != function.code)
        if _needs_nothing(folder, asked, workshop):
            return None
        if folder in (".", "") or folder.startswith(".."):
            return None
        folder = os.path.dirname(folder) or "."


def _needs_nothing(folder: RelPath, function: Function, workshop: Workshop) -> bool:
    """Whether a project lies there, of which `find` says that it declares none: an answer, too."""
    read = (
        reader(os.path.normpath(f"{folder}/{name}"), function, workshop)
        for name, reader in MANIFESTS.items()
    )
    return any(manifest is not None and manifest.is_project for manifest in read)


def _unread(project: ManagedProject, function: Function, *, above: bool) -> Diagnostic:
    path, code = project.path, function.code
    if not above:
        message = f"{path} leaves its dependencies to its build backend: none are installed"
        hint = f"run `{project.manifest.mend}`, or write them to a requirements.txt"
        return warning("unread-dependencies", message, Location(path), hint)
    return warning(
        "unread-dependencies",
        f"{code} declares no dependencies, and those of {path} above it are not installed",
        Location(path),
        f'if they are for it, say requirements = "{path}" in lambdad.toml; if not, an empty '
        f"{code}/requirements.txt says so",
    )


def sources(project: ManagedProject, lock: Lock | None, workshop: Workshop) -> Indexes:
    """Where its packages come from, with the credentials that its tool would use."""
    manifest = project.manifest
    found = lock.indexes if lock is not None else manifest.indexes
    named = (*manifest.named, *(lock.named if lock is not None else ()))
    return credentials.filled(found, named, workshop.environ)
