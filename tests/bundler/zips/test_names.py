"""The paths that files have in a zip."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.zips import names
from tests.support.paths import ROOT

CASES = json.loads((ROOT / "fixtures/archive/bad-names.json").read_text())

paths = st.lists(st.sampled_from(["a", "a-b", "b", "b0", "é"]), min_size=1, max_size=4).map(
    "/".join
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["name"]))
def test_names_that_would_land_elsewhere_are_refused(case: dict[str, str]) -> None:
    """A name that is not a plain path below the folder it is unpacked to has a reason why not."""
    reason = names.check_name(case["name"])
    assert reason is not None
    assert case["reason"] in reason
    assert [fault.code for fault in names.faults([case["name"]])] == ["zip-name"]


@pytest.mark.parametrize(
    "name", ["a", "a.py", "..a", "a..b/c", ".env", "é/ü.py", "a b", "ab:c", "1:2"]
)
def test_plain_names_pass(name: str) -> None:
    """Dots within a part, spaces and other scripts are fit."""
    assert names.check_name(name) is None


def test_a_name_fits_the_two_bytes_of_its_length() -> None:
    """65,535 bytes are a name, one more are not; it is bytes that count."""
    assert names.check_name("é" * 32767 + "a") is None
    assert names.check_name("é" * 32768) is not None


def test_faults_are_reported_together() -> None:
    """A double, a file that is also a folder and an unfit name come at once."""
    found = names.faults(["a", "a", "b/c", "b", "../x"])
    assert [(fault.code, fault.message) for fault in found] == [
        ("zip-clash", "two files would be a in the zip"),
        ("zip-name", "'../x' can't be packaged: the name leads out of the zip by \"..\""),
        ("zip-clash", "b would be a file in the zip, and the folder of b/c"),
    ]


@given(own=st.sets(paths), others=st.sets(paths))
def test_what_is_shadowed_is_just_what_can_not_be_unpacked_beside(
    own: set[str], others: set[str]
) -> None:
    """A path is shadowed exactly if it is an own path, lies below one, or has one below it."""
    expected = {
        other
        for other in others
        for mine in own
        if other == mine or other.startswith(mine + "/") or mine.startswith(other + "/")
    }
    assert names.shadowed(own, sorted(others)) == sorted(expected)
