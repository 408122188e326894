"""What a saved file is to each function: whether it uses the file, and is stale by it.

A function that was built holds what its last builds looked at; one that never was, what lies in its
code folder. A configuration file is held by those of whom it says something else than was built.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.config.check import JAVASCRIPT, TYPESCRIPT
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.counted import is_counted
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import (
    Function,
    Listing,
    Method,
    NotBuilt,
    Project,
    RelPath,
    Skipped,
    Snapshot,
    Stems,
    Walk,
    Want,
)
from lambdad.bundler.store.record import Record, request_changes
from lambdad.bundler.toolchain import request_of
from lambdad.daemon.serving.schedule import Key
from lambdad.daemon.watching.aliases import above as paths_above

MOST: Final = 8
"""Of the functions that hold saved files so many are rebuilt, the lately wanted first."""

SOURCES: Final = (*JAVASCRIPT, *TYPESCRIPT, ".py")
"""Endings of files that the configuration's readers look for as handlers, and don't read."""
BUNDLED: Final = (*JAVASCRIPT, *TYPESCRIPT, ".json")
"""Endings of what a bundle may hold whatever its options say."""

WILD: Final = frozenset("*?[")

Recorded = Callable[[Key], Record | None]


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that was saved, removed or renamed, under the names it has."""

    names: frozenset[RelPath]
    """From the project on: as it was given, and with its folder's symlinks resolved."""
    real: str
    """Absolute, its folder's symlinks resolved."""

    @property
    def name(self) -> RelPath:
        """The one that people know it by: inside of the project, if there is such a one."""
        return min(self.names, key=lambda name: (name.startswith(".."), name))


@dataclass(frozen=True, slots=True)
class Touched:
    """What saved files mean for the functions."""

    keys: tuple[Key, ...]
    """What is to be made fresh."""
    stale: frozenset[str]
    """Functions that are stale, too, beyond what is rebuilt for one save."""
    is_silent: bool
    """No function uses the files, and they describe no project."""
    holders: Mapping[RelPath, tuple[Function, ...]]
    """Which functions use each file; a file without any has no entry."""


def saved(root: str, path: str) -> SavedFile:
    """An editor may know the project by another path than the real one."""
    whole = os.path.normpath(os.path.join(root, path))
    folder, name = os.path.split(whole)
    with contextlib.suppress(OSError, ValueError):  # a NUL is in no file's name
        folder = os.path.realpath(folder)
    real = os.path.join(folder, name)
    names = frozenset(os.path.relpath(found, root) for found in (whole, real))
    return SavedFile(names, real)


def touched(
    project: Project,
    files: Collection[SavedFile],
    recorded: Recorded,
    *,
    lately: Iterable[Key],
    declared: Mapping[str, float],
) -> Touched:
    """The functions that use the files. `lately` are the keys that were wanted, the latest last;
    `declared` says of functions whose declaration changed when that was first read, in seconds
    since 1970."""
    errand = _Errand(project, files, recorded, declared)
    order = list(lately)[::-1]
    rank: dict[str, int] = {}
    for number, key in enumerate(order):
        rank.setdefault(key.function, number)
    found: list[tuple[Key, bool]] = []
    holding: list[Function] = []
    for function in project.functions:
        if wants := errand.wants(function):
            found.append((_chosen(function.name, wants, order), any(wants.values())))
            holding.append(function)
    found.sort(key=lambda each: (rank.get(each[0].function, len(rank)), each[0].order))
    faulty = (Key(item.name, Want.LIVE) for item in project.not_built if errand.tells(item))
    keys = (*(key for key, _moved in found[:MOST]), *faulty)
    stale = frozenset(key.function for key, moved in found[MOST:] if moved)
    return Touched(
        keys,
        stale,
        is_silent=not (keys or errand.describes),
        holders={
            file.name: several
            for file in files
            if (several := _holding(file, files, holding, errand))
        },
    )


def _holding(
    file: SavedFile, files: Collection[SavedFile], holding: Collection[Function], errand: _Errand
) -> tuple[Function, ...]:
    """Which of the functions, each of which holds some of the files, hold that one."""
    if len(files) == 1:
        return tuple(holding)
    alone = errand.of((file,))
    return tuple(function for function in holding if alone.wants(function))


def _chosen(name: str, wants: Mapping[Want, bool], order: Iterable[Key]) -> Key:
    """As what the function is rebuilt: as it was wanted last, else as it is there."""
    for key in order:
        if key.function == name and key.want in wants:
            return key
    return Key(name, Want.LIVE if Want.LIVE in wants else Want.ZIP)


class _Errand:
    """One look for holders; what functions share is looked at once."""

    def __init__(
        self,
        project: Project,
        files: Collection[SavedFile],
        recorded: Recorded,
        declared: Mapping[str, float],
    ) -> None:
        self._project = project
        self._files = [file for file in files if "." not in file.names]
        self._recorded = recorded
        self._declared = declared
        self._look = Look()
        self._real: dict[RelPath, str] = {}
        self._above: dict[SavedFile, dict[tuple[int, int], str]] = {}
        self._kinds: dict[RelPath, str | None] = {}
        names = frozenset(name for file in files for name in file.names)
        self._told = names & project.inputs.files
        described = [name for name in self._told if not name.endswith(SOURCES)]
        self.describes = bool(described)
        """Some of the files are the project's configuration."""
        self._described_s = min((self._changed_s(name) for name in described), default=0.0)

    def of(self, files: Collection[SavedFile]) -> _Errand:
        """The same for others."""
        return _Errand(self._project, files, self._recorded, self._declared)

    def wants(self, function: Function) -> dict[Want, bool]:
        """As what the function holds the files, and whether they moved since that was built."""
        found: dict[Want, bool] = {}
        known = False
        for want in Want:
            record = self._recorded(Key(function.name, want))
            if record is None:
                continue
            known = True
            moved = self._moved(record, function)
            if self.describes and not moved:
                if self._is_other(record, function, want):
                    moved = True
                elif moved is None and self._is_news(function):
                    moved = False  # others were quicker, and had it built
            if moved is not None:
                found[want] = moved
        if not known and (self._is_news(function) or self._is_code(function)):
            found = dict.fromkeys(Want, True)
        return found

    def tells(self, item: NotBuilt) -> bool:
        """Whether what is wrong with its declaration is news after this save."""
        if isinstance(item.outcome, Skipped) or not self._told:
            return False
        places = {item.where.file, *(each.where.file for each in item.diagnostics if each.where)}
        if not places.isdisjoint(self._told):
            return True
        records = (self._recorded(Key(item.name, want)) for want in Want)
        return any(record and self._moved(record, None) is not None for record in records)

    def _is_other(self, record: Record, function: Function, want: Want) -> bool:
        request = request_of(self._project, function, want=want)
        return bool(request_changes(record.request, request))

    def _is_news(self, function: Function) -> bool:
        """Whether what the saved configuration says of it was first read after that was written."""
        read_s = self._declared.get(function.name)
        return self.describes and read_s is not None and read_s >= self._described_s

    def _changed_s(self, name: RelPath) -> float:
        """When the file was changed, or removed."""
        path = os.path.join(self._project.root, name)
        with contextlib.suppress(OSError):
            return os.stat(path).st_ctime
        with contextlib.suppress(OSError):
            return os.stat(os.path.dirname(path)).st_mtime
        return 0.0

    # --- a function that was built -----------------------------------------------------------

    def _moved(self, record: Record, function: Function | None) -> bool | None:
        """Whether a file is another than the build saw; None: the build looked at none of them."""
        found: bool | None = None
        for file in self._files:
            for name in {*file.names, *self._aliases(file, record, function)}:
                moved = self._has_moved(record.inputs, name)
                if moved:
                    return True
                found = moved if found is None else found
        return found

    def _has_moved(self, inputs: Snapshot, path: RelPath) -> bool | None:
        names = {path}
        if self._kind(path) != "file":  # a folder, or one that is gone, means all below it
            below = f"{path}/"
            names |= {name for name in (*inputs.files, *inputs.links) if name.startswith(below)}
        part = Snapshot(
            files={name: inputs.files[name] for name in names if name in inputs.files},
            links={name: inputs.links[name] for name in names if name in inputs.links},
            listings={},
            suspects=inputs.suspects & names,
        )
        came_or_went = self._came_or_went(inputs, path)
        if came_or_went:
            return True
        if not (part.files or part.links):
            return came_or_went
        return next(snapshot.changes(self._project.root, part, self._look), None) is not None

    def _came_or_went(self, inputs: Snapshot, path: RelPath) -> bool | None:
        """Whether it, or a folder it lies in, came or went; None: it is no name that counts.

        Of a folder that goes in as it is every name counts, also one that is gone since the build;
        of others only one that comes or goes.
        """
        child, folder = path, os.path.dirname(path) or "."
        while folder not in inputs.listings:
            if folder in {".", "/"} or folder.endswith(".."):
                return None
            child, folder = folder, os.path.dirname(folder) or "."
        listing, name, kind = inputs.listings[folder], os.path.basename(child), self._kind(child)
        was = any(known.rpartition("/")[0] == name for known in listing.names)
        moved = was != (kind is not None)
        if was or _counts(listing, folder, name, kind == "folder"):
            return moved if moved or isinstance(listing.counted, Walk) else None
        return None

    def _kind(self, path: RelPath) -> str | None:
        if path not in self._kinds:
            whole = os.path.join(self._project.root, path)
            is_there = os.path.lexists(whole)
            kind = "folder" if os.path.isdir(whole) else "file"
            self._kinds[path] = kind if is_there else None
        return self._kinds[path]

    def _aliases(
        self, file: SavedFile, record: Record, function: Function | None
    ) -> Iterator[RelPath]:
        """What the file is called by a build that came to it through symlinks."""
        for link in record.inputs.links:
            if (rest := _below(file.real, self._resolved(link))) is not None:
                yield os.path.normpath(os.path.join(link, rest))
        for top in (function.code, *function.shared) if function else ():
            if (rest := self._rest(file, top)) is not None:
                yield os.path.normpath(os.path.join(top, rest))

    def _rest(self, file: SavedFile, top: RelPath) -> str | None:
        """What leads from `top` to the file; None if it does not lie there. Symlinks don't matter,
        and one look at each folder does: there is one for every function."""
        if file not in self._above:
            above = self._above[file] = {}
            for path in paths_above(file.real):
                if (key := self._look(path)) is not None:
                    above[key.device, key.inode] = file.real[len(path) :].lstrip("/")
        key = self._look(os.path.join(self._project.root, top))
        return None if key is None else self._above[file].get((key.device, key.inode))

    def _resolved(self, path: RelPath) -> str:
        if path not in self._real:
            self._real[path] = os.path.realpath(os.path.join(self._project.root, path))
        return self._real[path]

    # --- a function that never was -------------------------------------------------------------

    def _is_code(self, function: Function) -> bool:
        places = [function.code, *function.shared]
        for item in function.copy:
            fixed = itertools.takewhile(lambda part: not set(part) & WILD, item.source.split("/"))
            places.append("/".join(fixed) or ".")
        return any(
            _is_part(function, rest)
            for file in self._files
            for place in places
            if (rest := self._rest(file, place)) is not None
        )


def _counts(listing: Listing, folder: RelPath, name: str, is_folder: bool) -> bool:
    counted = listing.counted
    if isinstance(counted, Stems):
        return counted.covers(name)
    below_top = "" if folder == counted.top else os.path.relpath(folder, counted.top)
    return is_counted(name, below_top, is_folder, counted)


def _is_part(function: Function, path: str) -> bool:
    """Whether a file at that place of a code folder may go into the zip; "": it is all the code."""
    if function.method is Method.ESBUILD and path and not path.endswith(_bundled(function)):
        return False
    walk = Walk(function.code, function.exclude, function.include)
    *folders, name = path.split("/")
    above = ""
    try:
        for folder in folders:
            if not is_counted(folder, above, True, walk):
                return False
            above = f"{above}/{folder}" if above else folder
        return not name or is_counted(name, above, False, walk)
    except ValueError:  # a pattern that is none: the build reports it
        return True


def _bundled(function: Function) -> tuple[str, ...]:
    loaders = dict(function.esbuild).get("loader", ())
    own = loaders if isinstance(loaders, tuple) else ()
    return (*BUNDLED, *(pair[0] for pair in own if isinstance(pair, tuple)))


def _below(path: str, top: str) -> str | None:
    """What leads from `top` to the path; None if it does not lie there."""
    if path == top:
        return ""
    prefix = top if top.endswith("/") else f"{top}/"
    return path[len(prefix) :] if path.startswith(prefix) else None
