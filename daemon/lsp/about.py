"""What is shown of a function at its handler: a line for a lens, more for a hover."""

from __future__ import annotations

import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import Function, Method, NotBuilt, Project, Severity
from lambdad.bundler.report import sizes
from lambdad.bundler.report.render import status
from lambdad.bundler.report.shown import duration_text, size_text
from lambdad.bundler.report.sizes import PackageKind
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.zips import zip_sources
from lambdad.daemon.lsp.site import Last, Site

SHOWN: Final = 5
"""Dependencies, or functions of one line, that are named; others are counted."""


def lens(functions: Sequence[Function], project: Project, site: Site, once: Look) -> str:
    """A line about the functions that have that handler."""
    told = [(each, _lens(site.last(project, each, once))) for each in functions]
    if len(told) == 1:
        return told[0][1]
    shown = [f"{function.name}: {text}" for function, text in told[:SHOWN]]
    left = len(told) - len(shown)
    return "; ".join([*shown, *([f"and {left} more"] if left else [])])


def _lens(last: Last | None) -> str:
    if last is None:
        return "not built yet"
    if not last.record.succeeded:
        errors = [each for each in last.record.diagnostics if each.severity is Severity.ERROR]
        return f"build failed: {errors[0].message}" if errors else "build failed"
    size = f", {size_text(last.artifact.size)}" if last.artifact is not None else ""
    return f"built in {duration_text(last.record.duration_s)}{size}"


def hover(item: Function | NotBuilt, project: Project, site: Site) -> str:
    """Markdown."""
    if isinstance(item, NotBuilt):
        lines = [f"**{item.name}** is {status(item.outcome)}"]
        lines += [_escaped(each.message) for each in item.diagnostics]
        return "  \n".join(lines)
    head = f"**{item.name}** {item.runtime.name} {item.architecture.value}, {item.method.value}"
    last = site.last(project, item, Look())
    if last is None:
        return f"{head}  \nnot built yet"
    return "  \n".join([head, *_build(last), *_zip(last, item, site)])


def _build(last: Last) -> Iterator[str]:
    record = last.record
    ending = "built" if record.succeeded else "failed"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last.built_s))
    because = f": {_escaped(record.reasons[0])}" if record.reasons else ""
    yield f"last build: {ending} in {duration_text(record.duration_s)}, {at}{because}"
    if last.stale:
        yield f"stale: {_escaped(last.stale[0])}"
    for each in record.diagnostics if not record.succeeded else ():
        if each.severity is Severity.ERROR:
            yield f"error: {_escaped(each.message)}"


def _zip(last: Last, function: Function, site: Site) -> Iterator[str]:
    if last.artifact is None:
        yield f"no zip yet: `lambdad build {function.name}` makes one"
        yield from _met(last, function)
        return
    zipped, unzipped = size_text(last.artifact.size), size_text(last.artifact.unzipped_size)
    yield f"zip: {zipped}, {unzipped} unzipped"
    known = zip_sources.load(site.state(), function.name)
    if known is not None and known.sha256 != last.artifact.sha256:
        known = None
    try:
        with ProjectFolder(site.root).at(last.artifact.immutable_path).open() as file:
            found = sizes.of_zip(file, known)
    except (OSError, ValueError, zipfile.BadZipFile):
        return  # it was cleared away
    packages = [
        each for each in found.packages if each.kind in (PackageKind.NPM, PackageKind.PYTHON)
    ]
    yield _dependencies([f"{each.name} {size_text(each.zipped)}" for each in packages])


def _met(last: Last, function: Function) -> Iterator[str]:
    """npm's packages that a bundle for live use was made of."""
    if function.method is not Method.ESBUILD:
        return
    found: Counter[str] = Counter()
    for path, key in last.record.inputs.files.items():
        parts = path.split("/node_modules/" if "/node_modules/" in path else "node_modules/")
        if key is not None and len(parts) > 1 and not path.endswith("/package.json"):
            names = parts[-1].split("/")
            found["/".join(names[: 2 if names[0].startswith("@") else 1])] += 1
    yield _dependencies([name for name, _count in found.most_common()])


def _dependencies(names: Sequence[str]) -> str:
    if not names:
        return "dependencies: none"
    left = len(names) - SHOWN
    return f"dependencies: {', '.join(names[:SHOWN])}{f' and {left} more' if left > 0 else ''}"


def _escaped(text: str) -> str:
    """Of Markdown and of HTML in it, in a line."""
    plain = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|" else sign for sign in plain)
