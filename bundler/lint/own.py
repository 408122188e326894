"""The project's own tools: where they are installed, and how they are run.

They are code of that project. The caller has made sure that it is trusted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler import tool_faults, tools
from lambdad.bundler.inputs.reading import SETTINGS, read_regular
from lambdad.bundler.lint import tool
from lambdad.bundler.lint.tool import Findings, broken, by_machine, not_run
from lambdad.bundler.model import BundlerError, Location, RelPath, Severity
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop

SLOW_S: Final = 300.0
"""A tool that reads a whole project and has not answered by then hangs."""
ENVIRONMENTS: Final = (".venv", "venv")


@dataclass(frozen=True, slots=True)
class ProjectTool:
    """An installed tool."""

    command: str
    """Absolute."""
    version: str
    """Or what else shows that another one is installed."""
    folder: str
    """Absolute: whose node_modules or environment it lies in."""


def folders(workshop: Workshop, start: str) -> Iterator[str]:
    """An absolute folder and those above it, up to the repository's root."""
    folder = start
    while True:
        yield folder
        above = os.path.dirname(folder)
        if folder in (workshop.repository, above):
            return
        folder = above


def nearest(workshop: Workshop, start: str, has: Callable[[str], str | None]) -> str | None:
    """What `has` says of the first of those folders of which it says anything."""
    return next((found for folder in folders(workshop, start) if (found := has(folder))), None)


def file_in(names: Iterable[str]) -> Callable[[str], str | None]:
    """For `nearest`: the first of these files that a folder has, absolute."""
    wanted = tuple(names)

    def has(folder: str) -> str | None:
        paths = (f"{folder}/{name}" for name in wanted)
        return next((path for path in paths if os.path.isfile(path)), None)

    return has


def of_node(workshop: Workshop, start: str, package: str, command: str) -> ProjectTool | None:
    """The package as scripts in that folder find it."""
    for folder in folders(workshop, start):
        script = f"{folder}/node_modules/.bin/{command}"
        if os.access(script, os.X_OK):
            version = _version(f"{folder}/node_modules/{package}/package.json")
            return ProjectTool(script, version or _times(script), folder)
    return None


def of_package(workshop: Workshop, start: str, package: str) -> str | None:
    """The folder of a package as scripts in that folder find it, absolute."""
    named = (f"{folder}/node_modules/{package}" for folder in folders(workshop, start))
    return next((path for path in named if os.path.isdir(path)), None)


def of_python(workshop: Workshop, start: str, command: str) -> ProjectTool | None:
    """The command of the project's environment: .venv or venv, or of the one that is active."""
    active = workshop.environ.get("VIRTUAL_ENV", "")
    homes = [f"{folder}/{name}" for folder in folders(workshop, start) for name in ENVIRONMENTS]
    for home in (*homes, *filter(os.path.isabs, [active])):
        script = f"{home}/bin/{command}"
        if os.path.isfile(f"{home}/pyvenv.cfg") and os.access(script, os.X_OK):
            return ProjectTool(
                script, _installed(home, command) or _times(script), os.path.dirname(home)
            )
    return None


def _version(manifest: str) -> str | None:
    try:
        content = json.loads(read_regular(manifest, SETTINGS))
    except (OSError, ValueError, RecursionError):
        return None
    return str(content.get("version")) if isinstance(content, dict) else None


def _installed(home: str, command: str) -> str | None:
    """The distribution's version, as its .dist-info folder is called."""
    try:
        for python in os.listdir(f"{home}/lib"):
            for name in os.listdir(f"{home}/lib/{python}/site-packages"):
                if name.startswith(f"{command}-") and name.endswith(".dist-info"):
                    return name
    except OSError:
        pass
    return None


def _times(script: str) -> str:
    status = os.stat(script)
    return f"{status.st_ino} {status.st_mtime_ns}"


def run(
    name: str,
    own: ProjectTool,
    arguments: Sequence[str],
    *,
    cwd: str,
    workshop: Workshop,
) -> Completed | Findings:
    """What the tool answered, or the diagnostic that says why it did not."""
    environ = {key: value for key, value in workshop.environ.items() if key != "FORCE_COLOR"}
    command = [own.command, *arguments]
    try:
        return tools.run(command, cwd=cwd, environ=environ | {"NO_COLOR": "1"}, timeout_s=SLOW_S)
    except BundlerError as fault:
        return not_run(name, fault, again(own, workshop))


def again(own: ProjectTool, workshop: Workshop) -> str:
    """The hint that leads to all that a tool has to say."""
    shown = os.path.relpath(own.command, workshop.root)
    return f"run {shown} yourself: its output says more"


def untrusted(name: str, own: ProjectTool, workshop: Workshop) -> Findings:
    """It is there, and may not run."""
    return Findings(failed=(tool.untrusted(name, os.path.relpath(own.command, workshop.root)),))


def unreadable(name: str, own: ProjectTool, answer: Completed, workshop: Workshop) -> Findings:
    """It ended, and what it printed are no findings."""
    if (fault := tool_faults.fault_of_other(name, answer)) is not None:
        return by_machine(name, fault)
    said = first_words(answer.stderr) or first_words(answer.stdout) or "nothing"
    what = f"ended with {answer.code} and no findings that can be read: {said}"
    return broken(name, what, again(own, workshop))


def absent(name: str, config: str, package: str, install: str, workshop: Workshop) -> Findings:
    """It is configured, and not installed: others may run it elsewhere, so that is no error."""
    where = Location(relative(config, workshop))
    found = broken(name, f"is configured, but {package} is not installed", install, where)
    return replace(
        found, failed=tuple(replace(item, severity=Severity.WARNING) for item in found.failed)
    )


_NOISE: Final = ("Oops!", "ESLint:", "    at ", "Node.js v")
_MOST: Final = 300


def first_words(text: str) -> str:
    """The first line that says something, and what follows it as far as it is short."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith(_NOISE)]
    told = " ".join(line for line in lines if any(map(str.isalnum, line)))
    return told if len(told) <= _MOST else f"{told[:_MOST]}..."


def named(name: str, cwd: str, workshop: Workshop) -> RelPath:
    """The path of a file as a tool that ran in `cwd` calls it."""
    return relative(os.path.normpath(os.path.join(cwd, name)), workshop)


def relative(path: str, workshop: Workshop) -> RelPath:
    """Of an absolute path, to the project."""
    if path.startswith(f"{workshop.root}/"):
        return path[len(workshop.root) + 1 :]
    return os.path.relpath(path, workshop.root)
