"""Variables for functions from files: .env as dotenv has it, and SAM's JSON of --env-vars."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from lambdad.bundler.inputs import reading
from lambdad.bundler.model import BundlerError

_LINE: Final = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)[ \t]*=[ \t]*
    (?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>[^']*)'|(?P<bare>[^\n]*?))
    [ \t]*(?:\#[^\n]*)?$""",
    re.MULTILINE | re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def dotenv(text: str) -> dict[str, str]:
    """Lines NAME=VALUE; values may be quoted, and span lines then. Other lines say nothing."""
    found = {}
    for match in _LINE.finditer(text.replace("\r\n", "\n")):
        if match["double"] is not None:
            value = re.sub(
                r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), match["double"], flags=re.DOTALL
            )
        elif match["single"] is not None:
            value = match["single"]
        else:
            value = re.sub(r"(^|[ \t])\#.*$", "", match["bare"]).rstrip()
        found[match["name"]] = value
    return found


def read_env_file(path: str, *, required: bool = True) -> Mapping[str, Mapping[str, str]]:
    """Variables by function; those under "" are for every function.

    Raises BundlerError `env-file`. One that is not `required` may be absent.
    """
    try:
        text = reading.read_regular(path, reading.SETTINGS).decode("utf-8-sig")
    except FileNotFoundError as fault:
        if not required:
            return {}
        raise BundlerError("env-file", f"{path} is not there") from fault
    except OSError as fault:
        message = f"{path} can't be read: {reading.reason(fault)}"
        raise BundlerError("env-file", message) from fault
    except UnicodeDecodeError as fault:
        raise BundlerError("env-file", f"{path} is not UTF-8 text: {fault}") from fault
    if not path.endswith(".json"):
        return {"": dotenv(text)}
    try:
        document = json.loads(text)
        return {
            "" if name == "Parameters" else name: {
                key: value if isinstance(value, str) else json.dumps(value)
                for key, value in variables.items()
            }
            for name, variables in document.items()
        }
    except (ValueError, AttributeError, RecursionError) as fault:
        hint = 'it holds an object of variables for each function, or for all under "Parameters"'
        raise BundlerError("env-file", f"{path} is not as it should be: {fault}", hint) from fault
