"""Requests while files are saved: each is answered once, by code that is fresh for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.live import started
from tests.torture.invocations import InvocationTorture, drain, files


@pytest.mark.parametrize(
    ("requests", "at_once"),
    [
        (30, 1),
        (48, 8),
        pytest.param(5_000, 1, marks=[pytest.mark.torture, pytest.mark.timeout(3600)]),
        pytest.param(10_000, 8, marks=[pytest.mark.torture, pytest.mark.timeout(3600)]),
    ],
)
def test_under_edits(tmp_path: Path, requests: int, at_once: int) -> None:
    """None is stale, lost, doubled, or answered by another one's answer."""
    with started(tmp_path / "app", files()) as session:
        drain(session)
        torture = InvocationTorture(session)
        torture.run(requests, at_once, pause_s=0.6)
        assert torture.faults == []
