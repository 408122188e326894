"""The nouns of a project's HTTP APIs: which request reaches which function, and how it is sent.

Every reader of configuration yields these values; `lambdad start` serves them. A build asks nothing
of them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from lambdad.bundler.model import Diagnostic, Location

Pairs = tuple[tuple[str, str], ...]
"""Names with their values, in the order in which they were declared."""


class ApiKind(enum.Enum):
    """What stands between the client and the function on AWS."""

    REST = "REST API"
    HTTP = "HTTP API"
    URL = "function URL"


class Payload(enum.Enum):
    """The format of events and responses, by the version that AWS gives it."""

    V1 = "1.0"
    V2 = "2.0"


class AuthorizerKind(enum.Enum):
    """How a route decides who may call it."""

    TOKEN = "TOKEN"  # noqa: S105 -- the name of a kind
    """A Lambda authorizer that is given one header's value."""
    REQUEST = "REQUEST"
    """A Lambda authorizer that is given the request."""
    JWT = "JWT"
    """A token of an OpenID provider; Amazon Cognito's user pools, too."""
    IAM = "AWS_IAM"
    """A signature of AWS credentials."""
    KEY = "API_KEY"
    """A key of a usage plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizer:
    """What is asked before a route's function."""

    name: str
    check: AuthorizerKind
    function: str | None = None
    """Of a Lambda authorizer: the function's name; None where the project has none such."""
    sources: tuple[str, ...] = ()
    """Identity sources as the API declares them ("method.request.header.Authorization",
    "$request.querystring.token"): without a value for each the request is refused."""
    ttl_s: int = 300
    """So long a decision is used again for equal identity sources; 0: never."""
    payload: Payload = Payload.V1
    """Of a Lambda authorizer's event."""
    simple: bool = False
    """It returns {"isAuthorized": true} in place of a policy."""
    pattern: str | None = None
    """A regular expression that a token must match."""
    issuer: str | None = None
    """JWT: None if it can't be known here."""
    audience: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    """JWT: the token must have one of them, if there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """What the gateway itself says to browsers of other origins."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """An answer that the gateway gives without a function: a MOCK integration."""

    status: int
    headers: Pairs = ()
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method and path of an API."""

    method: str
    """In capitals; "ANY"."""
    path: str
    """"/pets/{id}", "/{proxy+}"; "$default" is what no other route takes."""
    target: str | Fixed
    """The function's name, or the answer."""
    payload: Payload = Payload.V1
    authorizer: Authorizer | None = None
    timeout_s: float = 29.0
    """So long the gateway waits for the function."""
    streams: bool = False
    """The response is passed on as the function writes it."""
    where: Location = field(compare=False)

    @property
    def key(self) -> str:
        """As HTTP APIs write it: "GET /pets/{id}", "$default"."""
        return self.path if self.path == "$default" else f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """An API, or one function's URL."""

    name: str
    """The resource's; "Stack/Api" of a nested one."""
    kind: ApiKind
    stage: str = "$default"
    variables: Pairs = ()
    """Stage variables."""
    binary: tuple[str, ...] = ()
    """REST: media types that are no text."""
    cors: Cors | None = None
    routes: tuple[Route, ...] = ()
    where: Location = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apis:
    """All that the configuration says of HTTP."""

    apis: tuple[Api, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
