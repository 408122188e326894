"""A bundled function loaded on this machine: the bundle, and its way to what is installed.

The bundle's source maps lead to the user's files, and packages that it leaves out are found where
they are installed, through links where Node.js would not look by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from lambdad.bundler import aws_sdk
from lambdad.bundler.esbuild import options
from lambdad.bundler.esbuild.closure import Patterns
from lambdad.bundler.esbuild.manifest import split_package
from lambdad.bundler.javascript import beside
from lambdad.bundler.model import (
    BuildRequest,
    Diagnostic,
    Entry,
    Failure,
    Function,
    Live,
    ProjectError,
    Runnable,
    warning,
)
from lambdad.bundler.npm import reach
from lambdad.bundler.npm.installed import Ground
from lambdad.bundler.store import live_folders
from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents

SCOPE: Final = Entry(name="package.json", content=b"{}\n")
"""On Lambda no package.json is above a bundle; here the project's could be, and its `type` would
decide how Node.js reads the bundle."""


def lay(
    request: BuildRequest, bundle: Contents | Failure, workshop: Workshop
) -> Runnable | Failure:
    """The live tree of a bundle, or what is wrong with the bundle or with anything beside it.

    Nothing is written into the project yet.
    """
    function = request.function
    code = _code_folder(function, workshop)
    if isinstance(bundle, Contents):
        located = (_located(entry, function, code, workshop.root) for entry in bundle.own)
        bundle = replace(bundle, own=tuple(located))
    bundle = beside.lay(request, bundle, workshop)
    if not isinstance(bundle, Contents):
        return bundle
    ground = Ground(workshop, function.allow)
    try:
        reached = reach.reach(ground, bundle.external, beside.home(function, workshop))
        installed = reach.digest(reached, workshop)
    except ProjectError as fault:
        return fault
    own = bundle.own
    if not any(entry.name == SCOPE.name for entry in own):
        own += (SCOPE,)
    links = tuple(
        (f"node_modules/{name}", f"{found.home}/node_modules/{name}")
        for name, found in sorted(reached.asked.items())
        if found is not None
        and not _is_above(found.home, workshop.root)
        and not any(entry.name.startswith(f"node_modules/{name}/") for entry in own)
    )
    digest = live_folders.digest_of(own, [installed, *(name for name, _target in links)])
    home = Output(workshop.root).live(function.name)
    return Runnable(
        live=Live(entry=f"{home}/{digest}/{_entry_name(function)}", path=(), digest=digest),
        own=own,
        links=links,
        diagnostics=(*bundle.diagnostics, *_lacking(function, reached.asked)),
    )


def _code_folder(function: Function, workshop: Workshop) -> str:
    path = workshop.seen.real(function.code)
    return os.path.dirname(path) if workshop.seen.is_file(function.code) else path


def _entry_name(function: Function) -> str:
    if function.handler.export is None:
        return function.handler.module
    return function.handler.module + options.extension(function.esbuild)


def _located(entry: Entry, function: Function, code: str, root: str) -> Entry:
    """A source map that leads to the user's files from where the bundle will lie.

    esbuild's are relative to where the output would lie in the code folder. The way up has the
    same length for any digest, so it is known before that.
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
