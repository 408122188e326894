"""docs/editors.md and the configurations in fixtures/editors say the same."""

from __future__ import annotations

import json
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.served import Served, served

PAGE = (ROOT / "docs" / "editors.md").read_text()
SNIPPETS = sorted((ROOT / "fixtures" / "editors").iterdir())
LANGUAGES = {
    ".lua": "lua",
    ".el": "elisp",
    ".toml": "toml",
    ".json": "json",
    ".xml": "xml",
    ".yaml": "yaml",
}


def test_every_snippet_is_shown() -> None:
    """What the page tells to copy is what is tested here, and all of it."""
    shown = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    kept = [(LANGUAGES[path.suffix], path.read_text()) for path in SNIPPETS]
    assert sorted(each for each in shown if each[0] != "sh") == sorted(kept)


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.name)
def test_every_snippet_can_be_read(path: Path) -> None:
    """Each is what its name says, and starts lambdad."""
    text = path.read_text()
    assert "lambdad" in text
    match path.suffix:
        case ".json":
            json.loads(text)
        case ".toml":
            tomllib.loads(text)
        case ".yaml":
            yaml.safe_load(text)
        case ".xml":
            ET.fromstring(text)


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, start=False) as app:
        app.lay({"one/app.py": "def handler(event, context):\n    return missing\n"})
        yield app


def test_the_problem_matcher(faulty: Served) -> None:
    """VS Code's pattern takes what `lambdad save` prints apart."""
    (task,) = json.loads((ROOT / "fixtures/editors/vscode-tasks.json").read_text())["tasks"]
    pattern = task["problemMatcher"]["pattern"]
    done = faulty.site.run(*[each.replace("${file}", "one/app.py") for each in task["args"]])
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    found = re.fullmatch(pattern["regexp"], line)
    assert found is not None
    told = {name: found[pattern[name]] for name in pattern if name != "regexp"}
    assert told == {
        "file": "one/app.py",
        "line": "2",
        "column": "12",
        "severity": "error",
        "code": "F821",
        "message": "Undefined name `missing`",
    }


def test_the_file_watcher(faulty: Served) -> None:
    """JetBrains' filter fits what `lambdad save` prints of a file by its whole path."""
    options = {
        each.get("name"): each.get("value")
        for each in ET.parse(ROOT / "fixtures/editors/jetbrains-watcherTasks.xml").iter("option")
    }
    path = str(faulty.root / "one/app.py")
    assert options["program"] == "lambdad"
    command, argument = str(options["arguments"]).split(" ", 1)
    done = faulty.site.run(command, argument.strip('"').replace("$FilePath$", path))
    pattern = re.escape(str(options["regExp"]))
    for name, group in (("FILE_PATH", "(.+)"), ("LINE", r"(\d+)"), ("COLUMN", r"(\d+)")):
        pattern = pattern.replace(re.escape(f"${name}$"), group)
    pattern = pattern.replace(re.escape("$MESSAGE$"), "(.*)")
    found = re.fullmatch(pattern, done.stdout.rstrip())
    assert found is not None
    assert found.groups()[:3] == ("one/app.py", "2", "12")
