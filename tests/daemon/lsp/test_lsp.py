"""The language server over stdio, with pygls' own client and a real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as lsp

from lambdad.bundler.trust import trust
from lambdad.daemon.lsp.session import path_of, uri_of
from tests.conftest import Tree, write_tree
from tests.support.daemons import Site, site
from tests.support.lint_tools import ANSWER, ESLINT, fake, runs
from tests.support.lsp_client import COMMAND, WAIT_S, Editor, editor
from tests.support.served import APP, Served, served, share_esbuild

GOOD = "def handler(event, context):\n    return 1\n"
FAULTY = "def handler(event, context):\n    return missing\n"
OTHER = "def main(event, context):\n    return 1\n"

Act = Callable[[Served, Editor], Awaitable[None]]


def see(tmp_path: Path, act: Act, files: Tree | None = None, **more: Any) -> None:
    """An editor acts on the app, whose daemon is not there yet."""

    async def go() -> None:
        with served(tmp_path, files, start=False) as app:
            async with editor(app.site, **more) as found:
                await act(app, found)

    asyncio.run(go())


def edited(text: str, edits: list[lsp.TextEdit]) -> str:
    """The text with the edits of ASCII lines."""
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines) + 1)]
    for edit in sorted(edits, key=lambda each: -each.range.start.line):
        start, end = (
            starts[place.line] + place.character for place in (edit.range.start, edit.range.end)
        )
        text = text[:start] + edit.new_text + text[end:]
    return text


# --- findings ------------------------------------------------------------------------------------


def test_a_fault_is_shown_and_goes(tmp_path: Path) -> None:
    """A fault that is saved is shown at its line, and goes once the file is saved without it; what
    is outdated is never shown again."""

    async def act(_app: Served, found: Editor) -> None:
        found.open("one/app.py")
        found.save("one/app.py", FAULTY)
        told = await found.shows("one/app.py", "F821")
        assert told.range == lsp.Range(lsp.Position(1, 11), lsp.Position(1, 18))
        assert told.severity == lsp.DiagnosticSeverity.Error
        assert told.source == "lambdad"
        found.save("one/app.py", GOOD)
        await found.clears("one/app.py", "F821")
        assert [[each.code for each in told] for _uri, told in found.published] == [["F821"], []]

    see(tmp_path, act)


def test_another_file_mends_it(tmp_path: Path) -> None:
    """What a file lacks is shown in it, and goes when that is written elsewhere."""

    async def act(app: Served, found: Editor) -> None:
        found.open("web/web.ts")
        (app.root / "web/word.ts").unlink()
        found.save("web/word.ts")
        told = await found.shows("web/web.ts", "unresolved-import")
        assert told.range.start.line == 0
        found.save("web/word.ts", "export const word = 1;\n")
        await found.clears("web/web.ts", "unresolved-import")
        found.open("one/app.py")
        found.save("one/app.py", "import later\n\n" + GOOD.replace("1", "later"))
        await found.shows("one/app.py", "missing-import")
        found.save("one/later.py", "x = 1\n")
        await found.clears("one/app.py", "missing-import")

    see(tmp_path, act)


def test_configuration(tmp_path: Path) -> None:
    """What is wrong with a template is shown when it is opened, before anything is built; saved
    without it, it goes."""
    template = str(APP["template.yaml"])
    broken = template.replace("Runtime: python3.12", "Runtime: python3.99")

    async def act(app: Served, found: Editor) -> None:
        found.open("template.yaml")
        await found.until(lambda: bool(found.of("template.yaml")))
        assert not os.path.exists(app.socket)
        assert not (app.root / ".lambdad").exists()
        found.save("template.yaml", template)
        await found.until(lambda: not found.of("template.yaml"))

    see(tmp_path, act, {**APP, "template.yaml": broken})


@pytest.mark.parametrize(
    ("encoding", "column"),
    [(None, 20), ("utf-16", 20), ("utf-8", 23), ("utf-32", 19)],
)
def test_columns(tmp_path: Path, encoding: str | None, column: int) -> None:
    """Columns are in the units that the editor counts in: UTF-16, if it does not say."""
    encodings = [lsp.PositionEncodingKind(encoding)] if encoding else None

    async def act(_app: Served, found: Editor) -> None:
        found.open("one/app.py")
        line = "    return '\N{PILE OF POO}\u00e4' + missing\n"
        found.save("one/app.py", GOOD.replace("    return 1\n", line))
        told = await found.shows("one/app.py", "F821")
        assert told.range.start == lsp.Position(1, column - 1)
        assert told.range.end.character - told.range.start.character == len("missing")

    see(tmp_path, act, encodings=encodings)


def test_what_others_have_built(tmp_path: Path) -> None:
    """What the daemon learns from somebody else's request is shown; lenses are asked for anew."""

    async def act(app: Served, found: Editor) -> None:
        found.open("web/web.ts")
        found.save("one/app.py")
        await found.until(lambda: found.refreshed > 0)
        seen = found.refreshed
        (app.root / "web/web.ts").write_text("export const handler = ;\n")
        assert not app.fresh("Web")["ok"]
        await found.shows("web/web.ts", "syntax-error")
        await found.until(lambda: found.refreshed > seen)
        write_tree(app.root, {"web/web.ts": APP["web/web.ts"]})
        assert app.fresh("Web")["ok"]
        await found.clears("web/web.ts", "syntax-error")

    see(tmp_path, act)


def test_what_holds_stays(tmp_path: Path) -> None:
    """A build's fault stays while others are saved, and goes with the next save of any of them once
    it was mended where nobody saw it."""

    async def act(app: Served, found: Editor) -> None:
        found.open("web/web.ts")
        found.save("web/web.ts", "export const handler = ;\n")
        await found.shows("web/web.ts", "syntax-error")
        for name, code in (("one/app.py", "F821"), ("two/app.py", "F821")):
            found.save(name, FAULTY)
            await found.shows(name, code)
        assert found.codes("web/web.ts") == ["syntax-error"]
        write_tree(app.root, {"web/web.ts": APP["web/web.ts"]})
        found.save("two/app.py", GOOD)
        await found.clears("two/app.py", "F821")
        await found.clears("web/web.ts", "syntax-error")
        assert found.codes("one/app.py") == ["F821"]

    see(tmp_path, act)


def test_files_come_and_go(tmp_path: Path) -> None:
    """What the editor says of files that it made, renamed or removed is as good as a save."""

    async def act(app: Served, found: Editor) -> None:
        found.open("web/web.ts")
        (app.root / "web/word.ts").rename(app.root / "web/words.ts")
        renamed = lsp.FileRename(found.uri("web/word.ts"), found.uri("web/words.ts"))
        found.client.workspace_did_rename_files(lsp.RenameFilesParams([renamed]))
        await found.shows("web/web.ts", "unresolved-import")
        (app.root / "web/words.ts").rename(app.root / "web/word.ts")
        made = lsp.CreateFilesParams([lsp.FileCreate(found.uri("web/word.ts"))])
        found.client.workspace_did_create_files(made)
        await found.clears("web/web.ts", "unresolved-import")
        (app.root / "web/word.ts").unlink()
        gone = lsp.FileEvent(found.uri("web/word.ts"), lsp.FileChangeType.Deleted)
        found.client.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams([gone]))
        await found.shows("web/web.ts", "unresolved-import")

    see(tmp_path, act)


def test_what_was_built_before(tmp_path: Path) -> None:
    """What the last build said is shown when a file is opened, if it still holds."""

    async def act(app: Served, found: Editor) -> None:
        (app.root / "web/web.ts").write_text("export const handler = ;\n")
        app.site.run("fresh", "Web")
        found.open("web/web.ts")
        await found.shows("web/web.ts", "syntax-error")

    see(tmp_path, act)


# --- the project's own tools ---------------------------------------------------------------------

WORD = 'export const word: string = "bad"; // bad\n'


@pytest.mark.parametrize("vouched", ["by the editor", "by a person", "no"])
def test_trust(tmp_path: Path, vouched: str) -> None:
    """The project's own tools run if the editor vouches for it, or once a person has run lambdad in
    a terminal there; what they find comes when they are done, and goes when it is mended."""
    files = {**APP, "eslint.config.js": "", "web/word.ts": WORD}

    async def go() -> None:
        with served(tmp_path, files, start=False) as app:
            fake(app.root, "eslint", "eslint", ESLINT + ANSWER)
            if vouched == "by a person":
                trust(str(app.root), app.site.environ)
            options = {"trusted": True} if vouched == "by the editor" else {"trusted": "yes"}
            async with editor(app.site, options=options) as found:
                found.open("web/word.ts")
                if vouched == "no":
                    for _ in range(2):
                        found.save("web/word.ts", WORD + "const x: = 1;\n")
                        await found.shows("web/word.ts", "syntax-error")
                        await found.until(lambda: bool(found.messages))
                        found.save("web/word.ts", WORD)
                        await found.clears("web/word.ts", "syntax-error")
                    assert runs(app.root, "eslint") == 0
                    (message,) = found.messages
                    assert "eslint was not run" in message
                    return
                found.save("web/word.ts")
                told = await found.shows("web/word.ts", "no-bad")
                assert told.range.start.line == 0
                found.save("web/word.ts", WORD.replace("bad", "good"))
                await found.clears("web/word.ts", "no-bad")

    asyncio.run(go())


# --- questions -----------------------------------------------------------------------------------


def test_hover_lens_and_definition(tmp_path: Path) -> None:
    """Beside a handler stand size, dependencies and the last build; it leads to its function."""
    template = str(APP["template.yaml"])
    lines = template.splitlines()
    web = lines.index("      Handler: web.handler")
    shared = lines.index("    Handler: app.handler")

    async def act(app: Served, found: Editor) -> None:
        for name in ("template.yaml", "web/web.ts", "one/app.py"):
            found.open(name)
        assert (web, "not built yet") in await found.lenses("template.yaml")
        assert app.site.run("build").returncode == 0
        lenses = dict(await found.lenses("template.yaml"))
        assert lenses[web].startswith("built in ")
        assert lenses[web].endswith(" B")
        assert "One: built in" in lenses[shared]
        assert "Two: built in" in lenses[shared]
        ((line, title),) = await found.lenses("web/web.ts")
        assert (line, title) == (1, lenses[web])
        assert [line for line, _title in await found.lenses("one/app.py")] == [0]
        told = await found.hover("template.yaml", web, 18)
        for words in ("**Web** nodejs22.x", "zip: ", "dependencies: none", "last build: built in"):
            assert words in told
        assert "**One**" in await found.hover("template.yaml", shared, 14)
        assert await found.hover("template.yaml", 0, 0) == ""
        (place,) = await found.definition("template.yaml", web, 18)
        assert place.uri == found.uri("web/web.ts")
        assert place.range == lsp.Range(lsp.Position(1, 13), lsp.Position(1, 20))
        places = await found.definition("template.yaml", shared, 14)
        assert {each.uri for each in places} == {found.uri("one/app.py"), found.uri("two/app.py")}
        assert places[0].range == lsp.Range(lsp.Position(0, 4), lsp.Position(0, 11))
        # What is not saved yet moves the line, not the answer.
        found.type("template.yaml", "# one\n# two\n" + template)
        (place,) = await found.definition("template.yaml", web + 2, 18)
        assert place.uri == found.uri("web/web.ts")
        (app.root / "web/word.ts").write_text("export const word = 'other';\n")
        assert "stale: web/word.ts changed" in await found.hover("template.yaml", web + 2, 18)

    see(tmp_path, act)


SERVERLESS = """service: notes
provider:
  name: aws
  runtime: python3.12
functions:
  list:
    handler: one/app.handler
"""
OWN = '[functions.One]\nhandler = "one/app.handler"\nruntime = "python3.12"\ncode = "."\n'


@pytest.mark.parametrize(
    ("name", "text", "line", "character"),
    [("serverless.yml", SERVERLESS, 6, 20), ("lambdad.toml", OWN, 1, 15)],
)
def test_other_formats(tmp_path: Path, name: str, text: str, line: int, character: int) -> None:
    """Whatever describes the function, its handler has a hover, a lens and a way to the source."""

    async def act(app: Served, found: Editor) -> None:
        found.open(name)
        assert app.site.run("build").returncode == 0
        assert "last build: built in" in await found.hover(name, line, character)
        ((lens, title),) = await found.lenses(name)
        assert (lens, title[:9]) == (line, "built in ")
        (place,) = await found.definition(name, line, character)
        assert (place.uri, place.range.start.line) == (found.uri("one/app.py"), 0)

    see(tmp_path, act, {name: text, "one/app.py": GOOD})


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("one/app.py", OTHER, OTHER.replace("main", "handler")),
        (
            "web/web.ts",
            "export const main = async () => 1;\n",
            "export const handler = async () => 1;\n",
        ),
    ],
)
def test_fixes_of_a_handler(tmp_path: Path, source: str, before: str, after: str) -> None:
    """A handler that names no function is mended on either side, as the editor wishes."""
    template = (
        str(APP["template.yaml"])
        .replace("    Handler: app.handler\n", "")
        .replace("    Properties:\n", "    Properties:\n      Handler: app.handler\n", 1)
    )

    async def act(app: Served, found: Editor) -> None:
        found.open("template.yaml")
        found.open(source)
        found.save(source, before)
        told = await found.shows("template.yaml", "missing-export")
        module = Path(source).stem
        line = template.splitlines().index(f"      Handler: {module}.handler")
        assert told.range.start == lsp.Position(line, 15)
        assert told.range.end == lsp.Position(line, 15 + len(f"{module}.handler"))
        fixes = await found.fixes("template.yaml", told)
        assert set(fixes) == {
            f"Write {module}.main",
            f"Rename main to handler in {module}{Path(source).suffix}",
        }
        ((uri, edits),) = fixes[f"Write {module}.main"].items()
        assert uri == found.uri("template.yaml")
        mended = edited(template, edits)
        assert mended == template.replace(f"{module}.handler", f"{module}.main")
        (fix,) = (each for title, each in fixes.items() if title.startswith("Rename"))
        ((uri, edits),) = fix.items()
        assert uri == found.uri(source)
        assert edited(before, edits) == after
        found.save("template.yaml", mended)
        await found.clears("template.yaml", "missing-export")

    see(tmp_path, act, {**APP, "template.yaml": template})


def test_fixes_of_requirements(tmp_path: Path) -> None:
    """What nothing brings is added to the requirements, by the name of its distribution."""

    async def act(app: Served, found: Editor) -> None:
        assert app.site.run("fresh", "One").returncode == 0  # what it installs is known by now
        found.open("one/app.py")
        found.save("one/app.py", "import yaml\n\n" + GOOD.replace("1", "yaml"))
        told = await found.shows("one/app.py", "missing-import")
        fixes = await found.fixes("one/app.py", told)
        ((uri, edits),) = fixes["Add PyYAML to one/requirements.txt"].items()
        assert uri == found.uri("one/requirements.txt")
        assert edited("# ours", edits) == "# ours\nPyYAML\n"
        assert edited("# ours", edits).count("\n") == 2

    see(tmp_path, act, {**APP, "one/requirements.txt": "# ours"})


# --- whatever comes ------------------------------------------------------------------------------


def test_files_of_no_project(tmp_path: Path) -> None:
    """A file outside of any project, one that is gone, and what is no file are passed over."""

    async def act(_app: Served, found: Editor) -> None:
        with tempfile.TemporaryDirectory() as elsewhere:
            lone = Path(elsewhere, "lone.py")
            lone.write_text(FAULTY)
            uris = [uri_of(str(lone)), "untitled:Untitled-1", "git:/a/b.py?x", "file://host/a.py"]
            uris += ["file:///nowhere/at/all.py", "file:///a%00b.py", "nonsense", "", "file://["]
            for uri in uris:
                item = lsp.TextDocumentItem(uri, "python", 1, FAULTY)
                found.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
                document = lsp.TextDocumentIdentifier(uri)
                found.client.text_document_did_save(lsp.DidSaveTextDocumentParams(document))
                hover = lsp.HoverParams(document, lsp.Position(1, 1))
                assert await found.client.text_document_hover_async(hover) is None
                lenses = await found.client.text_document_code_lens_async(
                    lsp.CodeLensParams(document)
                )
                assert not lenses
        found.open("one/app.py")
        found.save("one/app.py", FAULTY)
        await found.shows("one/app.py", "F821")
        assert {uri for uri, told in found.published if told} == {found.uri("one/app.py")}

    see(tmp_path, act)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    """Binary files, files that can't be read, folders in their place, and huge ones: the server
    goes on."""
    huge = "x = 1\n" * (1 << 20)

    async def act(app: Served, found: Editor) -> None:
        write_tree(
            app.root, {"one/binary.py": b"\0\xff\xfe\r", "one/gone/x.py": "", "huge.txt": huge}
        )
        found.open("huge.txt")
        found.type("huge.txt", huge + "y")
        for name in ("one/binary.py", "one/gone", "huge.txt", "one/never.py"):
            found.save(name)
            assert await found.lenses(name) == []
            assert await found.hover(name, 3, 3) == ""
        found.save("one/app.py", FAULTY)
        await found.shows("one/app.py", "F821")

    see(tmp_path, act)


def test_a_daemon_that_dies(tmp_path: Path) -> None:
    """A daemon that was killed is followed by another with the next save; that is heard, too."""

    async def act(app: Served, found: Editor) -> None:
        found.open("one/app.py")
        for number in range(3):
            found.save("one/app.py", FAULTY.replace("missing", f"missing{number}"))
            await found.until(lambda: f"missing{number}" in str(found.of("one/app.py")))  # noqa: B023
            os.kill(app.site.pid, signal.SIGKILL)
        found.save("one/app.py", GOOD)
        await found.clears("one/app.py", "F821")
        found.open("web/web.ts")
        (app.root / "web/web.ts").write_text("export const handler = ;\n")
        app.fresh("Web")
        await found.shows("web/web.ts", "syntax-error")

    see(tmp_path, act)


def test_no_daemon_can_be_had(tmp_path: Path) -> None:
    """If no daemon can be had the person is told so, once, and all else goes on."""

    async def act(app: Served, found: Editor) -> None:
        folder = Path(app.site.where.folder)
        folder.parent.mkdir(exist_ok=True)
        folder.write_text("in the way")
        found.open("one/app.py")
        found.save("one/app.py", FAULTY)
        await found.until(lambda: bool(found.messages))
        assert "no daemon" in found.messages[0]
        found.save("one/app.py", FAULTY)
        line = str(APP["template.yaml"]).splitlines().index("      Handler: web.handler")
        assert "**Web**" in await found.hover("template.yaml", line, 10)
        folder.unlink()
        found.save("one/app.py", FAULTY)
        await found.shows("one/app.py", "F821")
        assert len(found.messages) == 1

    see(tmp_path, act)


def test_several_folders(tmp_path: Path) -> None:
    """Each folder's project has findings of its own; code that lies outside of a project's folder
    is known to it as well. A folder that leaves takes its findings along."""

    async def go() -> None:
        with served(tmp_path / "a", start=False) as one, site(tmp_path / "b" / "app") as two:
            share_esbuild(Path(two.environ["LAMBDAD_CACHE_DIR"]))
            write_tree(tmp_path / "b", {".git/HEAD": "", "shared/app.py": GOOD})
            toml = OWN.replace("one/app", "app").replace('"."', '"../shared"')
            write_tree(Path(two.root), {"lambdad.toml": toml})
            two_in_one = Site(two.root, one.site.environ)
            folders = [str(one.root), two.root]
            try:
                async with editor(one.site, folders=folders) as found:
                    far = os.path.relpath(tmp_path / "b/shared/app.py", one.root)
                    found.save("one/app.py", FAULTY)
                    await found.shows("one/app.py", "F821")
                    uri = uri_of(str(tmp_path / "b/shared/app.py"))
                    (one.root / far).write_text(FAULTY)
                    found.client.text_document_did_save(
                        lsp.DidSaveTextDocumentParams(lsp.TextDocumentIdentifier(uri))
                    )
                    await found.until(lambda: bool(found.told.get(uri)))
                    left = lsp.WorkspaceFoldersChangeEvent(
                        added=[], removed=[lsp.WorkspaceFolder(uri_of(two.root), "b")]
                    )
                    found.client.workspace_did_change_workspace_folders(
                        lsp.DidChangeWorkspaceFoldersParams(left)
                    )
                    await found.until(lambda: not found.told.get(uri))
                    assert found.codes("one/app.py") == ["F821"]
            finally:
                two_in_one.run("daemon", "stop")

    asyncio.run(go())


def test_the_editor_knows_it_by_another_path(tmp_path: Path) -> None:
    """An editor that came through a symlink is told of its file by the name it has for it."""

    async def act(app: Served, found: Editor) -> None:
        link = app.root.parent / "link"
        link.symlink_to(app.root)
        uri = uri_of(str(link / "one/app.py"))
        item = lsp.TextDocumentItem(uri, "python", 1, FAULTY)
        found.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        (app.root / "one/app.py").write_text(FAULTY)
        document = lsp.TextDocumentIdentifier(uri)
        found.client.text_document_did_save(lsp.DidSaveTextDocumentParams(document))
        await found.until(lambda: bool(found.told.get(uri)))
        assert found.uri("one/app.py") not in found.told

    see(tmp_path, act)


# --- messages ------------------------------------------------------------------------------------


class Raw:
    """The server at the end of two pipes."""

    def __init__(self, place: Site, log: int = subprocess.DEVNULL) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            cwd=place.root,
            env=dict(place.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )

    def send(self, content: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def say(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def hear(self, number: Any) -> Any:
        """The answer to that request; stdout holds nothing but messages."""
        assert self.process.stdout is not None
        while True:
            length = 0
            while (line := self.process.stdout.readline()) != b"\r\n":
                name, _, value = line.partition(b": ")
                assert name in (b"Content-Length", b"Content-Type"), line
                length = int(value) if name == b"Content-Length" else length
            found = json.loads(self.process.stdout.read(length))
            if found.get("id") == number and "method" not in found:
                return found

    def ask(self, number: Any, method: str, params: Any) -> Any:
        self.say(id=number, method=method, params=params)
        return self.hear(number)


NOISE: dict[str, bytes] = {
    "no header": b"hello\r\n\r\n",
    "no length": b"Content-Length: x\r\n\r\n{}",
    "absurd": b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "no JSON": b"Content-Length: 4\r\n\r\n{{{{",
    "no UTF-8": b"Content-Length: 4\r\n\r\n\xff\xfe\xfd\xfc",
    "a number": b"Content-Length: 1\r\n\r\n5",
    "a list": b"Content-Length: 2\r\n\r\n[]",
    "nothing": b"Content-Length: 2\r\n\r\n{}",
    "too deep": b"Content-Length: 60000\r\n\r\n" + b"[" * 60000,
    "another version": b'Content-Length: 33\r\n\r\n{"jsonrpc": "1.0", "method": "m"}',
}
BROKEN: dict[str, tuple[str, Any]] = {
    "no params": ("textDocument/hover", None),
    "other params": ("textDocument/hover", {"textDocument": 5, "position": "here"}),
    "a list": ("textDocument/codeAction", [1, 2]),
    "no method": ("no/such/method", {}),
    "before there is a file": (
        "textDocument/hover",
        {"textDocument": {"uri": "file:///none"}, "position": {"line": 1, "character": 1}},
    ),
    "a place that is none": (
        "textDocument/definition",
        {"textDocument": {"uri": "{uri}"}, "position": {"line": 4_000_000, "character": 4_000_000}},
    ),
    "another place that is none": (
        "textDocument/hover",
        {"textDocument": {"uri": "{uri}"}, "position": {"line": -1, "character": -7}},
    ),
    "a command": ("workspace/executeCommand", {"command": "rm", "arguments": ["-rf"]}),
}


def test_malformed_messages(tmp_path: Path) -> None:
    """Whatever is sent, the server answers the next proper message, and each request that is
    broken; it ends as it is told to."""
    with served(tmp_path, start=False) as app:
        raw = Raw(app.site)
        try:
            raw.ask(0, "textDocument/hover", {"textDocument": {"uri": "file:///a"}, "position": {}})
            raw.say(method="textDocument/didSave", params={"textDocument": {"uri": "file:///a"}})
            root: Any = {"rootUri": uri_of(str(app.root)), "capabilities": {}, "processId": None}
            answer = raw.ask(1, "initialize", {**root, "initializationOptions": [5]})
            assert answer["result"]["serverInfo"]["name"] == "lambdad"
            raw.say(method="initialized", params={})
            number = 1
            for noise in NOISE.values():
                raw.send(noise)
                number += 1
                assert "result" in raw.ask(number, "textDocument/codeLens", _document(app))
            for method, params in BROKEN.values():
                number += 1
                told = json.loads(
                    json.dumps(params).replace("{uri}", _document(app)["textDocument"]["uri"])
                )
                answer = raw.ask(number, method, told)
                assert "error" in answer or "result" in answer
                raw.say(method=method, params=told)
            raw.say(method="textDocument/didChange", params={"textDocument": {"uri": "file:///x"}})
            raw.say(method="$/cancelRequest", params={"id": "never"})
            raw.say(id="text", result=None)
            raw.say(id=7.5, method="textDocument/hover", params={})
            assert "result" in raw.ask("a", "textDocument/codeLens", _document(app))
            assert raw.ask("b", "shutdown", None)["result"] is None
            raw.say(method="exit")
            assert raw.process.wait(WAIT_S) == 0
        finally:
            raw.process.kill()
            raw.process.communicate()


def _document(app: Served) -> Any:
    return {"textDocument": {"uri": uri_of(str(app.root / "template.yaml"))}}


def test_the_editor_is_gone(tmp_path: Path) -> None:
    """When its stdin ends, so does the server, even in the middle of a message."""
    with served(tmp_path, start=False) as app:
        for last in (b"", b"Content-Length: 100\r\n\r\n{"):
            raw = Raw(app.site, subprocess.PIPE)
            raw.send(last)
            _out, said = raw.process.communicate(timeout=WAIT_S)
            assert raw.process.returncode == 1
            assert b"Traceback" not in said


def test_pygls_is_absent(tmp_path: Path) -> None:
    """Without the extra the command says what to install."""
    code = "import sys; sys.modules['pygls'] = None\n"
    code += "from lambdad.daemon.entry import main; main()"
    with served(tmp_path, start=False) as app:
        done = app.site.python(code, "lsp", stdin=subprocess.DEVNULL)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "pip install 'lambdad[lsp]'" in done.stderr


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b%20c.py", "/a/b c.py"),
        ("file://localhost/a/b.py", "/a/b.py"),
        ("file:///a/%E2%82%AC%23%3F.py", "/a/\u20ac#?.py"),
        ("file:///a/%FF.py", os.fsdecode(b"/a/\xff.py")),
        ("file:///a/../b.py", "/b.py"),
        ("file://host/a.py", None),
        ("untitled:a", None),
        ("http://a/b", None),
        ("file:relative", None),
        ("file:///%00", None),
        ("file://[", None),
    ],
)
def test_uris(uri: str, path: str | None) -> None:
    """A URI of a file is its path, whatever bytes that holds; others are none."""
    assert path_of(uri) == path
    if path is not None:
        assert path_of(uri_of(path)) == path
