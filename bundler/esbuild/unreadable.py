"""Files that esbuild never finishes reading, or that fill the memory: FIFOs, devices, huge files.

esbuild opens whatever a path leads to. A look at every file before each build would cost more than
the build, so only a build that takes long is looked into, while it runs. Only names that esbuild
reads count: a socket, a pipe or a database dump beside the sources is no fault.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Final

from lambdad.bundler.esbuild.engine import EsbuildJob, EsbuildOutput, Message, MessagePlace
from lambdad.bundler.inputs import walking
from lambdad.bundler.inputs.reading import SOURCE, special_kind
from lambdad.bundler.model import ProjectError

LOOKS_S: Final = (0.3, 2.0)
"""When a build is looked into: seconds after its start, and seconds after the first look."""

_NODE_MODULES: Final = "node_modules"
_SETTINGS: Final = ("package.json", "tsconfig.json", "jsconfig.json", ".pnp.data.json")
"""esbuild also reads them in every folder above a source."""
_EXTENDED: Final = ("tsconfig", "jsconfig")
"""How the names begin of files that a tsconfig.json usually extends."""
_SCRIPTS: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".css")
_CONFIGURED: Final = re.compile(r"--loader:(\.[^=]+)=")
_PACKAGE: Final = re.compile(r"/node_modules/(?:@[^/]+/)?[^/]+$")
"""What has a package's place is opened, whatever its name."""
_SHOWN: Final = 20


def refused(job: EsbuildJob, *, everywhere: bool) -> EsbuildOutput | None:
    """The output of a job that can't end, with an error for each such file; None without one.

    The folders of the job are looked into, and settings files above them; with `everywhere` all of
    the job's repository, installed packages included.
    """
    errors = []
    for path, why in _found(job, everywhere=everywhere):
        shown = os.path.relpath(path, job.folder)
        place = MessagePlace(shown, 0, 0, "")
        errors.append(Message("", f"can't read {shown}: it is {why}", place))
        if len(errors) == _SHOWN:
            break
    return EsbuildOutput(files={}, metafile={}, errors=tuple(errors)) if errors else None


def _found(job: EsbuildJob, *, everywhere: bool) -> Iterator[tuple[str, str]]:
    is_read = _readable(job)
    tops = {os.path.dirname(path) for _out, path in job.entries} | {job.folder} - {"/"}
    met: set[str] = set()
    for path in sorted({f"{above}/{name}" for above in _above(tops) for name in _SETTINGS}):
        if why := _fault(path):
            met.add(path)
            yield path, why
    if everywhere and job.repository:
        tops.add(job.repository)
    for top in sorted(tops):
        for path in _files(top, everywhere=everywhere):
            if path not in met and is_read(path) and (why := _fault(path)):
                met.add(path)
                yield path, why


def _readable(job: EsbuildJob) -> Callable[[str], bool]:
    """By a file's path: whether esbuild may read it for this job."""
    configured = tuple(found[1] for flag in job.flags if (found := _CONFIGURED.match(flag)))
    endings = (*_SCRIPTS, ".json", *configured)
    return lambda path: path.endswith(endings) or _PACKAGE.search(path) is not None


def _files(top: str, *, everywhere: bool) -> Iterator[str]:
    """Of a tree that is larger than any walk, those that the walk meets."""

    def enters(name: str) -> bool:
        if name in (_NODE_MODULES, ".pnpm"):
            return everywhere
        return not name.startswith(".")

    try:
        for folder, _below, names in walking.folders(top, enters):
            for name in names:
                yield f"{folder}/{name}"
    except ProjectError:
        return


def _above(folders: set[str]) -> set[str]:
    """The folders, and all that they are in."""
    found = set(folders)
    while folders := {os.path.dirname(folder) for folder in folders} - found:
        found |= folders
    return found


def _fault(path: str) -> str | None:
    """Why the file can't be read to its end; None if it can, or can't be opened at all."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(status.st_mode):
        is_code = path.endswith(_SCRIPTS) or _PACKAGE.search(path) is not None
        is_large = status.st_size > SOURCE and (is_code or _is_settings(path))
        return f"larger than {SOURCE >> 20} MiB" if is_large else None
    ends_at_once = stat.S_ISSOCK(status.st_mode) or os.path.realpath(path) == os.devnull
    return None if ends_at_once else special_kind(status.st_mode)


def _is_settings(path: str) -> bool:
    name = os.path.basename(path)
    return name in _SETTINGS or (name.startswith(_EXTENDED) and name.endswith(".json"))
