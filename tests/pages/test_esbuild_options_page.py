"""docs/javascript.md holds esbuild's options as bundler/esbuild/options.py has them."""

from __future__ import annotations

from collections.abc import Iterable

from lambdad.bundler.esbuild.options import OPTIONS, UNSUPPORTED, Option
from lambdad.bundler.toolchain import ESBUILD
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "javascript.md"


def takes(name: str, option: Option) -> str:
    choices = ", ".join(f"`{choice}`" for choice in option.choices)
    if name == "sourcemap":
        choices += ", `true` (`linked`), `false`"
    return {
        "bool": "`true` or `false`",
        "int": "a whole number",
        "text": "text",
        "choice": f"one of {choices}",
        "many": f"a list of {choices or 'texts'}",
        "joined": "a list of texts",
        "map": f"a table of {choices or 'texts'}",
        "json": "JSON, as text or as a table",
    }[option.kind]


def accepted() -> list[str]:
    return [f"| `{name}` | {takes(name, option)} |" for name, option in OPTIONS.items()]


def refused() -> list[str]:
    return [f"| `{name}` | {reason} |" for name, reason in UNSUPPORTED.items()]


def table(head: str) -> Iterable[str]:
    """The rows under the table's head."""
    lines = PAGE.read_text("utf-8").splitlines()
    start = lines.index(head) + 2
    for line in lines[start:]:
        if not line.startswith("|"):
            return
        yield line


def test_what_is_taken_is_told() -> None:
    """Every option has its row, with the values it takes."""
    assert list(table("| option | takes |")) == accepted()


def test_what_is_refused_is_told() -> None:
    """So has every one that is refused, with the message's own reason."""
    assert list(table("| option | why it has no place here |")) == refused()


def test_the_version_is_told() -> None:
    """The page names the esbuild that bundles."""
    assert f"esbuild {ESBUILD}," in PAGE.read_text("utf-8")
