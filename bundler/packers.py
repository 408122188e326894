"""The languages: what makes a function's zip, and what makes the tree that is loaded here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import (
    BuildRequest,
    BundlerError,
    Failure,
    Method,
    ProjectError,
    Runnable,
    Want,
)
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents

Made = Contents | Runnable | Failure
"""What a language made of a function: a zip to be, a live tree to be, or why there is neither."""

Maker = Callable[
    [Sequence[BuildRequest], Workshop, Mapping[str, Seen]], Iterable[Mapping[str, Made]]
]
"""Some at a time, by the functions' names: the next ones are made when they are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    """How functions of one method are made into what is wanted of them."""

    zip: Maker
    live: Maker


def make(
    requests: Sequence[BuildRequest], workshop: Workshop, seen: Mapping[str, Seen]
) -> Iterable[Mapping[str, Made]]:
    """What becomes of each request, by its function's name, some at a time.

    All requests have one method and one want. Nothing is written into the project yet. A fault is
    a value here: it stops no other function. What each function depends on is in its recorder
    once it is given.
    """
    language = LANGUAGES[requests[0].function.method]
    maker = language.live if requests[0].want is Want.LIVE else language.zip
    return maker(requests, workshop, seen)


# --- JavaScript --------------------------------------------------------------------------------


def _bundled_zip(
    request: BuildRequest, bundle: Contents | ProjectError, workshop: Workshop
) -> Made:
    from lambdad.bundler.javascript import beside

    return beside.lay(request, bundle, workshop)


def _bundled_live(
    request: BuildRequest, bundle: Contents | ProjectError, workshop: Workshop
) -> Made:
    from lambdad.bundler.javascript import live

    return live.lay(request, bundle, workshop)


def _packaged_zip(request: BuildRequest, workshop: Workshop) -> Contents:
    from lambdad.bundler.javascript import packaged

    return packaged.pack(request, workshop)


def _packaged_live(request: BuildRequest, workshop: Workshop) -> Runnable:
    from lambdad.bundler.javascript import packaged_live

    return packaged_live.make(request, workshop)


# --- Python ------------------------------------------------------------------------------------


def _python_zip(request: BuildRequest, workshop: Workshop) -> Contents:
    from lambdad.bundler.python import package

    return package.pack(request, workshop)


def _python_live(request: BuildRequest, workshop: Workshop) -> Runnable:
    from lambdad.bundler.python import live

    return live.make(request, workshop)


# --- how makers are made of them -----------------------------------------------------------------

_ANOTHER_STORE: Final = "the store must be writable: LAMBDAD_CACHE_DIR names another folder for it"


def _bundled(
    finish: Callable[[BuildRequest, Contents | ProjectError, Workshop], Made],
) -> Maker:
    """Bundles are made many at a time, since they share their parsing; each is then finished."""

    def make_together(
        requests: Sequence[BuildRequest], workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterator[Mapping[str, Made]]:
        from lambdad.bundler.javascript import bundled

        left = {request.function.name: request for request in requests}
        try:
            with disk_faults(_ANOTHER_STORE):
                for some in bundled.packed(requests, workshop, seen):
                    made = {
                        name: finish(left[name], bundle, replace(workshop, seen=seen[name]))
                        for name, bundle in some.items()
                    }
                    for name in made:
                        del left[name]
                    yield made
        except BundlerError as fault:  # no esbuild: the functions of other languages still build
            yield dict.fromkeys(left, fault)

    return make_together


def _each(make_one: Callable[[BuildRequest, Workshop], Contents | Runnable]) -> Maker:
    def make_each(
        requests: Sequence[BuildRequest], workshop: Workshop, seen: Mapping[str, Seen]
    ) -> Iterator[Mapping[str, Made]]:
        for request in requests:
            made: Made
            name = request.function.name
            try:
                with disk_faults(_ANOTHER_STORE):  # faults of sources are reported by tree.py
                    made = make_one(request, replace(workshop, seen=seen[name]))
            except (ProjectError, BundlerError) as fault:
                made = fault
            yield {name: made}

    return make_each


LANGUAGES: Final[Mapping[Method, Packer]] = {
    Method.ESBUILD: Packer(zip=_bundled(_bundled_zip), live=_bundled(_bundled_live)),
    Method.NODE: Packer(zip=_each(_packaged_zip), live=_each(_packaged_live)),
    Method.PYTHON: Packer(zip=_each(_python_zip), live=_each(_python_live)),
}
"""A new language is a line here. The imports above are late: a build loads only what it uses."""
