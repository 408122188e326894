"""Where the esbuild binary comes from: the project's own node_modules, else npm, once."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bundler import tools
from bundler.model import BundlerError
from bundler.toolchain import ESBUILD
from bundler.workshop import Workshop

VERSION: Final = ESBUILD
"""Exact: the service protocol is not a public API, and the bytes of every bundle depend on it."""

INTEGRITY: Final = {
    "linux-x64": "4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90"
    "+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==",
    "linux-arm64": "pW4AC0P3it8c7do9MVM4p51FzHzdM/TZrerurgRcHJ2WTa1VQ1CIq1"
    "8xncfpBJw4ojkiZZrKW2yIBWBP92j6Ug==",
    "darwin-x64": "uq6suIWYP37qzGddBKPw5QEQPi6HiLGsO7UmkpfyaYNQ3D+rN6w6Wf"
    "wH+nuqcGXWvawGwxOEroO4YGnFh95azw==",
    "darwin-arm64": "n4KqkOQrraxHJcgjM1RvwbigfQKIKJVpM7xp+KsxiyUSrRdIXnt73V"
    "hrPAx0fV44hgfmIVKjxMN9J1t5jySVkw==",
}
"""SHA-512 of the npm package `@esbuild/<platform>` of VERSION: `npm view`'s `dist.integrity`."""

_MACHINES: Final = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def find(workshop: Workshop, *, own: bool = True) -> str:
    """The absolute path of an esbuild binary of VERSION.

    The project's own counts only with `own`: it is code of that project. Fetching happens at most
    once per machine; two at a time are safe. Raises BundlerError: `esbuild-platform`,
    `esbuild-missing` (offline, or npm is missing or fails), `esbuild-corrupt`.
    """
    name = host_platform()
    if own and (found := _in_project(workshop.root, name)):
        return found
    kept = workshop.store.find("esbuild", f"{VERSION}-{name}")
    if kept is not None and os.access(kept / "esbuild", os.X_OK):
        return str(kept / "esbuild")
    return _fetch(workshop, name)


def host_platform() -> str:
    """This machine as esbuild's packages name it. Raises BundlerError: `esbuild-platform`."""
    machine = platform.machine().lower()
    name = f"{sys.platform}-{_MACHINES.get(machine, machine)}"
    if name not in INTEGRITY:
        raise BundlerError(
            "esbuild-platform",
            f"lambdad has no esbuild for {name}",
            f"it runs on {', '.join(INTEGRITY)}",
        )
    return name


def _in_project(root: str, name: str) -> str | None:
    """The binary that Node.js would find from the project's root, if it has the right version."""
    for folder in _upwards(root):
        modules = f"{folder}/node_modules"
        # pnpm keeps a package's dependencies beside the package itself, not at the top.
        beside = os.path.dirname(os.path.realpath(f"{modules}/esbuild"))
        for home in (modules, beside):
            package = f"{home}/@esbuild/{name}"
            try:
                with open(f"{package}/package.json", "rb") as file:
                    version = json.load(file).get("version")
            except (OSError, ValueError, AttributeError):
                continue
            binary = f"{package}/bin/esbuild"
            if version == VERSION and os.access(binary, os.X_OK):
                return binary
    return None


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder.rstrip("/")
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _fetch(workshop: Workshop, name: str) -> str:
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
        # Run in the project, so that its .npmrc counts: registry, proxy, certificates, tokens.
        done = tools.run(
            [
                npm,
                "pack",
                package,
                "--ignore-scripts",
                "--silent",
                "--pack-destination",
                str(workspace),
            ],
            cwd=workshop.root,
            environ=workshop.environ,
            timeout_s=300.0,
        )
        packed = sorted(workspace.glob("*.tgz"))
        if done.code != 0 or len(packed) != 1:
            said = " ".join((done.stderr or done.stdout).split())[-400:]
            raise BundlerError(
                "esbuild-missing",
                f"npm could not fetch {package}" + (f": {said}" if said else ""),
                f"check the network and npm's registry (`npm view {package}`); {again}",
            )
        content = packed[0].read_bytes()
        found = base64.b64encode(hashlib.sha512(content).digest()).decode()
        if found != INTEGRITY[name]:
            raise BundlerError(
                "esbuild-corrupt",
                f"what npm fetched as {package} is not that package: its integrity is {found}",
                "check which registry npm uses (`npm config get registry`), then "
                "`npm cache clean --force`",
            )
        kept = workspace / "kept"
        kept.mkdir()
        _unpack(packed[0], kept / "esbuild")
        return str(workshop.store.adopt(kept, "esbuild", f"{VERSION}-{name}") / "esbuild")


def _unpack(archive: Path, target: Path) -> None:
    # The digest vouches for the archive; still only the one member is taken, by its content.
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/bin/esbuild")
        if member is None:
            raise BundlerError("esbuild-corrupt", f"{archive.name} holds no bin/esbuild")
        with member, open(target, "xb") as out:
            shutil.copyfileobj(member, out)
            os.fchmod(out.fileno(), 0o755)
