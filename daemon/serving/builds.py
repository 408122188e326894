"""The daemon's use of the bundler: the project as it is now, checks and builds.

Called from worker threads; what outlives a call is guarded here and handed out frozen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from lambdad.bundler import build, trust
from lambdad.bundler.build import Job
from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import (
    BuildRequest,
    BuildResult,
    BundlerError,
    Failed,
    Outcome,
    Project,
    RelPath,
    Want,
    error,
)
from lambdad.bundler.report import explain
from lambdad.bundler.report.render import diagnostic_json, status
from lambdad.bundler.store import identity, project_state, record_cache
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.store.identity import Identity
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.project_state import ProjectState
from lambdad.bundler.store.record import Record
from lambdad.bundler.store.reread import Reread
from lambdad.bundler.store.store import store_of
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.toolchain import request_of
from lambdad.bundler.workshop import Workshop, silent
from lambdad.daemon.life import process
from lambdad.daemon.serving.schedule import Key

COLLECT_S: Final = 60.0
"""What is left behind or needed no more is looked for no more often."""


class _Declared:
    """One reading of the project, with what is made once for it. Threads may make the same request
    twice, which costs time alone."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.upkeep = Upkeep(project, pause_s=COLLECT_S)
        self.functions = {function.name: function for function in project.functions}
        self._requests: dict[Key, BuildRequest] = {}

    def request(self, key: Key) -> BuildRequest | None:
        """The request for a build under that key; None if no such function is declared."""
        made = self._requests.get(key)
        if made is None and (function := self.functions.get(key.function)) is not None:
            made = request_of(self.project, function, want=key.want, locked=key.locked)
            self._requests[key] = made
        return made

    def absent(self, key: Key) -> Outcome:
        """What becomes of a key whose function is not built, or is no longer declared."""
        for other in self.project.not_built:
            if other.name == key.function:
                return other.outcome
        # It was declared when it was asked for.
        return _failed(key, "function-gone", f"{key.function} is no longer declared")


class Builds:
    """One project's functions, checked and built for as long as the daemon lives."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = dict(environ)
        self._store = store_of(self._environ, root)
        self._declared = Reread(
            root,
            lambda: _Declared(read_project(root, self._environ)),
            lambda declared: declared.project.inputs,
        )
        self._memory = Memory()
        self._vouched: Identity | None = None
        """The project as it was when a person who trusts it gave the command to build."""

    def close(self) -> None:
        """Ends the tools that outlive a build."""
        self._memory.close()

    # --- the project ---------------------------------------------------------------------------

    def project(self, *, prepare: bool = False) -> Project:
        """The configuration as it is: every file of it was looked at after this call began.

        With `prepare`, the project's .lambdad is there afterwards. No build makes it: one that runs
        ahead of requests would stand in the way of a user who is removing the project.

        Raises BundlerError, as reading it does, and `not-ours`.
        """
        if prepare:
            folder = ProjectFolder(self._root)
            if not folder.is_there():
                read_project(self._root, self._environ)  # where none is described, none is made
            with disk_faults():
                folder.prepare()
        return self._declared.now().project

    def vouch(self, *, for_good: bool = False) -> None:
        """A person who trusts the project gave the command to build: builds may run its code from
        now on, and for good what runs on every save, too. Raises BundlerError."""
        who = identity.read(self._root)
        if who is None:
            self.project(prepare=True)
            who = identity.read(self._root)
        self._vouched = who
        if for_good:
            trust.trust(self._root, self._environ)

    def is_trusted(self) -> bool:
        """Whether builds may run the project's code without a person's command."""
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
        declared = self._declared.last()
        found: dict[Key, Outcome | None] = {}
        zips: list[BuildResult] = []
        wanted = tuple(keys)
        once = Look() if len(wanted) > 1 else snapshot.stat_key
        state = self._state()
        for key in wanted:
            request = declared.request(key)
            if request is None:
                found[key] = declared.absent(key)
                continue
            looked = build.look_at(request, state, self._memory, once=once, most=1)
            found[key] = None if isinstance(looked, Job) else looked
            if not isinstance(looked, Job) and key.want is Want.ZIP:
                zips.append(looked)
        if zips:
            declared.upkeep.tell(zips, state)
        return found

    def build(
        self,
        keys: Sequence[Key],
        settled: Callable[[Key, Outcome], None],
        *,
        shown: Callable[[Key, Outcome], None] = lambda _key, _outcome: None,
        say: Callable[[str], None] = silent,
    ) -> None:
        """Builds what is stale of the keys, those that are wanted alike together.

        `settled` is called for each key exactly once, whatever happens. `shown` may be called with
        it earlier, for people to see; `say` is the Workshop's.
        """
        left = set(keys)

        def settle(key: Key, outcome: Outcome) -> None:
            if key in left:
                left.discard(key)
                settled(key, outcome)

        try:
            declared = self._declared.last()
            workshop = replace(self.workshop(declared.project), say=say)
            for want, locked in dict.fromkeys((key.want, key.locked) for key in keys):
                alike = [key for key in keys if (key.want, key.locked) == (want, locked)]
                _build_alike(declared, alike, workshop, shown, settle)
        except BundlerError as fault:
            for key in tuple(left):
                settle(key, _failed(key, fault.code, fault.message, fault.hint))
        finally:
            for key in tuple(left):  # our bug, which the caller logs: no request may wait for ever
                settle(key, _failed(key, "internal-error", "lambdad failed; its log says more"))

    # --- what is recorded ------------------------------------------------------------------------

    def _state(self) -> ProjectState:
        return project_state.of(self._root, self._environ)

    def recorded(self, key: Key) -> Record | None:
        """What is recorded of the function's last build as that. Raises BundlerError `not-ours`."""
        return self._record(key.function, key.want)

    def _record(self, function: str, want: Want) -> Record | None:
        return build.recorded(self._state(), function, want, self._memory)

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
            "status": status(refused.outcome),
            "diagnostics": [diagnostic_json(item) for item in refused.diagnostics],
        }

    def status(self) -> dict[str, object]:
        """Memory in bytes of this process and of esbuild, and how many contexts it holds."""
        engine = self._memory.running
        pid = engine.pid if engine is not None else None
        return {
            "memory": {
                "daemon": process.memory(os.getpid()),
                "esbuild": process.memory(pid) if pid is not None else 0,
            },
            "contexts": engine.count if engine is not None else 0,
        }

    def touched(self, keys: Iterable[Key], paths: frozenset[RelPath]) -> frozenset[Key]:
        """Those keys whose last build looked at a path, below it, or listed its folder."""
        listed = paths | {os.path.dirname(path) or "." for path in paths}
        records, state = record_cache.of(self._memory), self._state()

        def is_touched(key: Key) -> bool:
            place = state.record(key.function, key.want)
            known = records.get(place)
            return known is not None and not (
                paths.isdisjoint(known.inputs.files)
                and paths.isdisjoint(known.inputs.links)
                and listed.isdisjoint(known.inputs.listings)
                and paths.isdisjoint(records.folders(place))
            )

        return frozenset(key for key in keys if is_touched(key))

    def is_losing(
        self, keys: Iterable[Key], paths: frozenset[RelPath], *, everything: bool = False
    ) -> bool:
        """Whether one of the paths is gone that the configuration, or the last build of a key, was
        read from. With `everything` any path may be one: all of the configuration's are looked at.
        """
        known = self._declared.proofs()
        gone = {path for path in paths if not os.path.lexists(os.path.join(self._root, path))}
        if everything:
            gone |= {
                path
                for proof in known
                for path, key in proof.files.items()
                if key is not None and not os.path.lexists(os.path.join(self._root, path))
            }
        if not gone:
            return False
        records, state = record_cache.of(self._memory), self._state()
        found = (records.get(state.record(key.function, key.want)) for key in keys)
        known += [record.inputs for record in found if record is not None]
        return any(
            proof.files.get(path) is not None or path in proof.listings
            for proof in known
            for path in gone
        )


def _build_alike(
    declared: _Declared,
    keys: Iterable[Key],
    workshop: Workshop,
    shown: Callable[[Key, Outcome], None],
    settled: Callable[[Key, Outcome], None],
) -> None:
    """Builds what is stale of keys that differ in the function alone. Raises BundlerError."""
    by_name = {key.function: key for key in keys}
    functions = []
    for name, key in by_name.items():
        if (function := declared.functions.get(name)) is not None:
            functions.append(function)
        else:
            settled(key, declared.absent(key))
    build.build(
        functions,
        workshop,
        declared.upkeep,
        want=key.want,
        locked=key.locked,
        shown=lambda outcome: shown(by_name[outcome.name], outcome),
        settled=lambda outcome: settled(by_name[outcome.name], outcome),
        prepare=False,
    )


def _failed(key: Key, code: str, message: str, hint: str | None = None) -> Failed:
    return Failed(
        name=key.function,
        diagnostics=(error(code, message, hint=hint),),
        machine_fault=True,
    )
