"""One call of ruff: its command line, its answer as findings, its failures as one diagnostic."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from lambdad.bundler import tool_faults, tools
from lambdad.bundler.lint import tool
from lambdad.bundler.lint.tool import Findings
from lambdad.bundler.model import BundlerError, Diagnostic, Location, RelPath, Severity, warning
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.workshop import Workshop

NAME: Final = "ruff"
SYNTAX: Final = "invalid-syntax"
"""As ruff calls what it can't parse; E999 in versions before 0.5, null in some after."""

FATAL: Final = frozenset(
    {
        *(SYNTAX, "E999", "F821"),
        # Python's own SyntaxErrors: no module that has one can be imported.
        *("F404", "F621", "F622", "F701", "F702", "F704", "F706", "F707"),
        *("PLE0115", "PLE0117", "PLE0118", "PLE1142"),
    }
)
"""What fails when the code runs. All else that ruff finds is a warning."""

_QUIET: Final = ("--no-cache", "--force-exclude", "--quiet")
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "check": ("check", *_QUIET, "--no-fix", "--no-fix-only"),
    "format": ("format", *_QUIET, "--check"),
}

_AT_ONCE: Final = 1000
"""Files of one call: a command line has an end."""
_SHOWN: Final = 300
"""Characters of what a tool said."""

_CAUSE: Final = re.compile(r"^\s*Cause: ", re.MULTILINE)
_CONFIG_FILE: Final = re.compile(r"(?:parse|from|in|load) `?(/[^`\n]+?\.toml)")
_CONFIG_PLACE: Final = re.compile(r"line (\d+), column (\d+)")
_QUOTED: Final = re.compile(r"\s*\d*\s*\|.*")
_UNFORMATTED: Final = re.compile(r"^Would reformat: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one run of ruff."""

    binary: str
    command: str
    """One of _COMMANDS."""
    target: tuple[int, int] | None
    """The Python that the code is for; None: by ruff's configuration."""


def run(
    call: Call, files: Sequence[RelPath], config_of: Callable[[RelPath], str], workshop: Workshop
) -> Findings:
    """Each file's findings. Files of one broken configuration take nothing from the others:
    `config_of` says which one is a file's."""
    done = [
        _run(call, files[start : start + _AT_ONCE], config_of, workshop)
        for start in range(0, len(files), _AT_ONCE)
    ]
    return tool.merged(done)


def _run(
    call: Call, files: Sequence[RelPath], config_of: Callable[[RelPath], str], workshop: Workshop
) -> Findings:
    known = {os.path.normpath(workshop.absolute(path)): path for path in files}
    try:
        done = _completed(call, known, workshop)
    except BundlerError as fault:
        return tool.not_run(NAME, fault, f"see whether `{call.binary} --version` answers")
    found: dict[RelPath, list[Diagnostic]] = {path: [] for path in files}
    try:
        read = _checked if call.command == "check" else _formatted
        for place, item in read(done):
            path = known.get(os.path.normpath(os.path.join(workshop.root, place)))
            if path is not None:
                found[path].append(replace(item, where=_at(path, item)))
    except BundlerError as fault:
        return tool.by_machine(NAME, fault)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        by_config: dict[str, list[RelPath]] = {}
        for path in files:
            by_config.setdefault(config_of(path), []).append(path)
        if len(by_config) > 1:
            several = by_config.values()
            return tool.merged(_run(call, some, config_of, workshop) for some in several)
        return _failed(call, done, workshop)
    return Findings(files={path: tuple(items) for path, items in found.items()})


def _completed(call: Call, files: Iterable[str], workshop: Workshop) -> tools.Completed:
    """Raises BundlerError."""
    options = ["--output-format=json"]
    if call.target is not None:
        options.append(f"--target-version=py{call.target[0]}{call.target[1]}")
    environ = {name: text for name, text in workshop.environ.items() if name[:5] != "RUFF_"}
    ask = partial(tools.run, cwd=workshop.root, environ=environ, timeout_s=tool.TIMEOUT_S)
    command = [call.binary, *_COMMANDS[call.command]]
    done = ask([*command, *options, "--", *files])
    # An older ruff does not know every Python, and reports what it formats in words alone.
    while refused := [each for each in options if _refuses(done, each.partition("=")[0])]:
        options.remove(refused[0])
        done = ask([*command, *options, "--", *files])
    return done


def _refuses(done: tools.Completed, option: str) -> bool:
    return done.code == 2 and option in done.stderr and not _CAUSE.search(done.stderr)


def _failed(call: Call, done: tools.Completed, workshop: Workshop) -> Findings:
    if (fault := tool_faults.machine_fault(Program.RUFF, replace(done, stdout=""))) is not None:
        return tool.by_machine(NAME, fault)
    cause = _CAUSE.search(done.stderr)
    if done.code == 2 and cause is not None:
        file, place = _CONFIG_FILE.search(done.stderr), _CONFIG_PLACE.search(done.stderr)
        where = None
        if file is not None:
            line, column = (int(place[1]), int(place[2])) if place else (None, None)
            where = Location(os.path.relpath(file[1], workshop.root), line, column)
        what = _shortened(done.stderr[cause.end() :].replace(f"{workshop.root}/", ""))
        hint = "correct it: `ruff check` there says the same"
        if "equired version" in what:
            hint = "install that version of ruff into the project's .venv"
        return tool.misconfigured(NAME, what, hint, where)
    what = f"ended with code {done.code}" if done.code not in (0, 1) else "gave no answer of ruff's"
    said = _shortened(done.stderr or done.stdout)
    told = f"{what}: {said}" if said else what
    return tool.broken(NAME, told, f"see what `{call.binary} {call.command}` says")


def _shortened(text: str) -> str:
    """Without the lines that it quotes."""
    told = [line for line in text.splitlines() if not _QUOTED.fullmatch(line)]
    words = " ".join(" ".join(told).replace("Cause: ", "").split())
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 3]}..."


# --- reading its answer --------------------------------------------------------------------------
# What is no answer of ruff's raises msgspec.MsgspecError or ValueError; a file that the system does
# not let it read, BundlerError.


class _Place(msgspec.Struct):
    row: int
    column: int


class _Fix(msgspec.Struct):
    message: str | None = None


class _Item(msgspec.Struct):
    """The diagnostics of ruff's JSON."""

    filename: str
    message: str
    location: _Place
    said: str | None = msgspec.field(default=None, name="code")
    fix: _Fix | None = None

    @property
    def code(self) -> str:
        return self.said or SYNTAX


_ITEMS: Final = msgspec.json.Decoder(list[_Item])


def _checked(done: tools.Completed) -> Iterator[tuple[str, Diagnostic]]:
    if done.code not in (0, 1):
        raise ValueError(done.code)
    for item in _ITEMS.decode(done.stdout):
        if item.code == "E902":
            unread = tools.Completed(1, "", item.message)
            if fault := tool_faults.machine_fault(Program.RUFF, unread):
                raise fault
        else:  # a file that is gone was not asked for
            yield item.filename, _finding(item)


def _finding(item: _Item) -> Diagnostic:
    hint = item.fix.message if item.fix is not None else None
    return Diagnostic(
        code=item.code,
        severity=Severity.ERROR if item.code in FATAL else Severity.WARNING,
        message=" ".join(item.message.split()),
        where=_location(item),
        hint=" ".join(hint.split()) if hint else None,
    )


def _location(item: _Item) -> Location:
    return Location("", max(item.location.row, 1), max(item.location.column, 1))


def _formatted(done: tools.Completed) -> Iterator[tuple[str, Diagnostic]]:
    """What `check` says of a file's syntax, `format` need not say again."""
    if done.stdout.lstrip().startswith("["):
        for item in _ITEMS.decode(done.stdout):
            if item.code == "unformatted":
                yield item.filename, _unformatted(_location(item))
        return
    named = _UNFORMATTED.findall(done.stdout)
    if done.code != 0 and not named:
        raise ValueError(done.code)
    for path in named:
        yield path, _unformatted(Location("", 1, 1))


def _unformatted(where: Location) -> Diagnostic:
    message = "ruff would format the file otherwise"
    return warning("unformatted", message, where, "run `ruff format` on it")


def _at(path: RelPath, item: Diagnostic) -> Location:
    where = item.where or Location("")
    return Location(path, where.line, where.column)
