"""`lambdad start --inspect`: Node.js's inspector, before and after an edit."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.config.find import read_live
from lambdad.bundler.model import BundlerError
from lambdad.daemon.live.project import LiveProject
from lambdad.daemon.live.session import inspected
from tests.support.live import started

FILES = {
    "lambdad.toml": """
[functions.Js]
handler = "src/a.handler"
runtime = "nodejs20.x"

[functions.Py]
handler = "app.handler"
runtime = "python3.11"
code = "py"
""",
    "src/a.js": "exports.handler = async () => [1, require('inspector').url()];",
    "py/app.py": "def handler(event, context): return 1",
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def targets(port: int) -> Any:
    """What a debugger reads first."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
        return json.load(answer)


def test_a_debugger_finds_the_worker_of_each_edit(tmp_path: Path) -> None:
    """On the same port; a function that is not named has no inspector."""
    port = free_port()
    with started(tmp_path / "app", FILES, f"--inspect=Js:{port}") as session:
        pids = []
        for number in (1, 2):
            session.write("src/a.js", FILES["src/a.js"].replace("1", str(number)))
            payload = session.client().invoke(FunctionName="Js")["Payload"].read()
            answered, url = json.loads(payload)
            assert answered == number
            assert f":{port}/" in url
            found = targets(port)
            assert [one["type"] for one in found] == ["node"]
            assert found[0]["webSocketDebuggerUrl"] == url
            pids.append(found[0]["id"])
        assert pids[0] != pids[1]


def test_which_functions_are_inspected(tmp_path: Path) -> None:
    """All of Node.js, or those that are named; a port of their own each."""
    for path, text in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    config = LiveProject(str(tmp_path), lambda: read_live(str(tmp_path), {})).now()
    assert inspected((), config) == {}
    assert inspected(("",), config) == {"Js": 9229}
    assert inspected(("Js:9300",), config) == {"Js": 9300}
    for wrong in ("Py", "None", "Js:x", "Js:70000"):
        with pytest.raises(BundlerError):
            inspected((wrong,), config)
