from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.config_cases import CASES, NAMES, read_case, told


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, tmp_path: Path) -> None:
    """A project is read as its case says: functions, faults with their places, inputs."""
    # Three folders down, so that a case may point above its repository.
    project = read_case(name, tmp_path / "a" / "b" / "c")

    expected = json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))
    assert told(project) == expected
