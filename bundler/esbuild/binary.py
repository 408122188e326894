"""Where the esbuild binary comes from: the project's node_modules, else npm, once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from lambdad.bundler import tool_caches, tool_faults, tools
from lambdad.bundler.inputs.snapshot import file_key, key_of
from lambdad.bundler.model import BundlerError
from lambdad.bundler.store import notes, record
from lambdad.bundler.store.anchored import open_file
from lambdad.bundler.store.store import Store, write_atomic
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.toolchain import ESBUILD
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop

VERSION: Final = ESBUILD
"""Exact: the service protocol is not a public API, and the bytes of every bundle depend on it."""

DIGESTS: Final = {
    "linux-x64": "e1698a3d5c6c0798fee4fd3b5cc816651f460c63d390a7a26ea4beb0b1884100",
    "linux-arm64": "90bd269553d258e80b19e3ccab4f98f0831f87442a2f056510ce24fd1b425fc2",
    "darwin-x64": "7fe5c9c905fff0a05d92db98929434ab4d3b6dd92d7a7688922db74380c75df3",
    "darwin-arm64": "10b6243df618d374bb2d5c9cfbe7052e1405f6aa4e53a6164f11a91b9f2e1384",
}
"""SHA-256 of bin/esbuild in the npm package `@esbuild/<platform>` of VERSION. No other file is ever
run as esbuild, wherever it was found, so a bundle needs no trust in a project's folder."""

KIND: Final = "esbuild"
_PROOF: Final = "proof.json"
"""Beside the binary: the stat key that it had when its digest was the one."""

LARGEST: Final = 64 << 20
"""Bytes; the binaries have 10 MB."""

NPM_TIMEOUT_S: Final = 300.0
"""npm waits as long for one answer, and for several if they never end."""

_MACHINES: Final = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def find(workshop: Workshop) -> str:
    """The absolute path of the esbuild binary of VERSION, in the store.

    It comes there once per machine, two at a time are safe: from the project's node_modules if it
    is there, else by npm. Raises BundlerError: `esbuild-platform`, `esbuild-missing` (offline, or
    npm or the package is missing), `esbuild-corrupt`, and what tool_faults.py finds in npm's words.
    """
    name = host_platform()
    kept = _kept(workshop.store, name)
    if kept is not None:
        return kept
    content = _in_project(workshop.root, name) or _fetched(workshop, name)
    with workshop.store.workspace() as workspace:
        folder = workspace / "kept"
        folder.mkdir()
        with open(folder / "esbuild", "xb") as out:
            out.write(content)
            os.fchmod(out.fileno(), 0o755)
        if (kept := _kept(workshop.store, name)) is not None:  # another process was faster
            return kept
        workshop.store.discard(KIND, f"{VERSION}-{name}")
        workshop.store.adopt(folder, KIND, f"{VERSION}-{name}")
    if (kept := _kept(workshop.store, name)) is None:
        place = workshop.store.path(KIND, f"{VERSION}-{name}")
        raise BundlerError("store-damaged", f"{place} does not stay as it is written")
    return kept


def _kept(store: Store, name: str) -> str | None:
    """The binary in the store, if it is the one that was published: it is read once, and known by
    its stat key from then on. Raises BundlerError `not-ours`."""
    folder = store.find(KIND, f"{VERSION}-{name}")
    if folder is None or not os.access(folder / "esbuild", os.X_OK):
        return None
    path = str(folder / "esbuild")
    try:
        with open_file(path) as file:
            key = record.canonical(key_of(os.fstat(file.fileno())))
            seal = notes.seal(store, KIND, f"{VERSION}-{name}")
            with contextlib.suppress(OSError), open_file(str(folder / _PROOF)) as proof:
                if seal.unseal(proof.read()) == key:
                    return path
            if _digest(file.read(LARGEST)) != DIGESTS[name]:
                return None
    except OSError:
        return None
    if record.canonical(file_key(path)) == key:
        with contextlib.suppress(OSError):  # a store that may be read but not written still serves
            write_atomic(folder / _PROOF, seal.seal(key))
    return path


def host_platform() -> str:
    """This machine as esbuild's packages name it. Raises BundlerError: `esbuild-platform`."""
    machine = platform.machine().lower()
    name = f"{sys.platform}-{_MACHINES.get(machine, machine)}"
    if name not in DIGESTS:
        raise BundlerError(
            "esbuild-platform",
            f"lambdad has no esbuild for {name}",
            f"it runs on {', '.join(DIGESTS)}",
        )
    return name


def _in_project(root: str, name: str) -> bytes | None:
    """The binary that Node.js would find from the project's root, if it is the one."""
    for folder in _upwards(root):
        modules = f"{folder}/node_modules"
        # pnpm keeps a package's dependencies beside the package itself, not at the top.
        beside = os.path.dirname(os.path.realpath(f"{modules}/esbuild"))
        for home in (modules, beside):
            try:
                with open(f"{home}/@esbuild/{name}/bin/esbuild", "rb") as file:
                    content = file.read(LARGEST)
            except OSError:
                continue
            if _digest(content) == DIGESTS[name]:
                return content
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder.rstrip("/")
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _fetched(workshop: Workshop, name: str) -> bytes:
    package = f"@esbuild/{name}@{VERSION}"
    again = f"`npm install --save-dev esbuild@{VERSION}` in the project does too"
    if workshop.offline:
        raise BundlerError(
            "esbuild-missing",
            f"esbuild {VERSION} is not on this machine yet, and fetching is off",
            f"run once without --offline; {again}",
        )
    npm = shutil.which("npm", path=workshop.environ.get("PATH"))
    if npm is None:
        raise BundlerError(
            "esbuild-missing",
            f"esbuild {VERSION} is fetched by npm, and there is no npm on PATH",
            "install Node.js and npm, then run this again",
        )
    workshop.say(f"fetching esbuild {VERSION}")
    with workshop.store.workspace() as workspace:
        # npm takes the .npmrc of the nearest package.json above: this one leads to the user's own.
        # `--prefix` would lead there, too, and away from the machine's npmrc.
        (workspace / "package.json").write_text("{}", "utf-8")
        environ = {
            **workshop.environ,
            **tool_caches.chosen(Program.NPM, workshop.environ, workshop.store),
        }
        done = tools.run(
            [
                npm,
                "pack",
                package,
                "--ignore-scripts",
                "--no-workspaces",
                "--no-update-notifier",
                "--loglevel=error",
                "--pack-destination",
                str(workspace),
            ],
            cwd=workspace,
            environ=environ,
            timeout_s=NPM_TIMEOUT_S,
        )
        packed = sorted(workspace.glob("*.tgz"))
        if done.code != 0 or len(packed) != 1:
            folders = [*tool_caches.places(Program.NPM, environ), str(workspace)]
            raise _not_fetched(package, done, folders, again)
        content = _binary_in(packed[0])
        if _digest(content) != DIGESTS[name]:
            raise BundlerError(
                "esbuild-corrupt",
                f"what npm fetched as {package} is not that package: its bin/esbuild is another",
                _CORRUPT_HINT,
            )
        return content


def _not_fetched(package: str, done: Completed, folders: Iterable[str], again: str) -> BundlerError:
    """`folders` are those that npm was to write to."""
    what = f"{package} can't be fetched: "
    if (fault := tool_faults.machine_fault(Program.NPM, done)) is not None:
        message = what + fault.message
        if fault.code in ("disk-full", "not-writable"):  # npm seldom says where
            message += f" (it writes to {' and '.join(folders)})"
        return BundlerError(fault.code, message, f"{fault.hint}; {again}")
    said = tool_faults.npm_words(done) or f"npm ended with {done.code} and gave nothing"
    if _IS_CORRUPT.search(done.stderr):
        return BundlerError("esbuild-corrupt", f"{what}{said}", _CORRUPT_HINT)
    hint = f"check npm's registry (`npm view {package}`); {again}"
    return BundlerError("esbuild-missing", f"{what}{said}", hint)


_IS_CORRUPT: Final = re.compile(r"code (?:EINTEGRITY|TAR_\w+|Z_\w+)\b")
_CORRUPT_HINT: Final = (
    "check which registry npm uses (`npm config get registry`), then `npm cache clean --force`"
)


def _binary_in(archive: Path) -> bytes:
    """Whatever the archive is: only what has the right digest will count."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("package/bin/esbuild")
            return member.read(LARGEST) if member is not None else b""
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error):
        return b""
