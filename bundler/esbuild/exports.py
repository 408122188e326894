"""Whether a bundle exports what Handler names. Only what is certain is reported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_ANNOTATION: Final = re.compile(rb"0\s*&&\s*\(\s*module\.exports\s*=\s*\{(.*?)\}\s*\)", re.DOTALL)
"""esbuild's hint for Node.js: what a CommonJS bundle of an ES module exports, but for "default"."""
_NAME: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s,{}"]+')
_NULL: Final = re.compile(rb":\s*null\b")
"""After a name that is no identifier."""
_STAR: Final = re.compile(rb"export\s*\*")
_COMMONJS: Final = re.compile(rb"\bexports\b")
_MODULE_EXPORTS: Final = re.compile(rb"\bmodule\s*\.\s*exports\b")


def missing(
    export: str,
    *,
    bundle: bytes,
    source: bytes,
    entry: str,
    metafile: Mapping[str, Any],
    output: Mapping[str, Any],
    esm: bool,
) -> tuple[str, ...] | None:
    """None if the export is there or may be; else the names that are exported instead.

    `entry` is the name of the entry's input, `output` the metafile's record of the bundle. In
    "a.b" of a handler only the first name is an export.
    """
    name = export.split(".", 1)[0]
    if esm:
        names = tuple(output.get("exports", ()))
        # What an external module exports is not known.
        open_ended = any(
            item.get("external") and item["kind"] == "import-statement"
            for item in output["imports"]
        ) and _STAR.search(bundle)
        return None if name in names or open_ended else names
    if metafile["inputs"][entry].get("format") != "esm" or _MODULE_EXPORTS.search(source):
        return None  # CommonJS can export anything at any time
    if _STAR.search(source) and _has_open_star(entry, metafile):
        return None
    if name == "default":
        return None  # never annotated
    annotations = _ANNOTATION.findall(bundle)
    if not annotations:
        return None if _COMMONJS.search(source) else ()
    listed = _NULL.sub(b"", annotations[-1])
    names = tuple(sorted({_text(found) for found in _NAME.findall(listed)}))
    if name in names or any(text.startswith("...") for text in names):
        return None
    return names


def _text(found: bytes) -> str:
    text = found.decode("utf-8", "replace")
    return str(json.loads(text)) if text.startswith('"') else text


def _has_open_star(entry: str, metafile: Mapping[str, Any]) -> bool:
    """Whether something that `export *` may pass on is CommonJS or not in the bundle."""
    inputs = metafile["inputs"]
    todo, met = [entry], {entry}
    while todo:
        for item in inputs[todo.pop()]["imports"]:
            path = item["path"]
            if item.get("external") or inputs.get(path, {}).get("format") != "esm":
                return True
            if path not in met:
                met.add(path)
                todo.append(path)
    return False
