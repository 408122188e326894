"""The picture of a zip's sizes."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.report import sizes, treemap
from lambdad.bundler.report.sizes import Sizes
from lambdad.bundler.report.treemap import Box, squarified
from lambdad.bundler.zips.zip_sources import Makeup
from tests.bundler.report.test_sizes import in_memory

VALUES = st.lists(st.integers(1, 10**9), min_size=1, max_size=60).map(
    lambda values: sorted(values, reverse=True)
)
SIDE = st.floats(1, 2000)


@given(VALUES, SIDE, SIDE)
def test_areas_are_the_sizes(values: list[int], width: float, height: float) -> None:
    """Each rectangle is in proportion, lies in the box, and none lies over another."""
    box = Box(3, 5, width, height)
    placed = squarified(values, box)
    for value, one in zip(values, placed, strict=True):
        assert one.area == pytest.approx(box.area * value / sum(values), rel=1e-6)
        assert one.x >= 3 - 1e-6
        assert one.y >= 5 - 1e-6
        assert one.x + one.width <= 3 + width + 1e-6 * width
        assert one.y + one.height <= 5 + height + 1e-6 * height
    # What fills the box in disjoint rectangles has no point in two of them; the centres tell.
    for at, one in enumerate(placed):
        x, y = one.x + one.width / 2, one.y + one.height / 2
        inside = [
            other
            for other, box in enumerate(placed)
            if box.x < x < box.x + box.width and box.y < y < box.y + box.height
        ]
        assert inside in ([at], [])  # [] where it is thinner than numbers can tell


def test_nearly_squares() -> None:
    """Many of one size come out about as wide as high, not as stripes."""
    placed = squarified([1] * 30, Box(0, 0, 1200, 700))
    assert max(max(b.width / b.height, b.height / b.width) for b in placed) < 1.6


def of(tmp_path: Path, files: dict[str, bytes], known: Makeup | None = None) -> Sizes:
    (tmp_path / "a.zip").write_bytes(in_memory(files))
    with (tmp_path / "a.zip").open("rb") as file:
        return sizes.of_zip(file, known)


class Page(HTMLParser):
    """Every tag with its attributes, and that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.titles: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


HOSTILE = "node_modules/a/</title><script src='//x.invalid'>&\"'<.js"


def test_the_page_is_whole_in_itself(tmp_path: Path) -> None:
    """It asks for nothing, runs nothing, and names from the zip stay names."""
    page = treemap.page(
        "One<b>", of(tmp_path, {HOSTILE: b"x" * 500, "own.js": b"y" * 300, "empty.js": b""})
    )
    read = Page(page)
    assert not {"script", "link", "img", "iframe", "b"} & {tag for tag, _ in read.tags}
    assert not {"src", "href", "onclick", "style"} & {key for _, a in read.tags for key in a}
    assert "url(" not in page
    assert "@import" not in page
    assert "http:" not in page.replace("http-equiv", "")
    (policy,) = [a["content"] for _, a in read.tags if a.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert any(title.startswith(f"{HOSTILE}: 500 B unzipped") for title in read.titles)


def test_it_can_be_read_without_seeing(tmp_path: Path) -> None:
    """The picture has a name and a language, and its numbers are a table, too."""
    read = Page(treemap.page("One", of(tmp_path, {"own.js": b"y" * 300})))
    tags = dict(read.tags)
    assert tags["html"]["lang"] == "en"
    (picture,) = [a for tag, a in read.tags if tag == "svg" and a.get("role") == "img"]
    assert picture["aria-labelledby"] == "picture"
    assert [a["scope"] for tag, a in read.tags if tag == "th"] == ["col"] * 4
    assert "300 B unzipped" in read.titles[1]


@pytest.mark.parametrize("files", [{}, {"empty.js": b""}], ids=["nothing", "no bytes"])
def test_nothing_to_draw(tmp_path: Path, files: dict[str, bytes]) -> None:
    """A zip without bytes has a page, too."""
    assert "0 B unzipped" in treemap.page("One", of(tmp_path, files))


def test_many_small_files_are_one(tmp_path: Path) -> None:
    """What would be too small to see is drawn as one, so that the page stays small."""
    files = {f"src/{number}.js": b"1;" for number in range(5000)}
    page = treemap.page("One", of(tmp_path, {"big.js": b"x" * 10**6, **files}))
    assert "5000 smaller files: 10.0 kB" in page
    assert len(page) < 20_000


# --- in a browser ------------------------------------------------------------------------------

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def pixels(png: bytes) -> Counter[tuple[int, ...]]:
    """The colours of a picture that Chromium wrote: 8 bits a channel, not interlaced."""
    at, data, width, channels = 8, b"", 0, 3
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, _height, depth, colour, _, _, interlaced = struct.unpack(">2I5B", body)
            assert (depth, interlaced) == (8, 0)
            channels = {2: 3, 6: 4}[colour]
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, step = zlib.decompress(data), channels
    found: Counter[tuple[int, ...]] = Counter()
    stride = width * step
    above = bytearray(stride)
    for start in range(0, len(raw), stride + 1):
        rule, line = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride):
            a = line[i - step] if i >= step else 0
            b, c = above[i], above[i - step] if i >= step else 0
            near = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            line[i] = (line[i] + (0, a, b, (a + b) // 2, near)[rule]) & 255
        found.update(tuple(line[i : i + 3]) for i in range(0, stride, step))
        above = line
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="NOT CHECKED in a browser: there is no Chromium here")
def test_in_chromium(tmp_path: Path) -> None:
    """A real browser paints what the numbers say, and has nothing to complain of."""
    known = Makeup(sha256="", bundled={}, owners={"dist": "dist"})
    files = {
        "node_modules/a/x.js": b"x" * 6000,
        "own.js": b"y" * 3000,
        "dist/z.py": b"z" * 1000,
        HOSTILE: b"",
    }
    (tmp_path / "page.html").write_text(treemap.page("One", of(tmp_path, files, known)))
    shot = tmp_path / "shot.png"
    done = subprocess.run(
        [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
            *(
                "--window-size=500,500",
                "--force-device-scale-factor=1",
                "--blink-settings=preferredColorScheme=1",
            ),
            f"--screenshot={shot}",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in done.stderr
    found = pixels(shot.read_bytes())
    painted = {
        name: found[tuple(bytes.fromhex(digits))]
        for name, digits in re.findall(
            r"--(own|npm|python): #((?:[0-9a-f]{2}){3});", treemap._STYLE
        )[:3]
    }
    whole = sum(painted.values())
    assert whole > 80_000
    assert painted["npm"] / whole == pytest.approx(0.6, abs=0.05)
    assert painted["own"] / whole == pytest.approx(0.3, abs=0.05)
    assert painted["python"] / whole == pytest.approx(0.1, abs=0.03)
