"""A small app with a real daemon, and builds that wait until a test lets them go on."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lambdad.bundler.store.store import cache_folder
from tests.conftest import Tree, write_tree
from tests.support import daemons
from tests.support.daemons import Site
from tests.support.esbuild_cases import binary_path
from tests.support.python_index import source_tree
from tests.support.unixhttp import Reply, call

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.12
    Handler: app.handler
Resources:
"""
PYTHON = """
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {code}
"""
SCRIPT = """
  Web:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: esbuild
      BuildProperties:
        EntryPoints: [web.ts]
    Properties:
      Runtime: nodejs22.x
      Handler: web.handler
      CodeUri: web
"""
APP: Tree = {
    "template.yaml": TEMPLATE
    + PYTHON.format(name="One", code="one")
    + PYTHON.format(name="Two", code="two")
    + SCRIPT,
    "one/app.py": "def handler(event, context):\n    return 'one'\n",
    "two/app.py": "def handler(event, context):\n    return 'two'\n",
    "web/web.ts": 'import { word } from "./word";\nexport const handler = async () => word;\n',
    "web/word.ts": 'export const word: string = "first";\n',
}

Answer = Mapping[str, Any]


class Served:
    """A project, and calls to its daemon."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.root = Path(site.root)
        self.socket = site.where.socket

    def lay(self, files: Tree) -> None:
        write_tree(self.root, files)

    def call(self, method: str, target: str, body: object = None, **more: Any) -> Reply:
        return call(self.socket, method, target, body, **more)

    def fresh(self, *functions: str, want: str = "live", **more: Any) -> Any:
        """The answer's document, or the problem's; all functions when none is named."""
        body = {"functions": list(functions) or "all", "want": want, **more}
        return self.call("POST", "/v1/fresh", body).json

    def one(self, function: str, want: str = "live") -> Any:
        """What the answer says of that function."""
        (found,) = self.fresh(function, want=want)["functions"]
        return found

    def save(self, *files: str) -> Any:
        return self.call("POST", "/v1/save", {"files": list(files)}).json

    def entry(self, found: Answer) -> str:
        """The text of the file that is to be loaded."""
        return Path(self.root, found["live"]["entry"]).read_text()


@contextlib.contextmanager
def served(folder: Path, files: Tree | None = None, *, start: bool = True) -> Iterator[Served]:
    """The app below `folder`. Its store has the binary of esbuild, and nothing else."""
    with daemons.site(folder / "app") as site:
        share_esbuild(Path(cache_folder(dict(site.environ))))
        write_tree(Path(site.root), APP if files is None else files)
        if start:
            site.started()
        yield Served(site)


def share_esbuild(store: Path) -> None:
    """Fetched once for all tests, since it comes from a registry."""
    store.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        shutil.copytree(Path(binary_path()).parent.parent, store / "esbuild", copy_function=_link)


def _link(source: str, target: str) -> None:
    """The same file, where that can be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Gate:
    """A local package whose build says that it began, and waits until it is let through."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [folder / "began", folder / "go"]
        for path in self._paths:
            os.mkfifo(path)
        # Both ends are ours: whoever opens another finds a partner and does not wait for one.
        self._began, self._go = (os.open(path, os.O_RDWR) for path in self._paths)

    def close(self) -> None:
        os.close(self._began)
        os.close(self._go)

    def package(self, code: str = "value = 1\n") -> Tree:
        """The files of the package, and a requirements file beside it that names it."""
        files = source_tree("slow", code=code)
        began, go = map(str, self._paths)
        files["backend.py"] += (
            "\n_build = build_wheel\n\n\n"
            "def build_wheel(*arguments, **named):\n"
            f"    with open({began!r}, 'wb', 0) as pipe:\n        pipe.write(b'x')\n"
            f"    with open({go!r}, 'rb', 0) as pipe:\n        pipe.read(1)\n"
            "    return _build(*arguments, **named)\n"
        )
        return {f"slow/{name}": text for name, text in files.items()}

    def began(self, wait_s: float = 60.0) -> bool:
        """Whether a build begins within that time."""
        ready, _, _ = select.select([self._began], [], [], wait_s)
        return bool(ready) and os.read(self._began, 1) == b"x"

    def open(self, times: int = 1) -> None:
        """So many builds go through, those that wait first."""
        os.write(self._go, b"x" * times)


@contextlib.contextmanager
def gate(folder: Path) -> Iterator[Gate]:
    found = Gate(folder)
    try:
        yield found
    finally:
        found.close()


def slow_app(gated: Gate) -> Tree:
    """APP, of which Two needs the package that builds slowly."""
    return {**APP, **gated.package(), "two/requirements.txt": "../slow\n"}
