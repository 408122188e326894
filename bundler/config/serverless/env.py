"""The .env files that give `${env:NAME}` its values where the process's environment has none.

The format is dotenv's, with the framework's expansion of `$NAME` and `${NAME:-default}`.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from typing import Final

LONGEST: Final = 65_536
"""Characters of a value."""

LINE: Final = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([\w.-]+)(?:[ \t]*=[ \t]*|:[ \t]+)"
    r"""('(?:\\'|[^'])*+'|"(?:\\.|[^"\\])*+"|`[^`]*+`|[^#\r\n]*+)""",
    re.MULTILINE,
)
NAME: Final = re.compile(r"\\?\$(?:\{([A-Za-z_]\w*)(?::?-([^{}]*))?\}|([A-Za-z_]\w*))")


def parse(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """The variables of the file. `known` ones go before it, in what its values refer to too."""
    found: dict[str, str] = {}
    values = ChainMap(dict(known), found)
    for match in LINE.finditer(text.replace("\r\n", "\n")):
        name, raw = match[1], match[2].strip()
        quote = raw[:1]
        if quote in ("'", '"', "`") and len(raw) > 1 and raw.endswith(quote):
            raw = raw[1:-1]
        else:
            quote = ""
        if quote == '"':
            raw = raw.replace("\\n", "\n").replace("\\r", "\r")
        found[name] = _expanded(raw, values)
    return found


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """Refers only to lines above it, so there can be no circle."""

    def value(match: re.Match[str]) -> str:
        if match[0].startswith("\\"):
            return match[0][1:]
        return known.get(match[1] or match[3], match[2] or "")

    if "$" not in text:
        return text
    return NAME.sub(value, text[:LONGEST])[:LONGEST]
