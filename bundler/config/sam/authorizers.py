"""The authorizers that AWS SAM declares in an API's `Auth`.

Source: AWS SAM Developer Guide, "ApiAuth", "HttpApiAuth" and their authorizers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from lambdad.bundler.config.api_drafts import IAM, KEY
from lambdad.bundler.config.routes import Authorizer, AuthorizerKind, Payload
from lambdad.bundler.config.sam.references import Template
from lambdad.bundler.located.located import Node

NONE: Final = "NONE"

PLACES: Final = (
    ("Headers", "header"),
    ("QueryStrings", "querystring"),
    ("StageVariables", "stageVariables"),
    ("Context", "context"),
)
"""Fields of `Identity`, each with the word that identity sources have for it."""


def of_rest(template: Template, auth: Mapping[str, Node]) -> dict[str, Authorizer]:
    """By name; those of AWS::Serverless::Api."""
    return {
        name: _rest(template, name, template.fields(node))
        for name, node in template.fields(auth.get("Authorizers")).items()
    }


def of_http(template: Template, auth: Mapping[str, Node]) -> dict[str, Authorizer]:
    """By name; those of AWS::Serverless::HttpApi."""
    return {
        name: _http(template, name, template.fields(node))
        for name, node in template.fields(auth.get("Authorizers")).items()
    }


def chosen(
    template: Template,
    known: Mapping[str, Authorizer],
    auth: Mapping[str, Node],
    default: str | None,
) -> Authorizer | None:
    """What an event's `Auth` comes to, over the API's default."""
    name = template.text(auth.get("Authorizer")) or default
    if name == IAM.name:
        return IAM
    if name is not None and name != NONE and name in known:
        scopes = template.texts(auth.get("AuthorizationScopes"))
        return replace(known[name], scopes=scopes) if scopes else known[name]
    if template.is_true(auth.get("ApiKeyRequired")):
        return KEY
    return None


def _rest(template: Template, name: str, said: Mapping[str, Node]) -> Authorizer:
    identity = template.fields(said.get("Identity"))
    header = template.text(identity.get("Header")) or "Authorization"
    pattern = template.text(identity.get("ValidationExpression"))
    ttl = template.number(identity.get("ReauthorizeEvery"))
    if "UserPoolArn" in said:
        return Authorizer(
            name=name,
            check=AuthorizerKind.JWT,
            sources=(f"method.request.header.{header}",),
            pattern=pattern,
            scopes=template.texts(said.get("AuthorizationScopes")),
        )
    function = template.function(said.get("FunctionArn"))
    if template.text(said.get("FunctionPayloadType")) == "REQUEST":
        return Authorizer(
            name=name,
            check=AuthorizerKind.REQUEST,
            function=function,
            sources=tuple(_sources(template, identity, "method.request", "")),
            ttl_s=300 if ttl is None else ttl,
        )
    return Authorizer(
        name=name,
        check=AuthorizerKind.TOKEN,
        function=function,
        sources=(f"method.request.header.{header}",),
        pattern=pattern,
        ttl_s=300 if ttl is None else ttl,
    )


def _http(template: Template, name: str, said: Mapping[str, Node]) -> Authorizer:
    jwt = template.fields(said.get("JwtConfiguration"))
    if jwt or "IdentitySource" in said:
        lowered = {key.lower(): node for key, node in jwt.items()}
        source = template.text(said.get("IdentitySource")) or "$request.header.Authorization"
        issuer = template.whole(lowered.get("issuer"))
        audience = template.whole(lowered.get("audience"))
        return Authorizer(
            name=name,
            check=AuthorizerKind.JWT,
            sources=(source,),
            issuer=issuer.text or None if issuer else None,
            audience=tuple(item.text for item in audience.items) if audience else (),
            scopes=template.texts(said.get("AuthorizationScopes")),
        )
    identity = template.fields(said.get("Identity"))
    version = template.text(said.get("AuthorizerPayloadFormatVersion")) or "2.0"
    return Authorizer(
        name=name,
        check=AuthorizerKind.REQUEST,
        function=template.function(said.get("FunctionArn")),
        sources=tuple(_sources(template, identity, "$request", "$")),
        ttl_s=template.number(identity.get("ReauthorizeEvery")) or 0,
        payload=Payload.V1 if version.startswith("1") else Payload.V2,
        simple=template.is_true(said.get("EnableSimpleResponses")),
    )


def _sources(
    template: Template, identity: Mapping[str, Node], request: str, sign: str
) -> Iterator[str]:
    for field, word in PLACES:
        top = request if word in ("header", "querystring") else f"{sign}{word}"
        for name in template.texts(identity.get(field)):
            yield f"{top}.{word}.{name}" if top == request else f"{top}.{name}"
