"""What plain Node.js functions must be built to.

A zip is the code folder and its production packages, as npm's lock has them. A live tree is where
the user wrote it: of it counts what Node.js could load, whatever any lock says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.torture.disk import BROKEN, Disk, is_whole
from tests.torture.state import EMPTY, GONE, State, tokens_in

_REQUIRE = re.compile(r'require\("((?:@\w+/)?\w+)"\)')
_RELATIVE = re.compile(r'require\("(\./[^"]+)"\)')
LOCK = "package-lock.json"
RECORD = "node_modules/.package-lock.json"
MODULES = "node_modules"


def state(code: str, disk: Disk) -> State:
    """Of the code folder at that path."""
    if not disk.is_folder(code):
        return State(frozenset(), GONE)
    manifest = disk.json(f"{code}/package.json")
    own = {name: text for name, text in disk.walk(code, MODULES) if name != LOCK}
    live = _judged(own, frozenset())
    if not live.faults:
        live = live._replace(signature=_signature(code, own, manifest, disk))
    if manifest is None:  # nothing says what is needed: all goes along
        files = {name: text for name, text in disk.walk(code) if name not in (LOCK, RECORD)}
        return _judged(files, frozenset())._replace(live=live)
    packages, faults = _production(code, manifest, disk)
    files = dict(own)
    for folder in packages:
        files |= {f"{folder}/{name}": text for name, text in disk.walk(folder, MODULES)}
    return _judged(files, faults)._replace(live=live)


def _judged(files: Mapping[str, str], faults: frozenset[str]) -> State:
    """Only what the handler's file loads must be programs; and it must export the handler."""
    if "app.js" not in files:
        return State(frozenset(), faults | {"missing-handler-file"})
    if not all(is_whole(files[name]) for name in _loaded(files)):
        faults |= {"syntax-error"}
    doubts = frozenset() if "exports.handler" in files["app.js"] else EMPTY
    tokens = frozenset() if faults else tokens_in(files.values())
    return State(tokens, faults, doubts=doubts)


def _loaded(files: Mapping[str, str]) -> set[str]:
    """The files that the handler's leads to."""
    seen, todo = {"app.js"}, ["app.js"]
    while todo:
        importer = todo.pop()
        for wanted in _RELATIVE.findall(files[importer]):
            path = os.path.normpath(f"{os.path.dirname(importer)}/{wanted}".lstrip("/"))
            tries = (f"{path}.js", f"{path}/index.js")
            found = next((each for each in tries if each in files), None)
            if found is not None and found not in seen:
                seen.add(found)
                todo.append(found)
    return seen


# --- zips ----------------------------------------------------------------------------------------


def _production(
    code: str, manifest: Mapping[str, object], disk: Disk
) -> tuple[list[str], frozenset[str]]:
    """The folders of the packages that go along, and what is wrong with them."""
    text = disk.read(f"{code}/{LOCK}")
    if text is not None and BROKEN in text:
        return [], frozenset({"bad-package-json"})
    locked: dict[str, Any] | None = json.loads(text)["packages"] if text is not None else None
    wanted = _needs(manifest)
    known = locked[""]["dependencies"] if locked is not None else wanted
    stale = {name for name, version in wanted.items() if known.get(name) != version}
    faults, met = set(), set()
    todo = [(code, name) for name in wanted]
    while todo:
        asker, name = todo.pop()
        found = _find(name, asker, disk)
        if found is None:
            if asker != code or name not in stale:
                faults.add("not-installed")
            continue
        folder, declared = found
        if locked is not None and not stale:
            entry = locked.get(os.path.relpath(folder, code))
            if entry is None or entry["version"] != declared["version"]:
                faults.add("install-outdated")
        if folder not in met:
            met.add(folder)
            todo += [(folder, each) for each in _needs(declared)]
    if stale:
        faults.add("lock-outdated")
    return sorted(met), frozenset(faults)


def _needs(manifest: Mapping[str, object]) -> Mapping[str, str]:
    found = manifest.get("dependencies", {})
    assert isinstance(found, dict)
    return found


def _find(name: str, asker: str, disk: Disk) -> tuple[str, dict[str, object]] | None:
    """The real folder of the package that code there gets by that name, and its manifest."""
    folder = asker
    while folder != "/":
        place = f"{folder}/{MODULES}/{name}"
        if not folder.endswith(f"/{MODULES}"):
            declared = disk.json(f"{place}/package.json")
            if declared is not None:
                return os.path.dirname(disk.real(f"{place}/package.json")), declared
        folder = os.path.dirname(folder)
    return None


# --- live trees ----------------------------------------------------------------------------------


def _signature(
    code: str, own: Mapping[str, str], manifest: Mapping[str, object] | None, disk: Disk
) -> str:
    names = set(_needs(manifest)) if manifest is not None else set()
    names.update(*(_REQUIRE.findall(text) for name, text in own.items() if name.endswith(".js")))
    found = hashlib.sha256(repr(sorted(own.items())).encode())
    for folder in _reached(code, names, disk):
        found.update(repr((folder, sorted(disk.walk(folder, MODULES)))).encode())
    return found.hexdigest()


def _reached(code: str, names: Iterable[str], disk: Disk) -> Iterator[str]:
    todo = [(code, name) for name in names]
    met: set[str] = set()
    while todo:
        asker, name = todo.pop()
        found = _find(name, asker, disk)
        if found is not None and found[0] not in met:
            met.add(found[0])
            todo += [(found[0], each) for each in _needs(found[1])]
    yield from sorted(met)
