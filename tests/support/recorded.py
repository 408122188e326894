"""Builds of every kind, and whether what they looked at is among the inputs that they recorded.

`build` reads a project and builds each of its functions, and marks in the file system's own calls
where each phase begins, so that a trace from outside can be split. `unrecorded` judges.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdad.bundler import build as builds
from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.model import InputSet, Project, Stems, Walk, Want
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop

MARK = "/recorded-phase"
"""A path that marks a phase: MARK/configuration, MARK/zip NAME or MARK/live NAME."""

NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that asked the system about a path."""

    kind: str
    """`look`, `content` or `list`."""
    path: str
    """Absolute; symlinks not resolved."""


def read(
    root: str, environ: Mapping[str, str], case: Mapping[str, Any] = NOTHING
) -> tuple[Project, dict[str, InputSet]]:
    """The project, and what reading it recorded; `case` is as in fixtures/config/*/case.json."""
    mark("configuration")
    project = read_project(
        os.path.join(root, case.get("start", ".")),
        {**environ, **case.get("environ", {})},
        case.get("templates", ()),
        case.get("parameters", {}),
        case.get("options", {}),
    )
    mark("")
    return project, {"configuration": _from(root, project, project.inputs)}


def build(
    root: str, store: str, environ: Mapping[str, str], case: Mapping[str, Any] = NOTHING
) -> dict[str, InputSet]:
    """What each phase recorded: reading the project, and each function in each of its forms. The
    case's `fails` has the forms that can't be built; AssertionError if others can't, or these can.
    """
    project, found = read(root, environ, case)
    assert project.functions, project
    workshop = Workshop(
        root=project.root,
        repository=project.repository,
        store=Store(Path(store)),
        environ=environ,
        recall=False,
    )
    for function in project.functions:
        for want in Want:
            phase = f"{want.value} {function.name}"
            mark(phase)
            builds.build([function], workshop, want=want)
            mark("")
            known = builds.recorded(workshop.state(), function.name, want, None)
            assert known is not None, f"nothing is recorded of the {phase}"
            assert known.succeeded is (want.value not in case.get("fails", ())), known.diagnostics
            found[phase] = _from(root, project, snapshot.inputs_of(known.inputs))
    return found


def _from(root: str, project: Project, inputs: InputSet) -> InputSet:
    """The same inputs with their paths from `root`, of which the project may be a member."""
    below = os.path.relpath(project.root, root)
    if below == ".":
        return inputs

    def moved(path: str) -> str:
        return os.path.normpath(os.path.join(below, path))

    return InputSet(
        files=frozenset(map(moved, inputs.files)),
        links=frozenset(map(moved, inputs.links)),
        listings={moved(path): names for path, names in inputs.listings.items()},
    )


def mark(phase: str) -> None:
    os.path.exists(f"{MARK}/{phase}")
    with open(os.devnull, "rb"):  # for those who hear of opened files alone
        pass


def phases(calls: Iterable[Asked]) -> dict[str, list[Asked]]:
    """The calls of each phase; those outside of any are left out."""
    found: dict[str, list[Asked]] = {}
    current = ""
    for call in calls:
        if call.path.startswith(f"{MARK}/") or call.path == MARK:
            current = call.path[len(MARK) + 1 :]
        elif current:
            found.setdefault(current, []).append(call)
    return found


def unrecorded(calls: Iterable[Asked], inputs: InputSet, root: str) -> list[str]:
    """The calls about paths of the project that no recorded input answers for, as text."""
    judge = _Judge(inputs, root)
    return sorted({f"{call.kind} {path}" for call, path in judge.own(calls) if judge.misses(call)})


class _Judge:
    def __init__(self, inputs: InputSet, root: str) -> None:
        self._root = root
        # What is recorded by a path through symlinks is what lies where they lead.
        self._files = {one for path in inputs.files for one in self._both(path)}
        self._links = {self._absolute(path) for path in inputs.links}
        self._listings = {
            one: names for path, names in inputs.listings.items() for one in self._both(path)
        }
        recorded = {*self._files, *self._links, *self._listings}
        self._above = {above for path in recorded for above in _above(path)}

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._root, path))

    def _both(self, path: str) -> tuple[str, str]:
        absolute = self._absolute(path)
        return absolute, os.path.realpath(absolute)

    def own(self, calls: Iterable[Asked]) -> Iterator[tuple[Asked, str]]:
        """Those about the project's own files: .lambdad is ours, and what it is worth is proved
        otherwise (bundler/store/freshness.py)."""
        for call in calls:
            path = os.path.relpath(call.path, self._root)
            parts = path.split("/")
            if parts[0] != ".." and ".lambdad" not in parts:
                yield call, path

    def misses(self, call: Asked) -> bool:
        path = os.path.normpath(call.path)
        if call.kind == "list":
            real = os.path.realpath(path)
            return not ({path, real} & self._listings.keys()) and not self._is_vouched(real)
        if path == self._root:
            return False
        return not self._covers(path, content=call.kind == "content")

    def _covers(self, path: str, *, content: bool) -> bool:
        content = content and os.path.lexists(path)  # else it is known that nothing is there
        if (
            path in self._files
            or (path in self._listings and not content)
            or (path in self._above and os.path.isdir(path))
        ):
            return True
        if self._is_vouched(path):
            return True
        folder, name = os.path.split(path)
        if not content and (path in self._links or self._lists(folder, name)):
            return True
        if folder != self._root and not os.path.lexists(folder):
            return self._covers(folder, content=False)  # nothing is in it before it is there
        real = os.path.join(os.path.realpath(folder), name)
        if real != path:
            return self._covers(real, content=content)
        # A folder's content is its names, and those of a symlink are where it leads.
        if content and os.path.islink(path):
            return path in self._links and self._covers(os.path.realpath(path), content=True)
        return content and os.path.isdir(path) and self._covers(path, content=False)

    def _lists(self, folder: str, name: str) -> bool:
        names = self._listings.get(folder)
        return isinstance(names, Walk) or (isinstance(names, Stems) and names.covers(name))

    def _is_vouched(self, path: str) -> bool:
        """Whether it is of an installed package, which changes with its package.json alone."""
        above, modules, below = path.rpartition("/node_modules/")
        parts = below.split("/")
        size = 2 if below.startswith("@") else 1
        package = f"{above}{modules}{'/'.join(parts[:size])}"
        return bool(modules) and f"{package}/package.json" in self._files


def _above(path: str) -> Iterator[str]:
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above
