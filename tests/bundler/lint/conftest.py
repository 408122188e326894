"""Linters keep what they found in the project's .lambdad, where there is one."""

from __future__ import annotations

import pytest

from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop


@pytest.fixture
def workshop(workshop: Workshop) -> Workshop:
    """A project that was built, or linted by a command, before."""
    Output(workshop.root).prepare()
    return workshop
