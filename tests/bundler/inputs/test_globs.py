from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.bundler.inputs import globs
from tests.support.paths import ROOT

FIXTURE = ROOT / "fixtures" / "globs" / "micromatch.json"
TABLE: dict[str, Any] = json.loads(FIXTURE.read_text())
PATHS: list[str] = TABLE["paths"]

PIECES = ["a", "b", "src", "*", "**", "*.js", "x.js", "{a,b}", "[ab]", "?", "a*b", "..", "", "["]
PIECES += [
    "{",
    "}",
    "(",
    ",",
    "\\",
    "!",
    "é",
    "[^a]",
    "[]a]",
    "*" * 5,
    "{a,{b,c}}",
    "^",
    "&&",
    "--",
]

patterns = st.lists(
    st.builds(
        lambda sign, parts: sign + "/".join(parts),
        st.sampled_from(["", "!", "./"]),
        st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
    ),
    max_size=4,
)


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: " ".join(case["patterns"]))
def test_as_micromatch(case: dict[str, list[str]]) -> None:
    """Every path gets the answer that micromatch gives, as recorded."""
    said = {path: globs.verdict(case["patterns"], path) for path in PATHS}
    assert [path for path in PATHS if said[path] is True] == case["in"]
    assert [path for path in PATHS if said[path] is False] == case["out"]


@settings(max_examples=300)
@given(patterns=patterns, path=st.sampled_from(PATHS))
def test_folders_agree_with_their_files(patterns: list[str], path: str) -> None:
    """A walk enters every folder that holds a file that is in, and none where all are out."""
    if any(globs.fault(pattern) for pattern in patterns):
        return
    said = globs.verdict(patterns, path)
    for count in range(1, path.count("/") + 1):
        folder = "/".join(path.split("/")[:count])
        entered = globs.enters(patterns, folder)
        if said:
            assert entered is True
        if entered is False:
            assert said is False


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("src/+(a|b)", "extended"),
        ("!(a)/**", None),
        ("{1..9}", "range"),
        ("../a", "folder"),
        ("!../a", None),
        ("a" * 2000, "longer"),
        ("{a,b}" * 12, "500"),
        ("[", None),
        ("", None),
        ("!", None),
    ],
)
def test_what_can_not_be_used(pattern: str, word: str | None) -> None:
    """A pattern that would be misread is told, with the reason."""
    problem = globs.fault(pattern)
    if word is None:
        assert problem is None or word in ("", None)
    else:
        assert problem is not None
        assert word in problem


def test_names_that_are_spelt_out() -> None:
    """Only a pattern that takes in, and has the very name on its way, asks for it."""
    taken = ["src/**", "node_modules/.prisma/*.node", "!build/x"]
    assert globs.spells_out(taken, "node_modules")
    assert globs.spells_out(taken, ".prisma")
    assert not globs.spells_out(taken, "__pycache__")
    assert not globs.spells_out(taken, "build")


def test_no_pattern_takes_long() -> None:
    """Stars upon stars cost no more than the name is long; trying all ways would never end."""
    costly = ["*a" * 400 + "b", "**/" * 300 + "b", "a/" + "**/*/" * 100, "[" * 900, "{" * 900]
    path = "/".join(["a" * 200] * 60)
    for pattern in costly:
        if globs.fault(pattern) is None:
            globs.verdict([pattern], path)
            globs.enters([pattern], path)
