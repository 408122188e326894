"""A daemon whose life is real and whose answers are not.

`python -m tests.support.fake_daemon ROOT` runs it.

FAKE chooses how it behaves, by words: `deaf` answers once, `stubborn` hears neither stop nor
SIGTERM, `slow` never winds up, `mortal` dies of every fresh request, `once` of the first, `child`
starts a process that would stay, `tool` a thread that waits for a tool.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping

from lambdad.bundler import tools
from lambdad.daemon.life.leave import Leave
from lambdad.daemon.life.lifecycle import main


async def serve(
    listener: socket.socket, root: str, environ: Mapping[str, str], leave: Leave
) -> None:
    moods = environ.get("FAKE", "").split()
    asked_s = began_s = time.monotonic()
    leave.idle_s = lambda: time.monotonic() - asked_s
    if "child" in moods:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with open(os.path.join(root, "child"), "w", encoding="ascii") as file:
            file.write(str(child.pid))
    if "tool" in moods:
        sleep = functools.partial(tools.run, ["sleep", "600"], cwd=root)
        asyncio.get_running_loop().run_in_executor(None, sleep)
        while not tools._running:
            await asyncio.sleep(0.01)
    if "stubborn" in moods:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked_s
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "deaf" in moods and asked_s != began_s:
            await asyncio.sleep(600)
        asked_s = time.monotonic()
        method, path, _ = head.split(None, 2)
        if path == "/v1/fresh":
            _die(moods, root)
        if (method, path) == ("POST", "/v1/stop") and "stubborn" not in moods:
            asyncio.get_running_loop().call_soon(leave.set)
        body = json.dumps({"pid": os.getpid(), **answer_of(path, environ)}).encode()
        status = b"503 Leaving" if leave.is_set() else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, sock=listener)
    await leave.wait()
    if "slow" in moods:
        await asyncio.sleep(600)
    server.close()


def answer_of(path: str, environ: Mapping[str, str]) -> dict[str, object]:
    if path != "/v1/fresh":
        return {"path": path, "pythonpath": environ.get("PYTHONPATH")}
    return {"schema": 1, "ok": True, "diagnostics": [], "functions": []}


def _die(moods: list[str], root: str) -> None:
    marker = os.path.join(root, "died")
    if "mortal" in moods or ("once" in moods and not os.path.exists(marker)):
        with open(marker, "a", encoding="ascii") as file:
            file.write("x")
        os._exit(1)


if __name__ == "__main__":
    main(lambda: serve)
