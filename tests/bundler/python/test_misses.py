"""What is read out of pip's words."""

from __future__ import annotations

import pytest

from lambdad.bundler.python import misses

SKIPPED = (
    "2026-01-01T00:00:00,000 Skipping link: none of the wheel's tags ({tags}) are compatible "
    "(run pip debug --verbose to show compatible tags): {link}\n"
)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("file:///index/a_b-1.0-cp312-cp312-win_amd64.whl", "a_b-1.0-cp312-cp312-win_amd64.whl"),
        (
            "https://index.example/p/a_b-1.0.0-py3-none-linux_x86_64.whl#sha256=00 "
            "(from https://index.example/simple/a-b/) (requires-python:>=3.9)",
            "a_b-1.0.0-py3-none-linux_x86_64.whl",
        ),
        ("https://index.example/a_b-1.0-py3-none-win32.whl?x=1", "a_b-1.0-py3-none-win32.whl"),
        ("https://index.example/a_b-1.0.1-py3-none-win32.whl", None),
        ("https://index.example/a_b_c-1.0-py3-none-win32.whl", None),
        ("https://index.example/a_b-1.0.whl", None),
    ],
)
def test_wheels_that_pip_passed_over(link: str, expected: str | None) -> None:
    """The log of a vain search names the wheels of that version, wherever they lie."""
    log = "Looking in links\n" + SKIPPED.format(tags="a-b-c, a-b-d", link=link) + "ERROR: none\n"
    assert misses.passed_over(log, "a-b", "1.0") == ([expected] if expected else [])


def test_local_versions_are_quoted_in_links() -> None:
    """A "+" in a version is "%2B" in its link."""
    link = "https://index.example/a-1.0%2Bcpu-py3-none-win32.whl"
    log = SKIPPED.format(tags="py3-none-win32", link=link)
    assert misses.passed_over(log, "a", "1.0+cpu") == ["a-1.0+cpu-py3-none-win32.whl"]
