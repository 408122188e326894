"""`lambdad doctor`: what this machine has for building, what it lacks, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import click

from lambdad.bundler import tools
from lambdad.bundler.model import BundlerError
from lambdad.bundler.report.shown import paint_for, printable, size_text
from lambdad.bundler.store import prune
from lambdad.bundler.store.store import Store, cache_folder, store_of
from lambdad.bundler.store.user_state import state_folder
from lambdad.bundler.toolchain import DEFLATE, ESBUILD, LAMBDAD, UV
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked. `needed_for` says what needs it."""

    what: str
    well: bool
    found: str
    needed_for: str = ""
    hint: str = ""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> int:
    """Check what this machine has for building, and what it lacks.

    Exit code: 0 everything is there; 2 something is missing that some builds need.
    """
    findings = list(examine(os.getcwd(), dict(os.environ)))
    if as_json:
        fields = ("what", "well", "found", "needed_for", "hint")
        told = [{name: getattr(finding, name) for name in fields} for finding in findings]
        click.echo(json.dumps({"schema": 1, "findings": told}, indent=2))
    else:
        paint = paint_for(sys.stdout)
        for finding in findings:
            mark = paint("ok  ", "green") if finding.well else paint("lack", "yellow")
            click.echo(f"{mark}  {finding.what:<16} {printable(finding.found)}")
            if not finding.well:
                click.echo(printable(f"      {finding.needed_for}: {finding.hint}"))
    return 0 if all(finding.well for finding in findings) else 2


def examine(folder: str, environ: dict[str, str]) -> Iterator[Finding]:
    """Looks at one thing after the other; installs and changes nothing."""
    yield Finding(
        what="lambdad",
        well=True,
        found=f"{LAMBDAD} on Python {platform.python_version()}, {platform.platform(terse=True)}",
    )
    yield _tool("node", ["--version"], "tests of bundles", "install Node.js")
    yield _tool("npm", ["--version"], "fetching esbuild", "install Node.js, which brings npm")
    yield from _managers(folder, environ)
    yield _esbuild(folder, environ)
    yield _package("deflate", DEFLATE)
    yield _package("uv", UV)
    yield _tool(sys.executable, ["-m", "pip", "--version"], "fetching wheels", "reinstall lambdad")
    yield _interpreters(environ)
    yield _store(cache_folder(environ))
    yield _state(environ)


def _tool(name: str, arguments: Sequence[str], needed_for: str, hint: str) -> Finding:
    shown = os.path.basename(name) if name != sys.executable else arguments[1]
    try:
        # Python and npm take code and settings of the folder that they run in.
        answer = tools.run([name, *arguments], cwd="/", timeout_s=20)
    except BundlerError as fault:
        return Finding(
            what=shown, well=False, found=fault.message, needed_for=needed_for, hint=hint
        )
    well = answer.code == 0
    lines = (answer.stdout if well else answer.stderr).strip().splitlines() or ["no answer"]
    return Finding(
        what=shown, well=well, found=lines[0].split(" from ")[0], needed_for=needed_for, hint=hint
    )


def _managers(folder: str, environ: dict[str, str]) -> Iterator[Finding]:
    """Which tool installs the npm packages of the project's functions, as far as files say: none of
    them is run, since some would fetch another version of themselves."""
    from lambdad.bundler.config.find import read_project
    from lambdad.bundler.model import ProjectError
    from lambdad.bundler.npm import installer, manifest
    from lambdad.bundler.npm.installed import Ground

    try:
        project = read_project(folder, environ)
    except BundlerError:
        return  # it describes no project
    look = Workshop(
        root=project.root,
        repository=project.repository,
        store=store_of(environ, project.root),
        environ=environ,
    )
    told: dict[str, str] = {}
    for function in project.functions:
        path = os.path.normpath(os.path.join(function.code, manifest.NAME))
        code = look.seen.real(function.code)
        ground = Ground(look, function.allow)
        try:
            declared = manifest.read(look.seen, path, own=True)
            by = installer.find(ground, code, declared) if declared is not None else None
        except ProjectError:
            continue  # builds report what is wrong with it
        if by is not None:
            place = ground.shown(by.folder)
            locked = f"as {by.lock} says" if by.lock else "no lock"
            played = ", with Plug'n'Play" if by.plug_and_play else ""
            told[place] = f"{by.name} in {place}, {locked}{played}"
    for place in sorted(told):
        yield Finding(what="packages", well=True, found=told[place])


def _esbuild(folder: str, environ: dict[str, str]) -> Finding:
    from lambdad.bundler.esbuild import binary

    store = store_of(environ, folder)
    look = Workshop(root=folder, repository=folder, store=store, environ=environ, offline=True)
    try:
        path = binary.find(look)
    except BundlerError:
        return Finding(
            what="esbuild",
            well=shutil.which("npm") is not None,
            found=f"{ESBUILD} will be fetched by npm when it is first needed",
            needed_for="JavaScript and TypeScript",
            hint=f"npm install --save-dev esbuild@{ESBUILD}, or give npm a way to its registry",
        )
    return Finding(what="esbuild", well=True, found=f"{ESBUILD} at {path}")


def _package(name: str, pinned: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = "not installed"
    return Finding(
        what=name,
        well=version == pinned,
        found=version,
        needed_for="the same bytes on every machine",
        hint=f"lambdad {LAMBDAD} is made for {name} {pinned}: reinstall lambdad",
    )


def _interpreters(environ: dict[str, str]) -> Finding:
    folders = [Path(part) for part in environ.get("PATH", "").split(os.pathsep) if part]
    found = sorted(
        {
            f"3.{minor}"
            for minor in range(8, 15)
            for folder in folders
            if (folder / f"python3.{minor}").exists()
        },
        key=lambda version: int(version[2:]),
    )
    return Finding(
        what="interpreters",
        well=True,
        found=f"{', '.join(found) or 'none'} by name (pip-tools and sdists need the runtime's own)",
    )


def _store(root: Path) -> Finding:
    nearest = _standing(root)
    writable = os.access(nearest, os.W_OK)
    size = sum(item.size for item in prune.usage(Store(root)))
    free = shutil.disk_usage(nearest).free
    return Finding(
        what="store",
        well=writable and free > 10**9,
        found=f"{root}: {size_text(size)}, {size_text(free)} free",
        needed_for="every build",
        hint="make it writable and give it room, or name another folder in LAMBDAD_CACHE_DIR",
    )


def _state(environ: dict[str, str]) -> Finding:
    folder = state_folder(environ)
    return Finding(
        what="state",
        well=folder is not None and os.access(_standing(Path(folder)), os.W_OK),
        found=folder or "there is no home folder",
        needed_for="remembering builds and trust from one run to the next",
        hint="make it writable, or name another folder in XDG_STATE_HOME",
    )


def _standing(path: Path) -> Path:
    """The path, or if it is missing the nearest folder above it."""
    while not path.exists():
        path = path.parent
    return path
