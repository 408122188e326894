"""Keeps what `lambdad build` answered, for the next one that finds nothing changed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from lambdad.bundler import trust
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.snapshot import Clock
from lambdad.bundler.model import BundlerError, Function, Project
from lambdad.bundler.store import freshness, last_answer, project_state, record
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.daemon.client import finding
from lambdad.daemon.wire.address import identity


def begin(start: str) -> Clock | None:
    """The file system's clock before the configuration is read; None in a project that was never
    built, which has nowhere to read it."""
    root = finding.find_project(start)
    if root is None or not os.path.isdir(f"{root}/.lambdad/state"):
        return None
    with contextlib.suppress(OSError, BundlerError):
        return ProjectFolder(root).read_clock()
    return None


def keep(
    began: Clock | None,
    project: Project,
    named: Sequence[str],
    functions: Sequence[Function],
    answer: Mapping[str, Any],
) -> None:
    """Writes the answer, if it can be given again; where it can't be written, nothing is lost."""
    if began is None:
        return
    with contextlib.suppress(OSError, BundlerError):
        configuration = snapshot.observe(project.root, project.inputs, since=began)
        state = project_state.of(project.root, os.environ)
        records = [record.load(state.record(function.name)) for function in functions]
        output = Output(project.root)
        manifest = os.path.relpath(output.manifest.path, project.root)
        made = freshness.made(output, [manifest])
        document = last_answer.compose(project.root, configuration, records, made, answer)
        if document is not None:
            document["identity"] = identity(os.environ)
            document["names"] = sorted(set(named))
            document["trusted"] = trust.is_trusted(project.root, os.environ)
            state.last_answer().write(document)
