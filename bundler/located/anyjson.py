"""JSON of any author: like json.loads, but what it holds can be printed, sent and named a file."""

from __future__ import annotations

import json
from typing import Any


def loads(content: str | bytes, *, strict: bool = True) -> Any:
    r"""The value, with U+FFFD for each "\ud800" without its other half: it is no character.

    RFC 8259, section 8.2, lets a text hold them and leaves open what is made of them.
    Raises ValueError and RecursionError, as json.loads does.
    """
    value = json.loads(content, strict=strict)
    escaped = b"\\u" in content if isinstance(content, bytes) else "\\u" in content
    if not escaped:
        return value
    return json.loads(characters(json.dumps(value, ensure_ascii=False)))


def characters(text: str) -> str:
    r"""The text with U+FFFD for each lone surrogate, which no file or terminal would take."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
