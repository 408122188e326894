"""The languages: who makes a function's contents, and how a fault on the way is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from lambdad.bundler.model import BuildRequest, BundlerError, Contents, Method, ProjectError, Want
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.workshop import Workshop

Packed = Contents | ProjectError | BundlerError
Pack = Callable[[Sequence[BuildRequest], Workshop], Iterable[Mapping[str, Packed]]]
"""Some at a time, by the functions' names: the next ones are made when they are asked for."""

_ANOTHER_STORE: Final = "the store must be writable: LAMBDAD_CACHE_DIR names another folder for it"


def _bundle(requests: Sequence[BuildRequest], workshop: Workshop) -> Iterator[Mapping[str, Packed]]:
    from lambdad.bundler.javascript import beside, bundled

    by_name = {request.function.name: request for request in requests}
    left = {request.function.name for request in requests}
    try:
        with disk_faults(_ANOTHER_STORE):
            for some in bundled.packed(requests, workshop):
                made: Mapping[str, Packed] = some
                if requests[0].want is not Want.LIVE:  # else live.py lays the rest beside it
                    made = {
                        name: beside.lay(by_name[name], one, workshop) for name, one in some.items()
                    }
                left -= some.keys()
                yield made
    except BundlerError as fault:  # no esbuild: the functions of other languages still build
        yield dict.fromkeys(left, fault)


def _node(request: BuildRequest, workshop: Workshop) -> Contents:
    from lambdad.bundler.javascript import packaged

    return packaged.pack(request, workshop)


def _python(request: BuildRequest, workshop: Workshop) -> Contents:
    from lambdad.bundler.python import package

    return package.pack(request, workshop)


def _each(pack: Callable[[BuildRequest, Workshop], Contents]) -> Pack:
    def pack_each(
        requests: Sequence[BuildRequest], workshop: Workshop
    ) -> Iterator[Mapping[str, Packed]]:
        for request in requests:
            packed: Packed
            try:
                with disk_faults(_ANOTHER_STORE):  # sources are read by tree.py, which tells
                    packed = pack(request, workshop)
            except (ProjectError, BundlerError) as fault:
                packed = fault
            yield {request.function.name: packed}

    return pack_each


PACKERS: Final[Mapping[Method, Pack]] = {
    Method.ESBUILD: _bundle,
    Method.NODE: _each(_node),
    Method.PYTHON: _each(_python),
}
"""A language is a line here. The imports are late: a build loads only what it uses."""
