"""What is concluded from JavaScript's tokens: right, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.ecmascript import exports, imports, syntax
from lambdad.bundler.model import Location
from tests.support.paths import ROOT

FIXTURES = ROOT / "fixtures" / "npm"


def cases(area: str) -> list[Path]:
    return sorted((FIXTURES / area).iterdir())


def stated(text: str, key: str) -> str:
    """What the fixture's comment `// key: ...` says."""
    (line,) = [line for line in text.splitlines()[:2] if line.startswith(f"// {key}:")]
    return line.partition(":")[2].strip()


@pytest.mark.parametrize("path", cases("exports"), ids=lambda path: path.name)
def test_exports(path: Path) -> None:
    """The names are those the file's first line states; "?" is no certain answer."""
    text = path.read_text()
    wanted = stated(text, "exports")
    if wanted == "?":
        assert exports.names(text) is None
    else:
        assert exports.names(text) == frozenset(filter(None, wanted.split(", ")))


@pytest.mark.parametrize("path", cases("imports"), ids=lambda path: path.name)
def test_imports(path: Path) -> None:
    """The specifiers are those the first line states: "?" marks a later one, "!" a guarded one."""
    text = path.read_text()
    found = [
        item.specifier + ("!" if item.guarded else "" if item.loading else "?")
        for item in imports.imports(text)
    ]
    assert found == list(filter(None, stated(text, "imports").split(", ")))


@pytest.mark.parametrize("path", cases("imports"), ids=lambda path: path.name)
def test_glance_misses_nothing(path: Path) -> None:
    """The cheap look finds at least each package that the exact one finds."""
    text = path.read_text()
    exact = {imports.package_of(item.specifier) for item in imports.imports(text)}
    assert exact - {None} <= imports.glance(text)


@pytest.mark.parametrize(
    ("specifier", "package"),
    [
        ("a", "a"),
        ("a/b/c.js", "a"),
        ("@s/a", "@s/a"),
        ("@s/a/b", "@s/a"),
        ("./a", None),
        ("../a", None),
        ("/a", None),
        ("#a", None),
        ("", None),
        ("fs", None),
        ("fs/promises", None),
        ("node:test", None),
        ("https://index.example/x.js", None),
    ],
)
def test_package_of(specifier: str, package: str | None) -> None:
    """A specifier names a package, or a file, a builtin or an address."""
    assert imports.package_of(specifier) == package


def test_uses_follow_files() -> None:
    """Files that the entry loads, in cycles too, are read once each; others never."""
    files = {
        "app.js": "require('./lib'); require('./data.json'); require('one');",
        "lib/index.js": "require('../app'); require('./deep.cjs'); require('./gone');",
        "lib/deep.cjs": "require('two');",
        "test.js": "require('three');",
    }
    read: list[str] = []

    def reader(name: str) -> str:
        read.append(name)
        return files[name]

    found = {use.package for use in imports.uses("app.js", frozenset(files), reader)}
    assert found == {"one", "two"}
    assert sorted(read) == ["app.js", "lib/deep.cjs", "lib/index.js"]


def test_location() -> None:
    """Lines and columns count from 1."""
    text = "one\n  two"
    assert syntax.location("a.js", text, 0) == Location("a.js", 1, 1)
    assert syntax.location("a.js", text, text.index("two")) == Location("a.js", 2, 3)


def test_long_files_are_left() -> None:
    """A file longer than a person writes is not looked into."""
    text = "exports.a = 1;\n" * (syntax.LONGEST // 10)
    assert exports.names(text) is None


@given(st.text(alphabet="a1 ./*`'\"\\${}()[]\n=;,:", max_size=60))
def test_any_text_ends(text: str) -> None:
    """Whatever the text, tokens stand in it where they say, in order, or there are none."""
    found = syntax.tokens(text)
    offsets = [token.offset for token in found or ()]
    assert offsets == sorted(offsets)
    exports.names(text)
    list(imports.imports(text))


@given(st.text(alphabet="ab'\"`\\$ {}/*\n", max_size=20))
def test_comments_and_strings_hide_code(inside: str) -> None:
    """Nothing inside a comment or a string is ever taken for an export."""
    hidden = inside.replace("*/", "")
    text = f"/*{hidden}*/ const s = {json.dumps('exports.wrong = ' + inside)}; exports.right = s;"
    assert exports.names(text) == frozenset({"right"})
