"""The real package managers, each version fetched once by npm, and the layouts they install in."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

PACKAGES: Final = {
    "pnpm": "pnpm@10.18.3",
    "pnpm-9": "pnpm@9.15.9",
    "pnpm-12": "pnpm@12.21.0",
    "yarn-1": "yarn@1.22.22",
    "yarn-4": "@yarnpkg/cli-dist@4.18.1",
    "bun": "bun@1.4.5",
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A manager, and settings of its that decide how packages lie."""

    tool: str
    name: str
    """As lambdad names it."""
    lock: str
    record: str | None = None
    """Of what is installed, from the workspace's root."""
    install: Sequence[str] = ("install",)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Files at the workspace's root."""
    sibling: str = "workspace:*"
    """How one workspace asks for another."""
    catalog: bool = False
    """Versions are named in pnpm's catalog."""
    compared: bool = True
    """What is installed is compared with the lock."""


def _pnpm(tool: str = "pnpm", settings: str = "", *, catalog: bool = False) -> Layout:
    workspace = f"packages: [src, ts, lib, apart]\n{settings}"
    if catalog:
        workspace += "catalog:\n  shared: ^2.0.0\n"
    return Layout(
        tool=tool,
        name="pnpm",
        lock="pnpm-lock.yaml",
        record="node_modules/.modules.yaml",
        install=("install", "--no-frozen-lockfile"),
        settings={"pnpm-workspace.yaml": workspace},
        catalog=catalog,
    )


def _yarn4(linker: str, record: str | None, settings: str = "") -> Layout:
    config = f"nodeLinker: {linker}\nenableGlobalCache: false\n{settings}"
    return Layout(
        tool="yarn-4",
        name="yarn",
        lock="yarn.lock",
        record=record,
        settings={".yarnrc.yml": config},
    )


def _npm(*flags: str) -> Layout:
    return Layout(
        tool="npm",
        name="npm",
        lock="package-lock.json",
        record="node_modules/.package-lock.json",
        install=("install", *flags),
        sibling="1.0.0",
    )


def _bun(*flags: str) -> Layout:
    return Layout(tool="bun", name="bun", lock="bun.lock", install=("install", *flags))


LAYOUTS: Final = {
    "npm": _npm(),
    "npm-linked": _npm("--install-strategy=linked"),
    "pnpm-9": _pnpm("pnpm-9"),
    "pnpm": _pnpm(),
    "pnpm-12": _pnpm("pnpm-12"),
    "pnpm-hoisted": _pnpm(settings="nodeLinker: hoisted\n"),
    "pnpm-catalog": _pnpm(catalog=True),
    "pnpm-injected": _pnpm(settings="injectWorkspacePackages: true\ndedupeInjectedDeps: false\n"),
    "yarn-1": Layout(
        tool="yarn-1",
        name="yarn",
        lock="yarn.lock",
        record="node_modules/.yarn-integrity",
        sibling="1.0.0",
    ),
    "yarn-4": _yarn4("node-modules", "node_modules/.yarn-state.yml"),
    "yarn-4-pnpm": _yarn4("pnpm", None),
    "bun-isolated": _bun("--linker=isolated"),
    "bun-hoisted": _bun("--linker=hoisted"),
    "bun-lockb": Layout(
        tool="bun",
        name="bun",
        lock="bun.lockb",
        settings={"bunfig.toml": "[install]\nsaveTextLockfile = false\n"},
        compared=False,
    ),
}

DIFFERENT: Final = [
    name for name in LAYOUTS if name not in {"pnpm-9", "pnpm-12", "pnpm-catalog", "bun-lockb"}
]
"""Those whose packages lie where no other's do."""

PLUG_AND_PLAY: Final = _yarn4("pnp", None)


def command(tool: str, tools: Path) -> list[str]:
    """What runs a manager, fetched by the machine's own npm if it is not in `tools`."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    if tool == "npm":
        return [npm]
    package = PACKAGES[tool]
    place = tools / package.replace("/", "+")
    if not place.exists():
        fresh = tools / f".{uuid.uuid4()}"  # others may fetch it at the same time
        # With install scripts: pnpm 12's and bun's put the machine's binary in its place.
        flags = ["--no-audit", "--no-fund", "--prefix", str(fresh)]
        done = subprocess.run(
            [npm, "install", *flags, package], check=False, capture_output=True, text=True
        )
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            pytest.skip(f"npm can't fetch {package}: {done.stderr.strip()[-200:]}")
        try:
            fresh.rename(place)
        except OSError:
            shutil.rmtree(fresh)
    return [str(place / "node_modules" / ".bin" / tool.partition("-")[0])]
