"""`lambdad save`: what an editor runs on every save. Standard library alone, as fresh.py.

Options that are not plain, and saves without a daemon, are daemon/cli/save.py's.
"""

from __future__ import annotations

import os
import sys

from lambdad.daemon.client import asking, finding, plain
from lambdad.daemon.client.plain import ClientOptions
from lambdad.daemon.wire import quick
from lambdad.daemon.wire.address import NoDaemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    Answer = dict[str, Any]

OK = 200
MACHINE = 2
"""The exit code where time was up, or the machine is to blame: that is no fault of the project."""

FLAGS = {"--trust": "trusted"}


class SaveOptions(ClientOptions):
    """The options of `lambdad save`."""

    def __init__(self) -> None:
        super().__init__()
        self.trusted = False


def main(arguments: Sequence[str]) -> int | list[str]:
    """Its exit code, or the command line that daemon/cli is to run instead."""
    saved = parse(arguments)
    if saved is None or not os.path.isdir(saved.project or "."):
        return ["save", *arguments]
    try:
        code = save(saved)
        return ["save", "--no-daemon", *arguments] if code is None else code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def parse(arguments: Sequence[str]) -> SaveOptions | None:
    """The arguments where they are plain; None where click must help, or say what is wrong."""
    saved = SaveOptions()
    return saved if plain.parse(saved, arguments, FLAGS, {}) and saved.named else None


def save(saved: SaveOptions) -> int | None:
    """Asks the daemon of each project that the files lie in, and shows what they answer.

    The exit code; None: this process must do it, or report what is wrong.
    """
    answers: list[tuple[str, Answer]] = []
    for root, files in by_project(saved.named, saved.project).items():
        body: dict[str, Any] = {"files": files, "trusted": saved.trusted}
        limit_s = None
        if saved.timeout_s is not None:
            body["timeout_s"] = saved.timeout_s
            limit_s = saved.timeout_s + asking.LATE_S
        try:
            status, answer = asking.request(root, "POST", "/v1/save", body, limit_s)
        except NoDaemon as fault:
            sys.stderr.write(f"no daemon ({fault}): building without one\n")
            return None
        if status != OK:
            reason = f"{answer.get('detail')} ({answer.get('code')})"
            sys.stderr.write(f"the daemon can't: {reason}; building without it\n")
            return None
        answers.append((root, answer))
    return show(answers, saved.named, as_json=saved.as_json)


def by_project(files: Iterable[str], project: str | None) -> dict[str, list[str]]:
    """The absolute files by their projects' folders. A file's project is found from its own folder
    upwards, or else from here; files of none are left out."""
    found: dict[str, list[str]] = {}
    roots: dict[str, str | None] = {}
    here: str | None = None
    for file in files:
        path = os.path.abspath(file)
        start = project or standing(os.path.dirname(path))
        if start not in roots:
            roots[start] = finding.find_project(start)
        if (root := roots[start]) is None and not project:
            here = here or finding.find_project(os.getcwd())
            root = here
        if root is not None:
            found.setdefault(root, []).append(path)
    return found


def standing(folder: str) -> str:
    """The folder, or if that is gone the nearest one above it."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


# --- what is shown -----------------------------------------------------------------------------


def show(answers: Sequence[tuple[str, Answer]], files: Iterable[str], *, as_json: bool) -> int:
    """Prints the answers of each project's folder, and returns the exit code."""
    whole = _joined(answers)
    if as_json:
        sys.stdout.write(quick.dumps(whole, 2) + "\n")
    else:
        saved = {os.path.realpath(file) for file in files}
        for root, answer in answers:
            _show(root, answer, saved)
    sys.stdout.flush()
    several = (whole, *whole["functions"])
    if whole.get("building") or any(item.get("machine_fault") for item in several):
        return MACHINE
    errors = any(item["severity"] == "error" for item in whole.get("findings", ()))
    return 0 if whole["ok"] and not errors else 1


def _joined(answers: Sequence[tuple[str, Answer]]) -> Answer:
    """Of most saves the only answer. Of several each item says of which project it is, since paths
    and names are the project's."""
    if len(answers) == 1:
        return answers[0][1]
    whole: Answer = {"schema": 1, "ok": True, "diagnostics": [], "functions": []}
    for root, answer in answers:
        for name, value in answer.items():
            if name == "ok":
                whole[name] = whole[name] and value
            elif name == "machine_fault":
                whole[name] = True
            elif name != "schema":
                is_named = name in ("diagnostics", "findings", "functions")
                more = [{**item, "project": root} for item in value] if is_named else value
                whole[name] = whole[name] + more if name in whole else more
    return whole


def _show(root: str, answer: Answer, saved: set[str]) -> None:
    told: set[str] = set()
    encoding = sys.stdout.encoding or "utf-8"
    for item in _all(answer):
        where = item.get("where")
        path = os.path.join(root, where["file"]) if where else ""
        # Warnings of other files were there before, and are not what was saved.
        is_told = where is None or os.path.realpath(path) in saved
        if item["severity"] != "error" and not is_told:
            continue
        line = _line(item, os.path.relpath(path) if where else None)
        if line not in told:
            told.add(line)
            stream = sys.stdout if where else sys.stderr
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
    for name in answer.get("building", ()):
        sys.stderr.write(f"{name}: time is up, it is still being built\n")


def _all(answer: Answer) -> Iterator[Mapping[str, Any]]:
    yield from answer["diagnostics"]
    for function in answer["functions"]:
        yield from function["diagnostics"]
    yield from answer.get("findings", ())


def _line(item: Mapping[str, Any], path: str | None) -> str:
    """As bundler/lint/outputs.py: errorformat, with a place in the file in any case. Paths start
    where the editor does."""
    where, message = item.get("where", {}), " ".join(item["message"].split())
    place = f"{path}:{where.get('line', 1)}:{where.get('column', 1)}: " if path else ""
    hint = f"\n  hint: {item['hint']}" if path is None and item.get("hint") else ""
    line = f"{place}{item['severity']}[{item['code']}] {message}"
    if not (line.isprintable() and hint.isprintable()):
        from lambdad.bundler.report.shown import LINES, printable  # an editor waits for imports

        line, hint = printable(line), printable(hint, LINES)
    return f"{line}{hint}\n"
