"""Live trees: what a process on this machine loads instead of a zip.

Bundled JavaScript is written into a folder per digest: .lambdad/live/<Name>/<digest>/. A folder is
whole or not there, never changes, and stays readable for ten minutes after a newer one. All other
functions are loaded where the user wrote them, so that breakpoints and tracebacks fit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from lambdad.bundler.model import (
    BuildRequest,
    BundlerError,
    Contents,
    Diagnostic,
    Entry,
    Function,
    Live,
    Method,
    ProjectError,
    RelPath,
    Runnable,
    warning,
)
from lambdad.bundler.packers import Pack
from lambdad.bundler.store.output import Output, file_stem
from lambdad.bundler.store.store import TEMPORARY, collect_abandoned, write_atomic
from lambdad.bundler.workshop import Workshop

KEPT_S: Final = 600.0
"""A folder stays so long after a newer one took its place: a worker may still load from it."""

CURRENT: Final = "current"
"""Beside the folders: the digest that is published."""

SCOPE: Final = Entry(name="package.json", content=b"{}\n")
"""On Lambda no package.json stands above a bundle; here the project's could, and its `type` would
decide how Node.js reads the bundle."""

Made = Runnable | ProjectError | BundlerError


def make(
    requests: Sequence[BuildRequest], workshop: Workshop, pack: Pack
) -> Iterator[Mapping[str, Made]]:
    """What each function is loaded from, by its name, or what is wrong with it, some at a time;
    nothing is written into the project yet. The requests have one method; `pack` is what bundles
    for it.
    """
    method = requests[0].function.method
    if method is Method.ESBUILD:
        asked = {request.function.name: request for request in requests}
        for some in pack(requests, workshop):
            yield {name: _bundled(asked[name], one, workshop) for name, one in some.items()}
        return
    for request in requests:
        made: Made
        try:
            made = _IN_PLACE[method](request, workshop)
        except (ProjectError, BundlerError) as fault:
            made = fault
        yield {request.function.name: made}


def _node(request: BuildRequest, workshop: Workshop) -> Runnable:
    from lambdad.bundler.javascript import packaged_live

    return packaged_live.make(request, workshop)


def _python(request: BuildRequest, workshop: Workshop) -> Runnable:
    from lambdad.bundler.python import live

    return live.make(request, workshop)


_IN_PLACE: Final[Mapping[Method, Callable[[BuildRequest, Workshop], Runnable]]] = {
    Method.NODE: _node,
    Method.PYTHON: _python,
}
"""As packers.PACKERS: a language is a line, and imported only by a build that needs it."""


# --- bundles -----------------------------------------------------------------------------------


def _bundled(
    request: BuildRequest, packed: Contents | ProjectError | BundlerError, workshop: Workshop
) -> Made:
    from lambdad.bundler.inputs import snapshot
    from lambdad.bundler.javascript import beside
    from lambdad.bundler.npm import reach
    from lambdad.bundler.npm.installed import Ground

    function = request.function
    code = _code_folder(function, workshop)
    if isinstance(packed, Contents):
        located = (_located(entry, function, code, workshop.root) for entry in packed.own)
        packed = replace(packed, own=tuple(located))
    packed = beside.lay(request, packed, workshop)
    if not isinstance(packed, Contents):
        return packed
    ground = Ground(workshop, function.allow)
    try:
        reached = reach.reach(ground, packed.external, beside.home(function, workshop))
        installed = reach.digest(reached, workshop)
    except ProjectError as fault:
        inputs = snapshot.union(packed.inputs, snapshot.union(ground.inputs(), fault.inputs))
        return ProjectError(*fault.diagnostics, inputs=inputs)
    own = packed.own
    if not any(entry.name == SCOPE.name for entry in own):
        own += (SCOPE,)
    links = tuple(
        (f"node_modules/{name}", f"{found.home}/node_modules/{name}")
        for name, found in sorted(reached.asked.items())
        if found is not None
        and not _is_above(found.home, workshop.root)
        and not any(entry.name.startswith(f"node_modules/{name}/") for entry in own)
    )
    digest = digest_of(own, [installed, *(name for name, _target in links)])
    home = Output(workshop.root).live(function.name)
    inputs = snapshot.union(packed.inputs, ground.inputs())
    return Runnable(
        live=Live(entry=f"{home}/{digest}/{_entry_name(function)}", path=(), digest=digest),
        own=own,
        links=links,
        inputs=snapshot.union(inputs, reached.inputs),
        diagnostics=(*packed.diagnostics, *_lacking(function, reached.asked)),
    )


def digest_of(own: Iterable[Entry], beside: Iterable[str] = ()) -> str:
    """Of names, modes and contents, and of what else decides how they run."""
    digest = hashlib.sha256()
    for entry in own:
        digest.update(f"{entry.name}\0{entry.executable:d}\0{len(entry.content)}\0".encode())
        digest.update(entry.content)
    for text in beside:
        digest.update(f"\0{len(text)}\0{text}".encode())
    return digest.hexdigest()[:40]


def _code_folder(function: Function, workshop: Workshop) -> str:
    path = os.path.realpath(workshop.absolute(function.code))
    return os.path.dirname(path) if os.path.isfile(path) else path


def _entry_name(function: Function) -> str:
    from lambdad.bundler.esbuild import options

    if function.handler.export is None:
        return function.handler.module
    return function.handler.module + options.extension(function.esbuild)


def _located(entry: Entry, function: Function, code: str, root: str) -> Entry:
    """A source map that leads to the user's files from where the bundle will lie.

    esbuild's are relative to where the output would lie in the code folder. The way up has the
    same length for any digest, so it can be told before that.
    """
    if not entry.name.endswith(".map") or "sourceRoot" in dict(function.esbuild):
        return entry
    folder = os.path.dirname(entry.name)
    place = os.path.join(root, Output(root).live(function.name), "digest", folder)
    way = os.path.relpath(os.path.join(code, folder), place)
    head = f'{{\n  "sourceRoot": "{quote(way)}/",'.encode()
    return Entry(name=entry.name, content=head + entry.content.removeprefix(b"{"))


def _is_above(home: str, root: str) -> bool:
    """Whether Node.js looks into that folder's node_modules from anywhere in the project."""
    return root == home or root.startswith(f"{home.rstrip('/')}/")


def _lacking(function: Function, asked: Mapping[str, object]) -> Iterator[Diagnostic]:
    missing = (name for name, found in asked.items() if found is None)
    names = sorted(name for name in missing if _is_due(function, name))
    if names:
        yield warning(
            "not-installed-here",
            f"{', '.join(names)} will be there on Lambda, and is not installed on this machine",
            function.where,
            f"`npm install --save-dev {' '.join(names)}` makes the function run here, too",
        )


def _is_due(function: Function, package: str) -> bool:
    """Whether something says that the package is there on Lambda. What is required in a `try` and
    not installed esbuild leaves out as well: code provides for its absence, there and here."""
    from lambdad.bundler import aws_sdk
    from lambdad.bundler.esbuild.closure import Patterns
    from lambdad.bundler.esbuild.manifest import split_package

    options = dict(function.esbuild)
    external = options.get("external")
    listed = external if isinstance(external, tuple) else ()
    patterns = [text for text in listed if isinstance(text, str)]
    return (
        function.layers
        or package in function.install
        or options.get("packages") == "external"
        or aws_sdk.provided(function.runtime, package)
        or package in {split_package(text)[0] for text in patterns}
        or Patterns(patterns).cover(package)
    )


# --- folders on disk ---------------------------------------------------------------------------


def write(output: Output, name: str, made: Runnable) -> Live:
    """What is to be written lies under its digest: whole, or as it was before. Raises OSError."""
    if not made.own:
        return made.live
    target = Path(output.root, output.live(name), made.live.digest)
    output.make(f"live/{file_stem(name)}")
    if _holds(target, made):
        os.utime(target)  # from now on it is kept as if it were new
        return made.live
    folder = _temporary(output)
    try:
        _fill(folder, target, made)
        if target.exists():  # changed by another hand
            _discard(output, target)
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return made.live


def publish(output: Output, name: str, live: Live) -> tuple[str, ...]:
    """It is what the function is now; the ten minutes of the one before begin. Raises OSError.

    Returns the paths that must stay as they are for it to be believed later.
    """
    home = output.live(name)
    folder = f"{home}/{live.digest}"
    if not live.entry.startswith(f"{folder}/"):
        return live.path
    current = Path(output.root, home, CURRENT)
    before = _read(current)
    if before != live.digest:
        if before:
            with contextlib.suppress(OSError):
                os.utime(Path(output.root, home, before))
        write_atomic(current, live.digest.encode())
    return tuple(_files(output.root, folder))


def collect(output: Output, names: Iterable[str], now_s: float | None = None) -> None:
    """Removes folders that have not been what any of the named functions is for ten minutes."""
    limit = (time.time() if now_s is None else now_s) - KEPT_S
    stems = {file_stem(name) for name in names}
    top = output.folder / "live"
    collect_abandoned(top, now_s)
    for home in _folders(top):
        current = _read(home / CURRENT) if home.name in stems else ""
        for folder in _folders(home):
            with contextlib.suppress(OSError):
                if folder.name != current and folder.stat().st_mtime < limit:
                    _discard(output, folder)
        with contextlib.suppress(OSError):
            # A young one may have been made for a build that is about to fill it.
            if not current and not any(_folders(home)) and home.stat().st_mtime < limit:
                _discard(output, home)


def _holds(target: Path, made: Runnable) -> bool:
    try:
        return all((target / entry.name).read_bytes() == entry.content for entry in made.own)
    except OSError:
        return False


def _fill(folder: Path, target: Path, made: Runnable) -> None:
    for entry in made.own:
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.content)
        path.chmod(0o755 if entry.executable else 0o644)
    for name, leads_to in made.links:
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        # Relative, so that it holds when the project is moved.
        link.symlink_to(os.path.relpath(leads_to, (target / name).parent))


def _temporary(output: Output) -> Path:
    folder = output.make("live") / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    folder.mkdir()
    return folder


def _discard(output: Output, folder: Path) -> None:
    """Under its name it is there or not; a kill on the way leaves a temporary that is collected."""
    away = output.folder / "live" / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    with contextlib.suppress(OSError):
        os.rename(folder, away)
        shutil.rmtree(away, ignore_errors=True)


def _folders(home: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(home) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(TEMPORARY)
        ]
    return []


def _files(root: str, folder: RelPath) -> Iterator[RelPath]:
    for place, below, names in os.walk(f"{root}/{folder}"):
        below[:] = [name for name in below if name != "node_modules"]
        yield from (os.path.relpath(f"{place}/{name}", root) for name in names)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
