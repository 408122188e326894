"""Requirement files, read statically: what is wanted, from where, and every file that decided.

The format is pip's ("Requirements File Format" in pip's documentation). What a build can't honour
is a diagnostic, never ignored.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from lambdad.bundler import trust
from lambdad.bundler.inputs.reading import LOCK, reason
from lambdad.bundler.inputs.seen import is_inside
from lambdad.bundler.model import Diagnostic, Location, ProjectError, RelPath, error
from lambdad.bundler.python.indexes import Indexes, merged
from lambdad.bundler.python.locks.lines import Line, decoded, logical_lines
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPackage:
    """One requirement as written: named, or an archive by URL, or something local."""

    text: str
    """Without its options; variables expanded."""
    where: Location
    requirement: Requirement | None = None
    """None for a local path or a URL that has no name before it."""
    url: str | None = None
    """Of an archive: a wheel or an sdist."""
    path: str | None = None
    """Absolute: a local archive, or the folder of a local package."""
    editable: bool = False
    extras: frozenset[str] = frozenset()
    marker: Marker | None = None
    hashes: tuple[str, ...] = ()
    """ "sha256:<hex>", sorted; any one suffices."""

    @property
    def is_folder(self) -> bool:
        return self.path is not None and not self.path.endswith(ARCHIVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementsFile:
    """What one file says, and all that it includes."""

    wanted: tuple[WantedPackage, ...]
    constraints: tuple[WantedPackage, ...]
    indexes: Indexes
    require_hashes: bool


ARCHIVES: Final = (".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz")

_VCS: Final = re.compile(r"^(?:[\w.\[\],-]+\s*@\s*)?(git|hg|svn|bzr)\+")
_EXTRAS: Final = re.compile(r"^(?P<path>.+?)\[(?P<extras>[^\[\]]*)\]$")
_NAME_URL: Final = re.compile(r"^[A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*@")


def read(path: RelPath, workshop: Workshop) -> RequirementsFile:
    """All that the file and those it includes say.

    Raises BundlerError `untrusted-build` if an untrusted project's file names a variable that is
    set. Raises ProjectError with every fault in them.
    """
    reading = _Reading(workshop=workshop)
    _read_file(reading, path, None, constraint=False)
    if reading.faults:
        raise ProjectError(*reading.faults)
    return RequirementsFile(
        wanted=tuple(reading.wanted),
        constraints=tuple(reading.constraints),
        indexes=reading.indexes,
        require_hashes=reading.require_hashes,
    )


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What one reading carries along and gathers."""

    workshop: Workshop
    wanted: list[WantedPackage] = field(default_factory=list)
    constraints: list[WantedPackage] = field(default_factory=list)
    indexes: Indexes = field(default_factory=Indexes)
    require_hashes: bool = False
    met: set[tuple[str, bool]] = field(default_factory=set)
    faults: list[Diagnostic] = field(default_factory=list)


def _read_file(
    reading: _Reading, path: RelPath, asked_at: Location | None, *, constraint: bool
) -> None:
    seen = reading.workshop.seen
    identity = (seen.real(path), constraint)
    if identity in reading.met:
        return  # files may include each other: pip, too, reads each once
    reading.met.add(identity)
    if not reading.workshop.trusted and not _is_own(reading, path):
        raise trust.untrusted(f"{path} is outside of the repository")
    try:
        text = decoded(seen.content(path, LOCK))
    except OSError as fault:
        message = f"can't read {path}: {reason(fault)}"
        reading.faults.append(
            error("missing-requirements", message, asked_at or Location(path), _CREATE_IT)
        )
        return
    except (UnicodeDecodeError, LookupError):
        hint = 'save it as UTF-8, or name its encoding in its first line: "# coding: latin-1"'
        message = f"{path} is not UTF-8"
        reading.faults.append(error("bad-encoding", message, Location(path), hint))
        return

    def variable(name: str) -> str | None:
        found = reading.workshop.environ.get(name)
        if found and not reading.workshop.trusted:
            raise trust.untrusted(f"{path} takes {name} out of your environment")
        return found

    for line in logical_lines(text, path, variable, constraint=constraint):
        _take_line(reading, line)


_CREATE_IT: Final = "create the file, or take the reference to it out"


def _take_line(reading: _Reading, line: Line) -> None:
    requirement, options = _split(line.text)
    try:
        tokens = shlex.split(options)
    except ValueError as fault:
        _fault(reading, line, "bad-requirement", f"can't read {options!r}: {fault}")
        return
    if requirement:
        hashes = _hashes(reading, line, tokens)
        if wanted := _wanted(reading, line, requirement, editable=False):
            _add(reading, line, replace(wanted, hashes=hashes))
    else:
        for name, value in _options(reading, line, tokens):
            _apply(reading, line, name, value)


def _split(text: str) -> tuple[str, str]:
    """The requirement, and from the first word that begins with a dash the options."""
    words = text.split(" ")
    for at, word in enumerate(words):
        if word.startswith("-"):
            return " ".join(words[:at]).strip(), " ".join(words[at:])
    return text, ""


def _hashes(reading: _Reading, line: Line, tokens: list[str]) -> tuple[str, ...]:
    found = []
    waiting = False
    for word in tokens:
        if waiting or word.startswith("--hash="):
            value = word if waiting else word.removeprefix("--hash=")
            waiting = False
            algorithm, _, digest = value.partition(":")
            if algorithm in STRONG and re.fullmatch(r"[0-9a-fA-F]+", digest):
                found.append(f"{algorithm}:{digest.lower()}")
            else:
                expected = "write sha256:<hex>, sha384:<hex> or sha512:<hex>"
                _fault(reading, line, "bad-requirement", f"{value} is no hash", expected)
        elif word == "--hash":
            waiting = True
        else:
            _fault(
                reading,
                line,
                "unsupported-option",
                f"lambdad does not support {word.partition('=')[0]} of a requirement",
                "take the option out, or build the package into a wheel and refer to that",
            )
            break
    return tuple(sorted(set(found)))


STRONG: Final = frozenset({"sha256", "sha384", "sha512"})


def _options(reading: _Reading, line: Line, tokens: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value, in any of the ways one may write it."""
    left = iter(tokens)
    for token in left:
        name, equals, value = token.partition("=") if token.startswith("--") else (token, "", "")
        if not token.startswith("--") and len(token) > 2:
            name, equals, value = token[:2], "=", token[2:].removeprefix("=")
        name = _SHORT.get(name, name)
        if name in _FLAGS or (equals and name in _VALUED):
            yield name, value
        elif name in _VALUED:
            following = next(left, None)
            if following is None:
                _fault(reading, line, "bad-requirement", f"{name} needs a value")
                return
            yield name, following
        else:
            hint = "the options it supports are listed in docs/python.md"
            _fault(
                reading, line, "unsupported-option", f"lambdad does not support {name} here", hint
            )
            return


_SHORT: Final = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "-f": "--find-links",
    "--pypi-url": "--index-url",
}
_FLAGS: Final = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})
_VALUED: Final = frozenset(
    {
        "--requirement", "--constraint", "--editable", "--index-url", "--extra-index-url",
        "--find-links", "--no-binary", "--only-binary", "--trusted-host", "--use-feature",
    }
)  # fmt: skip


def _apply(reading: _Reading, line: Line, name: str, value: str) -> None:
    if name in ("--requirement", "--constraint"):
        _include(reading, line, value, constraint=line.constraint or name == "--constraint")
    elif name == "--editable":
        if wanted := _wanted(reading, line, value, editable=True):
            _add(reading, line, wanted)
    elif name == "--require-hashes":
        reading.require_hashes = True
    elif name == "--find-links" and not _has_scheme(value):
        folder = _locate(reading, line, value)
        _index(reading, Indexes(find_links=(reading.workshop.absolute(folder),)))
    elif option := _INDEX_OPTIONS.get(name):
        _index(reading, option(value))
    # --use-feature is left: it names experiments of pip's resolver, and pip resolves nothing here.


_INDEX_OPTIONS: Final[Mapping[str, Callable[[str], Indexes]]] = {
    "--index-url": lambda value: Indexes(index_url=value),
    "--extra-index-url": lambda value: Indexes(extra_index_urls=(value,)),
    "--find-links": lambda value: Indexes(find_links=(value,)),
    "--no-index": lambda _: Indexes(no_index=True),
    "--pre": lambda _: Indexes(pre=True),
    "--prefer-binary": lambda _: Indexes(prefer_binary=True),
    "--no-binary": lambda value: Indexes(no_binary=tuple(value.split(","))),
    "--only-binary": lambda value: Indexes(only_binary=tuple(value.split(","))),
    "--trusted-host": lambda value: Indexes(trusted_hosts=(value,)),
}


def _index(reading: _Reading, more: Indexes) -> None:
    reading.indexes = merged(reading.indexes, more)


def _include(reading: _Reading, line: Line, value: str, *, constraint: bool) -> None:
    if _has_scheme(value) and not value.startswith("file:"):
        hint = "download it beside this file and refer to it by its path"
        _fault(reading, line, "remote-requirements", f"{value} is not in the project", hint)
        return
    _read_file(reading, _locate(reading, line, value), line.where, constraint=constraint)


def _wanted(reading: _Reading, line: Line, text: str, *, editable: bool) -> WantedPackage | None:
    if _VCS.match(text):
        hint = (
            "build it into a wheel, put that beside this file and refer to it by its path, "
            "or check the package out into the repository and refer to its folder"
        )
        _fault(reading, line, "unsupported-requirement", f"{text} is under version control", hint)
        return None
    try:
        named = not editable and _is_named(text)
        found = _named(reading, line, text) if named else _located(reading, line, text, editable)
        if found.marker is not None:
            found.marker.evaluate({"extra": ""})  # one that compares two texts can't be judged
        return found
    except (InvalidRequirement, InvalidMarker, UndefinedEnvironmentName, ValueError) as fault:
        reason = str(fault).splitlines()[0]
        hint = "write it as PEP 508 says: name[extra]>=1.0 ; marker"
        _fault(reading, line, "bad-requirement", f"can't read {text!r}: {reason}", hint)
        return None


def _is_named(text: str) -> bool:
    """Whether it begins with a distribution's name, as pip distinguishes it from a path."""
    if _NAME_URL.match(text):
        return True
    before_marker = text.partition(";")[0].strip()
    return not (
        _has_scheme(before_marker)
        or before_marker.startswith(".")
        or os.sep in before_marker
        or before_marker.lower().endswith(ARCHIVES)
    )


def _named(reading: _Reading, line: Line, text: str) -> WantedPackage:
    requirement = Requirement(text)
    wanted = WantedPackage(
        text=text,
        where=line.where,
        requirement=requirement,
        extras=frozenset(requirement.extras),
        marker=requirement.marker,
    )
    if requirement.url is None:
        return wanted
    if not _has_scheme(requirement.url) or requirement.url.startswith("file:"):
        return replace(wanted, path=_local(reading, line, requirement.url))
    return replace(wanted, url=requirement.url)


def _located(reading: _Reading, line: Line, text: str, editable: bool) -> WantedPackage:
    # pip: behind a URL the marker follows "; ", as ";" alone may be part of it.
    place, found, marker = text.partition("; " if _has_scheme(text) else ";")
    place = place.strip()
    extras: frozenset[str] = frozenset()
    if with_extras := _EXTRAS.match(place):
        place = with_extras["path"]
        extras = frozenset(
            extra.strip() for extra in with_extras["extras"].split(",") if extra.strip()
        )
    wanted = WantedPackage(
        text=text,
        where=line.where,
        editable=editable,
        extras=extras,
        marker=Marker(marker) if found else None,
    )
    if _has_scheme(place) and not place.startswith("file:"):
        return replace(wanted, url=place)
    return replace(wanted, path=_local(reading, line, place))


def _local(reading: _Reading, line: Line, place: str) -> str:
    """The absolute path of a local package's folder or archive; a fault if it is not there."""
    path = _locate(reading, line, place.partition("#")[0])
    absolute = os.path.normpath(reading.workshop.absolute(path))
    if not reading.workshop.seen.exists(path):
        hint = "paths are taken from this file's folder, then from the project's"
        _fault(reading, line, "missing-requirements", f"there is no {place}", hint)
    elif reading.workshop.seen.is_file(path) and not absolute.endswith(ARCHIVES):
        _fault(reading, line, "bad-requirement", f"{place} is neither a package nor an archive")
    return absolute


def _locate(reading: _Reading, line: Line, place: str) -> RelPath:
    """A path below the naming file's folder, else the project's; both count if absent."""
    root = reading.workshop.root
    if place.startswith("file:"):
        parts = urlsplit(place)
        place = unquote(parts.path) if parts.path else place.removeprefix("file:")
    folder = os.path.dirname(line.where.file)
    candidates = [
        os.path.relpath(os.path.normpath(os.path.join(root, base, place)), root)
        for base in dict.fromkeys((folder, ""))
    ]
    for candidate in candidates:
        if reading.workshop.seen.exists(candidate):
            return candidate
    return candidates[0]


def _has_scheme(place: str) -> bool:
    return re.match(r"^(?:https?|ftp|file):", place, re.IGNORECASE) is not None


def _add(reading: _Reading, line: Line, wanted: WantedPackage) -> None:
    (reading.constraints if line.constraint else reading.wanted).append(wanted)


def _fault(reading: _Reading, line: Line, code: str, message: str, hint: str | None = None) -> None:
    where = line.where
    if not _is_own(reading, where.file):
        # It may be any file of this machine, and a diagnostic goes to logs and to other people.
        message = f"a line of {where.file} can't be used as a requirement"
        hint = "the file is outside of the repository, so lambdad doesn't show its text"
        where = Location(where.file)
    reading.faults.append(error(code, message, where, hint))


def _is_own(reading: _Reading, path: RelPath) -> bool:
    """Whether the file is in the repository."""
    workshop = reading.workshop
    return is_inside(workshop.seen.real(path), (workshop.repository, workshop.root))
