"""What esbuild must make of a handler: the tokens of all it reaches, or why it can't."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from tests.torture.disk import Disk, is_whole
from tests.torture.state import EMPTY, State, tokens_in

_IMPORT = re.compile(r'(?:import |require\()"([^"]+)"')
EXTENSIONS = (".tsx", ".ts", ".jsx", ".js")
ENTRIES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


def state(stem: str, banner: str, disk: Disk) -> State:
    """Of the handler at that path without its extension."""
    entry = next((f"{stem}{end}" for end in ENTRIES if disk.is_file(f"{stem}{end}")), None)
    if entry is None:
        return State(frozenset(), frozenset({"missing-handler-file"}))
    tokens = set(tokens_in([banner]))
    faults = set()
    handled = False
    seen = {disk.real(entry)}
    todo = list(seen)
    while todo:
        path = todo.pop()
        text = disk.read(path) or ""
        if not is_whole(text):
            faults.add("syntax-error")
            continue
        handled = handled or "export const handler" in text
        tokens |= tokens_in([text])
        for wanted in _IMPORT.findall(text):
            found = _resolve(wanted, os.path.dirname(path), disk)
            if found is None:
                faults.add("unresolved-import")
                continue
            real = disk.real(found)
            if real not in seen:
                seen.add(real)
                todo.append(real)
    if faults:
        return State(frozenset(), frozenset(faults))
    return State(frozenset(tokens), doubts=frozenset() if handled else EMPTY)


def _resolve(wanted: str, folder: str, disk: Disk) -> str | None:
    if wanted.startswith("."):
        return _file_or_folder(os.path.normpath(f"{folder}/{wanted}"), disk)
    if "/node_modules/" not in f"{folder}/":
        for target in _mapped(wanted, folder, disk):
            if found := _file_or_folder(target, disk):
                return found
    while True:
        place = f"{folder}/node_modules/{wanted}"
        if not folder.endswith("/node_modules") and (found := _file_or_folder(place, disk)):
            return found
        if folder == "/":
            return None
        folder = os.path.dirname(folder)


def _file_or_folder(path: str, disk: Disk) -> str | None:
    return _file(path, disk) or (_folder(path, disk) if disk.is_folder(path) else None)


def _file(path: str, disk: Disk) -> str | None:
    candidates = [path, *(f"{path}{extension}" for extension in EXTENSIONS)]
    if path.endswith(".js") and "/node_modules/" not in path:  # as TypeScript means it
        candidates += [f"{path[:-3]}.ts", f"{path[:-3]}.tsx"]
    return next((candidate for candidate in candidates if disk.is_file(candidate)), None)


def _folder(path: str, disk: Disk) -> str | None:
    manifest = disk.json(f"{path}/package.json") or {}
    if isinstance(main := manifest.get("main"), str):
        target = os.path.normpath(f"{path}/{main}")
        if found := _file(target, disk):
            return found
        if disk.is_folder(target) and (found := _file(f"{target}/index", disk)):
            return found
    return _file(f"{path}/index", disk)


def _mapped(wanted: str, folder: str, disk: Disk) -> Iterator[str]:
    """Where the nearest tsconfig.json's `paths` lead."""
    while not disk.is_file(f"{folder}/tsconfig.json"):
        if folder == "/":
            return
        folder = os.path.dirname(folder)
    path: str | None = f"{folder}/tsconfig.json"
    while path is not None:
        config = disk.json(path) or {}
        options = config.get("compilerOptions")
        if isinstance(options, dict) and "paths" in options:
            for pattern, targets in options["paths"].items():
                before = pattern.removesuffix("*")
                if wanted.startswith(before):
                    for target in targets:
                        rest = target.removesuffix("*") + wanted[len(before) :]
                        yield os.path.normpath(f"{os.path.dirname(path)}/{rest}")
            return
        base = config.get("extends")
        path = f"{os.path.dirname(path)}/{base}" if isinstance(base, str) else None
