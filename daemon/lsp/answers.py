"""What the server answers about a file: hover, lenses, the way to a definition, quick fixes.

All of it in characters from 0, of the text as the editor has it. In a worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.inputs.snapshot import Look
from lambdad.bundler.model import Diagnostic, Function, Location, NotBuilt, Project
from lambdad.bundler.store.store import store_of
from lambdad.bundler.workshop import Workshop
from lambdad.daemon.lsp import about, fixes, source
from lambdad.daemon.lsp.fixes import Fix
from lambdad.daemon.lsp.site import Site
from lambdad.daemon.lsp.source import FROM, EditorSources, NamedPlace
from lambdad.daemon.lsp.text import Span, TextLines, read

_NEAR: Final = 200
"""Lines up and down in which a line is looked for that an edit moved."""


@dataclass(frozen=True, slots=True)
class Lens:
    span: Span
    title: str


class EditorQuestion:
    """A file of a project, as an editor has it open, and the questions about it."""

    def __init__(self, site: Site, project: Project, path: str, opened: Mapping[str, str]) -> None:
        self._site = site
        self._project = project
        self._path = path
        self._name = site.relative(path)
        self._sources = EditorSources(opened)
        self._disk = read(path)
        self._workshop = Workshop(
            root=project.root,
            repository=project.repository,
            store=store_of(site.environ, project.root),
            environ=site.environ,
            offline=True,
        )

    @property
    def text(self) -> TextLines:
        return self._sources.get(self._path)

    def hover(self, line: int, character: int) -> str | None:
        """About the functions whose handler or declaration is there, as Markdown."""
        found = self._at(line, character)
        told = [about.hover(each, self._project, self._site) for each in found[: about.SHOWN]]
        if len(found) > len(told):
            told.append(f"and {len(found) - len(told)} functions more")
        return "\n\n---\n\n".join(told) or None

    def definitions(self, line: int, character: int) -> list[tuple[NamedPlace, TextLines]]:
        """The functions that the handlers there name."""
        found: dict[NamedPlace, TextLines] = {}
        for function in self._at(line, character):
            if isinstance(function, Function):
                place = source.find(function, self._workshop, self._sources)
                if place is not None:
                    found[place] = self._sources.get(place.path)
        return list(found.items())

    def lenses(self) -> list[Lens]:
        """At handlers in configuration files, and at their functions in sources."""
        by_span: dict[Span, list[Function]] = {}
        for function in self._project.functions:
            for span in self._lens_spans(function):
                by_span.setdefault(span, []).append(function)
        once = Look()
        return [
            Lens(span, about.lens(functions, self._project, self._site, once))
            for span, functions in sorted(by_span.items(), key=lambda each: each[0].line)
        ]

    def _lens_spans(self, function: Function) -> Iterator[Span]:
        if function.handler_where.file == self._name:
            where = self._moved(function.handler_where)
            if where is not None:
                yield self.text.span(where, whole=True)
        elif self._path.endswith((*FROM, ".py")):
            path = source.file_of(function, self._workshop)
            if path is not None and os.path.realpath(path) == os.path.realpath(self._path):
                place = source.find(function, self._workshop, self._sources)
                if place is not None and place.path == path:
                    yield place.span

    def fixes(self, items: Iterable[Diagnostic]) -> list[tuple[Diagnostic, Fix]]:
        """What mends these, which are shown of the file."""
        return [
            (item, fix)
            for item in items
            for fix in fixes.of(item, self._project, self._site, self._workshop, self._sources)
        ]

    def text_of(self, path: str) -> TextLines:
        return self._sources.get(path)

    # --- places ----------------------------------------------------------------------------------

    def _at(self, line: int, character: int) -> Sequence[Function | NotBuilt]:
        """What has its handler there, or is declared there. Of several in a line those at that very
        place, if there are any."""
        here: list[tuple[Span, Function | NotBuilt]] = []
        declared: list[Function | NotBuilt] = [*self._project.functions, *self._project.not_built]
        for each in declared:
            places = [each.handler_where] if isinstance(each, Function) else []
            for where in dict.fromkeys([*places, each.where]):
                moved = self._moved(where) if where.file == self._name else None
                if moved is not None and moved.line == line + 1:
                    here.append((self.text.span(moved, whole=True), each))
        exact = [each for span, each in here if span.start <= character <= span.end]
        return list(dict.fromkeys(exact or [each for _span, each in here]))

    def _moved(self, where: Location) -> Location | None:
        """Where the line is in the editor that the file on disk has there; None: it was changed."""
        if where.line is None:
            return None
        wanted, number = self._disk.line(where.line - 1), where.line - 1
        for step in range(_NEAR):
            for near in {number - step, number + step}:
                if 0 <= near < len(self.text.lines) and self.text.line(near) == wanted:
                    return Location(where.file, near + 1, where.column)
        return None
