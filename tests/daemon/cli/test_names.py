"""A function that goes by two names, an AWS CDK one, asked for by either."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import Served, served

TEMPLATE = {
    "Resources": {
        "HandlerABC": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Handler": "app.handler",
                "Runtime": "python3.12",
                "Code": {"S3Bucket": "b", "S3Key": "1.zip"},
            },
            "Metadata": {"aws:cdk:path": "Main/Handler/Resource", "aws:asset:path": "../src"},
        }
    }
}
ARTIFACT = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "Main.json"}}
APP = {
    "cdk.out/manifest.json": json.dumps({"artifacts": {"Main": ARTIFACT}}),
    "cdk.out/Main.json": json.dumps(TEMPLATE),
    "src/app.py": "def handler(event, context):\n    return 1\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, APP) as found:
        yield found


def test_either_name(app: Served) -> None:
    """The answer is the function's, under its own name, once though both names were asked for."""
    (function,) = app.fresh("HandlerABC")["functions"]
    assert (function["name"], function["status"]) == ("Main/Handler", "built")
    assert [each["name"] for each in app.fresh("HandlerABC", "Main/Handler")["functions"]] == [
        "Main/Handler"
    ]
    why = app.call("GET", "/v1/why?function=HandlerABC")
    assert why.status == 200
    assert app.fresh("HandlerABD")["code"] == "unknown-function"


def test_an_assembly_written_anew(app: Served) -> None:
    """The daemon's next answer is of the assembly as cdk synth has just left it."""
    assert app.fresh("Main/Handler")["functions"][0]["runtime"] == "python3.12"
    changed = json.dumps(TEMPLATE).replace("python3.12", "python3.13")
    app.lay({"cdk.out/Main.json": changed.replace("Main/Handler", "Main/Renamed")})
    assert app.fresh("Main/Handler")["code"] == "unknown-function"
    assert app.fresh("HandlerABC")["functions"][0]["runtime"] == "python3.13"
