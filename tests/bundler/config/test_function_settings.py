"""How functions run: time-out, memory and environment, as each format says them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.bundler.config.find import read_live
from lambdad.bundler.config.function_settings import FunctionSettings

SAM = """
Parameters: {Stage: {Type: String, Default: dev}}
Globals:
  Function: {Timeout: 20, Environment: {Variables: {A: globals, B: globals}}}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  One:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.handler
      Runtime: python3.12
      MemorySize: 512
      Description: Lists notes
      Environment:
        Variables: {B: !Sub "${Stage}-notes", C: true, D: !Ref Table, E: !GetAtt Table.Arn}
  Two:
    Type: AWS::Lambda::Function
    Properties: {Code: src, Handler: app.handler, Runtime: python3.12, Timeout: long}
"""
SERVERLESS = """
service: notes
provider:
  name: aws
  runtime: python3.12
  timeout: 10
  environment: {A: provider, B: "${self:service}-x"}
functions:
  One:
    handler: src/app.handler
    memorySize: 256
    environment: {B: own, C: "${cf:other.Output}", D: {Ref: Table}}
  Two: {handler: src/app.handler, timeout: 3}
"""
TOML = """
[defaults]
timeout = 5
environment = { A = "default", B = "default" }
[functions.One]
handler = "app.handler"
runtime = "python3.12"
code = "src"
memory = 300
environment = { B = "own" }
[functions.Two]
handler = "app.handler"
runtime = "python3.12"
code = "src"
timeout = 0.5
"""


def settings_of(folder: Path, files: dict[str, str]) -> dict[str, FunctionSettings]:
    for name, text in {"src/app.py": "def handler(event, context): ...\n", **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return dict(read_live(str(folder), {}).settings)


def short(settings: FunctionSettings) -> tuple[float, int, dict[str, str], list[str]]:
    wrong = [one.message.partition(" ")[0] for one in settings.diagnostics]
    unknown = [*wrong, *settings.unresolved]
    return settings.timeout_s, settings.memory_mb, dict(settings.environment), unknown


CASES = {
    "sam": (
        {"template.yaml": SAM},
        (20, 512, {"A": "globals", "B": "dev-notes", "C": "true"}, ["D", "E"]),
        (3, 128, {}, ["Timeout"]),
    ),
    "serverless": (
        {"serverless.yml": SERVERLESS},
        (10, 256, {"A": "provider", "B": "own"}, ["C", "D"]),
        (3, 1024, {"A": "provider", "B": "notes-x"}, []),
    ),
    "toml": (
        {"lambdad.toml": TOML},
        (5, 300, {"A": "default", "B": "own"}, []),
        (0.5, 128, {"A": "default", "B": "default"}, []),
    ),
    "toml over sam": (
        {
            "template.yaml": SAM,
            "lambdad.toml": '[functions.One]\ntimeout = 1\nenvironment = { D = "notes" }\n',
        },
        (1, 512, {"A": "globals", "B": "dev-notes", "C": "true", "D": "notes"}, ["E"]),
        (3, 128, {}, ["Timeout"]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_settings(tmp_path: Path, name: str) -> None:
    """The function's own go before what is shared, and lambdad.toml before a template; what a
    deploy alone knows is reported, and left out."""
    files, one, two = CASES[name]
    found = settings_of(tmp_path, files)
    assert (short(found["One"]), short(found["Two"])) == (one, two)
