"""What lambdad.daemon.wire.quick gives is what json and hashlib give."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdad.daemon.wire import quick

any_text = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # JSON has no word for the rest.
    | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 0, 1, 2]))
def test_written_and_read(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert quick.dumps(value, indent) == text
    assert quick.loads(f" \n{text}\t\r\n".encode()) == value


@given(VALUES, st.data())
@example(None, None)
def test_broken(value: Any, data: st.DataObject | None) -> None:
    """A text cut off or added to is refused exactly where json refuses it."""
    text = json.dumps(value)
    if data is None:
        text = ""
    else:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(["", "]", "}", " 1", '"', ",", "\\", "\n"]))
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            quick.loads(text.encode())
    else:
        assert quick.loads(text.encode()) == expected


@pytest.mark.parametrize("content", [b"\xff", b'"\xff"', b"", b" ", b"{} {}", b"nul"])
def test_no_json(content: bytes) -> None:
    with pytest.raises(ValueError):
        quick.loads(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1}, b""])
def test_not_to_be_written(value: object) -> None:
    with pytest.raises(TypeError):
        quick.dumps(value)


def test_without_the_c_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that lacks them, or has others by these names, gives the same."""
    document = {"a": [1, "é", None], "b": {}}
    for modules in (["_json"], ["_json", "_sha2", "_sha256"]):
        for name in modules:
            monkeypatch.setitem(sys.modules, name, None)
        assert quick.dumps(document, 2) == json.dumps(document, indent=2)
        assert quick.loads(json.dumps(document).encode()) == document
        assert quick.sha256(b"x") == hashlib.sha256(b"x").hexdigest()
    monkeypatch.setitem(sys.modules, "_json", type(sys)("_json"))
    assert quick.loads(b'{"a": 1}') == {"a": 1}
    assert quick.dumps(document) == json.dumps(document)


def test_the_quick_way_imports_little() -> None:
    """The point of it: none of these is imported on the way of a call that the daemon answers."""
    code = "import sys; from lambdad.daemon import entry; "
    code += "from lambdad.daemon.client import fresh, save; "
    code += "from lambdad.daemon.terminal import answer; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(told.stdout.split())
    assert loaded.isdisjoint(
        {"json", "re", "enum", "typing", "socket", "hashlib", "selectors", "dataclasses", "click"}
    )
