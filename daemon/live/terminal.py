"""What people and programs see of live requests: plain lines, or one JSON object a line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, TextIO, assert_never

from lambdad.bundler.model import Diagnostic, Severity
from lambdad.bundler.report.render import diagnostic_json, diagnostic_text
from lambdad.bundler.report.shown import paint_for
from lambdad.daemon.live.building import FreshCode
from lambdad.daemon.live.invocation import (
    Answered,
    BuildFailed,
    CannotRun,
    Exited,
    FunctionFailed,
    Invocation,
    InvocationOutcome,
    NoSuchFunction,
    StreamedAnswer,
    Throttled,
    TimedOut,
    TooLarge,
)
from lambdad.daemon.live.workers import errors
from lambdad.daemon.live.workers.worker import RunningRequest

AMAZON_LINES: Final = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ")
"""Lines of the log that say what the line of the request says, too."""


class RequestLines:
    """A RequestWatcher that writes lines as things happen; each names its function."""

    def __init__(self, root: str, *, as_json: bool, out: TextIO | None = None) -> None:
        self._root = root
        self._as_json = as_json
        self._out = out or sys.stdout
        self._paint = paint_for(self._out)
        self._built: dict[str, FreshCode] = {}
        self._labels: dict[str, Invocation] = {}
        self._faults: dict[str, tuple[Diagnostic, ...]] = {}
        self._halves: dict[str, bytes] = {}
        """By function: a line of its log that has not ended."""

    # --- of the session --------------------------------------------------------------------------

    def ready(self, http: str, api: str, functions: Sequence[str]) -> None:
        if self._as_json:
            self._write_json({"event": "ready", "http": http, "lambda": api})
            return
        self._write(f"HTTP          {self._paint(http, 'bold')}")
        self._write(f"Lambda's API  {self._paint(api, 'bold')}  (AWS_ENDPOINT_URL_LAMBDA)")
        self._write(f"functions     {', '.join(functions) or 'none'}")

    def note(self, text: str) -> None:
        """Something that people want to know, once."""
        if self._as_json:
            self._write_json({"event": "note", "text": text})
        else:
            self._write(text)

    # --- of requests -----------------------------------------------------------------------------

    def began(self, invocation: Invocation) -> None:
        self._labels[invocation.request_id] = invocation

    def built(
        self, invocation: Invocation, code: FreshCode, lacking: tuple[Diagnostic, ...]
    ) -> None:
        if code.was_built:
            self._built[invocation.request_id] = code
        name = code.name
        every = (*code.diagnostics, *lacking)
        faults = tuple(one for one in every if one.severity is not Severity.INFO)
        self._tell_faults(name, faults)

    def finished(
        self, invocation: Invocation, outcome: InvocationOutcome, running: RunningRequest | None
    ) -> None:
        self._labels.pop(invocation.request_id, None)
        code = self._built.pop(invocation.request_id, None)
        if isinstance(outcome, BuildFailed):
            self._tell_faults(invocation.function, outcome.diagnostics)
        result, is_good = _result(outcome)
        build_ms = None if code is None else round(code.build_ms, 1)
        duration_ms = None if running is None else round(running.duration_ms, 1)
        used_mb = None if running is None else running.used_mb
        if self._as_json:
            self._write_json(
                {
                    "event": "request",
                    "function": invocation.function,
                    "request_id": invocation.request_id,
                    "label": invocation.label,
                    "result": result,
                    "ok": is_good,
                    "build_ms": build_ms,
                    "duration_ms": duration_ms,
                    "memory_mb": used_mb,
                }
            )
            return
        parts = [f"{time.strftime('%H:%M:%S')} {invocation.function}  {invocation.label}"]
        figures = []
        if build_ms is not None:
            figures.append(f"built in {build_ms:.0f} ms")
        if duration_ms:
            figures.append(f"ran {duration_ms:.0f} ms")
        if used_mb is not None:
            figures.append(f"{used_mb} MB")
        if figures:
            parts.append(self._paint(", ".join(figures), "dim"))
        parts.append(result if is_good else self._paint(result, "failed"))
        self._write("  ".join(parts))

    def logged(self, function: str, request_id: str | None, piece: bytes) -> None:
        text = self._halves.pop(function, b"") + piece
        whole, end, rest = text.rpartition(b"\n")
        if len(rest) > 65536:  # a line without an end
            whole, end, rest = text, b"\n", b""
        if rest:
            self._halves[function] = rest
        if not end:
            return
        for line in whole.decode(errors="replace").split("\n"):
            self._log_line(function, request_id, line.rstrip("\r"))

    def _log_line(self, function: str, request_id: str | None, line: str) -> None:
        if self._as_json:
            event = {"event": "log", "function": function, "request_id": request_id}
            self._write_json({**event, "text": line.replace("\r", "\n")})
            return
        if line.startswith(AMAZON_LINES):
            return
        for part in line.split("\r"):
            shown = part.replace("\u00a0", " ").expandtabs(2)
            self._write(f"  {self._paint(f'{function} |', 'dim')} {_printable(shown)}")

    # --- faults ----------------------------------------------------------------------------------

    def _tell_faults(self, function: str, faults: tuple[Diagnostic, ...]) -> None:
        """Each once, and that they are gone."""
        before = self._faults.get(function, ())
        if faults == before:
            return
        self._faults[function] = faults
        if self._as_json:
            found = [diagnostic_json(one) for one in faults]
            self._write_json({"event": "diagnostics", "function": function, "diagnostics": found})
            return
        for one in faults:
            if one not in before:
                self._write(
                    diagnostic_text(one, function=function, root=self._root, paint=self._paint)
                )
        if not faults:
            self._write(self._paint(f"{function} is mended", "built"))

    # --- writing ---------------------------------------------------------------------------------

    def _write_json(self, document: dict[str, Any]) -> None:
        self._write(json.dumps(document, ensure_ascii=True))

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)


def _printable(text: str) -> str:
    """Without what would move the cursor; colours stay."""
    return "".join(one for one in text if one.isprintable() or one == "\x1b")


def _result(outcome: InvocationOutcome) -> tuple[str, bool]:
    """How the request went, in a few words, and whether well."""
    match outcome:
        case Answered(payload=payload):
            return f"answered {len(payload)} B", True
        case StreamedAnswer():
            return "answers as a stream", True
        case FunctionFailed(error=error):
            return errors.error_type(error), False
        case TimedOut(timeout_s=timeout_s):
            return f"timed out after {timeout_s:g} s", False
        case Exited() | TooLarge():
            return errors.error_type(outcome.error), False
        case BuildFailed():
            return "not run: the build failed", False
        case NoSuchFunction(known=known):
            return f"no such function; there are: {', '.join(known) or 'none'}", False
        case Throttled():
            return "throttled: too many requests wait", False
        case CannotRun(message=message):
            return message, False
        case _:
            assert_never(outcome)
