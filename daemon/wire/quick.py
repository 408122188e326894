"""json, hashlib and socket for `lambdad fresh` and `save`, without what importing those costs.

They would be more than half of such a call. Here are the C modules that they are made of; where
one is missing or another than it was, the module itself does the work. What any of these functions
gives is what the standard library gives.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHA256 = ("_sha2", "_sha256", "hashlib")
"""From Python 3.12 on, before, and where it was built without either."""


class _Plain:
    """How json.loads reads without options."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_int = int
    parse_float = parse_constant = float


def loads(content: bytes) -> Any:
    """As json.loads, of UTF-8. Raises ValueError."""
    text = content.decode()
    try:
        from _json import make_scanner

        how: Any = _Plain
        scan = make_scanner(how)
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)
    try:
        value, end = scan(text, len(text) - len(text.lstrip(" \t\r\n")))
    except StopIteration as fault:
        raise ValueError(f"no value at character {fault.value}") from fault
    if text[end:].strip(" \t\r\n"):
        raise ValueError(f"more than one value, at character {end}")
    return value


def dumps(value: Any, indent: int | None = None) -> str:
    """As json.dumps, of what json.loads gives. Raises TypeError for anything else."""
    try:
        from _json import encode_basestring_ascii as quoted
    except ImportError:
        from json.encoder import encode_basestring_ascii as quoted

    def written(value: Any, lead: str) -> str:
        if isinstance(value, str):
            return quoted(value)
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, (int, float)) and abs(value) < float("inf"):
            return repr(value)
        inner = lead + " " * (indent or 0)
        if isinstance(value, dict):
            parts = [f"{quoted(name)}: {written(item, inner)}" for name, item in value.items()]
            ends = "{}"
        elif isinstance(value, (list, tuple)):
            parts = [written(item, inner) for item in value]
            ends = "[]"
        else:
            raise TypeError(f"{value!r} is not written as JSON")
        if indent is None or not parts:
            return ends[0] + ", ".join(parts) + ends[1]
        return f"{ends[0]}{inner}" + f",{inner}".join(parts) + lead + ends[1]

    return written(value, "\n")


def sha256(content: bytes) -> str:
    """The digest as hexadecimal digits."""
    return _sha256(content).hex()


def hmac(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104). The key has at most 64 bytes."""
    padded = key.ljust(64, b"\0")
    inner = _sha256(bytes(byte ^ 0x36 for byte in padded) + content)
    return _sha256(bytes(byte ^ 0x5C for byte in padded) + inner)


def same(one: bytes, other: bytes) -> bool:
    """As hmac.compare_digest: how long it takes does not say where they differ."""
    from _operator import _compare_digest  # hmac's own, without what hmac imports

    return _compare_digest(one, other)


def _sha256(content: bytes) -> bytes:
    for module in SHA256:
        try:
            digest: bytes = __import__(module).sha256(content).digest()
        except (ImportError, AttributeError):
            continue
        return digest
    raise ImportError("this Python has no SHA-256")
