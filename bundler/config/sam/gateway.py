"""API Gateway's own resources in a template, as CloudFormation and the AWS CDK write them.

Source: CloudFormation User Guide, "AWS::ApiGateway", "AWS::ApiGatewayV2" and "AWS::Lambda::Url".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from lambdad.bundler.config.api_drafts import IAM, KEY, ApiDraft, no_function
from lambdad.bundler.config.routes import ApiKind, Authorizer, AuthorizerKind, Fixed, Payload, Route
from lambdad.bundler.config.sam import openapi
from lambdad.bundler.config.sam.http import function_url, http_cors
from lambdad.bundler.config.sam.references import Template, referred
from lambdad.bundler.located.located import Node

DEEP: Final = 50
"""Resources below each other."""

_Fields = Mapping[str, Node]


def read(template: Template) -> list[ApiDraft]:
    return [*_rest_apis(template), *_http_apis(template), *_urls(template)]


# --- REST APIs -----------------------------------------------------------------------------------


def _rest_apis(template: Template) -> Iterator[ApiDraft]:
    apis: dict[str, ApiDraft] = {}
    for name, resource, said in template.of_type("AWS::ApiGateway::RestApi"):
        draft = ApiDraft(
            name=template.named(name, resource), kind=ApiKind.REST, where=resource.key_where
        )
        draft.stage = "prod"
        draft.binary = tuple(
            text.replace("~1", "/") for text in template.texts(said.get("BinaryMediaTypes"))
        )
        openapi.of_resource(template, draft, said)
        apis[name] = draft
    for form in ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"):
        for _, _, said in template.of_type(form):
            owner = apis.get(template.logical_id(said.get("RestApiId")) or "")
            if owner is not None and (stage := template.text(said.get("StageName"))):
                owner.stage = stage
                described = template.fields(said.get("StageDescription"))
                variables = template.pairs(said.get("Variables") or described.get("Variables"))
                owner.variables = variables or owner.variables
    known = {
        name: _rest_authorizer(template, name, said)
        for name, _, said in template.of_type("AWS::ApiGateway::Authorizer")
    }
    for _, resource, said in template.of_type("AWS::ApiGateway::Method"):
        owner = apis.get(template.logical_id(said.get("RestApiId")) or "")
        route = _rest_route(template, resource, said, known) if owner else None
        if owner is not None and route is not None:
            owner.routes.append(route)
    yield from apis.values()


def _rest_route(
    template: Template, resource: Node, said: _Fields, known: Mapping[str, Authorizer]
) -> Route | None:
    path = _path(template, said.get("ResourceId"))
    method = (template.text(said.get("HttpMethod")) or "ANY").upper()
    integration = template.fields(said.get("Integration"))
    form = (template.text(integration.get("Type")) or "").upper()
    target: str | Fixed | None = template.function(integration.get("Uri"))
    if form == "MOCK":
        target = openapi.mock(template, integration.get("IntegrationResponses"))
    if target is None:
        if form:
            fault = no_function(f"{method} {path}", resource.key_where)
            template.faults.append(fault)
        return None
    authorizer = None
    match template.text(said.get("AuthorizationType")):
        case "CUSTOM" | "COGNITO_USER_POOLS":
            authorizer = known.get(template.logical_id(said.get("AuthorizerId")) or "")
        case "AWS_IAM":
            authorizer = IAM
        case _ if template.is_true(said.get("ApiKeyRequired")):
            authorizer = KEY
    limit = template.number(integration.get("TimeoutInMillis"))
    mode = template.text(integration.get("ResponseTransferMode")) or ""
    return Route(
        method=method,
        path=path,
        target=target,
        authorizer=authorizer,
        timeout_s=limit / 1000 if limit else 29.0,
        streams=mode.upper() == "STREAM",
        where=resource.key_where,
    )


def _path(template: Template, node: Node | None) -> str:
    """From the resource up to the API's root."""
    parts: list[str] = []
    for _ in range(DEEP):
        name = template.logical_id(node)
        resource = template.resources.get(name) if name else None
        form = resource.fields.get("Type") if resource else None
        if form is None or form.text != "AWS::ApiGateway::Resource":
            break
        said = template.properties(resource)
        parts.append(template.text(said.get("PathPart")) or "")
        node = said.get("ParentId")
    return "/" + "/".join(reversed(parts))


def _rest_authorizer(template: Template, name: str, said: _Fields) -> Authorizer:
    shown = template.text(said.get("Name")) or name
    source = template.text(said.get("IdentitySource")) or ""
    sources = tuple(part.strip() for part in source.split(",") if part.strip())
    ttl = template.number(said.get("AuthorizerResultTtlInSeconds"))
    form = template.text(said.get("Type"))
    check = {"TOKEN": AuthorizerKind.TOKEN, "REQUEST": AuthorizerKind.REQUEST}.get(
        form or "", AuthorizerKind.JWT
    )
    if check is not AuthorizerKind.REQUEST and not sources:
        sources = ("method.request.header.Authorization",)
    return Authorizer(
        name=shown,
        check=check,
        function=template.function(said.get("AuthorizerUri")),
        sources=sources,
        ttl_s=300 if ttl is None else ttl,
        pattern=template.text(said.get("IdentityValidationExpression")),
    )


# --- HTTP APIs -----------------------------------------------------------------------------------


def _http_apis(template: Template) -> Iterator[ApiDraft]:
    apis: dict[str, ApiDraft] = {}
    for name, resource, said in template.of_type("AWS::ApiGatewayV2::Api"):
        if (template.text(said.get("ProtocolType")) or "HTTP").upper() != "HTTP":
            continue  # a WebSocket API
        draft = ApiDraft(
            name=template.named(name, resource), kind=ApiKind.HTTP, where=resource.key_where
        )
        draft.cors = http_cors(template, said.get("CorsConfiguration"))
        openapi.of_resource(template, draft, said)
        if target := template.function(said.get("Target")):
            key = template.text(said.get("RouteKey")) or "$default"
            method, path = _key(key)
            draft.routes.append(
                Route(
                    method=method,
                    path=path,
                    target=target,
                    payload=Payload.V2,
                    timeout_s=30.0,
                    where=resource.key_where,
                )
            )
        apis[name] = draft
    for _, _, said in template.of_type("AWS::ApiGatewayV2::Stage"):
        owner = apis.get(template.logical_id(said.get("ApiId")) or "")
        if owner is not None:
            owner.stage = template.text(said.get("StageName")) or "$default"
            owner.variables = template.pairs(said.get("StageVariables"))
    known = {
        name: _http_authorizer(template, name, said)
        for name, _, said in template.of_type("AWS::ApiGatewayV2::Authorizer")
    }
    for _, resource, said in template.of_type("AWS::ApiGatewayV2::Route"):
        owner = apis.get(template.logical_id(said.get("ApiId")) or "")
        if owner is not None:
            route = _http_route(template, resource, said, known)
            if route is not None:
                owner.routes.append(route)
    yield from apis.values()


def _http_route(
    template: Template, resource: Node, said: _Fields, known: Mapping[str, Authorizer]
) -> Route | None:
    key = template.text(said.get("RouteKey")) or "$default"
    name = _integration(template, said.get("Target"))
    integration = template.properties(template.resources.get(name)) if name else {}
    target = template.function(integration.get("IntegrationUri"))
    if target is None:
        template.faults.append(no_function(key, resource.key_where))
        return None
    authorizer = None
    match template.text(said.get("AuthorizationType")):
        case "CUSTOM" | "JWT":
            authorizer = known.get(template.logical_id(said.get("AuthorizerId")) or "")
            scopes = template.texts(said.get("AuthorizationScopes"))
            if authorizer is not None and scopes:
                authorizer = replace(authorizer, scopes=scopes)
        case "AWS_IAM":
            authorizer = IAM
    version = template.text(integration.get("PayloadFormatVersion")) or "1.0"
    limit = template.number(integration.get("TimeoutInMillis"))
    method, path = _key(key)
    return Route(
        method=method,
        path=path,
        target=target,
        payload=Payload.V2 if version.startswith("2") else Payload.V1,
        authorizer=authorizer,
        timeout_s=limit / 1000 if limit else 30.0,
        where=resource.key_where,
    )


def _integration(template: Template, target: Node | None) -> str | None:
    """Of "integrations/" and the integration's id, however they are put together."""
    for name in referred(target) if target else ():
        resource = template.resources.get(name)
        form = resource.fields.get("Type") if resource else None
        if form is not None and form.text == "AWS::ApiGatewayV2::Integration":
            return name
    return None


def _key(key: str) -> tuple[str, str]:
    """The method and the path."""
    method, _, path = key.partition(" ")
    return (method.upper(), path) if path else ("ANY", "$default")


def _http_authorizer(template: Template, name: str, said: _Fields) -> Authorizer:
    jwt = template.fields(said.get("JwtConfiguration"))
    issuer = template.whole(jwt.get("Issuer"))
    audience = template.whole(jwt.get("Audience"))
    is_jwt = template.text(said.get("AuthorizerType")) == "JWT"
    version = template.text(said.get("AuthorizerPayloadFormatVersion")) or "1.0"
    return Authorizer(
        name=template.text(said.get("Name")) or name,
        check=AuthorizerKind.JWT if is_jwt else AuthorizerKind.REQUEST,
        function=template.function(said.get("AuthorizerUri")),
        sources=template.texts(said.get("IdentitySource")),
        ttl_s=template.number(said.get("AuthorizerResultTtlInSeconds")) or 0,
        payload=Payload.V2 if version.startswith("2") else Payload.V1,
        simple=template.is_true(said.get("EnableSimpleResponses")),
        issuer=issuer.text or None if issuer else None,
        audience=tuple(item.text for item in audience.items) if audience else (),
    )


# --- function URLs -------------------------------------------------------------------------------


def _urls(template: Template) -> Iterator[ApiDraft]:
    for _, resource, said in template.of_type("AWS::Lambda::Url"):
        function = template.function(said.get("TargetFunctionArn"))
        if function is not None:
            yield function_url(template, function, said, resource.key_where)
