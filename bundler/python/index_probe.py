"""Whether the indexes answer as indexes do, where a tool says too little to know."""

from __future__ import annotations

import secrets
from dataclasses import replace

from lambdad.bundler import tool_faults
from lambdad.bundler.model import BundlerError
from lambdad.bundler.python import index_answers, pip
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.workshop import Workshop


def fault(sources: Indexes, workshop: Workshop) -> BundlerError | None:
    """What is wrong with an index, found by a request for a package that can't exist.

    An index answers 404. What has a page for every name is a network's log-in page, which looks
    like a package without files; so this is asked where a package has none, and where a tool does
    not say how it was answered. Raises BundlerError as tools.run.
    """
    name = f"no-such-package-{secrets.token_hex(8)}"
    with workshop.store.workspace() as folder:
        log = pip.download([name], sources, workshop, folder).log
    # Storage that serves as an index answers 403 for what it lacks.
    answers = [
        replace(answer, status=404) if answer.status == 403 else answer
        for answer in index_answers.of_pip(log)
    ]
    if found := index_answers.fault(answers, Program.PIP):
        return found
    for answer in answers:
        if answer.status == 200:
            words = (
                f"{answer.index} has a page for every name, and no files on it; "
                "it may be a network's log-in page"
            )
            return tool_faults.fault_of(tool_faults.NO_NETWORK, words, Program.PIP)
    return None
