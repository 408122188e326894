"""Keeps what `lambdad build` answered, for the next one that finds nothing changed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from lambdad.bundler import trust
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.snapshot import Clock
from lambdad.bundler.model import BundlerError, Function, Project
from lambdad.bundler.report.render import diagnostic_json
from lambdad.bundler.store import freshness, last_answer, project_state, record
from lambdad.bundler.store.output import Output
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.record import Record
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


def _is_of(answer: Mapping[str, Any], known: Mapping[str, Record | None], manifest: bytes) -> bool:
    """Whether the records and the manifest are of the builds that the answer reports.

    Another process may have built a function since: its record then proves another answer.
    """
    listed = json.loads(manifest)["functions"]
    for item in answer["functions"]:
        if "runtime" not in item:
            continue  # not built, as the configuration says
        found = known.get(item["name"])
        if found is None or found.artifact is None:
            return False
        if {found.artifact.sha256, listed[item["name"]]["sha256"]} != {item["artifact"]["sha256"]}:
            return False
        recorded = [diagnostic_json(each) for each in found.diagnostics]
        if recorded and item["diagnostics"][-len(recorded) :] != recorded:
            return False
    return True


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
    # A manifest that another program wrote may say anything.
    with contextlib.suppress(OSError, BundlerError, LookupError, TypeError, ValueError):
        configuration = snapshot.observe(project.root, project.inputs, since=began)
        state = project_state.of(project.root, os.environ)
        known = {each.name: record.load(state.record(each.name)) for each in functions}
        output = Output(project.root)
        made = freshness.made(output, [os.path.relpath(output.manifest.path, project.root)])
        if not _is_of(answer, known, output.manifest.read()):
            return
        document = last_answer.compose(project.root, configuration, known.values(), made, answer)
        if document is not None:
            document["identity"] = identity(os.environ)
            document["names"] = sorted(set(named))
            document["trusted"] = trust.is_trusted(project.root, os.environ)
            state.last_answer().write(document)
