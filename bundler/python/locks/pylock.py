"""pylock.toml (PEP 751): as the project has it, and as uv answers."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError

from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import anytoml
from lambdad.bundler.model import Diagnostic, Function, Location, ProjectError, RelPath, error
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks.lock import LAMBDAD_LOCK, Lock, LockedFile, Pinned, anew
from lambdad.bundler.python.locks.requirements import WantedPackage
from lambdad.bundler.python.target import Target


def read(path: RelPath, seen: Seen, target: Target, function: Function) -> Lock:
    """What the file pins for the target, with the function's extras and groups.

    Raises ProjectError (`bad-lock`, `lock-target`, `unknown-extra`).
    """
    text = locks.text(path, seen, LAMBDAD_LOCK)
    return parse(text, path, seen.root, target, extras=function.extras, groups=function.groups)


def parse(
    text: str,
    path: RelPath,
    root: str,
    target: Target,
    *,
    extras: Collection[str] = (),
    groups: Collection[str] = (),
    lines: Mapping[str, int] | None = None,
    mend: str = LAMBDAD_LOCK,
) -> Lock:
    """The same of text that lies, or would lie, at `path`: its paths are relative to that.

    `lines` say where a person finds each package, if not in this text; `mend` is the command that
    writes it anew.
    """
    document = _document(text, path, mend)
    if refusal := _refusal(document, target):
        raise ProjectError(error("lock-target", f"{path} {refusal}", Location(path), anew(mend)))
    _check_selection(document, path, extras, groups)
    if lines is None:
        lines = name_lines(text)
    folder = os.path.join(root, os.path.dirname(path))
    pins: list[Pinned] = []
    folders: list[WantedPackage] = []
    faults: list[Diagnostic] = []
    sources: dict[str, None] = {}
    taken: set[str] = set()
    for package in _selected(document, target, extras, groups):
        where = Location(path, lines.get(package.name))
        if package.requires_python and not targets.accepts(target, package.requires_python):
            message = (
                f"{package.name} {package.version or ''} needs Python {package.requires_python}, "
                f"and {target} is asked for"
            )
            faults.append(error("lock-target", message, where, anew(mend)))
        elif package.name in taken:
            message = f"{path} pins {package.name} twice for {target}"
            faults.append(error("bad-lock", message, where, anew(mend)))
        elif package.vcs is not None:
            faults.append(locks.of_version_control(package.name, where))
        elif package.directory is not None:
            local = os.path.join(
                folder, package.directory.path, package.directory.subdirectory or ""
            )
            folders.append(
                WantedPackage(
                    text=package.directory.path,
                    path=os.path.normpath(local),
                    editable=bool(package.directory.editable),
                    where=where,
                )
            )
        else:
            pins.append(_pin(package, folder, target, where))
            if package.index and package.index.startswith(("http:", "https:")):
                sources[package.index] = None
        taken.add(package.name)
    if faults:
        raise ProjectError(*faults)
    return Lock(
        pins=tuple(sorted(pins, key=lambda pin: pin.name)),
        folders=tuple(folders),
        indexes=Indexes(extra_index_urls=tuple(sources)),
    )


def _document(text: str, path: RelPath, mend: str) -> Pylock:
    try:
        return Pylock.from_dict(anytoml.loads(text))
    except tomllib.TOMLDecodeError as fault:
        where = toml_place(path, str(fault))
        raise ProjectError(error("bad-lock", f"{path}: {fault}", where, anew(mend))) from fault
    except (PylockValidationError, ValueError, RecursionError) as fault:
        # tomllib lets through what int says of endless digits, and recursion.
        message = f"{path} is no valid lock: {fault}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(mend))) from fault


def toml_place(path: RelPath, message: str) -> Location:
    """Where tomllib found the fault that it describes."""
    found = re.search(r"at line (\d+), column (\d+)", message)
    return Location(path, int(found[1]), int(found[2])) if found else Location(path)


def name_lines(text: str) -> Mapping[str, int]:
    """Where each package's table names it, for diagnostics."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _NAME.match(line):
            found.setdefault(match[1], number)
    return found


_NAME: Final = re.compile(r"""name\s*=\s*["']([^"']+)["']""")


def _refusal(document: Pylock, target: Target) -> str | None:
    if document.requires_python and not targets.accepts(target, document.requires_python):
        return f"is for Python {document.requires_python}, and {target} is asked for"
    environments = document.environments or ()
    if environments and not any(targets.holds(target, marker) for marker in environments):
        return f"was not made for {target}"
    return None


def _check_selection(
    document: Pylock, path: RelPath, extras: Collection[str], groups: Collection[str]
) -> None:
    faults = [
        *locks.unknown("extras", extras, document.extras or (), path),
        *locks.unknown("groups", groups, document.dependency_groups or (), path),
    ]
    if faults:
        raise ProjectError(*faults)


def _selected(
    document: Pylock, target: Target, extras: Collection[str], groups: Collection[str]
) -> Iterator[Package]:
    """PEP 751, "Installation": the packages whose marker holds, with the default groups."""
    environment: dict[str, str | frozenset[str]] = {
        **targets.environment(target),
        "extras": frozenset(extras),
        "dependency_groups": frozenset((*(document.default_groups or ()), *groups)),
    }
    for package in document.packages:
        if package.marker is None or package.marker.evaluate(environment, context="lock_file"):
            yield package


def _pin(package: Package, folder: str, target: Target, where: Location) -> Pinned:
    version = str(package.version) if package.version else None
    if archive := package.archive:
        url, path = _place(archive.url, archive.path, folder)
        return Pinned(
            name=package.name,
            version=version,
            hashes=locks.strong(archive.hashes),
            url=url,
            direct=True,
            path=path,
            sdist=not (url or path or "").endswith(".whl"),
            where=where,
        )
    found: Sequence[PackageWheel | PackageSdist] = [
        *(package.wheels or ()),
        *([package.sdist] if package.sdist else ()),
    ]
    files = [_file(one, folder) for one in found]
    return locks.pin_of_files(package.name, version, files, target, where=where)


def _file(one: PackageWheel | PackageSdist, folder: str) -> LockedFile:
    url, path = _place(one.url, one.path, folder)
    return LockedFile(name=one.filename, hashes=locks.strong(one.hashes), url=url, path=path)


def _place(url: str | None, path: str | None, folder: str) -> tuple[str | None, str | None]:
    """The URL, or the absolute path, of a locked file."""
    if path:
        return None, os.path.normpath(os.path.join(folder, path))
    if url and url.startswith("file:"):
        return None, os.path.normpath(unquote(urlsplit(url).path))
    return url, None
