"""What an answer must hold, read off the disk by a resolver of its own.

It knows as much of esbuild's, Node.js's and lambdad's rules as the torture's project uses, and
shares nothing with the bundler: no cache, no metafile, no snapshot.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

TOKEN = re.compile(r"T\d{8}")
_IMPORT = re.compile(r'(?:import |require\()"([^"]+)"')
_PYTHON_IMPORT = re.compile(r"^import (\S+)$", re.MULTILINE)
_RESOURCE = re.compile(
    r"^  (\w+):\n    Type: AWS::Serverless::Function\n(?:    .*\n)*", re.MULTILINE
)
_HANDLER = re.compile(r"Handler: (\S+)\.handler")
_CODE = re.compile(r"CodeUri: (\S+)")
BROKEN = "<<<"
"""A text that holds it is no program in any language here."""
EXTENSIONS = (".tsx", ".ts", ".jsx", ".js")
HANDLERS = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


EMPTY = frozenset({"missing-export"})
"""Of an emptied handler. It may be built, too: in CommonJS nobody can tell what it exports."""


class State(NamedTuple):
    """Of one function at one moment: its tokens, or why it fails."""

    tokens: frozenset[str]
    faults: frozenset[str]
    signature: str
    """Equal exactly for equal contents, where every file counts (Python)."""


States = Mapping[str, State]
"""By function. Empty: the configuration can't be read, so none is known."""


def states(root: str) -> States:
    """Of each declared function."""
    disk = _Disk()
    text = disk.read(f"{root}/template.yaml") or ""
    if BROKEN in text:
        return {}
    options = tomllib.loads(disk.read(f"{root}/lambdad.toml") or "")
    found = {}
    for match in _RESOURCE.finditer(text):
        name, declared = match[1], match[0]
        handler, code = _HANDLER.search(declared), _CODE.search(declared)
        assert handler
        assert code
        if "python" in declared:
            found[name] = _python(f"{root}/{code[1]}", root, disk)
        else:
            own = options.get("functions", {}).get(name, {})
            banner = own.get("esbuild", {}).get("banner", {}).get("js", "")
            found[name] = _javascript(f"{root}/{handler[1]}", banner, disk)
    return found


class _Disk:
    """Files, read once for each look."""

    def __init__(self) -> None:
        self._texts: dict[str, str | None] = {}
        self._folders: dict[str, str] = {}

    def real(self, path: str) -> str:
        """Of a file that is no symlink itself; there are none."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return f"{self._folders[folder]}/{name}"

    def read(self, path: str) -> str | None:
        if path not in self._texts:
            try:
                with open(path, encoding="utf-8") as file:
                    self._texts[path] = file.read()
            except OSError:
                self._texts[path] = None
        return self._texts[path]

    def json(self, path: str) -> dict[str, object] | None:
        text = self.read(path)
        if text is None:
            return None
        found = json.loads(text)
        assert isinstance(found, dict)
        return found


def is_whole(text: str) -> bool:
    return BROKEN not in text and (not text or text.endswith("\n"))


# --- bundles -------------------------------------------------------------------------------------


def _javascript(stem: str, banner: str, disk: _Disk) -> State:
    entry = next((f"{stem}{e}" for e in HANDLERS if os.path.isfile(f"{stem}{e}")), None)
    if entry is None:
        return State(frozenset(), frozenset({"missing-handler-file"}), "")
    tokens = set(TOKEN.findall(banner))
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
        tokens.update(TOKEN.findall(text))
        for wanted in _IMPORT.findall(text):
            found = _resolve(wanted, os.path.dirname(path), disk)
            if found is None:
                faults.add("unresolved-import")
                continue
            real = disk.real(found)
            if real not in seen:
                seen.add(real)
                todo.append(real)
    if not handled and not faults:
        return State(frozenset(tokens), EMPTY, "")
    return State(frozenset() if faults else frozenset(tokens), frozenset(faults), "")


def _resolve(wanted: str, folder: str, disk: _Disk) -> str | None:
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


def _file_or_folder(path: str, disk: _Disk) -> str | None:
    return _file(path) or (_folder(path, disk) if os.path.isdir(path) else None)


def _file(path: str) -> str | None:
    candidates = [path, *(f"{path}{extension}" for extension in EXTENSIONS)]
    if path.endswith(".js") and "/node_modules/" not in path:  # as TypeScript means it
        candidates += [f"{path[:-3]}.ts", f"{path[:-3]}.tsx"]
    return next((candidate for candidate in candidates if os.path.isfile(candidate)), None)


def _folder(path: str, disk: _Disk) -> str | None:
    manifest = disk.json(f"{path}/package.json") or {}
    if isinstance(main := manifest.get("main"), str):
        target = os.path.normpath(f"{path}/{main}")
        if found := _file(target) or (os.path.isdir(target) and _file(f"{target}/index")):
            return found
    return _file(f"{path}/index")


def _mapped(wanted: str, folder: str, disk: _Disk) -> Iterator[str]:
    """Where the nearest tsconfig.json's `paths` lead."""
    while not os.path.isfile(f"{folder}/tsconfig.json"):
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


# --- Python --------------------------------------------------------------------------------------


def _python(code: str, root: str, disk: _Disk) -> State:
    files: dict[str, str] = {}
    for folder, below, names in os.walk(code, followlinks=True):
        below[:] = [name for name in below if name != "__pycache__"]
        for name in names:
            path = f"{folder}/{name}"
            text = disk.read(path)
            if text is not None and not name.endswith(".swp"):
                files[os.path.relpath(path, code)] = text
    if "app.py" not in files:
        return State(frozenset(), frozenset({"missing-handler-file"}), "")
    faults = set(_python_faults(files))
    digest = hashlib.sha256(repr(sorted(files.items())).encode())
    tokens = {token for text in files.values() for token in TOKEN.findall(text)}
    required = files.get("requirements.txt", "")
    if "libs/greet" in required:
        package = disk.read(f"{root}/libs/greet/greet/__init__.py") or ""
        tokens.update(TOKEN.findall(package))
        digest.update(package.encode())
    elif match := re.match(r"wordy==(\S+)", required):
        # World makes the wheels first: their tokens are the first three.
        tokens.add(f"T{int(float(match[1])):08d}")
    if faults:
        return State(frozenset(), frozenset(faults), "")
    return State(frozenset(tokens), frozenset(), digest.hexdigest())


def _python_faults(files: Mapping[str, str]) -> Iterator[str]:
    seen = {"app.py"}
    todo = ["app.py"]
    while todo:
        text = files[todo.pop()]
        if not is_whole(text):
            yield "syntax-error"
            continue
        for name in _PYTHON_IMPORT.findall(text):
            stem = name.replace(".", "/")
            # A package goes before a module of its name.
            found = next((p for p in (f"{stem}/__init__.py", f"{stem}.py") if p in files), None)
            if found is not None and found not in seen:
                seen.add(found)
                todo.append(found)
    if is_whole(files["app.py"]) and "def handler" not in files["app.py"]:
        yield "missing-export"
