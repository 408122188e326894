"""JSON documents that cannot be believed when torn, damaged or foreign."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_SEAL = 64
"""Characters of a SHA-256 in hex."""


def seal(document: object) -> bytes:
    """The document's bytes: always the same for equal documents."""
    body = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unseal(sealed: bytes) -> Any | None:
    """The document as it was sealed, or None if any byte of it is missing, changed or added."""
    body = sealed[_SEAL + 1 :]
    if sealed[: _SEAL + 1] != hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None
