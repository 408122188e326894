"""An InputSet at one moment: what is observed now, and whether it is as it was.

The keys and their limits are freshness rules 3 and 4 of docs/design.md; docs/freshness.md explains
them to users.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from lambdad.bundler.inputs.counted import counted_names, kind_of
from lambdad.bundler.model import FileKey, InputSet, Listing, Names, RelPath, Snapshot, Stems

FOREIGN_SLACK_NS: Final = 2_000_000_000
"""On a file system whose clock we did not read, this much nearness makes an input suspect."""

NO_DEVICE: Final = -1

Stat = Callable[[str], FileKey | None]
"""What lies at an absolute path, symlinks followed, a folder's times included."""

_FIELDS: Final[Callable[[os.stat_result], Any]] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode"
)
"""A FileKey's, in one go: this is most of what a look at an unmoved file costs."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A reading of the project's file system's own clock, taken by touching a file there."""

    device: int
    now_ns: int


def read_clock(touched: str) -> Clock:
    """A write that follows this call has a ctime of at least `now_ns`. Raises OSError."""
    with open(touched, "ab") as file:
        os.utime(file.fileno())
        status = os.fstat(file.fileno())
    return Clock(status.st_dev, status.st_ctime_ns)


def any_clock() -> Clock:
    """The machine's, where there is no file to touch: everything young is suspect."""
    return Clock(NO_DEVICE, time.time_ns())


def stat_key(path: str) -> FileKey | None:
    """A `Stat` that looks each time."""
    try:
        return key_of(os.stat(path))
    except (OSError, ValueError):
        return None


def _raw_key(path: str) -> FileKey | None:
    """`stat_key` for a comparison alone, where a plain tuple is as good."""
    try:
        raw: FileKey = _FIELDS(os.stat(path))
    except (OSError, ValueError):
        return None
    return raw


class Look(dict[str, FileKey | None]):
    """A `Stat` that looks once: the view that one build begins with, however many parts of it ask.

    What comes after a build has begun is the business of its clock and of the look after it.
    """

    def __missing__(self, path: str) -> FileKey | None:
        key = self[path] = stat_key(path)
        return key

    __call__ = dict.__getitem__


@dataclass(frozen=True, slots=True)
class View:
    """What a build begins with. The clock comes first: what changes after a file was looked at has
    a ctime that is not older."""

    clock: Clock
    look: Look


def view(clock: Clock) -> View:
    """One that begins now; the clock was read just before."""
    return View(clock, Look())


def observe(
    root: str,
    inputs: InputSet,
    since: Clock | None = None,
    *,
    known: Snapshot | None = None,
    look: Stat = stat_key,
) -> Snapshot:
    """The inputs' keys now. With `since`, those that changed at or after it are suspects.

    `known` was observed earlier: what was in folders that have not moved is not read again.
    """
    above = None if known is None or not known.above else _same_above(inputs, known)
    held = known.files if known is not None else {}
    listed = known.listings if known is not None else {}
    doubted = known.suspects if known is not None else frozenset()
    snapshot = Snapshot(
        files={
            path: _one_of(held.get(path), _without_times(look(f"{root}/{path}")))
            for path in _in_turn(inputs.files)
        },
        links={path: link_key(f"{root}/{path}") for path in sorted(inputs.links)},
        listings={
            path: observe_listing(
                root, path, names, known=None if path in doubted else listed.get(path), look=look
            )
            for path, names in sorted(inputs.listings.items())
        },
        above={path: look(f"{root}/{path}") for path in above or _above(root, inputs)},
    )
    return snapshot if since is None else replace(snapshot, suspects=_suspects(snapshot, since))


def _above(root: str, inputs: InputSet) -> set[RelPath]:
    """The folders that lead to the inputs and to the root, those left out that are listed.

    A file's own key does not show that a folder above it was moved: away while the file was looked
    for, or another in its place while it was read.
    """
    met = {"/".join([".."] * count) for count in range(1, root.count("/") + 1)}
    paths = [*inputs.files, *inputs.links, *inputs.listings]
    for link in inputs.links & inputs.listings.keys():  # walked into
        paths.append(os.path.relpath(os.path.realpath(f"{root}/{link}"), root))
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in met:
            met.add(folder)
            folder = folder.rpartition("/")[0]
    return (met | {"."}) - inputs.listings.keys()


def _one_of(known: FileKey | None, now: FileKey | None) -> FileKey | None:
    """The known one if they are equal: ten thousands of them are kept."""
    return known if known == now else now


def _same_above(inputs: InputSet, known: Snapshot) -> Collection[RelPath] | None:
    """What `_above` gives, if it was worked out for these inputs already."""
    same = (
        inputs.files == known.files.keys()
        and inputs.links == known.links.keys()
        and inputs.listings.keys() == known.listings.keys()
        and inputs.links.isdisjoint(inputs.listings)  # else it depends on where these lead
    )
    return known.above.keys() if same else None


def _in_turn(files: Collection[RelPath]) -> Iterator[RelPath]:
    """Sorted, what was written here before what was installed: it moves more often, and who only
    asks whether anything moved need not look further."""
    installed = []
    for path in sorted(files):
        if "node_modules/" in path:
            installed.append(path)
        else:
            yield path
    yield from installed


def folders(seen: Snapshot) -> frozenset[RelPath]:
    """Those that lead to the inputs, and those that are listed."""
    found = set(seen.listings)
    for path in (*seen.files, *seen.links, *seen.listings):
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(found)


def inputs_of(snapshot: Snapshot) -> InputSet:
    return InputSet(
        files=frozenset(snapshot.files),
        links=frozenset(snapshot.links),
        listings={path: listing.counted for path, listing in snapshot.listings.items()},
    )


def changes(root: str, snapshot: Snapshot, look: Stat = stat_key) -> Iterator[str]:
    """Why the snapshot no longer holds, a reason for each input that moved; nothing if it holds.

    This is the request path: for an unmoved input it costs one stat call and a comparison.
    """
    if look is stat_key:
        look = _raw_key
    for path in snapshot.suspects:
        yield f"{path} may have changed while the last build read it"
    lstat = os.lstat
    for path, key in snapshot.files.items():
        now = look(f"{root}/{path}")
        if now != key and (now := _without_times(now and FileKey._make(now))) != key:
            yield _reason(path, key, now)
    for path, key in snapshot.links.items():
        try:
            status = lstat(f"{root}/{path}")
        except (OSError, ValueError):
            now = None
        else:
            now = key_of(status)
        if now != key:
            yield f"{path} leads elsewhere" if now and key else _reason(path, key, now)
    for path, listing in snapshot.listings.items():
        if look(f"{root}/{path}") != listing.key:
            yield from _listing_changes(root, path, listing)


def moved_between(before: Snapshot | None, after: Snapshot, since: Clock) -> tuple[RelPath, ...]:
    """The inputs that did not hold still while a build ran, which read the clock as it began.

    A folder counts if its counted names differ, or if it was itself moved: away, and back. What
    `before` does not know counts if it changed later than the clock's tick.
    """
    if before is None:
        return tuple(sorted(_met_young((), after, since)))
    moved = {path for path, key in before.files.items() if after.files.get(path, key) != key}
    moved |= {path for path, key in before.links.items() if after.links.get(path, key) != key}
    for path, listing in before.listings.items():
        later = after.listings.get(path, listing)
        if later.counted == listing.counted and (
            later.names != listing.names or _was_away(listing.key, later.key)
        ):
            moved.add(path)
    moved |= {
        path for path, key in before.above.items() if _was_away(key, after.above.get(path, key))
    }
    known = before.files.keys() | before.links.keys() | before.above.keys()
    return tuple(sorted(moved.union(_met_young(known, after, since))))


def _met_young(known: Collection[RelPath], after: Snapshot, since: Clock) -> Iterator[RelPath]:
    for path in after.suspects.difference(known):
        key = after.files.get(path) or after.links.get(path)
        folder = after.above.get(path)
        if key is None and folder is not None and folder.mtime_ns < since.now_ns:
            key = folder
        if key is not None and key.device == since.device and key.ctime_ns > since.now_ns:
            yield path


def _was_away(before: FileKey | None, now: FileKey | None) -> bool:
    """A rename of the folder itself moves its ctime; what happens in it moves its mtime, too."""
    return (
        before is not None
        and now is not None
        and before.ctime_ns != now.ctime_ns
        and before.mtime_ns == now.mtime_ns
    )


def file_key(path: str) -> FileKey | None:
    """Of the file that the path leads to; None if there is none. A folder's times do not count."""
    return _without_times(stat_key(path))


def _without_times(key: FileKey | None) -> FileKey | None:
    if key is None or not stat.S_ISDIR(key.mode):
        return key
    return key._replace(size=0, mtime_ns=0, ctime_ns=0)


def key_of(status: os.stat_result) -> FileKey:
    """Of what a stat call returned, times of folders included."""
    return FileKey._make(_FIELDS(status))


def link_key(path: str) -> FileKey | None:
    """Of the symlink itself."""
    try:
        return key_of(os.lstat(path))
    except (OSError, ValueError):
        return None


def observe_listing(
    root: str,
    path: RelPath,
    counted: Names,
    *,
    known: Listing | None = None,
    look: Stat = stat_key,
) -> Listing:
    # The key first: what comes into the folder after it moves the key again.
    key = look(f"{root}/{path}")
    if key is not None and not stat.S_ISDIR(key.mode):
        key = None
    if known is not None and known.key == key and known.counted == counted:
        return known
    return Listing(key, counted, _names(root, path, counted) if key else ())


def _names(root: str, path: RelPath, counted: Names) -> tuple[str, ...]:
    folder = f"{root}/{path}"
    with contextlib.suppress(OSError):
        if isinstance(counted, Stems):
            with os.scandir(folder) as entries:
                return tuple(
                    sorted(
                        f"{entry.name}/{kind_of(entry)}"
                        for entry in entries
                        if counted.covers(entry.name)
                    )
                )
        below_top = "" if path == counted.top else os.path.relpath(path, counted.top)
        return counted_names(folder, below_top, counted)
    return ()


def _listing_changes(root: str, path: RelPath, listing: Listing) -> Iterator[str]:
    now = observe_listing(root, path, listing.counted)
    if (now.key is None) != (listing.key is None):
        yield f"{path} is gone" if now.key is None else f"{path} appeared"
        return
    before, after = set(listing.names), set(now.names)
    for name in sorted(before ^ after):
        bare, _, _kind = name.rpartition("/")
        shown = bare if path == "." else f"{path}/{bare}"
        if name in after:
            yield f"{shown} appeared"
        elif not any(other.rpartition("/")[0] == bare for other in after):
            yield f"{shown} is gone"


def _reason(path: RelPath, before: FileKey | None, now: FileKey | None) -> str:
    if before is None:
        return f"{path} appeared"
    return f"{path} is gone" if now is None else f"{path} changed"


def _suspects(snapshot: Snapshot, since: Clock) -> frozenset[RelPath]:
    def near(key: FileKey) -> bool:
        start = since.now_ns if key.device == since.device else earliest
        return key.ctime_ns >= start or key.mtime_ns >= start

    def moved(path: RelPath, key: FileKey) -> bool:
        if path.strip("./") or path == ".":
            return near(key)
        # Above the project others come and go all the time; that it was moved itself is seen by
        # the ctime alone.
        return near(key) and not near(key._replace(ctime_ns=0))

    earliest = since.now_ns - FOREIGN_SLACK_NS
    keys = [*snapshot.files.items(), *snapshot.links.items()]
    keys += [(path, listing.key) for path, listing in snapshot.listings.items()]
    young = [
        (path, key) for path, key in keys if key and (key[3] >= earliest or key[4] >= earliest)
    ]
    found = {path for path, key in young if near(key)}
    return frozenset(
        found.union(path for path, key in snapshot.above.items() if key and moved(path, key))
    )
