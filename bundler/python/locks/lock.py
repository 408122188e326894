"""What is installed, frozen: the nouns of every lock, and a requirements file with hashes as one.

The other formats have a module each, named in the table of projects.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from lambdad.bundler.inputs.reading import LOCK, reason
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Diagnostic, Location, ProjectError, RelPath, error
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks.requirements import (
    ARCHIVES,
    STRONG,
    RequirementsFile,
    WantedPackage,
)
from lambdad.bundler.python.target import Target

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One distribution: exactly this version, and nothing but files with these hashes."""

    name: str
    """Normalised (PEP 503)."""
    version: str | None
    """None for an archive whose name does not say it."""
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
    folders: tuple[WantedPackage, ...] = ()
    """Local packages: pinned by their content."""
    indexes: Indexes = field(default_factory=Indexes)
    """Where it says its files lie."""
    named: tuple[tuple[str, str], ...] = ()
    """Indexes with the names by which credentials are found: (name, URL)."""


LAMBDAD_LOCK: Final = "lambdad lock"


def anew(command: str) -> str:
    """The hint for a lock that no longer holds."""
    return f"run `{command}` to write it anew"


def text(path: RelPath, seen: Seen, mend: str) -> str:
    """Of a lock file. Raises ProjectError (`bad-lock`)."""
    try:
        # As a file that is opened as text gives it.
        return seen.content(path, LOCK).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as fault:
        why = reason(fault) if isinstance(fault, OSError) else "it is not UTF-8"
        message = f"can't read {path}: {why}"
        raise ProjectError(error("bad-lock", message, Location(path), anew(mend))) from fault


def of_version_control(name: str, where: Location) -> Diagnostic:
    message = f"{name} is locked to a commit, which lambdad does not build"
    hint = (
        "build it into a wheel and refer to that by its path, or check the package out into the "
        "repository and refer to its folder"
    )
    return error("unsupported-requirement", message, where, hint)


def unknown(
    setting: str, asked: Iterable[str], known: Iterable[str], path: RelPath
) -> list[Diagnostic]:
    """Of the `extras` or `groups` that the configuration names, those that the file has not."""
    there = {canonicalize_name(name): name for name in known}
    has = f"it has {', '.join(there[name] for name in sorted(there))}" if there else "it has none"
    return [
        error(
            "unknown-extra",
            f"{setting} names {name}, which {path} does not declare: {has}",
            Location(path),
            f"correct {setting} in lambdad.toml",
        )
        for name in asked
        if canonicalize_name(name) not in there
    ]


# --- one file of many ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """A file that a lock lists for a distribution."""

    name: str
    hashes: tuple[str, ...]
    url: str | None = None
    path: str | None = None
    """Absolute."""


def pin_of_files(
    name: str,
    version: str | None,
    files: Sequence[LockedFile],
    target: Target,
    *,
    extras: frozenset[str] = frozenset(),
    where: Location | None = None,
) -> Pinned:
    """The distribution at the file that fits the target best: a wheel, else its sdist."""
    wheels = [file for file in files if file.name.endswith(".whl")]
    sdists = [file for file in files if file not in wheels and file.name.endswith(ARCHIVES)]
    wheel = _best(wheels, target)
    chosen = wheel or min(sdists, key=lambda file: not file.name.endswith(".tar.gz"), default=None)
    if chosen is None:
        return Pinned(name=name, version=version, hashes=(), fits=False, extras=extras, where=where)
    if version is None and wheel is not None:
        version = str(parse_wheel_filename(wheel.name)[1])
    return Pinned(
        name=name,
        version=version,
        hashes=chosen.hashes,
        url=chosen.url,
        path=chosen.path,
        sdist=wheel is None,
        misfits=() if wheel else tuple(file.name for file in wheels),
        extras=extras,
        where=where,
    )


def _best(wheels: Sequence[LockedFile], target: Target) -> LockedFile | None:
    """The wheel with the best tags; of equals the one with the highest build number."""
    best: tuple[tuple[int, tuple[int, str], str], LockedFile] | None = None
    for wheel in wheels:
        rank = targets.rank(target, wheel.name)
        if rank is None:
            continue
        build = parse_wheel_filename(wheel.name)[2]
        number, rest = build or (0, "")
        order = (-rank, (number, rest), wheel.name)
        if best is None or order > best[0]:
            best = (order, wheel)
    return best[1] if best else None


def checked(found: Iterable[object]) -> tuple[str, ...]:
    """Of texts such as "sha256:<hex>" those worth checking, as Pinned has them."""
    kept = set()
    for text in found:
        if isinstance(text, str):
            algorithm, _, digest = text.partition(":")
            if algorithm in STRONG and re.fullmatch(r"[0-9a-fA-F]+", digest):
                kept.add(f"{algorithm}:{digest.lower()}")
    return tuple(sorted(kept))


def strong(found: Mapping[str, str]) -> tuple[str, ...]:
    """The hashes worth checking, as Pinned has them: sha256 alone where there is one."""
    kept = {name: digest.lower() for name, digest in found.items() if name in STRONG}
    if "sha256" in kept:
        kept = {"sha256": kept["sha256"]}
    return tuple(sorted(f"{name}:{digest}" for name, digest in kept.items()))


# --- requirements with hashes ----------------------------------------------------------------


def is_hashed(requirements: RequirementsFile) -> bool:
    """Whether the file is a lock, by pip's rule: one hash makes all of them required."""
    return requirements.require_hashes or any(wanted.hashes for wanted in requirements.wanted)


def from_requirements(requirements: RequirementsFile, target: Target) -> Lock:
    """What a requirements file with hashes pins for the target.

    Raises ProjectError as pip would refuse: `partly-hashed`, `not-pinned`, `double-requirement`.
    """
    pins: dict[str, Pinned] = {}
    folders: list[WantedPackage] = []
    faults: list[Diagnostic] = []
    for wanted in requirements.wanted:
        if not targets.holds(target, wanted.marker):
            continue
        if wanted.is_folder:
            folders.append(wanted)
        elif not wanted.hashes:
            message = f"{wanted.text} has no hash, and others have one"
            faults.append(error("partly-hashed", message, wanted.where, anew(LAMBDAD_LOCK)))
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


def pin_of(wanted: WantedPackage) -> Pinned | None:
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
    version = exact_version(wanted.requirement.specifier)
    if version is None:
        return None
    return Pinned(
        name=canonicalize_name(wanted.requirement.name),
        version=version,
        hashes=wanted.hashes,
        extras=wanted.extras,
        where=wanted.where,
    )


def exact_version(specifier: SpecifierSet) -> str | None:
    """The version that "==" (without "*") or "===" names, if it does."""
    specifiers = list(specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return None
    return None if specifiers[0].version.endswith(".*") else specifiers[0].version


def name_of(wanted: WantedPackage) -> str:
    """The normalised name of anything but a local folder, whose name only its build shows."""
    if wanted.requirement is not None:
        return canonicalize_name(wanted.requirement.name)
    return archive_identity(wanted)[0]


def archive_identity(wanted: WantedPackage) -> tuple[str, str | None]:
    """An archive's name and version: as written before it, else by its file's name."""
    filename = unquote((wanted.url or wanted.path or "").partition("#")[0].rpartition("/")[2])
    stem = filename
    for ending in (".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"):
        stem = stem.removesuffix(ending)
    if filename.endswith(".whl"):
        name, _, rest = stem.partition("-")
        version = rest.partition("-")[0]
    else:
        name, version = _sdist_parts(stem)
    if wanted.requirement is not None:
        name = wanted.requirement.name
    return canonicalize_name(name), version or None


def _sdist_parts(stem: str) -> tuple[str, str]:
    name, _, version = stem.rpartition("-")
    return (name, version) if name else (stem, "")


# --- whether a lock still fits ---------------------------------------------------------------


def no_longer_fits(path: RelPath, reason: str, where: Location, mend: str) -> Diagnostic:
    message = f"{path} no longer fits {where.file}: {reason}"
    return error("lock-outdated", message, where, anew(mend))


def outdated(
    lock: Lock,
    wanted: Iterable[WantedPackage],
    constraints: Iterable[WantedPackage],
    target: Target,
) -> list[tuple[str, Location]]:
    """Why the lock does not give what its source asks for; empty if it does.

    It is judged by meaning, not by time stamps: each requirement that holds for the target must be
    met by what is pinned. A lock does not show what the source no longer needs.
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


def _unmet(asked: WantedPackage, pinned: Mapping[str, Pinned]) -> str | None:
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
