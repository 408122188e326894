"""JSON of any author, as lambdad.bundler.located.anyjson reads it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from lambdad.bundler.located import anyjson

any_text = st.text(st.characters())  # surrogates among them
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
@example("\ud83d\ude00", True)
@example({"\ud800": ["a\udfff", "\\ud800"]}, False)
def test_can_be_sent(value: Any, as_bytes: bool) -> None:
    """Whatever an author escaped, what is read can be written as UTF-8; all else is kept."""
    text = json.dumps(value)
    read = anyjson.loads(text.encode() if as_bytes else text)
    json.dumps(read, ensure_ascii=False).encode()
    if not has_lone(text):
        assert read == json.loads(text)


def has_lone(text: str) -> bool:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
