"""Invocations of a `lambdad start` under edits: none is stale, lost, doubled or another's answer.

Writers save numbers into the sources of functions. A request notes which numbers were saved before
it began, and its answer says which the code had that ran: older ones are stale. Each run of a
handler writes the request's token into a file, so that one that ran twice or never is found.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.live import Started

CONFIG: Final = """
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
SOURCES: Final = {
    "Py": {
        "py/app.py": "import os\nimport lib\nNUMBER = {number}\n"
        "def handler(event, context):\n"
        "    with open(event['ran'], 'a') as file:\n"
        "        file.write(event['token'] + '\\n')\n"
        "    return [event['token'], NUMBER, lib.NUMBER]\n",
        "py/lib.py": "NUMBER = {number}\n",
    },
    "Js": {
        "src/list.ts": "import {{ appendFileSync }} from 'node:fs';\n"
        "import {{ NUMBER as other }} from './lib';\nconst NUMBER = {number};\n"
        "export async function handler(event: any) {{\n"
        "  appendFileSync(event.ran, event.token + '\\n');\n"
        "  return [event.token, NUMBER, other];\n}}\n",
        "src/lib.ts": "export const NUMBER = {number};\n",
    },
}


def files() -> dict[str, str]:
    """The project as it begins."""
    found = {"lambdad.toml": CONFIG}
    for sources in SOURCES.values():
        found |= {path: text.format(number=0) for path, text in sources.items()}
    return found


class Saved:
    """A file's number: saved for sure, and begun to be saved."""

    def __init__(self, session: Started, path: str, text: str) -> None:
        self._session = session
        self._path = path
        self._text = text
        self.begun = 0
        self.finished = 0

    def save(self, number: int) -> None:
        self.begun = number
        self._session.write(self._path, self._text.format(number=number))
        self.finished = number


class InvocationTorture:
    """Counts what goes wrong in so many requests."""

    def __init__(self, session: Started, seed: int = 0) -> None:
        self._session = session
        self._random = random.Random(seed)
        self._saved = {
            function: [Saved(session, path, text) for path, text in sources.items()]
            for function, sources in SOURCES.items()
        }
        self._tokens = itertools.count()
        self._ran = Path(session.place.root).parent / "ran"
        self._sent: list[str] = []
        self._over = threading.Event()
        self.faults: list[str] = []

    def run(self, requests: int, at_once: int, pause_s: float) -> None:
        """Sends the requests, so many at once, while files are saved after pauses of up to that."""
        share = requests // at_once
        callers = [threading.Thread(target=self._call, args=(share,)) for _ in range(at_once)]
        writer = threading.Thread(target=self._write, args=(pause_s,))
        for thread in (*callers, writer):
            thread.start()
        for thread in callers:
            thread.join()
        self._over.set()
        writer.join()
        ran = Counter(self._ran.read_text().split())
        self.faults += [
            f"{token} ran {ran[token]} times" for token in self._sent if ran[token] != 1
        ]

    def _write(self, pause_s: float) -> None:
        for number in itertools.count(1):
            if self._over.wait(self._random.uniform(0, pause_s)):
                return
            function = self._random.choice(sorted(self._saved))
            saved = self._saved[function]
            for one in self._random.sample(saved, self._random.choice([1, len(saved)])):
                one.save(number)

    def _call(self, count: int) -> None:
        host = self._session.api.removeprefix("http://")
        peer = http.client.HTTPConnection(host, timeout=60)
        for _ in range(count):
            function = self._random.choice(sorted(self._saved))
            token = f"{function}-{next(self._tokens)}"
            self._sent.append(token)
            least = [one.finished for one in self._saved[function]]
            body = json.dumps({"token": token, "ran": os.fspath(self._ran)})
            peer.request("POST", f"/2015-03-31/functions/{function}/invocations", body)
            response = peer.getresponse()
            answer = json.loads(response.read())
            most = [one.begun for one in self._saved[function]]
            self.faults += _faults(token, answer, least, most)
        peer.close()


def _faults(token: str, answer: object, least: list[int], most: list[int]) -> Iterator[str]:
    if not isinstance(answer, list):
        yield f"{token}: {answer}"
        return
    if answer[0] != token:
        yield f"{token} was answered by {answer[0]}"
    for found, low, high in zip(answer[1:], least, most, strict=True):
        if not low <= found <= high:
            yield f"{token} ran {found}, and {low} was saved before it began"


def drain(session: Started) -> threading.Thread:
    """Reads what the session writes, so that it is not held up."""

    def read() -> None:
        assert session.process.stdout is not None
        for _line in session.process.stdout:
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
