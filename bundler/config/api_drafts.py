"""What a reader found of a project's HTTP APIs, not complete yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.routes import (
    Api,
    ApiKind,
    Authorizer,
    AuthorizerKind,
    Cors,
    Pairs,
    Route,
)
from lambdad.bundler.located.located import shortened
from lambdad.bundler.model import Diagnostic, Location, warning

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
IAM: Final = Authorizer(name="AWS_IAM", check=AuthorizerKind.IAM)
KEY: Final = Authorizer(name="API key", check=AuthorizerKind.KEY)


@dataclass(slots=True, kw_only=True)
class ApiDraft:
    """An API as far as it is read."""

    name: str
    kind: ApiKind
    where: Location
    stage: str = "$default"
    variables: Pairs = ()
    binary: tuple[str, ...] = ()
    cors: Cors | None = None
    routes: list[Route] = field(default_factory=list)

    def done(self) -> Api:
        return Api(
            name=self.name,
            kind=self.kind,
            stage=self.stage,
            variables=self.variables,
            binary=self.binary,
            cors=self.cors,
            routes=tuple(self.routes),
            where=self.where,
        )


@dataclass(slots=True)
class FoundApis:
    """What a reader made of a file."""

    drafts: list[ApiDraft] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def no_function(route: str, where: Location) -> Diagnostic:
    message = f"{shortened(route)} leads to no function of this project, and is not served"
    return warning("route-without-function", message, where)
