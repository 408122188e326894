"""TOML of any author, in bounded time."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.located import anytoml

DEEP = {
    "lists": "a = " + "[" * 20_000,
    "closed lists": "a = " + "[" * 20_000 + "]" * 20_000,
    "tables": "a = " + "{a = " * 20_000,
    "parts of a key": ".".join("a" * 20_000) + " = 1",
    "parts of a table's name": "[" + ".".join("a" * 20_000) + "]",
    "quoted parts": ".".join(['"a"'] * 20_000) + " = 1",
}
FLAT = {
    "brackets in a string": f'a = "{"[" * 500}"',
    "brackets in a text": f'a = """\n{"[" * 500}\n"""',
    "brackets in a comment": f"# {'[' * 500}",
    "dots in a literal": f"a = '{'.' * 500}'",
    "many keys": "\n".join(f"a{number} = [1]" for number in range(500)),
    "many tables": "\n".join(f"[t{number}.a]\nb = [[1], {{c = 2}}]" for number in range(500)),
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_too_deep_is_refused(name: str) -> None:
    """Before the parser sees it, which takes time that grows with the square."""
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        anytoml.loads(DEEP[name])


@pytest.mark.parametrize("name", FLAT)
def test_what_only_looks_deep_is_read(name: str) -> None:
    """Brackets in strings and comments are no nesting."""
    assert anytoml.loads(FLAT[name]) == tomllib.loads(FLAT[name])


def test_too_many_values() -> None:
    """The limit is the caller's."""
    text = f"a = [{','.join('1' * 100)}]"
    assert anytoml.loads(text, most=200)
    with pytest.raises(ValueError, match="more than 50 values"):
        anytoml.loads(text, most=50)


@given(st.text(alphabet="a.[]{}=\"'#\n, \\1", max_size=60))
def test_the_same_as_the_parser(text: str) -> None:
    """Short texts are as tomllib takes them."""
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            anytoml.loads(text)
    else:
        assert anytoml.loads(text) == expected
