"""The daemon's use of the bundler: the project as it is now, checks and builds.

Called from worker threads; what outlives a call is guarded here and handed out frozen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from lambdad.bundler import build, trust
from lambdad.bundler.build import Job
from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.snapshot import Look, Stat
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import (
    BuildRequest,
    BundlerError,
    FileKey,
    Outcome,
    Project,
    RelPath,
    Snapshot,
    Want,
    error,
)
from lambdad.bundler.report import explain
from lambdad.bundler.report.render import diagnostic_json
from lambdad.bundler.store import identity
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.store.freshness import SHOWN
from lambdad.bundler.store.identity import Identity
from lambdad.bundler.store.output import Output, manifest_entry
from lambdad.bundler.store.record import Record
from lambdad.bundler.store.store import Store, cache_folder
from lambdad.bundler.workshop import Workshop, silent
from lambdad.daemon.life import process
from lambdad.daemon.serving.schedule import Key

COLLECT_S: Final = 60.0
"""What is left behind or needed no more is looked for no more often."""


class _Requests:
    """Of one project's functions. Threads may make the same one twice, which costs time alone."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._functions = {function.name: function for function in project.functions}
        self._made: dict[Key, BuildRequest] = {}

    def get(self, key: Key) -> BuildRequest | None:
        made = self._made.get(key)
        if made is None and (function := self._functions.get(key.function)) is not None:
            want = Want(key.want)
            made = build.request_of(self.project, function, want=want, locked=key.locked)
            self._made[key] = made
        return made


class Builds:
    """One project's functions, checked and built for as long as the daemon lives."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = dict(environ)
        self._store = Store(Path(cache_folder(self._environ)))
        self._project_lock = threading.Lock()
        self._project: tuple[Project, Snapshot] | None = None
        self._requests: _Requests | None = None
        self._output = Output(root)
        self._manifest_lock = threading.Lock()
        self._manifest: tuple[FileKey | None, Mapping[str, object]] = (None, {})
        self._collect_s = 0.0
        self._memory = Memory()
        self._vouched: Identity | None = None
        """The project as it was when somebody who answers for it asked for a build."""

    def close(self) -> None:
        """Ends the tools that outlive a build."""
        self._memory.close()

    # --- the project ---------------------------------------------------------------------------

    def project(self) -> Project:
        """The configuration as it is: every file of it was looked at after this call began.

        Raises BundlerError, as reading it does.
        """
        with self._project_lock:
            if self._project is not None:
                known, seen = self._project
                if next(snapshot.changes(self._root, seen), None) is None:
                    return known
            with disk_faults():
                clock = snapshot.read_clock(self._clock())
            project = read_project(self._root, self._environ)
            self._project = project, snapshot.observe(self._root, project.inputs, since=clock)
            return project

    def _clock(self) -> str:
        self._output.prepare()
        return self._output.clock

    def _known(self) -> Project:
        return self._project[0] if self._project is not None else self.project()

    def vouch(self, *, for_good: bool = False) -> None:
        """Somebody who answers for the project asks for a build: builds may run its code from now
        on, and for good what runs on every save, too. Raises BundlerError."""
        who = identity.read(self._root)
        if who is None:
            with disk_faults():
                self._output.prepare()
            who = identity.read(self._root)
        self._vouched = who
        if for_good:
            trust.trust(self._root, self._environ)

    def is_trusted(self) -> bool:
        """Whether builds may run the project's code though nobody has asked for them."""
        if self._vouched is not None and self._vouched == identity.read(self._root):
            return True
        return trust.is_trusted(self._root, self._environ)

    def workshop(self, project: Project) -> Workshop:
        return Workshop(
            trusted=self.is_trusted(),
            root=project.root,
            repository=project.repository,
            store=self._store,
            environ=self._environ,
            memory=self._memory,
        )

    # --- checks and builds ---------------------------------------------------------------------

    def check(self, keys: Iterable[Key]) -> dict[Key, Outcome | None]:
        """Of each key its outcome if that still holds, None if it must be built.

        The configuration is not looked at again: who asks has called `project` before.
        """
        project = self._known()
        found: dict[Key, Outcome | None] = {}
        zips: list[Outcome] = []
        wanted = tuple(keys)
        once = Look() if len(wanted) > 1 else snapshot.stat_key
        for key in wanted:
            looked = self._look(project, key, once, most=1)
            found[key] = looked if isinstance(looked, Outcome) else None
            if isinstance(looked, Outcome) and key.want == Want.ZIP.value:
                zips.append(looked)
        self._tell_manifest(project, zips)
        return found

    def build(
        self,
        keys: Sequence[Key],
        note: Callable[[Key, Outcome], None],
        *,
        done: Callable[[Key, Outcome], None] = lambda _key, _outcome: None,
        say: Callable[[str], None] = silent,
    ) -> None:
        """Builds what is stale of the keys, those that are wanted alike together.

        `note` hears of each key exactly once, whatever happens. `done` may hear of it earlier, for
        people to see; `say` is the Workshop's.
        """
        left = set(keys)

        def tell(key: Key, outcome: Outcome) -> None:
            if key in left:
                left.discard(key)
                note(key, outcome)

        try:
            project = self._known()
            for want, locked in sorted({(key.want, key.locked) for key in keys}):
                alike = [key for key in keys if (key.want, key.locked) == (want, locked)]
                self._build_alike(project, alike, tell, done, say)
        except BundlerError as fault:
            for key in tuple(left):
                tell(key, _failed(key, fault.code, fault.message, fault.hint))
        finally:
            for key in tuple(left):  # our bug, which the caller logs: nobody must wait for ever
                tell(key, _failed(key, "internal-error", "lambdad failed; its log tells more"))

    def _build_alike(
        self,
        project: Project,
        keys: Sequence[Key],
        tell: Callable[[Key, Outcome], None],
        done: Callable[[Key, Outcome], None],
        say: Callable[[str], None],
    ) -> None:
        jobs: list[Job] = []
        with disk_faults():
            self._output.prepare()
            view = snapshot.view(self._output.clock)
        by_name = {key.function: key for key in keys}
        outcomes: list[Outcome] = []
        is_zip = keys[0].want == Want.ZIP.value
        later: list[Callable[[], None]] = []

        def note(outcome: Outcome) -> None:
            outcomes.append(outcome)
            (done if is_zip else tell)(by_name[outcome.name], outcome)

        for key in keys:
            looked = self._look(project, key, view.look)
            if isinstance(looked, Outcome):
                note(looked)
            else:
                jobs.append(looked)
        if jobs:
            workshop = replace(self.workshop(project), say=say, later=later.append)
            build.produce(jobs, workshop, self._output, note, view)
        if is_zip:  # who hears of a zip finds it in the manifest
            self._tell_manifest(project, outcomes)
            for outcome in outcomes:
                tell(by_name[outcome.name], outcome)
        for work in later:
            work()
        if jobs:
            self._collect(project)

    def _tell_manifest(self, project: Project, outcomes: Sequence[Outcome]) -> None:
        """Raises BundlerError. Where nothing is new it costs a stat call."""
        entries = {
            outcome.name: manifest_entry(outcome.function, outcome.artifact)
            for outcome in outcomes
            if outcome.function is not None and outcome.artifact is not None
        }
        if not entries:
            return
        path = str(self._output.manifest)
        with self._manifest_lock:
            known, told = self._manifest
            if known == snapshot.stat_key(path) and entries.items() <= told.items():
                return
            told = build.tell_manifest(project, self._output, outcomes)
            self._manifest = snapshot.stat_key(path), told

    def _collect(self, project: Project) -> None:
        with self._manifest_lock:
            due = time.monotonic() >= self._collect_s
            if due:
                self._collect_s = time.monotonic() + COLLECT_S
        if due:
            build.collect(project, self._output)

    def _look(self, project: Project, key: Key, once: Stat, most: int = SHOWN) -> Outcome | Job:
        request = self._request(project, key)
        if request is not None:
            known = self._record(key.function, request.want)
            return build.look(project.root, request, known, once=once, most=most)
        for other in project.not_built:
            if other.name == key.function:
                return build.not_built(other)
        # It was declared when it was asked for, and is no longer.
        return _failed(key, "function-gone", f"{key.function} is no longer declared")

    def _request(self, project: Project, key: Key) -> BuildRequest | None:
        """What is asked of a build under that key; None if the project declares no such function.

        Made once for a project, since a thousand of them are asked for at a time.
        """
        known = self._requests
        if known is None or known.project is not project:
            known = self._requests = _Requests(project)
        return known.get(key)

    # --- what is recorded ------------------------------------------------------------------------

    def _record(self, function: str, want: Want) -> Record | None:
        return self._memory.records.get(self._output.record(function, want))

    def recorded(self, key: Key) -> Record | None:
        """What is remembered of the function's last build as that."""
        return self._record(key.function, Want(key.want))

    def why(self, project: Project, name: str) -> dict[str, object]:
        """What `lambdad why --json` prints, of the zip, or of the live tree if there is no zip."""
        for function in project.functions:
            if function.name == name:
                zipped = self._record(name, Want.ZIP)
                live = self._record(name, Want.LIVE) if zipped is None else None
                want = Want.LIVE if live is not None else Want.ZIP
                known = live if live is not None else zipped
                stale = explain.stale_because(project, function, known, want)
                return explain.document(name, stale, known)
        (refused,) = (item for item in project.not_built if item.name == name)
        return {
            "schema": 1,
            "name": name,
            "status": refused.status,
            "diagnostics": [diagnostic_json(item) for item in refused.diagnostics],
        }

    def status(self) -> dict[str, object]:
        """Memory in bytes of this process and of esbuild, and how many contexts it holds."""
        contexts, pid = self._memory.engine()
        return {
            "memory": {
                "daemon": process.memory(os.getpid()),
                "esbuild": process.memory(pid) if pid is not None else 0,
            },
            "contexts": contexts,
        }

    def touched(self, keys: Iterable[Key], paths: frozenset[RelPath]) -> frozenset[Key]:
        """Those keys whose last build looked at a path, below it, or listed its folder."""
        listed = paths | {os.path.dirname(path) or "." for path in paths}
        records = self._memory.records

        def is_touched(key: Key) -> bool:
            place = self._output.record(key.function, Want(key.want))
            known = records.get(place)
            return known is not None and not (
                paths.isdisjoint(known.inputs.files)
                and paths.isdisjoint(known.inputs.links)
                and listed.isdisjoint(known.inputs.listings)
                and paths.isdisjoint(records.folders(place))
            )

        return frozenset(key for key in keys if is_touched(key))


def _failed(key: Key, code: str, message: str, hint: str | None = None) -> Outcome:
    return Outcome(
        name=key.function,
        function=None,
        status="failed",
        diagnostics=(error(code, message, hint=hint),),
        machine_fault=True,
    )
