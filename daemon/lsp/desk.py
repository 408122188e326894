"""What one editor sees of one project: its site, what is shown of it, and the talk with its daemon.

Only the loop's thread comes here; what looks at files does so in a worker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any, Final, Protocol, TypeVar

from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import BundlerError, Diagnostic, Function, Outcome, Project
from lambdad.daemon.lsp.asking import Asking, DaemonAnswer
from lambdad.daemon.lsp.board import Board, ShownBuild
from lambdad.daemon.lsp.site import Site

_GATHER_S: Final = 0.1
"""Functions that are built together are looked at together."""

T = TypeVar("T")
Shown = Mapping[str, list[Diagnostic]]
"""By absolute path."""


class Editor(Protocol):
    """The editor that sees it."""

    def is_open(self, path: str) -> bool: ...

    def opened_below(self, root: str) -> list[str]:
        """The files that are open there."""

    def show(self, root: str, shown: Shown, rest: Iterable[Diagnostic]) -> None:
        """Of that project nothing but this is shown from now on."""

    def refresh(self) -> None:
        """What lenses show has changed."""

    def warn(self, root: str, reason: str) -> None: ...

    def is_well(self, root: str) -> None:
        """What was warned of is over."""


class Desk:
    """One project's."""

    def __init__(
        self,
        root: str,
        environ: Mapping[str, str],
        editor: Editor,
        pool: Executor,
        *,
        trusted: Callable[[], bool],
    ) -> None:
        self.site = Site(root, environ)
        self._editor = editor
        self._pool = pool
        self._board = Board()
        self._loop = asyncio.get_running_loop()
        self._asking = Asking(root, environ, self, pool, trusted=trusted)
        self._is_closed = False
        self._news: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Nothing of it is shown any more."""
        self._is_closed = True
        self._asking.close()
        for task in (self._looking, self._catching_up):
            if task is not None:
                task.cancel()
        self._editor.show(self.site.root, {}, ())

    def saved(self, paths: Iterable[str]) -> None:
        self._asking.saved(paths)

    async def opened(self, path: str) -> None:
        """What is known of it is shown; nothing is built for that."""
        self._asking.listen()
        await self._see(path)
        self._show()

    async def _see(self, path: str) -> None:
        project = await self._declared()
        if project is not None:
            none: list[Function] = []
            functions = await self._recorded(none, self._holders, project, path)
            await self._look(project, functions)

    async def _recorded(self, otherwise: T, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` makes of the records of builds. Where the project's .lambdad is not ours, the
        editor says so, and `otherwise` is returned."""
        try:
            return await self._in_pool(work, *arguments)
        except BundlerError as fault:
            hint = f"; {fault.hint}" if fault.hint else ""
            self._editor.warn(self.site.root, f"{fault.message}{hint}")
            return otherwise

    def _holders(self, project: Project, path: str) -> list[Function]:
        return list(self.site.holders(project, self.site.relative(path)))

    async def reaches(self, path: str) -> bool:
        """Whether functions of the project have code outside of its folder, and that file in it."""
        project = await self._in_pool(self.site.project)
        functions = project.functions if project is not None else ()
        tops = {top for each in functions for top in (each.code, *each.shared)}
        outside = [self.site.absolute(top) for top in tops if top.startswith("..")]
        return any(path == top or path.startswith(f"{top}/") for top in outside)

    # --- what the daemon sends -------------------------------------------------------------------

    def files_to_ask(self) -> Iterable[str]:
        return map(self.site.absolute, self._board.linted)

    def is_of_interest(self, path: str) -> bool:
        return self._editor.is_open(os.path.normpath(path))

    async def answered(self, answer: DaemonAnswer) -> None:
        self._editor.is_well(self.site.root)
        project = await self._declared()
        self._board.answer(answer)
        self._show()
        told = {item["name"] for item in answer["functions"]}
        left = [name for name, each in self._board.builds.items() if each.items]
        # A file that was saved may have mended a function that was not rebuilt for it.
        if project is not None and (others := set(left) - told):
            await self._look(project, [each for each in project.functions if each.name in others])
            self._show()
        self._editor.refresh()

    def built(self, function: str) -> None:
        self._news.add(function)
        if self._looking is None:
            self._looking = self._loop.create_task(self._look_at_news())

    def missed(self) -> None:
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = self._loop.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        for path in self._editor.opened_below(self.site.root):
            await self._see(path)
        self.rested()

    def failed(self, reason: str) -> None:
        self._editor.warn(self.site.root, reason)

    def rested(self) -> None:
        # Until the answer is there, what was shown is of files as they were.
        if not (self._asking.is_busy or self._is_closed):
            self._show()

    async def _look_at_news(self) -> None:
        try:
            while self._news:
                await asyncio.sleep(_GATHER_S)
                names, self._news = self._news, set()
                project = await self._declared()
                functions = project.functions if project is not None else ()
                if project is not None:
                    await self._look(project, [each for each in functions if each.name in names])
                self.rested()
                self._editor.refresh()
        finally:
            self._looking = None

    # --- what is shown ---------------------------------------------------------------------------

    async def _declared(self) -> Project | None:
        project = await self._in_pool(self.site.project)
        self._board.declare(project)
        return project

    async def _look(self, project: Project, functions: Iterable[Function]) -> None:
        """What the functions' builds said is shown as far as it holds."""
        nothing: dict[str, Outcome | None] = {}
        found = await self._recorded(nothing, self._outcomes, project, functions)
        for name, outcome in found.items():
            if outcome is not None:
                self._board.builds[name] = ShownBuild(outcome.diagnostics)
            elif not self._board.is_machines(name):
                self._board.builds.pop(name, None)

    def _outcomes(
        self, project: Project, functions: Iterable[Function]
    ) -> dict[str, Outcome | None]:
        once = Look()
        found = {each.name: self.site.last(project, each, once) for each in functions}
        return {name: last.outcome if last else None for name, last in found.items()}

    def _show(self) -> None:
        shown = {self.site.absolute(path): items for path, items in self._board.files().items()}
        self._editor.show(self.site.root, shown, self._board.rest())

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._pool, work, *arguments)
