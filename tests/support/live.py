"""A `lambdad start` that runs for real, and is surely ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.daemons import Site, site

RUN = "from lambdad.daemon.entry import main; main()"


@dataclass(slots=True)
class Started:
    """A session, by the lines that it writes."""

    place: Site
    process: subprocess.Popen[str]
    http: str
    api: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def write(self, path: str, text: str) -> None:
        """As an editor saves: beside, and renamed."""
        file = Path(self.place.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.new")
        beside.write_text(text)
        os.replace(beside, file)

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next event that is like that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            self.events.append(event)
            if event["event"] == kind and all(event.get(name) == fields[name] for name in fields):
                return event
        raise AssertionError(f"no {kind} came; it ended with {self.process.wait()}")

    def client(self, service: str = "lambda", **config: Any) -> Any:
        """An unmodified client of boto3."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.api,
            region_name="eu-central-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"max_attempts": 0}, **config),
        )


@contextlib.contextmanager
def started(folder: Path, files: dict[str, str], *arguments: str) -> Iterator[Started]:
    """A project of these files, and `lambdad start` in it; both are gone afterwards."""
    with site(folder) as place:
        for name, text in files.items():
            file = Path(place.root, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        command = [sys.executable, "-c", RUN, "start", "--port=0", "--lambda-port=0", "--json"]
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=place.root,
            env=place.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"it ended with {process.wait()}"
            ready = json.loads(line)
            assert ready["event"] == "ready"
            yield Started(place, process, ready["http"], ready["lambda"])
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            if process.stdout is not None:
                process.stdout.close()
