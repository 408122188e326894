"""Routes of an OpenAPI document with API Gateway's extensions.

Source: API Gateway Developer Guide, "OpenAPI extensions for API Gateway".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from lambdad.bundler.config.api_drafts import METHODS, ApiDraft, no_function
from lambdad.bundler.config.paths import joined
from lambdad.bundler.config.routes import (
    ApiKind,
    Authorizer,
    AuthorizerKind,
    Cors,
    Fixed,
    Pairs,
    Payload,
    Route,
)
from lambdad.bundler.config.sam.references import Template
from lambdad.bundler.located import located_json, located_yaml
from lambdad.bundler.located.located import Node, decode
from lambdad.bundler.model import ProjectError

ANY: Final = "x-amazon-apigateway-any-method"
INTEGRATION: Final = "x-amazon-apigateway-integration"
AUTHORIZER: Final = "x-amazon-apigateway-authorizer"
HEADER: Final = re.compile(r"method\.response\.header\.(.+)")
REMOTE: Final = ("s3://", "https://", "http://")

_Fields = Mapping[str, Node]


def of_resource(template: Template, draft: ApiDraft, said: _Fields) -> None:
    """Adds what an API's `DefinitionBody`, `DefinitionUri` or `Body` says, if it has one."""
    body = said.get("DefinitionBody") or said.get("Body")
    document = _included(template, body) if body else _file(template, said.get("DefinitionUri"))
    if document is not None:
        add(template, draft, document)


def _included(template: Template, body: Node) -> Node | None:
    """A document that stands there, or that AWS::Include takes from a file of the project."""
    transform = body.fields.get("Fn::Transform")
    if transform is None:
        return body
    name = transform.fields.get("Name")
    if name is None or name.text != "AWS::Include":
        return None
    return _file(template, template.fields(transform.fields.get("Parameters")).get("Location"))


def _file(template: Template, node: Node | None) -> Node | None:
    path = template.text(node)
    if path is None or path.startswith(REMOTE):
        return None
    file = joined(template.folder, path, template.seen.root)
    try:
        content = template.seen.read(file)
        if content is None:
            return None
        text = decode(content, file)
        if text.lstrip().startswith("{"):
            return located_json.parse(text, file).top
        return located_yaml.parse(text, file).top
    except ProjectError as fault:
        template.faults += fault.diagnostics
        return None


def add(template: Template, draft: ApiDraft, document: Node) -> None:
    top = template.fields(document)
    draft.binary += template.texts(top.get("x-amazon-apigateway-binary-media-types"))
    if cors := template.fields(top.get("x-amazon-apigateway-cors")):
        draft.cors = _cors(template, cors)
    components = template.fields(top.get("components"))
    schemes = {
        **template.fields(top.get("securityDefinitions")),
        **template.fields(components.get("securitySchemes")),
    }
    known = {name: _authorizer(template, draft, name, node) for name, node in schemes.items()}
    everywhere = {"security": top["security"]} if "security" in top else {}
    for path, node in template.fields(top.get("paths")).items():
        for name, operation in template.fields(node).items():
            method = "ANY" if name == ANY else name.upper()
            if method not in (*METHODS, "ANY"):
                continue
            said = {**everywhere, **template.fields(operation)}
            route = _route(template, draft.kind, (method, path), said, operation)
            if route is None:
                continue
            security = template.value(said.get("security"))
            wanted = [name for item in (security.items if security else []) for name in item.fields]
            authorizer = next((known[name] for name in wanted if known.get(name)), None)
            if isinstance(route.target, str):
                route = replace(route, authorizer=authorizer)
            draft.routes.append(route)


def _route(
    template: Template, kind: ApiKind, key: tuple[str, str], said: _Fields, operation: Node
) -> Route | None:
    """Without its authorizer; None: it has no integration that can be served."""
    integration = template.fields(said.get(INTEGRATION))
    form = (template.text(integration.get("type")) or "").upper()
    method, path = key
    if not integration:
        return None
    target: str | Fixed | None = template.function(integration.get("uri"))
    if form == "MOCK":
        target = mock(template, integration.get("responses"))
    if target is None:
        template.faults.append(no_function(f"{method} {path}", operation.key_where))
        return None
    version = template.text(integration.get("payloadFormatVersion")) or "1.0"
    limit = template.number(integration.get("timeoutInMillis"))
    mode = template.text(integration.get("responseTransferMode")) or ""
    return Route(
        method=method,
        path=path,
        target=target,
        payload=Payload.V2 if version.startswith("2") else Payload.V1,
        timeout_s=limit / 1000 if limit else (29.0 if kind is ApiKind.REST else 30.0),
        streams=mode.upper() == "STREAM",
        where=operation.key_where,
    )


def mock(template: Template, responses: Node | None) -> Fixed:
    """The first answer that a MOCK integration lists, whichever way it is written."""
    found = template.value(responses)
    several = [*found.fields.values(), *found.items] if found else []
    for item in several:
        said = {name.lower(): node for name, node in template.fields(item).items()}
        status = template.number(said.get("statuscode")) or 200
        parameters = template.pairs(said.get("responseparameters"))
        templates = template.pairs(said.get("responsetemplates"))
        body = next((text for _, text in templates), "").strip()
        return Fixed(status=status, headers=tuple(static_headers(parameters)), body=body)
    return Fixed(status=200)


def static_headers(parameters: Pairs) -> Iterator[tuple[str, str]]:
    """Of a response's mapping those headers whose value stands in it."""
    for name, value in parameters:
        header = HEADER.fullmatch(name)
        if header and len(value) > 1 and value[0] == value[-1] == "'":
            yield header[1], value[1:-1]


def _cors(template: Template, said: _Fields) -> Cors:
    return Cors(
        origins=template.texts(said.get("allowOrigins")),
        methods=tuple(text.upper() for text in template.texts(said.get("allowMethods"))),
        headers=template.texts(said.get("allowHeaders")),
        expose=template.texts(said.get("exposeHeaders")),
        credentials=template.is_true(said.get("allowCredentials")),
        max_age_s=template.number(said.get("maxAge")),
    )


def _authorizer(template: Template, draft: ApiDraft, name: str, node: Node) -> Authorizer | None:
    scheme = template.fields(node)
    said = template.fields(scheme.get(AUTHORIZER))
    header = template.text(scheme.get("name")) or "Authorization"
    if not said:
        is_key = template.text(scheme.get("type")) == "apiKey" and header.lower() == "x-api-key"
        return Authorizer(name=name, check=AuthorizerKind.KEY) if is_key else None
    form = (template.text(said.get("type")) or "token").lower()
    ttl = template.number(said.get("authorizerResultTtlInSeconds"))
    said_source = template.text(said.get("identitySource")) or ""
    sources = tuple(part.strip() for part in said_source.split(",") if part.strip())
    if form in ("jwt", "cognito_user_pools"):
        jwt = template.fields(said.get("jwtConfiguration"))
        issuer = template.whole(jwt.get("issuer"))
        return Authorizer(
            name=name,
            check=AuthorizerKind.JWT,
            sources=sources or (f"method.request.header.{header}",),
            issuer=issuer.text or None if issuer else None,
            audience=template.texts(jwt.get("audience")),
        )
    version = template.text(said.get("authorizerPayloadFormatVersion")) or "1.0"
    rest = draft.kind is ApiKind.REST
    return Authorizer(
        name=name,
        check=AuthorizerKind.REQUEST if form == "request" else AuthorizerKind.TOKEN,
        function=template.function(said.get("authorizerUri")),
        sources=sources if form == "request" else (f"method.request.header.{header}",),
        ttl_s=(300 if rest else 0) if ttl is None else ttl,
        payload=Payload.V2 if version.startswith("2") else Payload.V1,
        simple=template.is_true(said.get("enableSimpleResponses")),
        pattern=template.text(said.get("identityValidationExpression")),
    )
