"""`lambdad invoke`: a function once, with an event from a file, stdin or the examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.daemon.live.examples import example_event, example_names
from tests.support.daemons import Site, site

CONFIG = """
[functions.Py]
handler = "app.handler"
runtime = "python3.11"
code = "py"
"""
PY = """def handler(event, context):
    print("a line")
    if event == "raise": raise ValueError("no")
    return event
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("invoke") / "app") as found:
        Path(found.root, "py").mkdir()
        Path(found.root, "lambdad.toml").write_text(CONFIG)
        Path(found.root, "py/app.py").write_text(PY)
        yield found


def test_the_answer_is_on_stdout(place: Site) -> None:
    """And the log on stderr."""
    ended = place.run("invoke", "Py", "--event", "-", input='{"id": 1}')
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"id": 1}), ended.stderr
    assert "a line" in ended.stderr


def test_examples_and_faults(place: Site) -> None:
    """Exit code 1: the function failed; 2: the call is wrong."""
    ended = place.run("invoke", "Py", "--example", "sqs")
    assert json.loads(ended.stdout)["Records"][0]["eventSource"] == "aws:sqs"
    ended = place.run("invoke", "Py", "--event", "-", input='"raise"')
    assert (ended.returncode, json.loads(ended.stdout)["errorType"]) == (1, "ValueError")
    for arguments, said in (
        (["Nope"], "unknown-function"),
        (["Py", "--example", "nope"], "unknown-example"),
        (["Py", "--event", "-"], "bad-event"),
    ):
        ended = place.run("invoke", *arguments, input="{")
        assert ended.returncode == 2
        assert said in ended.stderr


@pytest.mark.parametrize("name", example_names())
def test_examples_are_json(name: str) -> None:
    """Of objects that a handler can take."""
    assert isinstance(json.loads(example_event(name)), dict)
