"""Texts edited at random, for properties of readers: whatever they are given, they end well."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Edit = tuple[str, int, int, str]
"""What is done, where (of any text, some place), how many characters it takes, and a token."""


def edits(tokens: Sequence[str]) -> SearchStrategy[list[Edit]]:
    """A few, which insert these tokens."""
    return st.lists(
        st.tuples(
            st.sampled_from(["delete", "repeat", "insert"]),
            st.integers(0, 5_000),
            st.integers(1, 60),
            st.sampled_from(tokens),
        ),
        min_size=1,
        max_size=6,
    )


def edited(text: str, made: Sequence[Edit]) -> str:
    for kind, place, length, token in made:
        at = place % (len(text) + 1)
        part = text[at : at + length]
        new = {"delete": "", "repeat": part + part, "insert": token + part}[kind]
        text = text[:at] + new + text[at + length :]
    return text
