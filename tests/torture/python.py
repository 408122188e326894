"""What a Python function must be built to: its folder, and the dependencies it names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

from tests.torture.disk import Disk, is_whole
from tests.torture.state import GONE, State, tokens_in

_IMPORT = re.compile(r"^import (\S+)$", re.MULTILINE)


def state(code: str, root: str, disk: Disk) -> State:
    """Of the code folder at that path."""
    if not disk.is_folder(code):
        return State(frozenset(), GONE)
    files = dict(disk.walk(code, "__pycache__"))
    if "app.py" not in files:
        return State(frozenset(), frozenset({"missing-handler-file"}))
    digest = hashlib.sha256(repr(sorted(files.items())).encode())
    tokens = set(tokens_in(files.values()))
    required = files.get("requirements.txt", "")
    if "libs/greet" in required:
        package = disk.read(f"{root}/libs/greet/greet/__init__.py") or ""
        tokens |= tokens_in([package])
        digest.update(package.encode())
    elif match := re.match(r"wordy==(\S+)", required):
        # World makes the wheels first: their tokens are the first three.
        tokens.add(f"T{int(float(match[1])):08d}")
    if faults := frozenset(_faults(files)):
        return State(frozenset(), faults)
    return State(frozenset(tokens), signature=digest.hexdigest())


def _faults(files: Mapping[str, str]) -> Iterator[str]:
    seen = {"app.py"}
    todo = ["app.py"]
    while todo:
        text = files[todo.pop()]
        if not is_whole(text):
            yield "syntax-error"
            continue
        for name in _IMPORT.findall(text):
            stem = name.replace(".", "/")
            # A package goes before a module of its name.
            found = next((p for p in (f"{stem}/__init__.py", f"{stem}.py") if p in files), None)
            if found is not None and found not in seen:
                seen.add(found)
                todo.append(found)
    if is_whole(files["app.py"]) and "def handler" not in files["app.py"]:
        yield "missing-export"
