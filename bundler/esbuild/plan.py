"""What one function asks of esbuild: its entries, flags and folders."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.esbuild import external, pnp
from lambdad.bundler.esbuild import options as table
from lambdad.bundler.esbuild.closure import BundleSources, closure
from lambdad.bundler.esbuild.options import pairs, texts
from lambdad.bundler.esbuild.prober import Disk
from lambdad.bundler.esbuild.resolution import EXTENSIONS, Settings
from lambdad.bundler.inputs.reading import SOURCE
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Entry, Function, OptionValue, ProjectError, Walk, error
from lambdad.bundler.workshop import Workshop

SOURCES: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
"""A handler's source is looked for with these, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePlan:
    function: Function
    code: str
    """The code folder: absolute, symlinks resolved."""
    entries: tuple[tuple[str, str], ...]
    """(output in the zip without its extension, absolute source file), the handler's first."""
    flags: tuple[str, ...]
    folder: str
    """esbuild's working directory."""
    node_paths: tuple[str, ...]
    settings: Settings
    left_out: tuple[str, ...]
    """Patterns of what is external by decision."""
    brought: frozenset[str]
    """AWS SDK packages that the project declares, and what those need."""
    alone: bool
    """Its outputs depend on what else is in a build."""
    live: bool
    """The bundle is to run on this machine."""
    injected: tuple[str, ...] = ()
    extra: tuple[Entry, ...] = field(default=())
    """Files for the zip that are no bundles: an executable wrapper."""


def plan(function: Function, workshop: Workshop, *, live: bool = False) -> BundlePlan:
    """Raises ProjectError: `missing-handler-file`, `missing-entry-point`, `missing-option-file`."""
    seen = workshop.seen
    code, single = _code_folder(function, workshop)
    chosen = _Choice(function, seen, code).settle()
    if live:
        # Where a debugger finds it; the sources it maps to are there, so it need not hold them.
        chosen["sourcemap"] = "linked"
        chosen.setdefault("sourcesContent", False)
    entries, extra = _entries(function, workshop, code, single)
    # In a monorepo the entry's own package.json lies below the code folder.
    homes = sorted({code, *(seen.real(os.path.dirname(path)) for _name, path in entries)})
    brought = external.declared(homes, seen)
    leave_out = external.absent if live else external.externals
    left_out = (*leave_out(function.runtime, brought, homes, seen), *function.install)
    folder = code if _needs_code_folder(chosen) else _played_folder(code, seen)
    settled = tuple(sorted(chosen.items()))
    platform = str(chosen.get("platform", "node"))
    node_paths = texts(chosen.get("nodePaths"))
    return BundlePlan(
        function=function,
        code=code,
        entries=entries,
        flags=table.flags(settled, function.runtime, left_out),
        folder=folder,
        node_paths=node_paths,
        settings=Settings(
            folder=folder,
            main_fields=texts(chosen.get("mainFields", _DEFAULT_FIELDS[platform])),
            extensions=EXTENSIONS + texts(chosen.get("resolveExtensions")),
            tsconfig=str(chosen["tsconfig"]) if "tsconfig" in chosen else None,
            config_given="tsconfig" in chosen or "tsconfigRaw" in chosen,
            node_paths=node_paths,
            aliases=pairs(chosen.get("alias")),
            keeps_symlinks=bool(chosen.get("preserveSymlinks")),
        ),
        brought=brought,
        left_out=(*left_out, *texts(chosen.get("external"))),
        alone="mangleProps" in chosen,
        injected=texts(chosen.get("inject")),
        live=live,
        extra=extra,
    )


_DEFAULT_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "node": ("main", "module"),
    "browser": ("browser", "module", "main"),
    "neutral": (),
}


def _code_folder(function: Function, workshop: Workshop) -> tuple[str, str | None]:
    """The code folder, and the one file in it that is all of the code, if it is one."""
    path = os.path.normpath(workshop.absolute(function.code))
    if workshop.seen.is_file(path):
        return workshop.seen.real(os.path.dirname(path)), path
    return workshop.seen.real(path), None


def _needs_code_folder(chosen: dict[str, OptionValue]) -> bool:
    """Whether an option is relative to esbuild's working directory.

    SAM runs esbuild in the code folder, and a function's own settings mean its own folder.
    """
    return "alias" in chosen or any(item.startswith(".") for item in texts(chosen.get("external")))


def _played_folder(code: str, seen: Seen) -> str:
    """The project's folder, or the one below it that has Plug'n'Play's data for the code: esbuild
    looks for that from its working directory upwards."""
    folder = code
    while folder.startswith(f"{seen.root}/"):
        if any(seen.has(folder, name) for name in pnp.FILES):
            return folder
        folder = os.path.dirname(folder)
    return seen.root


class _Choice:
    """The options with the files they name settled: in the code folder, else in the project's."""

    def __init__(self, function: Function, seen: Seen, code: str) -> None:
        self._function = function
        self._seen = seen
        self._homes = (code, seen.root)

    def settle(self) -> dict[str, OptionValue]:
        chosen = dict(self._function.esbuild)
        if self._function.env:
            env = {f"process.env.{name}": json.dumps(text) for name, text in self._function.env}
            chosen["define"] = tuple(sorted({**env, **dict(pairs(chosen.get("define")))}.items()))
        if isinstance(chosen.get("tsconfig"), str):
            chosen["tsconfig"] = self._file("tsconfig", str(chosen["tsconfig"]))
        if "inject" in chosen:
            paths = texts(chosen["inject"])
            chosen["inject"] = tuple(self._file("inject", path) for path in paths)
        if "nodePaths" in chosen:
            paths = texts(chosen["nodePaths"])
            chosen["nodePaths"] = tuple(self._folder(path) for path in paths)
        return chosen

    def _file(self, option: str, text: str) -> str:
        candidates = [os.path.normpath(os.path.join(home, text)) for home in self._homes]
        if (found := self._seen.first_file(candidates)) is not None:
            return found
        shown = " and ".join(dict.fromkeys(map(self._seen.relative, candidates)))
        raise ProjectError(
            error(
                "missing-option-file",
                f"esbuild's option {option} names {text}, which is not there",
                self._function.where,
                f"looked for {shown}",
            )
        )

    def _folder(self, text: str) -> str:
        candidates = [os.path.normpath(os.path.join(home, text)) for home in self._homes]
        return next((path for path in candidates if self._seen.is_folder(path)), candidates[0])


# --- entries ---


def _entries(
    function: Function, workshop: Workshop, code: str, single: str | None
) -> tuple[tuple[tuple[str, str], ...], tuple[Entry, ...]]:
    module, seen = function.handler.module, workshop.seen
    wrapper = _wrapper(function, workshop, code)
    if function.entry_points:
        return _declared_entries(function, workshop, code, bool(wrapper)), wrapper
    if single is not None:
        return ((module, single),), ()
    stem = os.path.normpath(f"{code}/{module}")
    if found := seen.first_file(f"{stem}{extension}" for extension in SOURCES):
        return ((module, found),), ()
    _probe(workshop, code, [f"{stem}.js"])
    if function.handler.export is None and wrapper:
        raise ProjectError(
            error(
                "missing-entry-point",
                f"Handler {module} is no JavaScript, so there is nothing to bundle",
                function.handler_where,
                "name the source files as entry points",
            )
        )
    shown = seen.relative(stem)
    raise ProjectError(
        error(
            "missing-handler-file",
            f"no source file {shown}.ts, .js or the like for Handler {function.handler.text}",
            function.handler_where,
            _near(stem, seen),
        )
    )


def _wrapper(function: Function, workshop: Workshop, code: str) -> tuple[Entry, ...]:
    if function.handler.export is not None:
        return ()
    path = os.path.normpath(f"{code}/{function.handler.module}")
    if not path.startswith(f"{code}/") or path.endswith(SOURCES):
        return ()
    try:
        content = workshop.seen.content(path, SOURCE)
    except OSError:
        return ()
    return (Entry(name=function.handler.module, content=content, executable=True),)


def _declared_entries(
    function: Function, workshop: Workshop, code: str, wrapped: bool
) -> tuple[tuple[str, str], ...]:
    """The handler's entry lies where Handler says, the others where esbuild's outbase puts them."""
    files, seen = [], workshop.seen
    for text in function.entry_points:
        stem = os.path.normpath(f"{code}/{text}")
        path = seen.first_file(f"{stem}{extension}" for extension in ("", *SOURCES))
        if path is None:
            _probe(workshop, code, [stem])
            raise ProjectError(
                error(
                    "missing-entry-point",
                    f"entry point {text} is not in {seen.relative(code)}",
                    function.where,
                    _near(os.path.splitext(stem)[0], seen),
                )
            )
        files.append(path)
    files = list(dict.fromkeys(files))
    module = function.handler.module
    if len(files) == 1 and not wrapped:
        return ((module, files[0]),)
    base = os.path.commonpath([os.path.dirname(path) for path in files])
    names = {path: os.path.splitext(os.path.relpath(path, base))[0] for path in files}
    if wrapped:
        return tuple((name, path) for path, name in names.items())
    handler = _handlers_own(module, code, names)
    if handler is None:
        made = ", ".join(f"{name}.js" for name in names.values())
        _probe(workshop, code, files)
        raise ProjectError(
            error(
                "missing-handler-file",
                f"no entry point gives {module}.js, which Handler {function.handler.text} names",
                function.handler_where,
                f"the entry points give {made}",
            )
        )
    rest = tuple((name, path) for path, name in names.items() if path != handler)
    return ((module, handler), *(item for item in rest if item[0] != module))


def _handlers_own(module: str, code: str, names: dict[str, str]) -> str | None:
    for path, name in names.items():
        if os.path.splitext(path)[0] == os.path.normpath(f"{code}/{module}"):
            return path
        if name == module:
            return path
    return None


def _probe(workshop: Workshop, code: str, paths: Sequence[str]) -> None:
    """Records what a search for source files in vain looked at: creating one makes it stale."""
    from lambdad.bundler.esbuild.engine import ModuleRequest

    stems = {os.path.splitext(path)[0] if path.endswith(SOURCES) else path for path in paths}
    sources = BundleSources(
        files=frozenset(), imports=frozenset(ModuleRequest(code, stem) for stem in stems)
    )
    closure(
        sources,
        workshop.seen,
        settings=Settings(folder=workshop.root),
        disk=Disk(),
        probes=[code],
    )


def _near(stem: str, seen: Seen) -> str | None:
    import difflib

    folder, name = os.path.split(stem)
    shown_folder = seen.relative(folder)
    seen.listing(folder, Walk(shown_folder))
    try:
        there = sorted(entry for entry in os.listdir(folder) if entry.endswith(SOURCES))
    except OSError:
        return f"there is no folder {shown_folder}"
    stems = {os.path.splitext(entry)[0]: entry for entry in there}
    near = difflib.get_close_matches(name, stems, n=3, cutoff=0.5)
    shown = [stems[one] for one in near] or there[:3]
    if not shown:
        return f"{shown_folder} holds no source files"
    return f"{shown_folder} has {', '.join(shown)}"
