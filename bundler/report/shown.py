"""How results look to people: sizes, durations, colours, a line for a function.

It imports next to nothing, because `lambdad fresh` shows a line too and must start fast.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TextIO

    Paint = Callable[[str, str], str]
    """(text, style) -> text; the styles are STYLES' keys, "bold" and "dim"."""

STYLES = {
    "error": 31,
    "warning": 33,
    "info": 36,
    "built": 32,
    "building": 36,
    "failed": 31,
    "refused": 33,
    "skipped": 2,
    "bold": 1,
    "dim": 2,
}
"""A word for a style -> the terminal's code (ECMA-48, SGR)."""


LINES = "\n\t"
"""Control characters that a text of several lines has."""


def plain(text: str, _style: str) -> str:
    return text


def ansi(text: str, style: str) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


def paint_for(stream: TextIO) -> Paint:
    """Colours for a terminal, unless NO_COLOR is set; FORCE_COLOR colours a pipe, too."""
    if os.environ.get("NO_COLOR"):
        return plain
    wanted = stream.isatty() and os.environ.get("TERM") != "dumb"
    return ansi if wanted or os.environ.get("FORCE_COLOR") else plain


def printable(text: str, kept: str = "") -> str:
    """The text without control characters, but for those that are `kept`. The name of a file, or
    what a tool says of it, may hold some that end a line or that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in kept else sign.encode("unicode_escape").decode()
        for sign in text
    )


def function_line(item: Mapping[str, Any], width: int, paint: Paint = plain) -> str:
    """One line for one function of an answer's JSON; `width` is that of the longest name."""
    status = item["status"]
    line = f"{paint(f'{status:<8}', status)} {printable(item['name']):<{width}}"
    artifact, live = item.get("artifact"), item.get("live")
    if status == "built":
        took = "unchanged" if item["cached"] else duration_text(item["duration_ms"] / 1000)
        if artifact:
            line += f"  {size_text(artifact['size']):>9}  {took:>9}  {printable(artifact['path'])}"
        elif live:
            line += f"  {took:>9}  {printable(live['entry'])}"
    elif artifact:
        line += f"  the last good build stays: {printable(artifact['path'])}"
    elif status == "skipped" and item["diagnostics"]:
        line += f"  {printable(item['diagnostics'][0]['message'])}"
    return line.rstrip()


def size_text(size: float) -> str:
    """In units of 1,000, as AWS's console shows sizes."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def duration_text(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
