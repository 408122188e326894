"""Sizes as a picture: a page with a treemap, whole in itself, that any browser shows offline.

The rectangles are laid out here and drawn as SVG, so the page needs no script; its policy forbids
it any. The same numbers follow as a table, for those who don't see the picture.

The layout is Bruls, Huizing and van Wijk's "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from lambdad.bundler.report.shown import size_text
from lambdad.bundler.report.sizes import Package, PackageKind, SizedFile, Sizes

WIDTH: Final = 1200
HEIGHT: Final = 720

_TITLE: Final = 18
"""Height of a package's line of text."""
_LEAST: Final = 12.0
"""Files of less area are drawn as one."""
_LETTER: Final = 7.3
"""Width of a letter, of the font's size below; a text that would not fit is cut."""
_LINE: Final = 14
_HUES: Final = {
    PackageKind.OWN: "own",
    PackageKind.NPM: "npm",
    PackageKind.PYTHON: "python",
    PackageKind.MADE: "made",
}
_WORDS: Final = {
    PackageKind.OWN: "own code",
    PackageKind.NPM: "npm packages",
    PackageKind.PYTHON: "Python distributions",
    PackageKind.MADE: "made by the build",
}

_STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --line: #fff;
  --own: #b7dfc2; --npm: #f3c9b5; --python: #b9d3f2; --made: #dcdcdc; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #eef1f4; --line: #15181c;
    --own: #2c5f3e; --npm: #7a4227; --python: #2b4d7a; --made: #4b4f55; } }
body { margin: 1.5rem; background: var(--paper); color: var(--ink);
  font: 14px/1.4 system-ui, sans-serif; }
svg { width: 100%; height: auto; font: 12px ui-monospace, monospace; }
text { fill: var(--ink); pointer-events: none; }
rect { stroke: var(--line); stroke-width: 1; }
rect.file:hover { stroke: var(--ink); }
.own { fill: var(--own); } .npm { fill: var(--npm); }
.python { fill: var(--python); } .made { fill: var(--made); }
.legend span { display: inline-block; margin-right: 1.5em; }
.legend svg { width: 1em; height: 1em; vertical-align: -0.15em; }
table { border-collapse: collapse; margin-top: 1.5rem; }
th, td { text-align: right; padding: 0.15rem 0.8rem; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
tbody tr:nth-child(odd) { background: color-mix(in srgb, var(--ink) 6%, transparent); }
"""

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in the picture's units."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height


def page(name: str, sizes: Sizes) -> str:
    """The page of a function's zip: each area is what it takes unzipped."""
    title = f"What takes the room in {name}"
    told = f"{size_text(sizes.unzipped)} unzipped, {size_text(sizes.zipped)} as a zip"
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n',
            '<meta name="viewport" content="width=device-width">\n',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
            f"<h1>{escape(title)}</h1>\n<p>{told}. Each area is an unzipped size; more is shown ",
            "under the pointer, and the packages follow as a table.</p>\n",
            _legend(sizes.packages),
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="picture">\n',
            f'<title id="picture">{escape(title)}: {told}</title>\n',
            *_drawn(sizes),
            "</svg>\n",
            *_table(sizes),
            "</body>\n</html>\n",
        )
    )


def squarified(values: Sequence[float], box: Box) -> list[Box]:
    """A rectangle for each value, in proportion and near to squares; together they fill the box.

    Values are above 0 and come in descending order.
    """
    scale = box.area / sum(values) if values else 0
    areas = [value * scale for value in values]
    placed: list[Box] = []
    row: list[float] = []
    for area in areas:
        side = min(box.width, box.height)
        if row and _worst([*row, area], side) > _worst(row, side):
            box = _lay(row, box, placed)
            row = []
        row.append(area)
    if row:
        _lay(row, box, placed)
    return placed


def _worst(row: Sequence[float], side: float) -> float:
    """The greatest ratio of sides that the row has when it is laid along that side."""
    total = sum(row)
    if side <= 0 or total <= 0:
        return float("inf")
    return max(side**2 * row[0] / total**2, total**2 / (side**2 * max(row[-1], 1e-12)))


def _lay(row: Sequence[float], box: Box, placed: list[Box]) -> Box:
    """Lays the row along the shorter side; what is left of the box."""
    total = sum(row)
    if box.width >= box.height:
        thick = min(box.width, total / box.height) if box.height else 0.0
        at = box.y
        for area in row:
            height = box.height * area / total
            placed.append(Box(box.x, at, thick, height))
            at += height
        return Box(box.x + thick, box.y, box.width - thick, box.height)
    thick = min(box.height, total / box.width) if box.width else 0.0
    at = box.x
    for area in row:
        width = box.width * area / total
        placed.append(Box(at, box.y, width, thick))
        at += width
    return Box(box.x, box.y + thick, box.width, box.height - thick)


# --- the picture -----------------------------------------------------------------------------


def _drawn(sizes: Sizes) -> Iterator[str]:
    members: defaultdict[tuple[PackageKind, str], list[SizedFile]] = defaultdict(list)
    for file in sizes.files:
        members[file.kind, file.package].append(file)
    packages = [one for one in sizes.packages if one.unzipped]
    boxes = squarified([one.unzipped for one in packages], Box(0, 0, WIDTH, HEIGHT))
    for one, box in zip(packages, boxes, strict=True):
        yield f"<g><title>{escape(_package_text(one))}</title>\n{_rect(box, _HUES[one.kind])}"
        inner = box
        if box.height > 2 * _TITLE and box.width > 3 * _LETTER:
            yield _text(one.name, box, bold=True)
            inner = Box(box.x + 2, box.y + _TITLE, box.width - 4, box.height - _TITLE - 2)
        yield from _files(members[one.kind, one.name], inner, _HUES[one.kind])
        yield "</g>\n"


def _files(files: Sequence[SizedFile], box: Box, hue: str) -> Iterator[str]:
    whole = sum(file.unzipped for file in files)
    shown = [file for file in files if box.area * file.unzipped >= _LEAST * whole]
    rest = [file for file in files[len(shown) :] if file.unzipped]
    drawn = [(_file_text(file), file.path.rpartition("/")[2], file.unzipped) for file in shown]
    if rest:
        size = sum(file.unzipped for file in rest)
        text = f"{len(rest)} smaller files: {size_text(size)}"
        drawn.append((text, f"{len(rest)} more", size))
        drawn.sort(key=lambda one: -one[2])
    for (text, label, _), place in zip(
        drawn, squarified([size for *_, size in drawn], box), strict=True
    ):
        yield f"<g><title>{escape(text)}</title>{_rect(place, f'file {hue}')}"
        if place.height > _TITLE and place.width > 4 * _LETTER:
            yield _text(label, place)
        yield "</g>\n"


def _rect(box: Box, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{max(0, box.width):.1f}" height="{max(0, box.height):.1f}"/>'
    )


def _text(text: str, box: Box, *, bold: bool = False) -> str:
    room = int((box.width - 6) / _LETTER)
    shown = text if len(text) <= room else f"{text[: max(0, room - 1)]}…"
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{box.x + 4:.1f}" y="{box.y + _LINE:.1f}"{weight}>{escape(shown)}</text>'


def _package_text(one: Package) -> str:
    copies = f", {one.copies} copies" if one.copies > 1 else ""
    return f"{one.name}: {_sizes_text(one)}, {one.files} files{copies}"


def _file_text(one: SizedFile) -> str:
    inside = f" in {one.bundle}" if one.bundle is not None else ""
    return f"{one.path}{inside}: {_sizes_text(one)}"


def _sizes_text(one: SizedFile | Package) -> str:
    return f"{size_text(one.unzipped)} unzipped, {size_text(one.zipped)} in the zip"


def _legend(packages: Sequence[Package]) -> str:
    there = {one.kind for one in packages}
    items = (
        f'<span><svg viewBox="0 0 10 10" aria-hidden="true">'
        f'<rect class="{_HUES[kind]}" width="10" height="10"/></svg> {_WORDS[kind]}</span>'
        for kind in PackageKind
        if kind in there
    )
    return f'<p class="legend">{"".join(items)}</p>\n'


def _table(sizes: Sizes) -> Iterator[str]:
    yield "<table>\n<caption>By package</caption>\n<thead><tr>"
    yield '<th scope="col">package</th><th scope="col">unzipped</th><th scope="col">in the zip</th>'
    yield '<th scope="col">files</th></tr></thead>\n<tbody>\n'
    for one in sizes.packages:
        yield f"<tr><td>{escape(one.name)}</td><td>{size_text(one.unzipped)}</td>"
        yield f"<td>{size_text(one.zipped)}</td><td>{one.files}</td></tr>\n"
    yield "</tbody>\n</table>\n"
