"""The freshness rules, each removed on purpose: what the torture must catch.

Applied in the daemon's process before it serves (host.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from lambdad.bundler import build
from lambdad.bundler.esbuild import contexts
from lambdad.bundler.esbuild.known import BUNDLES, Known
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.javascript import bundled
from lambdad.bundler.model import InputSet, ProjectError, Snapshot
from lambdad.bundler.store.reread import Reread
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.serving import schedule
from lambdad.daemon.serving.builds import Builds
from lambdad.daemon.serving.schedule import Key


def put(place: object, name: str, new: object) -> None:
    """In place of what is there: a mutant of nothing proves nothing."""
    assert hasattr(place, name), f"{place} has no {name}"
    setattr(place, name, new)


def _joins_the_running_turn() -> None:
    """Rule 1: who asks while a turn runs gets its answer, begun before the save."""

    def ask(self: Any, request: int, keys: Iterable[Key]) -> None:
        for key in keys:
            task = self.tasks.get(key)
            if task is None:
                self.begin(key, frozenset({request}))
            else:
                self.tasks[key] = replace(task, joined=task.joined | {request})
        if not self.waits[request].pending:
            self.reply(request)

    put(schedule._Turn, "ask", ask)


def _believes_the_watcher() -> None:
    """What no event touched is not looked at."""
    heard: set[str] = set()
    check, touched = Builds.check, Builds.touched
    known: dict[Key, Any] = {}

    def hear(self: Builds, keys: Iterable[Key], paths: frozenset[str]) -> frozenset[Key]:
        found = touched(self, keys, paths)
        heard.update(key.function for key in found)
        return found

    def believe(self: Builds, keys: Iterable[Key]) -> dict[Key, Any]:
        wanted = list(keys)
        looked = [key for key in wanted if key not in known or key.function in heard]
        heard.difference_update(key.function for key in looked)
        for key, outcome in check(self, looked).items():
            known[key] = outcome
            if outcome is None:
                known.pop(key)
        return {key: known.get(key) for key in wanted}

    put(Builds, "touched", hear)
    put(Builds, "check", believe)


def _no_ctime() -> None:
    """Rule 3."""

    def fields(status: os.stat_result) -> tuple[int, ...]:
        return (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            0,
            status.st_mode,
        )

    put(snapshot, "_FIELDS", fields)


def _no_absence() -> None:
    """Rule 3: that a file is not there is no key."""
    real = snapshot.changes

    def changes(root: str, seen: Snapshot, *rest: Any) -> Iterator[str]:
        there = {path: key for path, key in seen.files.items() if key is not None}
        known = {path: one for path, one in seen.listings.items() if one.names}
        return real(root, replace(seen, files=there, listings=known), *rest)

    put(snapshot, "changes", changes)


def _no_suspects() -> None:
    """Rule 4."""
    put(snapshot, "_suspects", lambda _snapshot, _since: frozenset())


def _never_superseded() -> None:
    """Rule 5."""
    put(snapshot, "moved_between", lambda *_given: ())


def _failures_forget() -> None:
    """Rule 6: a failed build knows of its entry alone."""
    finish = build._finish

    def after_failure(turn: Any, packed: Any, *rest: Any) -> Any:
        if isinstance(packed, ProjectError):
            left = Seen(turn.seen.root, turn.seen.repository)
            files = turn.seen.inputs().files
            left.file(*(path for path in files if os.path.basename(path).startswith("handler")))
            turn = replace(turn, job=replace(turn.job, record=None), before=None, seen=left)
        return finish(turn, packed, *rest)

    put(build, "_finish", after_failure)


def _without(*ends: str) -> Callable[[], None]:
    def apply() -> None:
        real = bundled._Packer._closure

        def closure(self: Any, one: Any, sources: Any, seen: Seen) -> None:
            inner = Seen(seen.root, seen.repository)
            real(self, one, sources, inner)
            found = inner.inputs()
            files = frozenset(
                path
                for path in found.files
                if not (os.path.basename(path).startswith(ends) and path.endswith(".json"))
            )
            seen.add(replace(found, files=files))

        put(bundled._Packer, "_closure", closure)

    return apply


def _observing(change: Callable[[InputSet], InputSet]) -> Callable[[], None]:
    def apply() -> None:
        real = snapshot.observe

        def observe(root: str, inputs: InputSet, *rest: Any, **more: Any) -> Snapshot:
            return real(root, change(inputs), *rest, **more)

        put(snapshot, "observe", observe)

    return apply


def _believes_the_closure() -> None:
    """Rule 7: what a bundle's plan and closure followed from is taken to be as it was."""

    def recall(key: object, workshop: Workshop) -> Known | None:
        kept = workshop.memory.shelf(BUNDLES).get(key) if workshop.memory is not None else None
        return kept.value if kept is not None else None

    put(bundled, "recall", recall)


def _believes_contexts() -> None:
    """esbuild's cache ignores ctime, and we with it."""
    put(contexts._Kept, "holds", lambda self, look: True)
    put(contexts._Kept, "reads", _read)


def _read(kept: Any, _files: Iterable[str]) -> bool:
    kept.unread = None
    return True


def _forgets_files(*fragments: str) -> Callable[[], None]:
    """The recorder lets go of files whose path holds one of these."""

    def apply() -> None:
        real = Seen.inputs

        def inputs(self: Seen) -> InputSet:
            found = real(self)
            files = frozenset(
                path for path in found.files if not any(each in path for each in fragments)
            )
            return replace(found, files=files)

        put(Seen, "inputs", inputs)

    return apply


def _remembers_dependencies() -> None:
    """Rule 8: dependencies once known are believed without a look."""

    put(Kept, "holds", lambda *_given: True)


def _reads_configuration_once() -> None:
    """Rule 9."""
    real = Reread.now

    def now(self: Reread[Any]) -> Any:
        return real(self) if self._kept is None else self._kept.value

    put(Reread, "now", now)


MUTANTS: Final[Mapping[str, Callable[[], None]]] = MappingProxyType(
    {
        "joins-the-running-turn": _joins_the_running_turn,
        "believes-the-watcher": _believes_the_watcher,
        "no-ctime": _no_ctime,
        "no-absence": _no_absence,
        "no-suspects": _no_suspects,
        "never-superseded": _never_superseded,
        "failures-forget": _failures_forget,
        "no-package-json": _without("package"),
        "no-tsconfig": _without("tsconfig"),
        "no-listings": _observing(lambda inputs: replace(inputs, listings={})),
        "no-links": _observing(lambda inputs: replace(inputs, links=frozenset())),
        "believes-the-closure": _believes_the_closure,
        "believes-contexts": _believes_contexts,
        "no-requirements": _forgets_files("requirements"),
        "no-npm-lock": _forgets_files("package-lock.json"),
        "remembers-dependencies": _remembers_dependencies,
        "reads-configuration-once": _reads_configuration_once,
    }
)
