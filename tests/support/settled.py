"""Waiting for the file system's clock, so that what was written is no longer suspect."""

from __future__ import annotations

from lambdad.bundler.workshop import Workshop


def settle(workshop: Workshop) -> None:
    """Returns when the clock of the project's file system has gone on."""
    first = workshop.clock()
    assert first is not None, "its .lambdad is there"
    while (now := workshop.clock()) is None or now.now_ns == first.now_ns:
        pass
