"""Builds one case again and again, each time with another of its files replaced by an obstacle.

ROOT STORE OBSTACLE FILE...: prints one line per file, `FILE<tab>CODES`, before the next one begins.
The line of the file that is being tried is printed first, without its end, so that a hang is known
by name.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lambdad.bundler import build as builds
from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import BundlerError, ProjectError, Want
from lambdad.bundler.report.render import document
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop

MOST_MEMORY: Final = 1500 << 10
"""KiB that the process and each of its children may ever hold."""


def fifo(path: str) -> None:
    os.mkfifo(path)


def endless(path: str) -> None:
    os.symlink("/dev/zero", path)


def folder(path: str) -> None:
    os.mkdir(path)


def sparse(path: str) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 30)


def nested(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"[" * 100_000)


OBSTACLES: Final[dict[str, Callable[[str], None]]] = {
    "fifo": fifo,
    "endless": endless,
    "folder": folder,
    "sparse": sparse,
    "nested": nested,
}


def tried(root: str, store: Store) -> list[str]:
    """The codes of what is reported now, sorted."""
    environ = dict(os.environ)
    try:
        project = read_project(root, environ)
    except ProjectError as fault:
        return sorted({one.code for one in fault.diagnostics})
    except BundlerError as fault:
        return [f"machine:{fault.code}"]
    workshop = Workshop(
        root=project.root,
        repository=project.repository,
        store=store,
        environ=environ,
        recall=False,
    )
    codes = {one.code for one in project.diagnostics}
    for want in Want:
        shown = document(builds.build(project.functions, workshop, want=want), ())
        codes |= set(re.findall(r'"code": "([^"]+)"', json.dumps(shown)))
    return sorted(codes) or ["nothing"]


def main(root: str, store: str, obstacle: str, *files: str) -> None:
    for file in files:
        sys.stdout.write(f"{file}\t")
        sys.stdout.flush()
        path = os.path.join(root, file)
        os.rename(path, f"{path}.aside")
        OBSTACLES[obstacle](path)
        codes = tried(root, Store(Path(store)))
        os.rmdir(path) if obstacle == "folder" else os.unlink(path)
        os.rename(f"{path}.aside", path)
        held = max(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        codes += ["too-much-memory"] if held > MOST_MEMORY else []
        sys.stdout.write(" ".join(codes) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
