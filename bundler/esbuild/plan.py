"""What one function asks of esbuild: its entries, flags and folders."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.esbuild import external, pnp
from lambdad.bundler.esbuild import options as table
from lambdad.bundler.esbuild.closure import Sources, closure, relative
from lambdad.bundler.esbuild.options import pairs, texts
from lambdad.bundler.esbuild.prober import Disk
from lambdad.bundler.esbuild.resolution import EXTENSIONS, Settings
from lambdad.bundler.model import Entry, Function, InputSet, OptionValue, ProjectError, error
from lambdad.bundler.workshop import Workshop

SOURCES: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
"""A handler's source is looked for with these, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
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
    inputs: tuple[str, ...]
    """Absolute paths that decided this plan, beside what the build itself reads."""
    live: bool
    """The bundle is to run on this machine."""
    injected: tuple[str, ...] = ()
    extra: tuple[Entry, ...] = field(default=())
    """Files for the zip that are no bundles: an executable wrapper."""


def plan(function: Function, workshop: Workshop, *, live: bool = False) -> Plan:
    """Raises ProjectError, inputs included: `missing-handler-file`, `missing-entry-point`,
    `missing-option-file`."""
    code, single = _code_folder(function, workshop)
    choose = _Choice(function, workshop, code)
    chosen = choose.settle()
    if live:
        # Where a debugger finds it; what it maps to is at hand, so it need not hold that.
        chosen["sourcemap"] = "linked"
        chosen.setdefault("sourcesContent", False)
    entries, extra = _entries(function, workshop, code, single)
    # In a monorepo the entry's own package.json lies below the code folder.
    homes = sorted({code, *(os.path.realpath(os.path.dirname(path)) for _name, path in entries)})
    brought = external.declared(homes, workshop.repository)
    leave_out = external.absent if live else external.externals
    left_out = (*leave_out(function.runtime, brought, homes), *function.install)
    folder = code if _needs_code_folder(chosen) else _played_folder(code, workshop.root)
    settled = tuple(sorted(chosen.items()))
    platform = str(chosen.get("platform", "node"))
    node_paths = texts(chosen.get("nodePaths"))
    return Plan(
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
        brought=brought.packages,
        left_out=(*left_out, *texts(chosen.get("external"))),
        alone="mangleProps" in chosen,
        inputs=(*choose.looked, *sorted(brought.manifests)),
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
    if os.path.isfile(path):
        return os.path.realpath(os.path.dirname(path)), path
    return os.path.realpath(path), None


def _needs_code_folder(chosen: dict[str, OptionValue]) -> bool:
    """Whether an option is relative to esbuild's working directory.

    SAM runs esbuild in the code folder, and a function's own settings mean its own folder.
    """
    return "alias" in chosen or any(item.startswith(".") for item in texts(chosen.get("external")))


def _played_folder(code: str, root: str) -> str:
    """The project's folder, or the one below it that has Plug'n'Play's data for the code: esbuild
    looks for that from its working directory upwards."""
    folder = code
    while folder.startswith(f"{root}/"):
        if any(os.path.exists(f"{folder}/{name}") for name in pnp.FILES):
            return folder
        folder = os.path.dirname(folder)
    return root


class _Choice:
    """The options with the files they name settled: in the code folder, else in the project's."""

    def __init__(self, function: Function, workshop: Workshop, code: str) -> None:
        self.looked: list[str] = []
        self._function = function
        self._homes = (code, workshop.root)
        self._root = workshop.root

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
        for path in candidates:
            self.looked.append(path)
            if os.path.isfile(path):
                return path
        shown = " and ".join(dict.fromkeys(relative(path, self._root) for path in candidates))
        raise ProjectError(
            error(
                "missing-option-file",
                f"esbuild's option {option} names {text}, which is not there",
                self._function.where,
                f"looked for {shown}",
            ),
            inputs=_looked_at(self.looked, self._root),
        )

    def _folder(self, text: str) -> str:
        candidates = [os.path.normpath(os.path.join(home, text)) for home in self._homes]
        self.looked += candidates
        return next((path for path in candidates if os.path.isdir(path)), candidates[0])


def _looked_at(paths: Sequence[str], root: str) -> InputSet:
    return InputSet(files=frozenset(relative(path, root) for path in paths))


# --- entries ---


def _entries(
    function: Function, workshop: Workshop, code: str, single: str | None
) -> tuple[tuple[tuple[str, str], ...], tuple[Entry, ...]]:
    module = function.handler.module
    wrapper = _wrapper(function, workshop, code)
    if function.entry_points:
        return _declared_entries(function, workshop, code, bool(wrapper)), wrapper
    if single is not None:
        return ((module, single),), ()
    stem = os.path.normpath(f"{code}/{module}")
    for extension in SOURCES:
        if os.path.isfile(f"{stem}{extension}"):
            return ((module, f"{stem}{extension}"),), ()
    if function.handler.export is None and wrapper:
        raise ProjectError(
            error(
                "missing-entry-point",
                f"Handler {module} is no JavaScript, so there is nothing to bundle",
                function.handler_where,
                "name the source files as entry points",
            ),
            inputs=_probed(workshop, code, [f"{stem}.js"]),
        )
    shown = relative(stem, workshop.root)
    raise ProjectError(
        error(
            "missing-handler-file",
            f"no source file {shown}.ts, .js or the like for Handler {function.handler.text}",
            function.handler_where,
            _near(stem, workshop.root),
        ),
        inputs=_probed(workshop, code, [f"{stem}.js"]),
    )


def _wrapper(function: Function, workshop: Workshop, code: str) -> tuple[Entry, ...]:
    if function.handler.export is not None:
        return ()
    path = os.path.normpath(f"{code}/{function.handler.module}")
    if not path.startswith(f"{code}/") or path.endswith(SOURCES):
        return ()
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return ()
    return (Entry(name=function.handler.module, content=content, executable=True),)


def _declared_entries(
    function: Function, workshop: Workshop, code: str, wrapped: bool
) -> tuple[tuple[str, str], ...]:
    """The handler's entry lies where Handler says, the others where esbuild's outbase puts them."""
    files = []
    for text in function.entry_points:
        stem = os.path.normpath(f"{code}/{text}")
        extensions = ("", *SOURCES)
        path = next((f"{stem}{e}" for e in extensions if os.path.isfile(f"{stem}{e}")), None)
        if path is None:
            raise ProjectError(
                error(
                    "missing-entry-point",
                    f"entry point {text} is not in {relative(code, workshop.root)}",
                    function.where,
                    _near(os.path.splitext(stem)[0], workshop.root),
                ),
                inputs=_probed(workshop, code, [stem]),
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
        raise ProjectError(
            error(
                "missing-handler-file",
                f"no entry point gives {module}.js, which Handler {function.handler.text} names",
                function.handler_where,
                f"the entry points give {made}",
            ),
            inputs=_probed(workshop, code, files),
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


def _probed(workshop: Workshop, code: str, paths: Sequence[str]) -> InputSet:
    """What a search for source files in vain looked at: creating one makes it stale."""
    from lambdad.bundler.esbuild.engine import Import

    stems = {os.path.splitext(path)[0] if path.endswith(SOURCES) else path for path in paths}
    sources = Sources(files=frozenset(), imports=frozenset(Import(code, stem) for stem in stems))
    return closure(
        sources,
        root=workshop.root,
        repository=workshop.repository,
        settings=Settings(folder=workshop.root),
        disk=Disk(),
        probes=[code],
    )


def _near(stem: str, root: str) -> str | None:
    import difflib

    folder, name = os.path.split(stem)
    try:
        there = sorted(entry for entry in os.listdir(folder) if entry.endswith(SOURCES))
    except OSError:
        return f"there is no folder {relative(folder, root)}"
    stems = {os.path.splitext(entry)[0]: entry for entry in there}
    near = difflib.get_close_matches(name, stems, n=3, cutoff=0.5)
    shown = [stems[one] for one in near] or there[:3]
    if not shown:
        return f"{relative(folder, root)} holds no source files"
    return f"{relative(folder, root)} has {', '.join(shown)}"
