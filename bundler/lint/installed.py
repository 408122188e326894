"""Which modules a function's dependencies bring, as its last build saw them.

Nothing is resolved or fetched for a lint: without a build it is not known, and nothing is reported.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.model import (
    BuildRequest,
    Function,
    Live,
    ProjectError,
    RelPath,
    Snapshot,
    Want,
)
from lambdad.bundler.store import record
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.record import Record
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import zip_sources

_DECIDES: Final = (".txt", ".in", ".toml", ".lock", ".cfg", "setup.py", "Pipfile")
"""How files end that can decide about dependencies; other inputs are own code."""

SUFFIXES: Final = (".py", ".pyc", ".so", ".pyd")


@dataclass(frozen=True)
class InstalledModules:
    """What lies beside own code in `sys.path`."""

    names: frozenset[str]
    """Of files, as paths from the folder that is in `sys.path`; or of top-level modules alone."""
    owners: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """(path or folder) -> distribution, where that is known; "" is own code."""
    archive: RelPath | None = None
    """The zip that has the files, one of ours."""

    @functools.cached_property
    def modules(self) -> frozenset[str]:
        """The top-level names that can be imported."""
        return frozenset(filter(None, map(module_of, self.names)))


def module_of(name: str) -> str | None:
    """The top-level module that a file is, or is part of; None: it is none."""
    top, slash, _rest = name.partition("/")
    if slash or "." not in top:
        return top if top.isidentifier() else None
    stem = top.partition(".")[0]
    return stem if top.endswith(SUFFIXES) and stem.isidentifier() else None


def find(
    function: Function, workshop: Workshop, *, resolve: bool = False
) -> InstalledModules | None:
    """What the last build that still holds installed; None: that is not known. With `resolve`, it
    is then found out as a build does. Raises ProjectError where that fails.
    """
    state = workshop.state()
    for want in Want:
        request = request_of(workshop, function, want=want)
        known = record.load(state.record(function.name, want))
        if known is None or not known.succeeded or record.request_changes(known.request, request):
            continue
        if not Kept(known, _deciding(known.inputs)).holds(workshop.root):
            continue
        try:
            if want is Want.ZIP:
                return _of_zip(function, known, workshop)
            if known.live is not None:
                return _of_folders(function, known.live, workshop)
        except (OSError, ValueError, zipfile.BadZipFile):
            continue
    request = request_of(workshop, function)
    return _resolved(request, workshop) if resolve else _none_declared(request, workshop)


def _resolved(request: BuildRequest, workshop: Workshop) -> InstalledModules:
    """Raises ProjectError."""
    from lambdad.bundler.python import dependencies
    from lambdad.bundler.python.wheels import splice

    wheels = dependencies.known(request, workshop).wheels
    return InstalledModules(frozenset(splice.splice(wheels).names))


def _deciding(inputs: Snapshot) -> Snapshot:
    files = {path: key for path, key in inputs.files.items() if path.endswith(_DECIDES)}
    return Snapshot(files=files, links={}, listings={}, suspects=inputs.suspects & files.keys())


def _of_zip(function: Function, known: Record, workshop: Workshop) -> InstalledModules | None:
    """Raises OSError, ValueError or BadZipFile."""
    if known.artifact is None:
        return None
    noted = zip_sources.load(workshop.state(), function.name)
    fits = noted is not None and noted.sha256 == known.artifact.sha256
    owners = noted.owners if noted is not None and fits else {}
    archive = known.artifact.immutable_path
    own = set(_own_names(function, known.inputs.files))
    names = _zip_names(workshop.root, archive) - own
    return InstalledModules(names, MappingProxyType(dict(owners)), archive)


@functools.lru_cache(maxsize=64)
def _zip_names(root: str, path: RelPath) -> frozenset[str]:
    """Its name is its digest, so it is the same for ever. Raises OSError, ValueError or
    BadZipFile."""
    with ProjectFolder(root).at(path).open() as file, zipfile.ZipFile(file) as archive:
        return frozenset(archive.namelist())


def _own_names(function: Function, paths: Iterable[RelPath]) -> Iterator[str]:
    """By what the files of own code go in the zip."""
    tops = [f"{top}/" for top in (function.code, *function.shared)]
    for path in paths:
        if function.code in (".", path):
            yield path if function.code == "." else os.path.basename(path)
        yield from (path[len(top) :] for top in tops if path.startswith(top))


def _of_folders(function: Function, live: Live, workshop: Workshop) -> InstalledModules:
    """Raises OSError."""
    single = os.path.isfile(workshop.absolute(function.code))
    code = os.path.dirname(function.code) or "." if single else function.code
    own = {code, *function.shared}
    names = {
        name
        for folder in live.path
        if folder not in own
        for name in os.listdir(folder if os.path.isabs(folder) else workshop.absolute(folder))
    }
    return InstalledModules(frozenset(names))


def _none_declared(request: BuildRequest, workshop: Workshop) -> InstalledModules | None:
    """Of a function without any file that could declare dependencies."""
    from lambdad.bundler.python import target
    from lambdad.bundler.python.locks import declared, projects

    function = request.function
    try:
        said = declared.read(function, target.wanted(request), workshop)
        if said is None:
            return InstalledModules(frozenset())
        if said.lock is None and said.open is None:
            unread = projects.unread(function, workshop)
            return None if unread else InstalledModules(frozenset())
    except ProjectError:
        pass  # the build reports it
    return None
