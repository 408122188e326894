"""What people and programs are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.bundler.model import (
    Artifact,
    Built,
    Diagnostic,
    Failed,
    Linted,
    Live,
    Location,
    Outcome,
    Refused,
    Skipped,
    error,
    warning,
)
from lambdad.bundler.report import render, shown
from tests.support.samples import function

FAULT = error(
    "missing-export",
    'src/orders.ts does not export "handler"',
    Location("template.yaml", 2, 3),
    'it exports "main"; write src/orders.main',
)
ZIP = Artifact(path="p.zip", immutable_path="i.zip", sha256="00ff", size=1234567, unzipped_size=2)
LIVE = Live(entry="e", path=("p",), digest="00")


SPEAKS = "a\x1b]0;title\x07\x9bb\r"
SHOWN = "a\\x1b]0;title\\x07\\x9bb\\r"


def test_no_name_speaks_to_a_terminal() -> None:
    """What a clone calls its files and functions may hold escapes; each is shown as text."""
    item = error("bad", f"{SPEAKS}\n{SPEAKS}", Location(SPEAKS, 1, 1), f"{SPEAKS}\n{SPEAKS}")
    text = render.diagnostic_text(item, function=SPEAKS)
    assert text.count(SHOWN) == 6
    assert text.replace("\n", "").isprintable()
    failed = {"name": SPEAKS, "status": "failed"}
    assert shown.function_line(failed, 4) == f"failed   {SHOWN}"
    built = {"name": SPEAKS, "status": "built", "cached": True}
    assert shown.function_line({**built, "live": {"entry": SPEAKS}}, 4).count(SHOWN) == 2


def test_a_diagnostic_shows_its_line(tmp_path: Path) -> None:
    """What is wrong, the place with its line, what to do next."""
    (tmp_path / "template.yaml").write_text("Resources:\n  Handler: src/orders.handler\n")
    assert render.diagnostic_text(FAULT, function="orders", root=str(tmp_path)).splitlines() == [
        'error[missing-export] orders: src/orders.ts does not export "handler"',
        "  template.yaml:2:3  Handler: src/orders.handler",
        '  hint: it exports "main"; write src/orders.main',
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe\nx", b"a\n\x1b[31mred\n", b"a\n" + b"x" * 300, b""])
def test_a_line_that_is_not_for_reading_is_left_out(tmp_path: Path, content: bytes) -> None:
    """Binary, escapes and endless lines never reach the terminal."""
    (tmp_path / "template.yaml").write_bytes(content)
    assert render.source_line(str(tmp_path), Location("template.yaml", 2)) == ""


def test_the_json_shape() -> None:
    """Every field of the answer, as clients read it."""
    outcome = Built(
        function=function("Orders"),
        reasons=("src/a.py changed",),
        duration_s=0.0041,
        artifact=ZIP,
        diagnostics=(warning("unlocked", "text"),),
    )
    assert render.document([outcome], []) == {
        "schema": 1,
        "ok": True,
        "diagnostics": [],
        "functions": [
            {
                "name": "Orders",
                "status": "built",
                "cached": False,
                "reasons": ["src/a.py changed"],
                "duration_ms": 4.1,
                "runtime": "python3.12",
                "architecture": "x86_64",
                "handler": "app.handler",
                "artifact": {
                    "path": "p.zip",
                    "immutable_path": "i.zip",
                    "sha256": "00ff",
                    "code_sha256": "AP8=",
                    "size": 1234567,
                    "unzipped_size": 2,
                },
                "diagnostics": [{"code": "unlocked", "severity": "warning", "message": "text"}],
            }
        ],
    }


BUILT = Built(function=function())
_BARE = {"cached": False, "reasons": [], "duration_ms": 0.0}
_OF_FUNCTION = {"runtime": "python3.12", "architecture": "x86_64", "handler": "app.handler"}


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (Refused(name="x", diagnostics=(FAULT,)), {"status": "refused", **_BARE}),
        (Skipped(name="x", diagnostics=(FAULT,)), {"status": "skipped", **_BARE}),
        (
            Skipped(name="x", function=function(), diagnostics=(FAULT,)),
            {"status": "skipped", **_BARE, **_OF_FUNCTION},
        ),
        (
            Linted(function=function("x"), diagnostics=(FAULT,)),
            {"status": "linted", **_BARE, **_OF_FUNCTION},
        ),
        (Failed(name="x", diagnostics=(FAULT,)), {"status": "failed", **_BARE}),
        (
            Failed(name="x", cached=True, machine_fault=True, live=LIVE, diagnostics=(FAULT,)),
            {
                "status": "failed",
                **_BARE,
                "cached": True,
                "machine_fault": True,
                "live": {"entry": "e", "path": ["p"], "digest": "00"},
            },
        ),
    ],
)
def test_every_ending_has_its_json(outcome: Outcome, shown: dict[str, object]) -> None:
    """What is not built has the fields that every function has, and no others."""
    told = [render.diagnostic_json(FAULT)]
    assert render.outcome_json(outcome) == {"name": "x", **shown, "diagnostics": told}


@pytest.mark.parametrize(
    ("outcomes", "faults", "ok"),
    [
        ([BUILT, Skipped(name="x")], [], True),
        ([BUILT, Refused(name="x")], [], False),
        ([Failed(name="x")], [], False),
        ([BUILT], [FAULT], False),
        ([BUILT], [warning("x", "y")], True),
    ],
)
def test_ok(outcomes: list[Outcome], faults: list[Diagnostic], ok: bool) -> None:
    """All built or skipped, and no error of the project as a whole."""
    assert render.is_ok(outcomes, faults) is ok


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (37_400_000, "37.4 MB"), (5e9, "5.0 GB")],
)
def test_sizes(size: float, text: str) -> None:
    """Decimal units, as AWS's console shows them."""
    assert shown.size_text(size) == text
