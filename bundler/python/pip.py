"""How pip fetches files: with the user's settings, and recording what indexes answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lambdad.bundler import tool_caches, tools
from lambdad.bundler.python import indexes, interpreters
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop

LOG: Final = "pip.log"
TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Downloaded:
    """How `pip download` ended, and the log that it wrote beside its output."""

    ended: Completed
    log: str


def download(
    requirements: Sequence[str],
    sources: Indexes,
    workshop: Workshop,
    folder: Path,
    flags: Sequence[str] = (),
) -> Downloaded:
    """Runs `pip download` in `folder`; what it brings lies in `out` there.

    Which formats to take is the caller's to say by `flags`, whatever the sources say of it.
    Raises BundlerError as tools.run.
    """
    places = replace(sources, no_binary=(), only_binary=(), prefer_binary=False)
    text = "\n".join([*indexes.lines(places), *requirements]) + "\n"
    (folder / "requirements.txt").write_text(text, "utf-8")
    ended = tools.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", f"--log={LOG}", "--quiet"),
            *("--progress-bar=off", "--dest=out", *flags, "--requirement", "requirements.txt"),
        ],
        cwd=folder,
        environ=environ(sources, workshop, folder),
        timeout_s=TIMEOUT_S,
    )
    return Downloaded(ended, read_log(folder))


def environ(
    sources: Indexes, workshop: Workshop, folder: Path, tool: Program = Program.PIP
) -> dict[str, str]:
    """The environment for pip, or for pip-tools, which runs pip's code."""
    return {
        **interpreters.pip_environ(workshop.environ, folder),
        **indexes.pip_secrets(sources, workshop.environ),
        **tool_caches.chosen(tool, workshop.environ, workshop.store),
    }


def read_log(folder: Path) -> str:
    """What pip wrote with --log in that folder; "" if it did not get so far."""
    try:
        return (folder / LOG).read_text("utf-8", "replace")
    except OSError:
        return ""
