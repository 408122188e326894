"""Linux: which folders are watched, chosen by us, each with a watch of its own.

- A watch is added before its folder is listed: what comes in between is reported twice, never
  missed.
- A watch follows its inode, not its path. So whatever moved is forgotten and walked anew; nothing
  pairs the two halves of a move, and nothing waits.
- That all is suspect is reported once the watches exist again: what changed before is in it.
- A root's own coming and going shows in its parents. Each has a watch for its own moves alone,
  which is silent in a busy folder; only above a root that is not there are new names heard.
"""

from __future__ import annotations

import itertools
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask

from lambdad.bundler.store.project_folder import FOLDER
from lambdad.daemon.watching.aliases import Aliases, above, resolved
from lambdad.daemon.watching.source import SHOWN, UNWATCHED, Hearing, is_covered
from lambdad.daemon.watching.watches import (
    ABOVE,
    AROUND,
    CAME,
    DENIED,
    INSIDE,
    SELF,
    WENT,
    Watched,
    Watches,
)

HALF_WRITTEN: Final = InotifyConstants.IN_CREATE | InotifyConstants.IN_MODIFY
ROUNDS: Final = 20
"""So often a root is looked for whose folders come and go while it is; `mend` does the rest."""


@dataclass(slots=True)
class _Root:
    given: str
    real: str
    """Where it is watched."""
    key: tuple[int, int] | None = None
    """Device and inode; None while it is not there."""


class Inotify:
    """The Source of Linux. One lock guards it: the reader's thread and a caller's both change it.

    `counts` reads without it, so that it never waits for a walk: it takes sizes and copies alone.
    """

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._lock = threading.RLock()
        self._watches: Watches | None = None
        self._fault = ""
        """Why the reader died."""
        self._roots: list[_Root] = []
        self._tops: frozenset[str] = frozenset()
        """Where the roots are, symlinks resolved."""
        self._folders: dict[str, Watched] = {}
        self._failed: dict[str, str] = {}
        """Those of them that could not be watched -> why."""
        self._parents: dict[str, Watched] = {}
        """Above the roots."""
        self._aliases = Aliases()

    def start(self, roots: Sequence[str]) -> None:
        with self._lock:
            self._watches = Watches(self._overflowed, self._died)
            self._fault = ""
            self.set_roots(roots)

    def stop(self) -> None:
        with self._lock:
            watches, self._watches = self._watches, None
            self._folders.clear()
            self._failed.clear()
            self._parents.clear()
            self._aliases.clear()
        if watches is not None:
            watches.stop()

    def set_roots(self, roots: Sequence[str]) -> None:
        with self._lock:
            known = {root.given: root for root in self._roots}
            for root in self._roots:
                self._aliases.remove(root.given)
            self._roots = [known.get(given) or _Root(given, given) for given in roots]
            for root in self._roots:
                self._locate(root)
            self._drop_uncovered()
            for root in self._roots:
                self._walk(root.real, tell=False)
            self._watch_parents()
            self._settle([r for r in self._roots if r.key != _key(r.real)], "a root appeared")

    def mend(self) -> None:
        with self._lock:
            if self.is_alive():
                seen = [(root, resolved(root.given)) for root in self._roots]
                moved = [r for r, real in seen if (r.real, r.key) != (real, _key(real))]
                self._settle(moved, "a root was replaced")
                self._retry()
                return
        self.stop()
        try:
            self.start([root.given for root in self._roots])
        except OSError as fault:
            self._fault = fault.strerror or str(fault)
        else:
            self._hearing.lost("the watcher was started again")

    def counts(self) -> tuple[int, int, tuple[str, ...]]:
        if not self.is_alive():
            dead = tuple(f"{root.given}: {self._fault}" for root in self._roots)
            return 0, max(len(dead), len(self._folders)), dead[:SHOWN]
        absent = [f"{root.given}: not there" for root in self._roots if root.key is None]
        failed = sorted(f"{path}: {reason}" for path, reason in self._failed.copy().items())
        watched = len(self._folders)
        return watched - len(failed), watched + len(absent), (*absent, *failed)[:SHOWN]

    def is_alive(self) -> bool:
        watches = self._watches
        return watches is not None and watches.is_alive() and not self._fault

    # --- what the reader hears, in its thread ----------------------------------------------------

    def _heard(self, folder: Watched, event: InotifyEvent) -> None:
        with self._lock:
            if self._folders.get(folder.path) is not folder:
                return  # forgotten: what replaced it was walked
            mask = event.mask
            if mask & SELF:
                self._self_moved(folder, mask)
                return
            name = os.fsdecode(event.name)
            if name == FOLDER:
                return  # our own output must not begin a build
            path = os.path.join(folder.path, name) if name else folder.path
            if name and mask & InotifyConstants.IN_ISDIR:
                self._folder_moved(path, mask)
            elif name:
                self._file_moved(folder, name, mask)
            half_written = bool(mask & HALF_WRITTEN) and not mask & InotifyConstants.IN_ISDIR
            self._tell(path, half_written=half_written)

    def _folder_moved(self, path: str, mask: int) -> None:
        """Whatever the event says, what is there by now is watched: two folders may have swapped.

        Only the creation of a known one is no news: the walk of its parent was quicker.
        """
        moved = mask & (WENT | InotifyConstants.IN_MOVED_TO)
        if moved:
            self._tell_below(path)
            self._forget(path)
        inside = f"{path}/"
        roots = [r for r in self._roots if f"{r.real}/".startswith(inside)]
        self._settle([r for r in roots if moved or r.key is None], f"{path} was moved")
        if mask & (WENT | CAME) and os.path.basename(path) not in UNWATCHED:
            self._walk(path, tell=True)

    def _file_moved(self, folder: Watched, name: str, mask: int) -> None:
        if mask & (WENT | CAME) and name in folder.links:
            self._aliases.remove(f"{folder.path}/{name}")
            folder.links.discard(name)
        if mask & CAME:
            if name == "pyvenv.cfg" and folder.path not in self._tops:
                self._forget(folder.path)  # a virtual environment is being made
            elif os.path.islink(f"{folder.path}/{name}"):
                self._link(folder, name)

    def _self_moved(self, folder: Watched, mask: int) -> None:
        """Of a folder below a root its parent reports too, except that it was unmounted."""
        how = "unmounted" if mask & InotifyConstants.IN_UNMOUNT else "moved or deleted"
        if roots := [root for root in self._roots if root.real == folder.path]:
            self._settle(roots, f"{folder.path} was {how}")
        elif how == "unmounted":
            self._forget(folder.path)
            self._walk(folder.path, tell=False)
            self._hearing.lost(f"{folder.path} was {how}")

    def _gone(self, folder: Watched) -> None:
        """The kernel dropped its watch: the folder was deleted or unmounted."""
        with self._lock:
            if self._folders.get(folder.path) is folder:
                self._forget(folder.path)
                if roots := [root for root in self._roots if root.real == folder.path]:
                    self._settle(roots, f"{folder.path} was deleted")

    def _heard_above(self, parent: Watched, event: InotifyEvent) -> None:
        with self._lock:
            if self._parents.get(parent.path) is not parent:
                return
            if event.mask & SELF:
                below = f"{parent.path}/"
                moved = [root for root in self._roots if root.real.startswith(below)]
                self._settle(moved, f"{parent.path} was moved")
            elif event.mask & CAME:
                path = os.path.join(parent.path, os.fsdecode(event.name))
                came = [r for r in self._roots if r.key is None and path in above(r.real)]
                self._settle(came, f"{path} appeared")

    def _overflowed(self) -> None:
        with self._lock:
            self._renew(self._roots)
            self._hearing.lost("the system dropped events", overflow=True)

    def _died(self, reason: str) -> None:
        self._fault = reason
        self._hearing.lost(reason)

    # --- which folders are watched ---------------------------------------------------------------

    def _settle(self, roots: Sequence[_Root], reason: str) -> None:
        """The roots are looked for again, and watched where they are now."""
        if not roots:
            return
        for root in roots:
            self._aliases.remove(root.given)
            self._locate(root)
        left = roots
        for _ in range(ROUNDS):
            self._renew(left)
            self._watch_parents()
            # What came before its parent's watch stood was not heard.
            left = [root for root in left if root.key != _key(root.real)]
            if not left:
                break
        self._hearing.lost(reason)

    def _locate(self, root: _Root) -> None:
        root.real = resolved(root.given)
        if root.real != root.given:
            self._aliases.add(root.given, root.real)

    def _renew(self, roots: Sequence[_Root]) -> None:
        """Every folder below the roots has a watch that is alive, and no other has."""
        met: set[str] = set()
        for root in roots:
            met |= self._walk(root.real, tell=False, again=True)
        renewed = frozenset(root.real for root in roots)
        for path in list(self._folders):
            if path not in met and is_covered(path, renewed):
                self._forget(path)
        self._drop_uncovered()

    def _walk(self, top: str, *, tell: bool, again: bool = False) -> set[str]:
        """Watches `top` and the folders below; known ones only `again`. Returns all it met."""
        met: set[str] = set()
        failed_before = len(self._failed)
        left = [top]
        while left:
            path = left.pop()
            if (path in self._folders and not again) or path in met or not self._watch(path):
                continue
            met.add(path)
            left += self._list(self._folders[path], tell)
        for root in self._roots:
            if root.real == top:
                root.key = _key(top) if top in self._folders else None
        if len(self._failed) > failed_before:
            path, reason = next(reversed(self._failed.items()))
            self._hearing.lost(f"{path} can't be watched: {reason}")
        return met

    def _list(self, folder: Watched, tell: bool) -> list[str]:
        """The folders in it that are to be watched; notes its symlinks."""
        try:
            with os.scandir(folder.path) as scan:
                entries = list(scan)
        except OSError:
            return []
        if folder.path not in self._tops and any(entry.name == "pyvenv.cfg" for entry in entries):
            self._forget(folder.path)
            return []
        for name in folder.links.difference(entry.name for entry in entries):
            self._aliases.remove(f"{folder.path}/{name}")
            folder.links.discard(name)
        inner = []
        for entry in entries:
            if entry.name == FOLDER:
                continue
            if tell:
                self._tell(entry.path)
            if entry.is_symlink():
                self._link(folder, entry.name)
            elif entry.is_dir(follow_symlinks=False) and entry.name not in UNWATCHED:
                inner.append(entry.path)
        return inner

    def _link(self, folder: Watched, name: str) -> None:
        folder.links.add(name)
        link = f"{folder.path}/{name}"
        self._aliases.add(link, resolved(link))

    def _watch(self, path: str) -> bool:
        """False if there is no such folder. One that can't be watched is kept as failed."""
        folder = self._folders.get(path) or Watched(path, self._heard, self._gone)
        reason = self._watches.add(folder, INSIDE) if self._watches else None
        if reason is None:
            self._forget(path)
            return False
        self._folders[path] = folder
        if (parent := self._folders.get(os.path.dirname(path))) is not None:
            parent.folders.add(os.path.basename(path))
        if reason:
            self._failed[path] = reason
        else:
            self._failed.pop(path, None)
        return True

    def _retry(self) -> None:
        """What could not be watched, until the limit is met again."""
        for path in sorted(self._failed):
            if path in self._failed and self._watch(path):
                if path not in self._failed:
                    self._walk(path, tell=False, again=True)
                elif self._failed[path] != DENIED:
                    return

    def _forget(self, top: str) -> None:
        """No watch is left on that folder or on any below."""
        if (parent := self._folders.get(os.path.dirname(top))) is not None:
            parent.folders.discard(os.path.basename(top))
        left = [top]
        while left:
            folder = self._folders.pop(left.pop(), None)
            if folder is not None:
                left += [f"{folder.path}/{name}" for name in folder.folders]
                for name in folder.links:
                    self._aliases.remove(f"{folder.path}/{name}")
                self._failed.pop(folder.path, None)
                if self._watches:
                    self._watches.remove(folder)

    def _drop_uncovered(self) -> None:
        self._tops = frozenset(root.real for root in self._roots)
        for path in [path for path in self._folders if not is_covered(path, self._tops)]:
            self._forget(path)

    def _watch_parents(self) -> None:
        """A hint's hint: what is refused here is not counted. `mend` looks at the roots too."""
        for _ in range(ROUNDS):
            if self._watches is None:
                return
            wanted = self._parents_now()
            for path, parent in list(self._parents.items()):
                if wanted.get(path) != parent.mask:
                    self._watches.remove(self._parents.pop(path))
            for path, mask in wanted.items():
                if path not in self._parents:
                    self._parents[path] = Watched(path, self._heard_above, _pass)
                if self._watches.add(self._parents[path], mask) != "":
                    self._parents.pop(path)
            if self._parents_now() == wanted:  # else a folder came before its parent's watch
                return

    def _parents_now(self) -> dict[str, Mask]:
        """Above a root that is absent new names count in the deepest folder there is."""
        wanted: dict[str, Mask] = {}
        for root in self._roots:
            absent = root.key is None
            for path in itertools.islice(above(root.real), 1, None):
                around = absent and os.path.isdir(path)
                if around or path not in wanted:
                    wanted[path] = AROUND if around else ABOVE
                absent = absent and not around
        return wanted

    # --- reporting -------------------------------------------------------------------------------

    def _tell(self, path: str, *, half_written: bool = False) -> None:
        for name in self._aliases.names(path):
            self._hearing.changed(name, half_written=half_written)

    def _tell_below(self, top: str) -> None:
        """The folders known below one that went: closures name them."""
        left = [top]
        while left:
            if (folder := self._folders.get(left.pop())) is not None:
                below = [f"{folder.path}/{name}" for name in folder.folders]
                left += below
                for path in below:
                    self._tell(path)


def _pass(_parent: Watched) -> None:
    """Its end was reported by its own event before."""


def _key(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
