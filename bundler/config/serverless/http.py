"""The HTTP APIs of a Serverless Framework service: `http` and `httpApi` events, and `url`.

Source: Serverless Framework, "API Gateway", "HTTP API (API Gateway v2)" and "AWS Lambda Functions"
(function URLs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from lambdad.bundler.config.api_drafts import IAM, KEY, METHODS, ApiDraft, FoundApis, no_function
from lambdad.bundler.config.routes import (
    ApiKind,
    Authorizer,
    AuthorizerKind,
    Cors,
    Fixed,
    Payload,
    Route,
)
from lambdad.bundler.config.serverless.service import Service
from lambdad.bundler.config.serverless.variables import (
    UnresolvedVariableError,
    resolve_all,
    stage,
)
from lambdad.bundler.located.located import Node
from lambdad.bundler.model import Diagnostic, Location, Severity

HEADERS: Final = (
    *("Content-Type", "X-Amz-Date", "Authorization", "X-Api-Key"),
    *("X-Amz-Security-Token", "X-Amz-User-Agent", "X-Amzn-Trace-Id"),
)
"""What `cors: true` allows."""

REST: Final = "ServerlessRestApi"
HTTP: Final = "ServerlessHttpApi"

_Fields = Mapping[str, Node]


@dataclass(slots=True)
class _Reading:
    service: Service
    functions: frozenset[str]
    provider: _Fields
    rest: ApiDraft
    http: ApiDraft
    urls: list[ApiDraft] = field(default_factory=list)
    cors: dict[str, list[tuple[Route, Node]]] = field(default_factory=dict)
    """REST: by path, the routes whose event says `cors`, each with what it says."""
    faults: list[Diagnostic] = field(default_factory=list)

    def known(self, node: Node | None) -> Node | None:
        """The value without variables; None: not there, or not to be known, which is reported."""
        if node is None:
            return None
        try:
            found = resolve_all(self.service.scope, node)
        except UnresolvedVariableError as fault:
            told = replace(fault.diagnostic, severity=Severity.WARNING)
            if told not in self.faults:
                self.faults.append(told)
            return None
        return None if found.value is None else found


def read(service: Service, functions: Iterable[tuple[str, Node]]) -> FoundApis:
    """`functions` with their declarations, variables in them or not."""
    declared = list(functions)
    where = Location(service.file)
    provider = service.provider if not isinstance(service.provider, UnresolvedVariableError) else {}
    try:
        name = stage(service.scope)
    except UnresolvedVariableError:
        name = "dev"
    reading = _Reading(
        service=service,
        functions=frozenset(name for name, _ in declared),
        provider=provider,
        rest=ApiDraft(name=REST, kind=ApiKind.REST, where=where, stage=name),
        http=ApiDraft(name=HTTP, kind=ApiKind.HTTP, where=where),
    )
    gateway = _fields(reading.known(provider.get("apiGateway")))
    reading.rest.binary = _texts(gateway.get("binaryMediaTypes"))
    settings = _fields(reading.known(provider.get("httpApi")))
    reading.http.cors = _http_cors(settings.get("cors"), ("*",))
    for function, node in declared:
        found = reading.known(node)
        if found is not None:
            _function(reading, function, found, settings)
    _preflights(reading)
    if reading.http.cors is not None and not reading.http.cors.methods:
        methods = {route.method for route in reading.http.routes} | {"OPTIONS"}
        every = METHODS if "ANY" in methods else tuple(sorted(methods))
        reading.http.cors = replace(reading.http.cors, methods=every)
    return FoundApis([reading.rest, reading.http, *reading.urls], reading.faults)


def _function(reading: _Reading, name: str, node: Node, settings: _Fields) -> None:
    for event in _field(node, "events").items:
        for form, said in event.fields.items():
            if form == "http":
                _rest_event(reading, name, said)
            elif form == "httpApi":
                _http_event(reading, name, said, settings)
    url = node.fields.get("url")
    if url is not None and url.value not in (None, False):
        _url(reading, name, url)


def _field(node: Node, name: str) -> Node:
    return node.fields.get(name) or Node(None, node.file, node.line, node.column)


# --- http ----------------------------------------------------------------------------------------


def _rest_event(reading: _Reading, function: str, said: Node) -> None:
    if isinstance(said.value, str):
        method, _, path = said.text.strip().partition(" ")
        fields: _Fields = {}
    else:
        fields = said.fields
        method, path = _text(fields.get("method")) or "any", _text(fields.get("path")) or "/"
    limit = _number(fields.get("timeoutInMillis"))
    streams = (_text(fields.get("responseTransferMode")) or "").upper() == "STREAM"
    route = Route(
        method="ANY" if method.lower() in ("any", "*") else method.upper(),
        path=_rooted(path),
        target=function,
        authorizer=_rest_authorizer(reading, fields),
        timeout_s=limit / 1000 if limit else 29.0,
        streams=streams,
        where=said.key_where,
    )
    reading.rest.routes.append(route)
    cors = fields.get("cors")
    if cors is not None and cors.value not in (None, False):
        reading.cors.setdefault(route.path, []).append((route, cors))


def _rooted(path: str) -> str:
    return "/" + path.strip().strip("/")


def _rest_authorizer(reading: _Reading, fields: _Fields) -> Authorizer | None:
    said = fields.get("authorizer")
    private = fields.get("private")
    if said is None or said.value is None:
        is_private = private is not None and private.value is True
        return KEY if is_private else None
    if isinstance(said.value, str):
        named = {"name" if not said.text.startswith("arn:") else "arn": said}
    else:
        named = dict(said.fields)
    form = (_text(named.get("type")) or "").upper()
    name = _text(named.get("name")) or _text(named.get("arn")) or "authorizer"
    if said.text == "aws_iam" or form == "AWS_IAM":
        return IAM
    source = _text(named.get("identitySource")) or "method.request.header.Authorization"
    sources = tuple(part.strip() for part in source.split(",") if part.strip())
    arn = _text(named.get("arn")) or ""
    ttl = _number(named.get("resultTtlInSeconds"))
    pattern = _text(named.get("identityValidationExpression"))
    if form == "COGNITO_USER_POOLS" or ":cognito-idp:" in arn:
        scopes = _texts(named.get("scopes"))
        return Authorizer(name=name, check=AuthorizerKind.JWT, sources=sources, scopes=scopes)
    return Authorizer(
        name=name,
        check=AuthorizerKind.REQUEST if form == "REQUEST" else AuthorizerKind.TOKEN,
        function=_called(reading, name, arn),
        sources=sources if form != "REQUEST" or "identitySource" in named else (),
        ttl_s=300 if ttl is None else ttl,
        pattern=pattern,
    )


def _called(reading: _Reading, name: str, arn: str) -> str | None:
    """The service's function: by its key, or by the last part of an ARN."""
    for wanted in (name, arn.rpartition(":function:")[2]):
        if wanted in reading.functions:
            return wanted
    ended = [name for name in reading.functions if arn.endswith(f"-{name}")]
    return max(ended, key=len, default=None)


def _preflights(reading: _Reading) -> None:
    for path, several in reading.cors.items():
        taken = {route.method for route in reading.rest.routes if route.path == path}
        if "OPTIONS" in taken:
            continue
        methods = {route.method for route, _ in several} | {"OPTIONS"}
        headers = tuple(_rest_cors([node for _, node in several], methods))
        route, _ = several[0]
        reading.rest.routes.append(
            Route(
                method="OPTIONS",
                path=path,
                target=Fixed(status=200, headers=headers),
                where=route.where,
            )
        )


def _rest_cors(nodes: list[Node], methods: set[str]) -> Iterator[tuple[str, str]]:
    said: _Fields = {key: item for node in nodes for key, item in node.fields.items()}
    origins = _texts(said.get("origins")) or _texts(said.get("origin")) or ("*",)
    yield "Access-Control-Allow-Origin", ",".join(origins)
    yield "Access-Control-Allow-Headers", ",".join(_texts(said.get("headers")) or HEADERS)
    every = METHODS if "ANY" in methods else tuple(sorted(methods))
    yield "Access-Control-Allow-Methods", ",".join(_texts(said.get("methods")) or every)
    if _is_true(said.get("allowCredentials")):
        yield "Access-Control-Allow-Credentials", "true"
    if (age := _number(said.get("maxAge"))) is not None:
        yield "Access-Control-Max-Age", str(age)


# --- httpApi -------------------------------------------------------------------------------------


def _http_event(reading: _Reading, function: str, said: Node, settings: _Fields) -> None:
    fields = said.fields
    if isinstance(said.value, str):
        text = said.text.strip()
        method, _, path = ("*", " ", "*") if text == "*" else text.partition(" ")
    else:
        method, path = _text(fields.get("method")) or "*", _text(fields.get("path")) or "*"
    default = path in ("*", "$default", "")
    version = _text(settings.get("payload")) or "2.0"
    limit = _number(fields.get("timeout")) or _number(settings.get("timeout"))
    route = Route(
        method="ANY" if default or method in ("*", "any", "ANY") else method.upper(),
        path="$default" if default else _rooted(path),
        target=function,
        payload=Payload.V1 if version.startswith("1") else Payload.V2,
        authorizer=_http_authorizer(reading, fields.get("authorizer"), settings, said),
        timeout_s=float(limit) if limit else 30.0,
        where=said.key_where,
    )
    reading.http.routes.append(route)


def _http_authorizer(
    reading: _Reading, said: Node | None, settings: _Fields, event: Node
) -> Authorizer | None:
    if said is None or said.value is None:
        return None
    wanted = said.fields
    name = said.text if isinstance(said.value, str) else _text(wanted.get("name")) or ""
    if name == "aws_iam" or _text(wanted.get("type")) == "aws_iam":
        return IAM
    declared = _fields(_fields(reading.known(settings.get("authorizers"))).get(name))
    scopes = _texts(wanted.get("scopes"))
    source = _texts(declared.get("identitySource"))
    if _text(declared.get("type")) == "request":
        version = _text(declared.get("payloadVersion")) or "2.0"
        function = _text(declared.get("functionName")) or ""
        arn = _text(declared.get("functionArn")) or ""
        return Authorizer(
            name=name,
            check=AuthorizerKind.REQUEST,
            function=_called(reading, function, arn),
            sources=source,
            ttl_s=_number(declared.get("resultTtlInSeconds")) or 0,
            payload=Payload.V1 if version.startswith("1") else Payload.V2,
            simple=_is_true(declared.get("enableSimpleResponses")),
        )
    if not declared and "id" not in wanted:
        reading.faults.append(no_function(f"authorizer {name}", event.key_where))
    return Authorizer(
        name=name or "authorizer",
        check=AuthorizerKind.JWT,
        sources=source or ("$request.header.Authorization",),
        issuer=_text(declared.get("issuerUrl")),
        audience=_texts(declared.get("audience")),
        scopes=scopes,
    )


def _http_cors(node: Node | None, default: tuple[str, ...]) -> Cors | None:
    if node is None or node.value in (None, False):
        return None
    said = node.fields
    return Cors(
        origins=_texts(said.get("allowedOrigins")) or default,
        methods=tuple(text.upper() for text in _texts(said.get("allowedMethods"))),
        headers=_texts(said.get("allowedHeaders")) or HEADERS,
        expose=_texts(said.get("exposedResponseHeaders")),
        credentials=_is_true(said.get("allowCredentials")),
        max_age_s=_number(said.get("maxAge")),
    )


# --- url -----------------------------------------------------------------------------------------


def _url(reading: _Reading, function: str, said: Node) -> None:
    fields = said.fields
    iam = _text(fields.get("authorizer")) == "aws_iam"
    route = Route(
        method="ANY",
        path="$default",
        target=function,
        payload=Payload.V2,
        authorizer=IAM if iam else None,
        timeout_s=900.0,
        streams=_text(fields.get("invokeMode")) == "RESPONSE_STREAM",
        where=said.key_where,
    )
    cors = _http_cors(fields.get("cors"), ("*",))
    if cors is not None and not cors.methods:
        cors = replace(cors, methods=("*",))
    reading.urls.append(
        ApiDraft(name=function, kind=ApiKind.URL, where=said.key_where, cors=cors, routes=[route])
    )


# --- values --------------------------------------------------------------------------------------


def _fields(node: Node | None) -> _Fields:
    return node.fields if node else {}


def _text(node: Node | None) -> str | None:
    if node is None or node.value is None or isinstance(node.value, (dict, list)):
        return None
    return node.text or None


def _texts(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    several = node.items if isinstance(node.value, list) else [node]
    return tuple(text for item in several if (text := _text(item)) is not None)


def _number(node: Node | None) -> int | None:
    text = _text(node)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _is_true(node: Node | None) -> bool:
    return node is not None and (node.value is True or node.text == "true")
