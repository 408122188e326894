"""`lambdad fresh` where its options are plain: asks the daemon and shows what it answers.

Standard library alone, and little. Parsing of other options, rendering of diagnostics and starting
of daemons are imported where they are needed.
"""

from __future__ import annotations

import os
import sys

from lambdad.bundler.inputs.reading import SETTINGS, read_regular
from lambdad.daemon.client import asking, finding, plain
from lambdad.daemon.client.plain import ClientOptions
from lambdad.daemon.wire.address import NoDaemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class FreshOptions(ClientOptions):
    """What a `lambdad fresh` asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.want = "live"
        self.locked = False
        self.verbose = False


FLAGS = {"--verbose": "verbose", "-v": "verbose", "--locked": "locked"}
VALUES = {"--want": "want"}


def main(arguments: Sequence[str]) -> int | list[str]:
    """`lambdad fresh`: its exit code, or the command line that daemon/cli is to run instead."""
    wanted = parse(arguments)
    if wanted is None or is_linted(wanted):
        return ["fresh", *arguments]
    try:
        code = fresh(wanted)
        return ["fresh", "--no-daemon", *arguments] if code is None else code
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: what the daemon builds goes on\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def parse(arguments: Sequence[str]) -> FreshOptions | None:
    """The options where they are plain; None where click must help, or say what is wrong."""
    wanted = FreshOptions()
    plainly = plain.parse(wanted, arguments, FLAGS, VALUES) and wanted.want in ("live", "zip")
    return wanted if plainly else None


def is_linted(wanted: FreshOptions) -> bool:
    """Whether lint may have to let it pass first: then daemon/cli reads what the project says."""
    root = finding.find_project(wanted.project or os.getcwd()) if wanted.want == "zip" else None
    for name in (finding.OWN, finding.PYPROJECT) if root is not None else ():
        try:
            content = read_regular(f"{root}/{name}", SETTINGS)
        except OSError:
            continue
        if b"lint" in content or b"\\u" in content.lower():  # however the word is written
            return True
    return False


def fresh(wanted: FreshOptions) -> int | None:
    """Asks the daemon, shows its answer, and returns the exit code.

    None: this process must build, or report what is wrong. The reason is printed if it is the
    daemon's.
    """
    start = wanted.project or os.getcwd()
    root = finding.find_project(start)
    if root is None:
        return None
    body: dict[str, Any] = {
        "functions": wanted.named or "all",
        "want": wanted.want,
        "locked": wanted.locked,
        "typed": all(one is not None and one.isatty() for one in (sys.stdin, sys.stderr)),
    }
    limit_s = None
    if wanted.timeout_s is not None:
        body["timeout_s"] = wanted.timeout_s
        limit_s = wanted.timeout_s + asking.LATE_S
    from lambdad.daemon.terminal.answer import Results

    with Results(root, as_json=wanted.as_json, verbose=wanted.verbose) as results:
        hear = results.hear if sys.stderr.isatty() and not wanted.as_json else None
        try:
            status, answer = asking.request(root, "POST", "/v1/fresh", body, limit_s, hear=hear)
        except NoDaemon as fault:
            results.clear()
            sys.stderr.write(f"no daemon ({fault}): building without one\n")
            return None
        if status >= 500:
            reason = f"{answer.get('detail')} ({answer.get('code')})"
            sys.stderr.write(f"the daemon can't: {reason}; building without it\n")
        if status != 200:
            # Whatever it has against the request, the readers and the build say better.
            return None
        return results.end(answer)
