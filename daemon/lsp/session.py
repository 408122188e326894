"""One editor's session: the projects of its files, and what is shown of them.

Only the loop's thread comes here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, unquote_to_bytes, urlsplit

from lambdad.bundler.model import Diagnostic, Severity
from lambdad.daemon.client import finding, save
from lambdad.daemon.lsp.desk import Desk, Shown
from lambdad.daemon.lsp.site import Site
from lambdad.daemon.lsp.text import TextLines, read

MOST: Final = 1000
"""Findings of one file that are shown: an editor has to draw them."""
_REFRESH_S: Final = 0.2

T = TypeVar("T")


class Client(Protocol):
    """The editor's end."""

    def publish(self, uri: str, text: TextLines, items: list[Diagnostic]) -> None: ...

    def refresh(self) -> None:
        """What lenses show has changed."""

    def tell(self, text: str) -> None:
        """A message for the person."""


class Session:
    """All that is known for one editor."""

    def __init__(self, editor: Client, environ: Mapping[str, str]) -> None:
        self._editor = editor
        self._environ = environ
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lsp")
        self._loop = asyncio.get_running_loop()
        self._desks: dict[str, Desk] = {}
        self._folders: set[str] = set()
        self._uris: dict[str, str] = {}
        """As the editor calls the files that it has open, by path."""
        self._shown: dict[str, Shown] = {}
        """By project."""
        self._published: dict[str, tuple[str, object]] = {}
        """By path: under which URI, and what."""
        self._said: dict[str, set[str]] = {}
        """By project: what has no place in a file and was shown, for as long as it lasts."""
        self._warned: dict[str, str] = {}
        """Projects whose daemon can't be asked, and why."""
        self._refreshing: asyncio.TimerHandle | None = None
        self.trusted = False
        """The editor vouches for what its folders hold."""

    def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
        for desk in self._desks.values():
            desk.close()
        self._desks.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._pool, work, *arguments)

    # --- folders and files -----------------------------------------------------------------------

    async def folders(self, added: Iterable[str], removed: Iterable[str] = ()) -> None:
        """Projects in a workspace's folders are known before a file of them is opened: they may
        have code outside of their own."""
        for folder in filter(None, map(path_of, removed)):
            self._folders.discard(folder)
            await self._leave(folder)
        for folder in filter(None, map(path_of, added)):
            self._folders.add(folder)
            await self._desk_above(folder)

    async def _leave(self, folder: str) -> None:
        """Desks of which nothing is open any more are cleared away."""
        for root, desk in list(self._desks.items()):
            kept = any(_is_below(path, root) for path in (*self._uris, *self._folders))
            if _is_below(root, folder) and not kept:
                desk.close()
                self._desks.pop(root, None)
                self._shown.pop(root, None)

    async def opened(self, uri: str) -> None:
        path = path_of(uri)
        if path is None:
            return
        self._uris[path] = uri
        if path in self._published:  # some forget the findings of a file
            self._published[path] = self._published[path][0], ()
            self._publish(path)
        for desk in await self._desks_of(path):
            await desk.opened(path)

    def closed(self, uri: str) -> None:
        path = path_of(uri)
        if path is not None:
            self._uris.pop(path, None)

    async def saved(self, uris: Iterable[str]) -> None:
        """Files were written, made, removed or renamed."""
        by_desk: dict[Desk, list[str]] = {}
        for path in filter(None, map(path_of, uris)):
            for desk in await self._desks_of(path):
                by_desk.setdefault(desk, []).append(path)
        for desk, paths in by_desk.items():
            desk.saved(paths)

    async def _desks_of(self, path: str) -> list[Desk]:
        """Of the project that the file lies in, and of those known that have it as code."""
        own = await self._desk_above(save.standing(os.path.dirname(path)))
        others = [desk for desk in self._desks.values() if desk is not own]
        reaching = [desk for desk in others if await desk.reaches(path)]
        return [*([own] if own else []), *reaching]

    async def _desk_above(self, folder: str) -> Desk | None:
        root = await self.in_pool(finding.find_project, folder)
        if root is None:
            return None
        if root not in self._desks:
            self._desks[root] = Desk(
                root, self._environ, self, self._pool, trusted=lambda: self.trusted
            )
        return self._desks[root]

    async def sites_of(self, uri: str) -> list[Site]:
        path = path_of(uri)
        return [desk.site for desk in await self._desks_of(path)] if path is not None else []

    # --- what is shown ---------------------------------------------------------------------------

    def is_open(self, path: str) -> bool:
        return path in self._uris

    def opened_below(self, root: str) -> list[str]:
        return [path for path in self._uris if _is_below(path, root)]

    def show(self, root: str, shown: Shown, rest: Iterable[Diagnostic]) -> None:
        """Of that project nothing but this is shown from now on."""
        before = self._shown.get(root, {})
        self._shown[root] = shown
        for path in {*before, *shown}:
            self._publish(path)
        now = {_in_a_line(item) for item in rest if _is_news(item)}
        for text in sorted(now - self._said.get(root, set())):
            self._editor.tell(text)
        self._said[root] = now

    def items_of(self, path: str) -> list[Diagnostic]:
        """What is shown of the file, as all projects say it."""
        found = (item for shown in self._shown.values() for item in shown.get(path, ()))
        return list(dict.fromkeys(found))[:MOST]

    def _publish(self, path: str) -> None:
        items = self.items_of(path)
        uri = self.uri(path)
        known_uri, known = self._published.pop(path, (uri, None))
        if known_uri != uri:  # it was published under another name of the same file
            self._editor.publish(known_uri, TextLines(""), [])
            known = None
        now = (items, _key(path)) if items else None
        if now is not None:
            self._published[path] = uri, now
        if now != known:
            self._editor.publish(uri, read(path) if items else TextLines(""), items)

    def uri(self, path: str) -> str:
        """As the editor calls the file, if it has it open."""
        return self._uris.get(path) or uri_of(path)

    def refresh(self) -> None:
        if self._refreshing is None:
            self._refreshing = self._loop.call_later(_REFRESH_S, self._refreshed)

    def _refreshed(self) -> None:
        self._refreshing = None
        self._editor.refresh()

    def warn(self, root: str, reason: str) -> None:
        """Once, for as long as it lasts."""
        if self._warned.get(root) != reason:
            self._warned[root] = reason
            self._editor.tell(reason)

    def is_well(self, root: str) -> None:
        self._warned.pop(root, None)


def path_of(uri: str) -> str | None:
    """A file's absolute path, its folder's symlinks resolved; None of what is no local file."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    # urlsplit takes "?" and "#" for its own; clients write them as %3F and %23.
    path = os.fsdecode(unquote_to_bytes(parts.path.encode("utf-8", "surrogatepass")))
    if not path.startswith("/") or "\0" in path:
        return None
    folder, name = os.path.split(os.path.normpath(path))
    return os.path.join(os.path.realpath(folder), name)


def uri_of(path: str) -> str:
    return f"file://{quote(os.fsencode(path))}"


def _is_news(item: Diagnostic) -> bool:
    """Whether a person is to be disturbed for it: faults, and that a tool of theirs may not run."""
    return item.severity is not Severity.INFO or item.code == "lint-untrusted"


def _in_a_line(item: Diagnostic) -> str:
    return f"{item.message}; {item.hint}" if item.hint else item.message


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top.rstrip('/')}/")


def _key(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
