"""What takes the room in a function's zip: by package and by file, before and after compression.

A zip lists its files. Whom they belong to is known from what was noted when it was built
(zip_sources.py), from `node_modules` in their paths, and from the RECORDs of Python's distributions
where it holds them.
A file that is a bundle is divided among its sources; of what it takes in the zip each gets a share
in proportion, since they were compressed together.
"""

from __future__ import annotations

import contextlib
import csv
import enum
import io
import lzma
import os
import posixpath
import re
import struct
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, BinaryIO, Final

from lambdad.bundler.zips import headers, names
from lambdad.bundler.zips.zip_sources import SOURCE_MAP, Former, Makeup

OWN: Final = "own code"
ESBUILD: Final = "added by esbuild"
"""What makes modules of a bundle's sources, banners and the like."""
SOURCE_MAPS: Final = "source maps"

_MODULES: Final = "node_modules"
_LONGEST_RECORD: Final = 64 << 20
"""Bytes of a RECORD that are read."""


class PackageKind(enum.Enum):
    """What follows a package's name."""

    OWN = "own"
    NPM = "npm"
    PYTHON = "python"
    MADE = "made"
    """Made by the build itself: ESBUILD and SOURCE_MAPS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedFile:
    """A file of the zip, or of a bundle in it one source's share."""

    path: str
    """In the zip; of a source from the project on."""
    bundle: str | None = None
    """The file of the zip that the source is in."""
    kind: PackageKind
    package: str
    home: str = ""
    """Of an npm package the folder it was taken from: there may be several by one name."""
    unzipped: int
    """Bytes."""
    zipped: int
    """Bytes in the zip, its headers included; a source's share of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    kind: PackageKind
    name: str
    unzipped: int
    zipped: int
    files: int
    copies: int
    """Of an npm package how many are in the zip; else 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of one zip; largest first, by what Lambda unpacks."""

    zipped: int
    """Bytes of the zip. Its files' own come to 22 less: the zip's end."""
    unzipped: int
    files: tuple[SizedFile, ...]
    packages: tuple[Package, ...]
    bundles: frozenset[str]
    """Those of the zip's files whose sources are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a package or a file; of one that is new or gone, 0 on the other side."""

    name: str
    bundle: str | None = None
    kind: PackageKind
    before: tuple[int, int]
    """(unzipped, zipped), in bytes."""
    now: tuple[int, int]

    @property
    def unzipped(self) -> int:
        return self.now[0] - self.before[0]

    @property
    def zipped(self) -> int:
        return self.now[1] - self.before[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What grew and shrank, the most first; what did neither is left out."""

    before: Sizes
    now: Sizes
    packages: tuple[Change, ...]
    files: tuple[Change, ...]
    whole: tuple[str, ...]
    """Bundles whose sources are known on one side only, so that they are compared as files."""


# --- a zip -----------------------------------------------------------------------------------


def of_zip(file: BinaryIO, known: Makeup | None = None, like: Sizes | None = None) -> Sizes:
    """The sizes of a zip, ours or another's. `known` is what was noted of it, if anything was;
    where neither says whose a file is, the place it has in `like` does.

    Raises OSError; zipfile.BadZipFile if it is no zip.
    """
    return _read(file, os.fstat(file.fileno()).st_size, known, like)


def of_former(former: Former, like: Sizes | None = None) -> Sizes:
    """The same of a zip that is gone. Raises OSError and zipfile.BadZipFile likewise."""
    with tempfile.TemporaryFile() as file:
        # A hole stands for what was not kept: none of it is read.
        file.seek(max(0, former.size - len(former.tail)))
        file.write(former.tail)
        return _read(file, former.size, former.makeup, like)


def _read(file: IO[bytes], size: int, known: Makeup | None, like: Sizes | None) -> Sizes:
    owners = {} if like is None else _owners_in(like)
    if known is not None:
        owners |= known.owners
    try:
        with zipfile.ZipFile(file) as opened:
            entries = [one for one in opened.infolist() if not one.is_dir()]
            owners |= _recorded(opened)
            spans = _spans(opened)
    except (NotImplementedError, ValueError, IndexError, struct.error) as fault:
        # Python's reader takes a directory at its word.
        raise zipfile.BadZipFile(f"its directory is damaged: {fault}") from fault
    bundled = known.bundled if known is not None else {}
    there = {one.filename for one in entries}
    files: list[SizedFile] = []
    bundles = set()
    for entry in entries:
        name = entry.filename
        whole = _file(name, entry.file_size, spans.get(entry.header_offset, 0), owners, there)
        sources = bundled.get(name)
        if sources and 0 < sum(sources.values()) <= whole.unzipped:
            bundles.add(name)
            files += _divided(whole, sources)
        else:
            files.append(whole)
    return _sizes(size, files, bundles)


def _spans(opened: zipfile.ZipFile) -> dict[int, int]:
    """What each file takes of the zip, by where it begins: up to the next one, and its record in
    the directory."""
    entries = sorted(opened.infolist(), key=lambda one: one.header_offset)
    ends = [*(one.header_offset for one in entries[1:]), opened.start_dir]
    return {
        one.header_offset: max(0, end - one.header_offset) + _record_size(one)
        for one, end in zip(entries, ends, strict=False)  # an empty zip has one end
    }


def _record_size(entry: zipfile.ZipInfo) -> int:
    code = "utf-8" if entry.flag_bits & headers.UTF8_FLAG else "cp437"
    name = entry.orig_filename.encode(code, "replace")
    return headers.CENTRAL.size + len(name) + len(entry.extra) + len(entry.comment)


def _file(
    name: str, unzipped: int, zipped: int, owners: Mapping[str, str], there: Collection[str]
) -> SizedFile:
    owner = _owner(name, owners)
    if owner:
        kind, package, home = PackageKind.PYTHON, owner, ""
    elif found := _npm(name):
        kind, (package, home) = PackageKind.NPM, found
    elif name.endswith(".map") and name.removesuffix(".map") in there:
        kind, package, home = PackageKind.MADE, SOURCE_MAPS, ""
    else:
        kind, package, home = PackageKind.OWN, OWN, ""
    return SizedFile(
        path=name, kind=kind, package=package, home=home, unzipped=unzipped, zipped=zipped
    )


def _owner(name: str, owners: Mapping[str, str]) -> str | None:
    """Of the longest path that has one; empty: it is own code inside of a dependency's folder."""
    path = name
    while path:
        if (owner := owners.get(path)) is not None:
            return owner
        path = path.rpartition("/")[0]
    return None


def _npm(path: str) -> tuple[str, str] | None:
    """The npm package that a path lies in, and that package's folder."""
    parts = path.split("/")
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == _MODULES:
            end = at + (3 if parts[at + 1].startswith("@") else 2)
            if end < len(parts):
                return "/".join(parts[at + 1 : end]), "/".join(parts[:end])
    return None


def _divided(bundle: SizedFile, sources: Mapping[str, int]) -> Iterator[SizedFile]:
    """A file for each source of a bundle, and one for what none of them brought."""
    rest = bundle.unzipped - sum(sources.values())
    done = taken = 0
    for path, size in [*sorted(sources.items()), ("", rest)]:
        done += size
        # Rounded where each ends: so the shares add up.
        upto = round(bundle.zipped * done / max(1, bundle.unzipped))
        share, taken = upto - taken, upto
        if size:
            part = _source(path)
            yield replace(part, bundle=bundle.path, unzipped=size, zipped=share)


def _source(path: str) -> SizedFile:
    kind, package, home = PackageKind.OWN, OWN, ""
    if not path:
        kind, package = PackageKind.MADE, ESBUILD
    elif path == SOURCE_MAP:
        kind, package = PackageKind.MADE, SOURCE_MAPS
    elif found := _npm(path.removeprefix("(disabled):")):
        kind, (package, home) = PackageKind.NPM, found
    shown = path or f"({ESBUILD})"
    return SizedFile(path=shown, kind=kind, package=package, home=home, unzipped=0, zipped=0)


def _owners_in(like: Sizes) -> dict[str, str]:
    whose = [
        (one.path, one.package if one.kind is PackageKind.PYTHON else "")
        for one in like.files
        if one.bundle is None
    ]
    return {path: owner for path, owner in names.owned(whose) if owner}


def _recorded(opened: zipfile.ZipFile) -> dict[str, str]:
    """Whose files are, as far as RECORDs in the zip say: the packaging guide's "Recording
    installed projects". Damage says nothing."""
    found = {}
    for entry in opened.infolist():
        folder, _, name = entry.filename.rpartition("/")
        if name != "RECORD" or not folder.endswith(".dist-info"):
            continue
        home, _, stem = folder.rpartition("/")
        owner = re.sub(r"[-_.]+", "-", stem.partition("-")[0]).lower()
        with contextlib.suppress(*_UNREADABLE):
            with opened.open(entry) as file:
                text = file.read(_LONGEST_RECORD).decode()
            for row in csv.reader(io.StringIO(text, newline="")):
                if row:
                    found[posixpath.normpath(posixpath.join(home, row[0]))] = owner
    return found


_UNREADABLE: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError, csv.Error),
)
"""RuntimeError: it is encrypted. NotImplementedError: another compression than Python has."""


def _sizes(zipped: int, files: Iterable[SizedFile], bundles: Collection[str]) -> Sizes:
    ordered = sorted(files, key=lambda one: (-one.unzipped, -one.zipped, one.path))
    groups: defaultdict[tuple[PackageKind, str], list[SizedFile]] = defaultdict(list)
    for one in ordered:
        groups[one.kind, one.package].append(one)
    packages = [
        Package(
            kind=kind,
            name=name,
            unzipped=sum(one.unzipped for one in members),
            zipped=sum(one.zipped for one in members),
            files=len(members),
            copies=len({one.home for one in members}),
        )
        for (kind, name), members in groups.items()
    ]
    return Sizes(
        zipped=zipped,
        unzipped=sum(one.unzipped for one in ordered),
        files=tuple(ordered),
        packages=tuple(sorted(packages, key=lambda one: (-one.unzipped, -one.zipped, one.name))),
        bundles=frozenset(bundles),
    )


# --- two zips --------------------------------------------------------------------------------


def compare(before: Sizes, now: Sizes) -> Comparison:
    """What became of each package and each file."""
    whole = _known_once(before, now) | _known_once(now, before)
    before, now = _undivided(before, whole), _undivided(now, whole)
    packages = _changes(
        {(one.kind, one.name, None): one for one in before.packages},
        {(one.kind, one.name, None): one for one in now.packages},
    )
    files = _changes(
        {(one.kind, one.path, one.bundle): one for one in before.files},
        {(one.kind, one.path, one.bundle): one for one in now.files},
    )
    return Comparison(
        before=before, now=now, packages=packages, files=files, whole=tuple(sorted(whole))
    )


def _known_once(one: Sizes, other: Sizes) -> frozenset[str]:
    """Bundles whose sources `one` names and `other` does not. Where that names none, it may have
    the same bundle at another place."""
    if not other.bundles:
        return one.bundles
    return (one.bundles - other.bundles) & {file.path for file in other.files}


def _undivided(sizes: Sizes, bundles: Collection[str]) -> Sizes:
    """The same with these bundles as the files that they are."""
    kept = [one for one in sizes.files if one.bundle not in bundles]
    for name in sizes.bundles & set(bundles):
        shares = [one for one in sizes.files if one.bundle == name]
        kept.append(
            SizedFile(
                path=name,
                kind=PackageKind.OWN,
                package=OWN,
                unzipped=sum(one.unzipped for one in shares),
                zipped=sum(one.zipped for one in shares),
            )
        )
    return _sizes(sizes.zipped, kept, sizes.bundles - set(bundles))


_Key = tuple[PackageKind, str, str | None]


def _changes(
    before: Mapping[_Key, SizedFile | Package], now: Mapping[_Key, SizedFile | Package]
) -> tuple[Change, ...]:
    found = []
    for kind, name, bundle in before.keys() | now.keys():
        key = (kind, name, bundle)
        one = Change(
            name=name,
            bundle=bundle,
            kind=kind,
            before=_both(before.get(key)),
            now=_both(now.get(key)),
        )
        if one.before != one.now:
            found.append(one)
    found.sort(key=lambda one: (-abs(one.unzipped), -abs(one.zipped), one.name, one.bundle or ""))
    return tuple(found)


def _both(one: SizedFile | Package | None) -> tuple[int, int]:
    return (one.unzipped, one.zipped) if one is not None else (0, 0)
