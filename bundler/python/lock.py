"""What is installed, frozen: read from pylock.toml (PEP 751) or a requirements file with hashes."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from bundler.model import Diagnostic, Location, ProjectError, RelPath, error
from bundler.python import target as targets
from bundler.python.requirements import STRONG, Requirements, Wanted
from bundler.python.target import Target

if TYPE_CHECKING:
    from packaging.requirements import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One distribution: exactly this version, and nothing but files with these hashes."""

    name: str
    """Normalised (PEP 503)."""
    version: str | None
    """None for an archive whose name does not tell it."""
    hashes: tuple[str, ...]
    """ "<algorithm>:<hex>", sorted; any one suffices."""
    url: str | None = None
    """Where the file was when it was locked, or the direct URL that was asked for."""
    direct: bool = False
    """`url` or `path` was asked for, so no index is."""
    path: str | None = None
    """Absolute: a local file."""
    sdist: bool | None = None
    """Whether the hashes are of an sdist; None: of whatever files there are."""
    misfits: tuple[str, ...] = ()
    """Of an sdist the file names of its project's wheels, as far as the lock lists them."""
    fits: bool = True
    """False: the lock knows no file that the target could use."""
    extras: frozenset[str] = frozenset()
    where: Location | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    pins: tuple[Pinned, ...]
    """Sorted by name."""
    folders: tuple[Wanted, ...] = ()
    """Local packages: pinned by their content."""


# --- pylock.toml -----------------------------------------------------------------------------


def read_pylock(path: RelPath, root: str, target: Target) -> Lock:
    """What the file pins for the target. Raises ProjectError (`bad-lock`, `lock-target`)."""
    try:
        text = Path(root, path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "it is not UTF-8"
        raise ProjectError(
            error("bad-lock", f"can't read {path}: {reason}", Location(path))
        ) from fault
    return parse_pylock(text, path, root, target)


def parse_pylock(text: str, path: RelPath, root: str, target: Target) -> Lock:
    """The same of text that lies, or would lie, at `path`: its paths are relative to that."""
    try:
        document = Pylock.from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as fault:
        where = _toml_place(path, str(fault))
        raise ProjectError(error("bad-lock", f"{path}: {fault}", where, LOCK_HINT)) from fault
    except PylockValidationError as fault:
        message = f"{path} is no valid lock: {fault}"
        raise ProjectError(error("bad-lock", message, Location(path), LOCK_HINT)) from fault
    if refusal := _refusal(document, target):
        raise ProjectError(error("lock-target", f"{path} {refusal}", Location(path), LOCK_HINT))
    lines = _name_lines(text)
    folder = os.path.join(root, os.path.dirname(path))
    pins: list[Pinned] = []
    folders: list[Wanted] = []
    faults: list[Diagnostic] = []
    taken: set[str] = set()
    for package in _selected(document, target):
        where = Location(path, lines.get(package.name))
        if package.requires_python and not targets.accepts(target, package.requires_python):
            message = (
                f"{package.name} {package.version or ''} needs Python {package.requires_python}, "
                f"and {target} is asked for"
            )
            faults.append(error("lock-target", message, where, LOCK_HINT))
        elif package.name in taken:
            message = f"{path} pins {package.name} twice for {target}"
            faults.append(error("bad-lock", message, where, LOCK_HINT))
        elif package.vcs is not None:
            message = f"{package.name} is locked to a commit, which lambdad does not build"
            hint = "build it into a wheel and refer to that by its path"
            faults.append(error("unsupported-requirement", message, where, hint))
        elif package.directory is not None:
            local = os.path.join(
                folder, package.directory.path, package.directory.subdirectory or ""
            )
            folders.append(
                Wanted(
                    text=package.directory.path,
                    path=os.path.normpath(local),
                    editable=bool(package.directory.editable),
                    where=where,
                )
            )
        else:
            pins.append(_pin(package, folder, target, where))
        taken.add(package.name)
    if faults:
        raise ProjectError(*faults)
    return Lock(pins=tuple(sorted(pins, key=lambda pin: pin.name)), folders=tuple(folders))


LOCK_HINT: Final = "run `lambdad lock` to write it anew"


def _toml_place(path: RelPath, message: str) -> Location:
    found = re.search(r"at line (\d+), column (\d+)", message)
    return Location(path, int(found[1]), int(found[2])) if found else Location(path)


def _name_lines(text: str) -> Mapping[str, int]:
    """Where each package's table names it, for diagnostics."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"""name\s*=\s*["']([^"']+)["']""", line):
            found.setdefault(match[1], number)
    return found


def _refusal(document: Pylock, target: Target) -> str | None:
    if document.requires_python and not targets.accepts(target, document.requires_python):
        return f"is for Python {document.requires_python}, and {target} is asked for"
    environments = document.environments or ()
    if environments and not any(targets.holds(target, marker) for marker in environments):
        return f"was not made for {target}"
    return None


def _selected(document: Pylock, target: Target) -> Iterator[Package]:
    """PEP 751, "Installation": the packages whose marker holds, with the default groups."""
    environment: dict[str, str | frozenset[str]] = {
        **targets.environment(target),
        "extras": frozenset(),
        "dependency_groups": frozenset(document.default_groups or ()),
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
            hashes=_hashes(archive.hashes),
            url=url,
            direct=True,
            path=path,
            sdist=not (url or path or "").endswith(".whl"),
            where=where,
        )
    chosen: PackageWheel | PackageSdist | None = _best(package.wheels or (), target)
    is_sdist = chosen is None
    chosen = chosen or package.sdist
    if chosen is None:
        return Pinned(name=package.name, version=version, hashes=(), fits=False, where=where)
    url, path = _place(chosen.url, chosen.path, folder)
    if version is None and not is_sdist:
        version = str(parse_wheel_filename(chosen.filename)[1])
    return Pinned(
        name=package.name,
        version=version,
        hashes=_hashes(chosen.hashes),
        url=url,
        path=path,
        sdist=is_sdist,
        misfits=tuple(one.filename for one in package.wheels or () if is_sdist),
        where=where,
    )


def _best(wheels: Sequence[PackageWheel], target: Target) -> PackageWheel | None:
    """The wheel with the best tags; of equals the one with the highest build number."""
    best: tuple[tuple[int, tuple[int, str], str], PackageWheel] | None = None
    for wheel in wheels:
        rank = targets.rank(target, wheel.filename)
        if rank is None:
            continue
        build = parse_wheel_filename(wheel.filename)[2]
        number, rest = build or (0, "")
        order = (-rank, (number, rest), wheel.filename)
        if best is None or order > best[0]:
            best = (order, wheel)
    return best[1] if best else None


def _place(url: str | None, path: str | None, folder: str) -> tuple[str | None, str | None]:
    """The URL, or the absolute path, of a locked file."""
    if path:
        return None, os.path.normpath(os.path.join(folder, path))
    if url and url.startswith("file:"):
        return None, os.path.normpath(unquote(urlsplit(url).path))
    return url, None


def _hashes(found: Mapping[str, str]) -> tuple[str, ...]:
    strong = {name: digest.lower() for name, digest in found.items() if name in STRONG}
    if "sha256" in strong:
        strong = {"sha256": strong["sha256"]}
    return tuple(sorted(f"{name}:{digest}" for name, digest in strong.items()))


# --- requirements with hashes ----------------------------------------------------------------


def is_hashed(requirements: Requirements) -> bool:
    """Whether the file means to be a lock, as pip tells: one hash makes all of them required."""
    return requirements.require_hashes or any(wanted.hashes for wanted in requirements.wanted)


def from_requirements(requirements: Requirements, target: Target) -> Lock:
    """What a requirements file with hashes pins for the target.

    Raises ProjectError as pip would refuse: `partly-hashed`, `not-pinned`, `double-requirement`.
    """
    pins: dict[str, Pinned] = {}
    folders: list[Wanted] = []
    faults: list[Diagnostic] = []
    for wanted in requirements.wanted:
        if not targets.holds(target, wanted.marker):
            continue
        if wanted.is_folder:
            folders.append(wanted)
        elif not wanted.hashes:
            message = f"{wanted.text} has no hash, and others have one"
            faults.append(error("partly-hashed", message, wanted.where, LOCK_HINT))
        elif (pin := pin_of(wanted)) is None:
            message = f"{wanted.text} has a hash, but names no one version"
            hint = "pin it with ==, or run `lambdad lock`"
            faults.append(error("not-pinned", message, wanted.where, hint))
        elif (known := pins.get(pin.name)) and known.version != pin.version:
            message = f"{pin.name} is pinned to {known.version} and to {pin.version}"
            faults.append(error("double-requirement", message, wanted.where, "take one out"))
        else:
            pins[pin.name] = pin
    if faults:
        raise ProjectError(*faults)
    return Lock(pins=tuple(pins[name] for name in sorted(pins)), folders=tuple(folders))


def pin_of(wanted: Wanted) -> Pinned | None:
    if wanted.url or wanted.path:
        name, version = archive_identity(wanted)
        return Pinned(
            name=name,
            version=version,
            hashes=wanted.hashes,
            url=wanted.url,
            direct=True,
            path=wanted.path,
            sdist=not (wanted.url or wanted.path or "").partition("#")[0].endswith(".whl"),
            extras=wanted.extras,
            where=wanted.where,
        )
    assert wanted.requirement is not None  # noqa: S101 - neither URL nor path: it has a name
    version = exact_version(wanted.requirement)
    if version is None:
        return None
    return Pinned(
        name=canonicalize_name(wanted.requirement.name),
        version=version,
        hashes=wanted.hashes,
        extras=wanted.extras,
        where=wanted.where,
    )


def exact_version(requirement: Requirement) -> str | None:
    """The version that "==" (without "*") or "===" names, if it does."""
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return None
    return None if specifiers[0].version.endswith(".*") else specifiers[0].version


def name_of(wanted: Wanted) -> str:
    """The normalised name of anything but a local folder, whose name only its build tells."""
    if wanted.requirement is not None:
        return canonicalize_name(wanted.requirement.name)
    return archive_identity(wanted)[0]


def archive_identity(wanted: Wanted) -> tuple[str, str | None]:
    """An archive's name and version: as written before it, else by its file's name."""
    filename = unquote((wanted.url or wanted.path or "").partition("#")[0].rpartition("/")[2])
    stem = filename
    for ending in (".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"):
        stem = stem.removesuffix(ending)
    parts = stem.split("-")
    name, version = (parts[0], parts[1]) if filename.endswith(".whl") else _sdist_parts(stem)
    if wanted.requirement is not None:
        name = wanted.requirement.name
    return canonicalize_name(name), version or None


def _sdist_parts(stem: str) -> tuple[str, str]:
    name, _, version = stem.rpartition("-")
    return (name, version) if name else (stem, "")


# --- whether a lock still fits ---------------------------------------------------------------


def outdated(
    lock: Lock, wanted: Iterable[Wanted], constraints: Iterable[Wanted], target: Target
) -> list[tuple[str, Location]]:
    """Why the lock does not give what its source asks for; empty if it does.

    It is judged by meaning, not by time stamps: each requirement that holds for the target must be
    met by what is pinned. What the source no longer needs can't be told from a lock.
    """
    pinned = {pin.name: pin for pin in lock.pins}
    folders = {folder.path for folder in lock.folders}
    problems = []
    for asked in wanted:
        if not targets.holds(target, asked.marker):
            continue
        if asked.is_folder:
            if asked.path not in folders:
                problems.append((f"{asked.text} is not in it", asked.where))
        elif problem := _unmet(asked, pinned):
            problems.append((problem, asked.where))
    for limit in constraints:
        name = canonicalize_name(limit.requirement.name) if limit.requirement else None
        if name in pinned and targets.holds(target, limit.marker):
            assert name is not None  # noqa: S101 - a name that is pinned
            if problem := _unmet(limit, pinned):
                problems.append((problem, limit.where))
    return problems


def _unmet(asked: Wanted, pinned: Mapping[str, Pinned]) -> str | None:
    name = name_of(asked)
    pin = pinned.get(name)
    if pin is None:
        return f"{name} is not in it"
    if asked.url is not None:
        plain = asked.url.partition("#")[0]
        return None if (pin.url or "").partition("#")[0] == plain else f"{name} is not from {plain}"
    if asked.path is not None:
        return None if pin.path == asked.path else f"{name} is not from {asked.text}"
    assert asked.requirement is not None  # noqa: S101 - neither URL nor path: it has a name
    specifier = asked.requirement.specifier
    if pin.version and not specifier.contains(Version(pin.version), prereleases=True):
        return f"it pins {name} {pin.version}, and {asked.requirement} is asked for"
    return None


def unmet(
    requirements: Iterable[Requirement],
    lock: Lock,
    beside: Collection[str],
    target: Target,
    extras: frozenset[str],
) -> list[str]:
    """Which requirements of a local package's metadata the lock does not meet.

    `beside` are the names of packages that are no pins, as they are local, too.
    """
    pinned = {pin.name: pin for pin in lock.pins}
    found = []
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if name in beside or not targets.holds(target, requirement.marker, extras):
            continue
        pin = pinned.get(name)
        if pin is None:
            found.append(f"{name} is not in it")
        elif pin.version and not requirement.specifier.contains(pin.version, prereleases=True):
            found.append(f"it pins {name} {pin.version}, and {requirement} is asked for")
    return found
