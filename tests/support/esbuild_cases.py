"""Cases of fixtures/esbuild: a project in one text file, and what is expected of its functions.

`-- path --` begins a file, `-- path -> target --` is a symlink. case.json lists the functions
(name, handler, and what differs from the usual) and what each must come to.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lambdad.bundler.esbuild import binary, options
from lambdad.bundler.esbuild.engine import Esbuild
from lambdad.bundler.esbuild.oneshot import OneShot
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.javascript import bundled
from lambdad.bundler.model import (
    Architecture,
    BuildRequest,
    Function,
    Handler,
    InputSet,
    Location,
    Method,
    ProjectError,
)
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store, cache_folder
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents
from tests.support.paths import ROOT

CASES = ROOT / "fixtures" / "esbuild"
_HEAD = re.compile(r"^-- (.+?)(?: -> (.+?))? --$")


def case_files(kind: str) -> list[Path]:
    return sorted((CASES / kind).glob("*.txt"))


def lay_out(case: Path, root: Path) -> dict[str, Any]:
    """Writes the case's project below `root`; gives its case.json."""
    files: dict[str, list[str]] = {}
    current: list[str] = []
    for line in case.read_text(encoding="utf-8").splitlines(keepends=True):
        head = _HEAD.match(line.rstrip("\n"))
        if head is None:
            current.append(line)
            continue
        path = root / head[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        if head[2]:
            path.symlink_to(head[2])
        else:
            current = files[head[1]] = []
    for name, lines in files.items():
        if name != "case.json":
            (root / name).write_text("".join(lines), encoding="utf-8")
    found: dict[str, Any] = json.loads("".join(files["case.json"]))
    return found


def workshop_of(root: Path) -> Workshop:
    """A project whose store is the user's own, so that the binary is fetched once."""
    real = os.path.realpath(root)
    environ = dict(os.environ)
    return Workshop(root=real, repository=real, store=Store(cache_folder(environ)), environ=environ)


@functools.cache
def binary_path() -> str:
    return binary.find(workshop_of(Path("/")))


@functools.cache
def service() -> EsbuildService:
    """One process for all tests of a run; a test that kills one starts its own."""
    found = EsbuildService(binary_path(), binary.VERSION)
    atexit.register(found.close)
    return found


def oneshot() -> OneShot:
    return OneShot(binary_path(), os.environ)


ENGINES: dict[str, Any] = {"service": service, "oneshot": oneshot}


def engine(name: str) -> Esbuild:
    found: Esbuild = ENGINES[name]()
    return found


def request(said: Mapping[str, Any]) -> BuildRequest:
    """A function as a case declares it."""
    text = said["handler"]
    folder, slash, last = text.rpartition("/")
    stem, _dot, export = last.partition(".")
    module = folder + slash + stem
    if said.get("wrapper"):
        module, export = text, None
    place = Location("lambdad.toml", 4, 11)
    read = options.from_sam if said.get("sam") else options.parse
    checked, faults = read(said.get("options", {}), lambda _name: place)
    assert not faults, faults
    return BuildRequest(
        function=Function(
            name=said["name"],
            runtime=RUNTIMES[said.get("runtime", "nodejs22.x")],
            architecture=Architecture.X86_64,
            handler=Handler(text, module, export),
            method=Method.ESBUILD,
            code=said.get("code", "."),
            layers=said.get("layers", False),
            entry_points=tuple(said.get("entry_points", ())),
            esbuild=checked,
            where=Location("lambdad.toml", 2, 1),
            handler_where=place,
        ),
        toolchain=current_toolchain(),
    )


def requests(case: Mapping[str, Any]) -> list[BuildRequest]:
    return [request(said) for said in case["functions"]]


class Packed(dict[str, Contents | ProjectError]):
    """What became of functions, by their names."""

    def __init__(self, results: Mapping[str, Contents | ProjectError], seen: Mapping[str, Seen]):
        super().__init__(results)
        self._seen = seen

    def inputs(self, name: str) -> InputSet:
        """What that function depends on."""
        return self._seen[name].inputs()


def pack(
    wanted: Sequence[BuildRequest], workshop: Workshop, esbuild: Esbuild | None = None
) -> Packed:
    """All of them, bundled at once, each with a recorder of its own."""
    seen = {one.function.name: Seen(workshop.root, workshop.repository) for one in wanted}
    some = bundled.packed(wanted, workshop, seen, esbuild)
    return Packed({name: one for each in some for name, one in each.items()}, seen)


def files_of(result: Contents | ProjectError) -> dict[str, bytes]:
    if isinstance(result, ProjectError):
        raise result
    return {entry.name: entry.content for entry in result.own}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


_CALL = """
const path = process.argv[1], name = process.argv[2];
const load = path.endsWith("mjs") ? import(path) : Promise.resolve(require(path));
const find = (module) => name.split(".").reduce((object, key) => object[key], module);
load.then(async (module) => console.log(JSON.stringify(await find(module)({}))));
"""


def call(folder: Path, file: str, export: str, layers: Iterable[str] = ()) -> Any:
    """What the handler answers to {} in a Node.js that sees that folder and the layers alone."""
    done = subprocess.run(
        ["node", "-e", _CALL, str(folder / file), export],
        cwd="/",
        env={"PATH": os.environ["PATH"], "NODE_PATH": os.pathsep.join(layers)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
