"""From what readers found of a project's HTTP APIs to what they come to together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from lambdad.bundler.config.api_drafts import FoundApis
from lambdad.bundler.config.declared import by_place
from lambdad.bundler.config.routes import Api, ApiKind, Apis, AuthorizerKind, Fixed
from lambdad.bundler.located.located import shortened
from lambdad.bundler.model import Diagnostic, warning

UNCHECKED: Final = {
    AuthorizerKind.JWT: "its token's signature is not verified",
    AuthorizerKind.IAM: "no signature of AWS credentials is verified",
    AuthorizerKind.KEY: "any API key is taken",
}


def together(several: Iterable[FoundApis]) -> Apis:
    """The APIs of all files, those without routes left out."""
    apis: list[Api] = []
    diagnostics: list[Diagnostic] = []
    for found in several:
        apis += (draft.done() for draft in found.drafts if draft.routes)
        diagnostics += found.diagnostics
    diagnostics += _clashes(apis)
    diagnostics += _unchecked(apis)
    return Apis(apis=tuple(apis), diagnostics=tuple(sorted(diagnostics, key=by_place)))


def _clashes(apis: Iterable[Api]) -> Iterator[Diagnostic]:
    first: dict[str, Api] = {}
    for api in apis:
        if api.kind is ApiKind.URL:
            continue
        for route in api.routes:
            if isinstance(route.target, Fixed):
                continue
            known = first.setdefault(route.key, api)
            if known is not api:
                key = shortened(route.key)
                message = f"{key} is a route of {known.name}, too, which goes before"
                hint = f"each API has a host of its own: {api.name.lower()}.localhost"
                yield warning("same-route", message, route.where, hint)


def _unchecked(apis: Iterable[Api]) -> Iterator[Diagnostic]:
    """Once for each authorizer."""
    known: set[tuple[str, str]] = set()
    for api in apis:
        for route in api.routes:
            authorizer = route.authorizer
            if authorizer is None or authorizer.check not in UNCHECKED:
                continue
            if (api.name, authorizer.name) in known:
                continue
            known.add((api.name, authorizer.name))
            message = f"{shortened(authorizer.name)}: {UNCHECKED[authorizer.check]} on this machine"
            yield warning("unchecked-authorizer", message, route.where)
