"""What esbuild asks the system about, as strace tells, held against recorded inputs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from lambdad.bundler.esbuild import plan
from lambdad.bundler.model import BuildRequest, InputSet, Stems, Walk
from lambdad.bundler.workshop import Workshop
from tests.support.esbuild_cases import binary_path, workshop_of

needs_strace: Final = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed"
)

_CALL = re.compile(r"^(?:\[?(?:pid +)?\d+\]? +)?(\w+)\((.*)$")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


def touched(
    request: BuildRequest, root: Path, out: Path, workshop: Workshop | None = None
) -> set[str]:
    """Every path within `root` that the one-shot command asks the system about."""
    wanted = plan.plan(request.function, workshop or workshop_of(root))
    log = out / "strace"
    command = [
        "strace", "-f", "-qq", "-s", "4096", "-e", "trace=%file", "-o", str(log), binary_path(),
        *(f"{name}={path}" for name, path in wanted.entries), *wanted.flags, f"--outdir={out}/o",
    ]  # fmt: skip
    environ = {**os.environ, "NODE_PATH": os.pathsep.join(wanted.node_paths)}
    subprocess.run(command, cwd=wanted.folder, env=environ, capture_output=True, check=False)
    paths = set()
    for line in log.read_text(errors="surrogateescape").splitlines():
        call = _CALL.match(line)
        found = _PATH.search(call[2]) if call else None
        if found:
            text = found[1].encode().decode("unicode_escape").encode("latin-1").decode()
            path = os.path.normpath(os.path.join(wanted.folder, text))
            if f"{path}/".startswith(f"{os.path.realpath(root)}/"):
                paths.add(path)
    assert paths, "strace saw nothing"
    return paths


def uncovered(path: str, inputs: InputSet, root: str, top: str | None = None) -> bool:
    """Whether a change of that path could go unnoticed; the inputs are relative to the project in
    `root`, and the path lies below `top`, else the same."""
    files = {os.path.normpath(f"{root}/{name}") for name in inputs.files}
    listings = {os.path.normpath(f"{root}/{name}"): n for name, n in inputs.listings.items()}
    links = {os.path.normpath(f"{root}/{name}") for name in inputs.links}
    at = top or root
    for part in os.path.relpath(path, at).split("/"):
        if part == ".":
            return False
        here = f"{at}/{part}"
        names = listings.get(at)
        noted = here in files
        if isinstance(names, Stems):
            noted = noted or names.covers(part)
        elif isinstance(names, Walk):
            noted = True
        if not noted:
            return True
        if os.path.islink(here):
            if here not in links:
                return True
            here = os.path.realpath(here)
        if not os.path.lexists(here):
            return False  # nothing below it can be there before it is
        at = here
        if os.path.isfile(at):
            break  # what lies below is in an archive
    # The contents of what was read count, not only its name; of folders the names do.
    return os.path.isfile(at) and not {at, path} & files
