"""How `lambdad start` ends: by a signal, and by force. No worker outlives it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons import ends
from tests.support.live import Started, started

CONFIG = """
[defaults]
timeout = 60
[functions.Py]
handler = "app.handler"
runtime = "python3.11"
code = "py"
[functions.Js]
handler = "src/list.handler"
runtime = "nodejs20.x"
"""
PY = """import os, subprocess, sys
def handler(event, context):
    if event["do"] == "child":
        return [os.getpid(), subprocess.Popen(["sleep", "600"]).pid]
    print("loops", flush=True)
    while True: pass
"""
JS = """import { spawn } from "node:child_process";
export async function handler(event) {
  if (event.do === "child") {
    return [process.pid, spawn("sleep", ["600"], { stdio: "ignore" }).pid];
  }
  console.log("loops");
  for (;;);
}
"""
FILES = {"lambdad.toml": CONFIG, "py/app.py": PY, "src/list.ts": JS}


def children(session: Started, function: str) -> list[int]:
    """The worker's process, and one that its handler has started."""
    answer = session.client().invoke(FunctionName=function, Payload=b'{"do": "child"}')
    found: list[int] = json.loads(answer["Payload"].read())
    return found


def loop(session: Started, function: str) -> threading.Thread:
    """A request whose handler never ends, once that runs."""

    def ask() -> None:
        client: Any = session.client(read_timeout=60)
        with contextlib.suppress(Exception):
            client.invoke(FunctionName=function, Payload=b'{"do": "loop"}')

    thread = threading.Thread(target=ask)
    thread.start()
    while "loops" not in session.until("log", function=function)["text"]:
        pass
    return thread


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_it(tmp_path: Path, how: signal.Signals) -> None:
    """Whatever runs in them, and whatever they have started; Ctrl-C is answered by 130."""
    with started(tmp_path / "app", FILES) as session:
        pids = [pid for function in ("Py", "Js") for pid in children(session, function)]
        asking = [loop(session, function) for function in ("Py", "Js")]
        session.process.send_signal(how)
        assert session.process.wait(10) == (-9 if how == signal.SIGKILL else 130)
        for pid in pids:
            assert ends(pid, 5), f"{pid} lives"
        for thread in asking:
            thread.join()


def test_a_killed_worker_is_an_exit(tmp_path: Path) -> None:
    """Of the request that it ran; the next request has another worker."""
    with started(tmp_path / "app", FILES) as session:
        pid, child = children(session, "Py")
        found: list[Any] = []

        def ask() -> None:
            answer = session.client().invoke(FunctionName="Py", Payload=b'{"do": "loop"}')
            found.append(json.loads(answer["Payload"].read()))

        thread = threading.Thread(target=ask)
        thread.start()
        while "loops" not in session.until("log", function="Py")["text"]:
            pass
        os.kill(pid, signal.SIGKILL)
        thread.join()
        assert found[0]["errorType"] == "Runtime.ExitError"
        assert found[0]["errorMessage"].endswith("Runtime exited with error: signal: killed")
        assert ends(child, 5)
        assert children(session, "Py")[0] != pid


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    """With the option that names another one."""
    with started(tmp_path / "app", FILES) as session:
        port = session.api.rpartition(":")[2]
        ended = session.place.run("start", "--port=0", f"--lambda-port={port}")
        assert ended.returncode == 2
        assert "--lambda-port" in ended.stderr
        assert "port-in-use" in ended.stderr
