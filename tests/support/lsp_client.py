"""An editor for tests: pygls' client, and the real server in a project with a real daemon."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from lambdad.daemon.lsp.session import uri_of
from tests.support.daemons import Site

WAIT_S = 60.0
COMMAND = (sys.executable, "-c", "from lambdad.daemon.entry import main; main()", "lsp")

Told = Sequence[lsp.Diagnostic]


class Editor:
    """What is published is kept by URI; whoever waits for it sees every change."""

    def __init__(self, site: Site) -> None:
        self.root = Path(site.root)
        self.client = LanguageClient("tests", "1")
        self.told: dict[str, Told] = {}
        self.published: list[tuple[str, Told]] = []
        """All, in order."""
        self.messages: list[str] = []
        self.refreshed = 0
        self.capabilities: lsp.ServerCapabilities | None = None
        self._news = asyncio.Condition()
        self._versions: dict[str, int] = {}
        self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(self._hear_of())
        self.client.feature(lsp.WINDOW_SHOW_MESSAGE)(self._hear_message())
        self.client.feature(lsp.WORKSPACE_CODE_LENS_REFRESH)(self._hear_refresh())

    def _hear_of(self) -> Callable[..., Any]:
        async def published(params: lsp.PublishDiagnosticsParams) -> None:
            self.published.append((params.uri, params.diagnostics))
            self.told[params.uri] = params.diagnostics
            await self._stir()

        return published

    def _hear_message(self) -> Callable[..., Any]:
        async def shown(params: lsp.ShowMessageParams) -> None:
            self.messages.append(params.message)
            await self._stir()

        return shown

    def _hear_refresh(self) -> Callable[..., Any]:
        async def refreshed(_params: Any) -> None:
            self.refreshed += 1
            await self._stir()

        return refreshed

    async def _stir(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, holds: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        """Until something that was told makes it true."""
        async with asyncio.timeout(wait_s), self._news:
            await self._news.wait_for(holds)

    # --- what a person does ----------------------------------------------------------------------

    def uri(self, name: str) -> str:
        return uri_of(str(self.root / name))

    def open(self, name: str) -> None:
        text = (self.root / name).read_text()
        self._versions[name] = 1
        item = lsp.TextDocumentItem(self.uri(name), "text", 1, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    def type(self, name: str, text: str) -> None:
        """The whole text is another, and is not saved."""
        self._versions[name] = version = self._versions[name] + 1
        document = lsp.VersionedTextDocumentIdentifier(version, self.uri(name))
        whole = lsp.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))

    def save(self, name: str, text: str | None = None) -> None:
        if text is not None:
            if name in self._versions:
                self.type(name, text)
            (self.root / name).write_text(text)
        params = lsp.DidSaveTextDocumentParams(self.identifier(name))
        self.client.text_document_did_save(params)

    def close(self, name: str) -> None:
        params = lsp.DidCloseTextDocumentParams(self.identifier(name))
        self.client.text_document_did_close(params)

    def identifier(self, name: str) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri(name))

    # --- what is told ----------------------------------------------------------------------------

    def of(self, name: str) -> Told:
        return self.told.get(self.uri(name), ())

    def codes(self, name: str) -> list[object]:
        return [each.code for each in self.of(name)]

    async def shows(self, name: str, code: str) -> lsp.Diagnostic:
        """The diagnostic, once it is shown."""
        await self.until(lambda: code in self.codes(name))
        return next(each for each in self.of(name) if each.code == code)

    async def clears(self, name: str, code: str) -> None:
        """Until it is shown no more."""
        await self.until(lambda: self.uri(name) in self.told and code not in self.codes(name))

    async def hover(self, name: str, line: int, character: int) -> str:
        params = lsp.HoverParams(self.identifier(name), lsp.Position(line, character))
        found = await self.client.text_document_hover_async(params)
        if found is None:
            return ""
        assert isinstance(found.contents, lsp.MarkupContent)
        return found.contents.value

    async def definition(self, name: str, line: int, character: int) -> list[lsp.Location]:
        params = lsp.DefinitionParams(self.identifier(name), lsp.Position(line, character))
        found = await self.client.text_document_definition_async(params)
        assert isinstance(found, list)
        return [each for each in found if isinstance(each, lsp.Location)]

    async def lenses(self, name: str) -> list[tuple[int, str]]:
        """(line, title), both as the protocol has them."""
        params = lsp.CodeLensParams(self.identifier(name))
        found = await self.client.text_document_code_lens_async(params) or []
        return [(each.range.start.line, each.command.title) for each in found if each.command]

    async def fixes(self, name: str, told: lsp.Diagnostic) -> dict[str, Mapping[str, Any]]:
        """The edits of each fix for a diagnostic, by its title."""
        context = lsp.CodeActionContext([told], only=[lsp.CodeActionKind.QuickFix])
        params = lsp.CodeActionParams(self.identifier(name), told.range, context)
        found = await self.client.text_document_code_action_async(params) or []
        return {
            each.title: dict(each.edit.changes or {})
            for each in found
            if isinstance(each, lsp.CodeAction) and each.edit is not None
        }


@contextlib.asynccontextmanager
async def editor(
    site: Site,
    *,
    options: Any = None,
    folders: Sequence[str] | None = None,
    encodings: Sequence[lsp.PositionEncodingKind] | None = None,
    command: Sequence[str] = COMMAND,
) -> AsyncIterator[Editor]:
    """A server for the project, ended as the protocol has it: it must have lived until then."""
    found = Editor(site)
    environ = dict(site.environ)
    await found.client.start_io(*command, env=environ, cwd=site.root)
    general = (
        lsp.GeneralClientCapabilities(position_encodings=list(encodings)) if encodings else None
    )
    lens = lsp.CodeLensWorkspaceClientCapabilities(refresh_support=True)
    named = [str(found.root)] if folders is None else folders
    result = await found.client.initialize_async(
        lsp.InitializeParams(
            capabilities=lsp.ClientCapabilities(
                general=general, workspace=lsp.WorkspaceClientCapabilities(code_lens=lens)
            ),
            initialization_options=options,
            workspace_folders=[lsp.WorkspaceFolder(uri_of(each), each) for each in named],
        )
    )
    found.capabilities = result.capabilities
    found.client.initialized(lsp.InitializedParams())
    server = found.client._server
    assert server is not None
    try:
        yield found
        await found.client.shutdown_async(None)
        found.client.exit(None)
        assert await asyncio.wait_for(server.wait(), WAIT_S) == 0
    finally:
        if server.returncode is None:
            server.kill()
        await found.client.stop()  # type: ignore[no-untyped-call]
