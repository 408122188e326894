"""The language server: the protocol's methods, each handed on to the session or to a question.

Nothing that takes long is done in the loop's thread, and nothing that goes wrong ends the server:
pygls answers a request that failed with an error, and logs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final, TypeVar, cast

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from lambdad.bundler.model import BundlerError, Diagnostic, Project, Severity
from lambdad.bundler.toolchain import LAMBDAD
from lambdad.daemon.lsp.answers import EditorQuestion
from lambdad.daemon.lsp.fixes import TO_NEXT, Fix
from lambdad.daemon.lsp.session import Session, path_of
from lambdad.daemon.lsp.site import Site
from lambdad.daemon.lsp.text import Span, TextLines
from lambdad.daemon.lsp.wire import MessageStream, Protocol, take_stdio

SOURCE: Final = "lambdad"
_SEVERITIES: Final = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
    Severity.INFO: lsp.DiagnosticSeverity.Information,
}
_UNNECESSARY: Final = frozenset({"F401", "F841", "no-unused-vars", "unused-dependency"})
_ANY_FILE: Final = lsp.FileOperationRegistrationOptions(
    filters=[lsp.FileOperationFilter(lsp.FileOperationPattern("**/*"), scheme="file")]
)

log = logging.getLogger("lambdad")

T = TypeVar("T")


def serve(environ: Mapping[str, str]) -> int:
    """Serves the editor on stdin and stdout until it says so, or is gone; the exit code that the
    protocol wants."""
    reading, writing = take_stdio()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    # A traceback for a message that is none helps no reader; a line is enough.
    logging.getLogger("pygls.server").setLevel(logging.CRITICAL)
    logging.getLogger("pygls.protocol.json_rpc").addFilter(_is_about_us)
    server = LspServer(environ)
    server.start_io(cast(BinaryIO, MessageStream(reading)), writing)
    return 0 if server.was_shut_down else 1


def _is_about_us(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Unable to deserialize")


class LspServer(LanguageServer):
    """pygls' server, and the session's Client."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(
            "lambdad",
            LAMBDAD,
            text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
        )
        self.environ = environ
        self._session: Session | None = None
        _register(self)

    @property
    def was_shut_down(self) -> bool:
        return bool(self.protocol._shutdown)

    @property
    def session(self) -> Session:
        """Made with the first message, in the loop."""
        if self._session is None:
            self._session = Session(self, self.environ)
        return self._session

    def end_session(self) -> None:
        if self._session is not None:
            self._session.close()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Reported in the log alone: at the editor nothing can be done about a broken message."""
        log.warning("%s: %s", getattr(source, "__name__", source), error)

    # --- the session's Client --------------------------------------------------------------------

    def publish(self, uri: str, text: TextLines, items: list[Diagnostic]) -> None:
        found = [self.diagnostic(item, text) for item in items]
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found))

    def refresh(self) -> None:
        workspace = self.client_capabilities.workspace
        if workspace and workspace.code_lens and workspace.code_lens.refresh_support:
            self.workspace_code_lens_refresh(None)

    def tell(self, text: str) -> None:
        params = lsp.ShowMessageParams(lsp.MessageType.Warning, f"lambdad: {text}")
        self.window_show_message(params)

    # --- places ----------------------------------------------------------------------------------

    @property
    def encoding(self) -> str:
        agreed = self.workspace.position_encoding
        return str(getattr(agreed, "value", agreed))

    def range(self, span: Span, text: TextLines) -> lsp.Range:
        def position(line: int, character: int) -> lsp.Position:
            return lsp.Position(line, text.units(line, character, self.encoding))

        if span.end == TO_NEXT:
            return lsp.Range(position(span.line, span.start), lsp.Position(span.line + 1, 0))
        return lsp.Range(position(span.line, span.start), position(span.line, span.end))

    def diagnostic(self, item: Diagnostic, text: TextLines) -> lsp.Diagnostic:
        assert item.where is not None  # noqa: S101 -- it is shown in a file
        whole = item.code in ("missing-export", "missing-handler-file")
        hint = f"\nhint: {item.hint}" if item.hint else ""
        return lsp.Diagnostic(
            range=self.range(text.span(item.where, whole=whole), text),
            message=f"{item.message}{hint}",
            severity=_SEVERITIES[item.severity],
            code=item.code,
            source=SOURCE,
            tags=[lsp.DiagnosticTag.Unnecessary] if item.code in _UNNECESSARY else None,
        )

    # --- questions -------------------------------------------------------------------------------

    async def ask(self, uri: str, work: Callable[[EditorQuestion], T]) -> list[T]:
        """What each project that has the file answers; nothing for a file of none."""
        path = path_of(uri)
        if path is None:
            return []
        opened = {
            other: document.source
            for each, document in list(self.workspace.text_documents.items())
            if (other := path_of(each)) is not None
        }

        def answer(site: Site) -> T | None:
            project: Project | None = site.project()
            try:
                if project is None:
                    return None
                return work(EditorQuestion(site, project, path, opened))
            except BundlerError:  # the desk says what is wrong, when the file is opened or saved
                return None

        sites = await self.session.sites_of(uri)
        found = [await self.session.in_pool(answer, site) for site in sites]
        return [each for each in found if each is not None]

    def character(self, text: TextLines, position: lsp.Position) -> tuple[int, int]:
        units = text.character(position.line, position.character, self.encoding)
        return position.line, units


def _register(server: LspServer) -> None:
    """The protocol's methods. They are functions of the server, as pygls has it."""
    _register_files(server)
    server.feature(lsp.TEXT_DOCUMENT_HOVER)(_hover)
    server.feature(lsp.TEXT_DOCUMENT_DEFINITION)(_definition)
    server.feature(lsp.TEXT_DOCUMENT_CODE_LENS, lsp.CodeLensOptions())(_lenses)
    kinds = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, kinds)(_actions)


# --- files ---------------------------------------------------------------------------------------


def _register_files(server: LspServer) -> None:
    server.feature(lsp.INITIALIZE)(_initialize)
    server.feature(lsp.INITIALIZED)(_initialized)
    server.feature(lsp.SHUTDOWN)(_shutdown)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(_folders)
    server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)(_opened)
    server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)(_closed)
    server.feature(lsp.TEXT_DOCUMENT_DID_SAVE, lsp.SaveOptions(include_text=False))(_saved)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)(_changed)
    server.feature(lsp.WORKSPACE_DID_CREATE_FILES, _ANY_FILE)(_changed)
    server.feature(lsp.WORKSPACE_DID_DELETE_FILES, _ANY_FILE)(_changed)
    server.feature(lsp.WORKSPACE_DID_RENAME_FILES, _ANY_FILE)(_renamed)


def _initialize(ls: LspServer, params: lsp.InitializeParams) -> None:
    options = params.initialization_options
    ls.session.trusted = isinstance(options, Mapping) and options.get("trusted") is True


async def _initialized(ls: LspServer, _params: lsp.InitializedParams) -> None:
    folders = [folder.uri for folder in ls.workspace.folders.values()]
    if not folders and ls.workspace.root_uri:
        folders = [ls.workspace.root_uri]
    await ls.session.folders(folders)


def _shutdown(ls: LspServer, *_params: object) -> None:
    ls.end_session()


async def _folders(ls: LspServer, params: lsp.DidChangeWorkspaceFoldersParams) -> None:
    event = params.event
    added, removed = ([each.uri for each in some] for some in (event.added, event.removed))
    await ls.session.folders(added, removed)


async def _opened(ls: LspServer, params: lsp.DidOpenTextDocumentParams) -> None:
    await ls.session.opened(params.text_document.uri)


def _closed(ls: LspServer, params: lsp.DidCloseTextDocumentParams) -> None:
    ls.session.closed(params.text_document.uri)


async def _saved(ls: LspServer, params: lsp.DidSaveTextDocumentParams) -> None:
    await ls.session.saved([params.text_document.uri])


async def _changed(
    ls: LspServer,
    params: lsp.DidChangeWatchedFilesParams | lsp.CreateFilesParams | lsp.DeleteFilesParams,
) -> None:
    files = params.changes if isinstance(params, lsp.DidChangeWatchedFilesParams) else params.files
    await ls.session.saved([each.uri for each in files])


async def _renamed(ls: LspServer, params: lsp.RenameFilesParams) -> None:
    await ls.session.saved([uri for each in params.files for uri in (each.old_uri, each.new_uri)])


# --- questions -----------------------------------------------------------------------------------


async def _hover(ls: LspServer, params: lsp.HoverParams) -> lsp.Hover | None:
    def work(question: EditorQuestion) -> str | None:
        return question.hover(*ls.character(question.text, params.position))

    told = await ls.ask(params.text_document.uri, work)
    if not told:
        return None
    return lsp.Hover(
        lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n\n---\n\n".join(filter(None, told)))
    )


async def _definition(ls: LspServer, params: lsp.DefinitionParams) -> list[lsp.Location]:
    def work(question: EditorQuestion) -> list[lsp.Location]:
        found = question.definitions(*ls.character(question.text, params.position))
        return [
            lsp.Location(ls.session.uri(place.path), ls.range(place.span, text))
            for place, text in found
        ]

    return [place for some in await ls.ask(params.text_document.uri, work) for place in some]


async def _lenses(ls: LspServer, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
    def work(question: EditorQuestion) -> list[lsp.CodeLens]:
        return [
            lsp.CodeLens(ls.range(lens.span, question.text), lsp.Command(lens.title, ""))
            for lens in question.lenses()
        ]

    return [lens for some in await ls.ask(params.text_document.uri, work) for lens in some]


async def _actions(ls: LspServer, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    only = params.context.only
    path = path_of(params.text_document.uri)
    if path is None or (only is not None and not any(_takes_fixes(kind) for kind in only)):
        return []

    def work(question: EditorQuestion) -> list[lsp.CodeAction]:
        shown = {item: ls.diagnostic(item, question.text) for item in ls.session.items_of(path)}
        near = [item for item, told in shown.items() if _meet(told.range, params.range)]
        return [
            _action(ls, fix, shown[item], question, is_first=number == 0)
            for number, (item, fix) in enumerate(question.fixes(near))
        ]

    found: dict[str, lsp.CodeAction] = {}
    for some in await ls.ask(params.text_document.uri, work):
        found |= {action.title: action for action in some if action.title not in found}
    return list(found.values())


def _takes_fixes(kind: lsp.CodeActionKind | str) -> bool:
    text = str(getattr(kind, "value", kind))
    return not text or f"{lsp.CodeActionKind.QuickFix.value}.".startswith(f"{text}.")


def _meet(one: lsp.Range, other: lsp.Range) -> bool:
    def at(place: lsp.Position) -> tuple[int, int]:
        return place.line, place.character

    return at(one.start) <= at(other.end) and at(other.start) <= at(one.end)


def _action(
    ls: LspServer, fix: Fix, told: lsp.Diagnostic, question: EditorQuestion, *, is_first: bool
) -> lsp.CodeAction:
    changes: dict[str, list[lsp.TextEdit]] = {}
    for edit in fix.edits:
        where = ls.range(edit.span, question.text_of(edit.path))
        changes.setdefault(ls.session.uri(edit.path), []).append(lsp.TextEdit(where, edit.text))
    return lsp.CodeAction(
        fix.title,
        kind=lsp.CodeActionKind.QuickFix,
        diagnostics=[told],
        is_preferred=is_first,
        edit=lsp.WorkspaceEdit(changes=changes),
    )
