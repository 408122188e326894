"""An editor in plain code: the protocol's messages to one language server, no loop and no thread.

tests/support/lsp_client.py has the one that knows all of the protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lambdad.daemon.lsp.session import uri_of

WAIT_S = 60.0
REFRESH = "workspace/codeLens/refresh"
MESSAGE = "window/showMessage"

Message = Mapping[str, Any]


class PlainEditor:
    """Every wait ends after WAIT_S, with a TimeoutError."""

    def __init__(self, process: subprocess.Popen[bytes], root: str) -> None:
        self._process = process
        self._root = root
        self._left = b""
        self._number = 0
        self.heard: list[Message] = []
        """What the server said, in order."""

    def notify(self, method: str, params: object) -> None:
        self._send({"method": method, "params": params})

    def ask(self, method: str, params: object) -> Any:
        """The answer; its error, if it is one."""
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        answer = self.until(lambda one: one.get("id") == number and "method" not in one)
        return answer["result"] if "result" in answer else answer["error"]

    def until(self, holds: Callable[[Message], bool]) -> Message:
        """The first message that comes from now on and is such a one."""
        ends_s = time.monotonic() + WAIT_S
        while True:
            message = self._receive(ends_s)
            self.heard.append(message)
            if "id" in message and "method" in message:
                self._send({"id": message["id"], "result": None})
            if holds(message):
                return message

    def messages(self) -> list[str]:
        """What a person was shown, in order."""
        return [one["params"]["message"] for one in self.heard if one.get("method") == MESSAGE]

    # --- what a person does ----------------------------------------------------------------------

    def open(self, name: str) -> None:
        item = {"uri": self.uri(name), "languageId": "text", "version": 1}
        text = Path(self._root, name).read_text()
        self.notify("textDocument/didOpen", {"textDocument": {**item, "text": text}})

    def save(self, name: str) -> None:
        self.notify("textDocument/didSave", {"textDocument": {"uri": self.uri(name)}})

    def uri(self, name: str) -> str:
        return uri_of(f"{self._root}/{name}")

    # --- the wire --------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._process.stdin.flush()

    def _receive(self, ends_s: float) -> Message:
        while b"\r\n\r\n" not in self._left:
            self._left += self._read(ends_s)
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        (size,) = (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(self._left) < size:
            self._left += self._read(ends_s)
        content, self._left = self._left[:size], self._left[size:]
        message: Message = json.loads(content)
        return message

    def _read(self, ends_s: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], max(ends_s - time.monotonic(), 0))
        if not ready:
            raise TimeoutError("the language server says nothing")
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            raise TimeoutError("the language server has left")
        return piece


@contextlib.contextmanager
def plain_editor(
    command: Sequence[str], root: str, environ: Mapping[str, str], options: object = None
) -> Iterator[PlainEditor]:
    """The server has ended, as the protocol has it, when the block is left without an exception."""
    process = subprocess.Popen(
        list(command),
        cwd=root,
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            editor = PlainEditor(process, root)
            refreshing = {"workspace": {"codeLens": {"refreshSupport": True}}}
            folders = [{"uri": uri_of(root), "name": "app"}]
            given: dict[str, object] = {
                "processId": None,
                "capabilities": refreshing,
                "rootUri": uri_of(root),
            }
            given |= {"workspaceFolders": folders, "initializationOptions": options}
            editor.ask("initialize", given)
            editor.notify("initialized", {})
            yield editor
            editor.ask("shutdown", None)
            editor.notify("exit", None)
            process.wait(WAIT_S)
        finally:
            if process.poll() is None:
                process.kill()
