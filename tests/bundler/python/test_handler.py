"""Whether Lambda can load the handler."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.inputs import tree
from lambdad.bundler.model import Handler
from lambdad.bundler.python import handler, interpreters, syntax
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree
from tests.support.paths import ROOT
from tests.support.samples import function

CASES = json.loads((ROOT / "fixtures/python/handlers.json").read_text())
HERE = RUNTIMES[f"python3.{min(sys.version_info[1], 14)}"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_cases(case: dict[str, Any], workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """Only what is certain to fail is reported, with the next step."""
    files = dict(case.get("files", {}))
    if "source" in case:
        deep = "(" * 300 + ")" * 300
        files["app.py"] = deep if case["source"] == "DEEP" else case["source"]
    lay({f"src/{name}": text for name, text in files.items()})
    (Path(workshop.root) / "src").mkdir(exist_ok=True)
    text = case.get("handler", "app.handler")
    module, _, export = text.rpartition(".")
    is_wrapper = text.endswith(".sh")
    asked = function(
        runtime=RUNTIMES[case["runtime"]] if "runtime" in case else HERE,
        handler=Handler(text, text if is_wrapper else module, None if is_wrapper else export),
        layers=case.get("layers", False),
    )
    walked = {
        file.name: file
        for file in tree.walk(workshop.seen, "src", exclude=case.get("exclude", ())).files
    }
    found = handler.check(asked, walked, case.get("dependencies", []), workshop)
    assert [one.code for one in found] == case["codes"]
    if "hint" in case:
        assert case["hint"] in (found[0].hint or "")
    if "line" in case:
        assert found[0].where is not None
        assert (found[0].where.line, found[0].where.column is not None) == (case["line"], True)


NEWER = b"def handler[T](event: T) -> T:\n    return event\n"


def test_a_newer_python_is_asked() -> None:
    """What this Python can't parse is judged by one of the runtime's version."""
    version = (3, 12)
    if sys.version_info[:2] >= version or interpreters.find(version, os.environ) is None:
        pytest.skip("needs a Python 3.12 beside an older one")
    good = syntax.parse(NEWER, version, os.environ)
    assert isinstance(good, syntax.Module)
    assert not good.is_certain
    broken = syntax.parse(b"def handler[T](event: T) -> T\n", version, os.environ)
    assert broken == syntax.Broken("expected ':'", 1, 30)


@pytest.mark.parametrize(
    ("source", "is_certain"),
    [
        (b"x = (\n", True),
        (b"def handler(:\n", True),
        (NEWER, False),
        (b"type X = int\n", False),
        (b"x = f'{d['a']}'\n", False),
        (b"try: pass\nexcept A, B: pass\n", False),
    ],
)
def test_no_newer_python_at_hand(source: bytes, is_certain: bool) -> None:
    """Without one of the runtime's version, only what is no newer syntax is certainly broken."""
    if sys.version_info >= (3, 12):
        pytest.skip("this Python reads the newer syntax")
    found = syntax.parse(source, (3, 15), {"PATH": "", "HOME": "/nowhere"})
    assert isinstance(found, syntax.Broken)
    assert found.is_certain is is_certain
