"""Whether a file is text that Python, and its tools, can read."""

from __future__ import annotations

import os
import tokenize

from lambdad.bundler.inputs.reading import SOURCE, read_regular, reason
from lambdad.bundler.model import Diagnostic, Location, RelPath, Severity, error
from lambdad.bundler.workshop import Workshop

_HINT = "save it as UTF-8"


def faults(path: RelPath, workshop: Workshop) -> tuple[Diagnostic, ...] | None:
    """What is reported of a Python file in place of linters; None: linters can read it, as UTF-8.

    Nothing is reported of a file that is gone, or that is none (a folder, a FIFO).
    """
    absolute = workshop.absolute(path)
    if not os.path.isfile(absolute):
        return ()
    try:
        content = read_regular(absolute, SOURCE)
    except FileNotFoundError:
        return ()
    except OSError as fault:
        message = f"can't read {path}: {reason(fault)}"
        return (error("unreadable-file", message, Location(path)),)
    if (at := content.find(b"\0")) >= 0:
        message = f"{path} holds null bytes: it is no Python source"
        return (error("syntax-error", message, _place(path, content, at)),)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as fault:
        return (_encoded(path, content, _place(path, content, fault.start)),)
    return None


def _encoded(path: RelPath, content: bytes, where: Location) -> Diagnostic:
    try:
        name, _lines = tokenize.detect_encoding(iter(content.splitlines(True)).__next__)
        content.decode(name)
    except (SyntaxError, LookupError, UnicodeDecodeError):
        return error("syntax-error", f"{path} is not UTF-8: Python can't read it", where, _HINT)
    message = f"{path} is in {name}, and ruff reads UTF-8 alone: it was not linted"
    return Diagnostic(
        code="lint-encoding", severity=Severity.INFO, message=message, where=where, hint=_HINT
    )


def _place(path: RelPath, content: bytes, at: int) -> Location:
    before = content[:at]
    column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    return Location(path, before.count(b"\n") + 1, column)
