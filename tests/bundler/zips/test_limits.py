"""How large Lambda lets a function be."""

from __future__ import annotations

import pytest

from lambdad.bundler.model import Entry
from lambdad.bundler.zips import limits
from lambdad.bundler.zips.member import Contents, Member, Segment


def segment(*sizes: tuple[str, int]) -> Segment:
    """A segment whose files have these names and sizes, half of that compressed."""
    members = [
        Member(
            name=name,
            executable=False,
            deflated=True,
            crc=0,
            compressed_size=size // 2,
            size=size,
            offset=0,
        )
        for name, size in sorted(sizes)
    ]
    total = sum(size // 2 for _, size in sizes)
    return Segment(digest="0" * 64, path="/none", size=total, members=tuple(members))


def contents(dependencies: Segment | None, *own: Entry) -> Contents:
    return Contents(own=own, dependencies=dependencies)


APP = Entry(name="app.py", content=b"x" * 1000)


@pytest.mark.parametrize(
    ("unzipped", "codes"),
    [
        (1000, []),
        (99 << 20, []),
        (101 << 20, ["large-zip"]),
        (262_144_000 - 1000, ["large-zip"]),
        (262_144_000 - 999, ["too-large"]),
    ],
)
def test_the_limits_to_the_byte(unzipped: int, codes: list[str]) -> None:
    """262,144,000 bytes unzipped pass, one more does not; a zip above 50 MB is only warned of."""
    found = limits.check(contents(segment(("big/x", unzipped)), APP))
    assert [fault.code for fault in found] == codes


def test_the_largest_are_listed() -> None:
    """By package, npm's scopes included, the largest first, so that one knows where to cut."""
    sizes = [
        ("node_modules/@scope/one/a.js", 60 << 20),
        ("node_modules/@scope/one/b.js", 40 << 20),
        ("node_modules/two/a.js", 90 << 20),
        ("numpy/a.so", 80 << 20),
        *((f"small{i}/a", 1 << 20) for i in range(9)),
    ]
    [fault] = limits.check(contents(segment(*sizes), APP))
    assert (fault.code, fault.severity.value) == ("too-large", "error")
    assert "the largest are @scope/one 100.0 MiB, two 90.0 MiB, numpy 80.0 MiB" in fault.message
    assert fault.message.count("small") == 5


def test_own_code_counts_as_it_is_compressed() -> None:
    """60 MB of zeros are a small zip: no warning without cause."""
    assert limits.check(contents(None, Entry(name="zeros", content=bytes(60 << 20)))) == ()


def test_names_come_first() -> None:
    """What can't be zipped at all is told before its size."""
    found = limits.check(contents(segment(("a", 300 << 20)), Entry(name="../x", content=b"")))
    assert [fault.code for fault in found] == ["zip-name"]
