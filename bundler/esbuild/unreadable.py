"""What esbuild can't read and would wait or fill the memory for: FIFOs, devices, huge files.

esbuild opens whatever a path leads to. To look at every file before a build would cost more than
the build, so a build that takes long is looked into while it runs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from lambdad.bundler.esbuild.engine import EsbuildJob, EsbuildOutput, Message, MessagePlace
from lambdad.bundler.inputs import walking
from lambdad.bundler.inputs.reading import SOURCE, special_kind
from lambdad.bundler.model import ProjectError

LOOKS_S: Final = (0.3, 2.0)
"""When a build is looked into, in seconds after the one before it: the second time with all
installed packages."""
_NODE_MODULES: Final = "node_modules"
_SHOWN: Final = 20


def refused(job: EsbuildJob, *, packages: bool) -> EsbuildOutput | None:
    """The output of a job that would never end, with an error for each such file; None if there is
    none below the folders of its entries, or of packages with `packages`."""
    errors = []
    for path, why in _found(job, packages=packages):
        shown = os.path.relpath(path, job.folder)
        errors.append(
            Message("", f"can't read {shown}: it is {why}", MessagePlace(shown, 0, 0, ""))
        )
        if len(errors) == _SHOWN:
            break
    return EsbuildOutput(files={}, metafile={}, errors=tuple(errors)) if errors else None


def _found(job: EsbuildJob, *, packages: bool) -> Iterator[tuple[str, str]]:
    met: set[str] = set()
    for top in _tops(job):
        try:
            for folder, below, names in walking.folders(top, _enters(packages=packages)):
                if folder in met:
                    continue
                met.add(folder)
                for name in names:
                    if why := _fault(f"{folder}/{name}"):
                        yield f"{folder}/{name}", why
                if packages and os.path.basename(folder) == _NODE_MODULES:
                    yield from _linked(folder, below)
        except ProjectError:
            continue  # endless: what was seen of it is all there is to say


def _linked(folder: str, names: list[str]) -> Iterator[tuple[str, str]]:
    """In the packages that are symlinks, as those of workspaces and of pnpm are."""
    for name in names:
        if os.path.islink(f"{folder}/{name}"):
            package = os.path.realpath(f"{folder}/{name}")
            for inner, _below, inner_names in walking.folders(package, _enters(packages=False)):
                for each in inner_names:
                    if why := _fault(f"{inner}/{each}"):
                        yield f"{inner}/{each}", why


def _tops(job: EsbuildJob) -> list[str]:
    """The folders of the entries; esbuild's own folder, unless that is the root of all."""
    tops = {os.path.dirname(path) for _out, path in job.entries}
    if job.folder != "/":
        tops.add(job.folder)
    return sorted(tops)


def _enters(*, packages: bool) -> Callable[[str], bool]:
    """By a folder's name: whether it may hold what esbuild reads."""
    if packages:
        return lambda name: not name.startswith(".") or name == ".pnpm"
    return lambda name: not name.startswith(".") and name != _NODE_MODULES


def _fault(path: str) -> str | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(status.st_mode):
        return f"larger than {SOURCE >> 20} MiB" if status.st_size > SOURCE else None
    return special_kind(status.st_mode)
