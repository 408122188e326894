"""The HTTP APIs of an AWS SAM template: functions' events and URLs, and the resources beside them.

Source: AWS SAM Developer Guide, "Api", "HttpApi", "FunctionUrlConfig", "AWS::Serverless::Api" and
"AWS::Serverless::HttpApi".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.api_drafts import IAM, KEY, METHODS, ApiDraft
from lambdad.bundler.config.routes import (
    ApiKind,
    Authorizer,
    Cors,
    Fixed,
    Payload,
    Route,
)
from lambdad.bundler.config.sam import authorizers, openapi
from lambdad.bundler.config.sam.references import Template
from lambdad.bundler.located.located import Node
from lambdad.bundler.model import Location

FUNCTION: Final = "AWS::Serverless::Function"
EVENTS: Final = {"Api": ApiKind.REST, "HttpApi": ApiKind.HTTP}
RESOURCES: Final = {"AWS::Serverless::Api": ApiKind.REST, "AWS::Serverless::HttpApi": ApiKind.HTTP}
IMPLICIT: Final = {ApiKind.REST: "ServerlessRestApi", ApiKind.HTTP: "ServerlessHttpApi"}
EVERY: Final = frozenset({"*", "ANY", "X-AMAZON-APIGATEWAY-ANY-METHOD"})
GLOBALS: Final = {ApiKind.REST: "Api", ApiKind.HTTP: "HttpApi"}
OWNERS: Final = {ApiKind.REST: "RestApiId", ApiKind.HTTP: "ApiId"}
"""The field of an event that names its API."""

_Fields = Mapping[str, Node]


@dataclass(slots=True)
class _Declared:
    """An API, and what its resource says for its events."""

    draft: ApiDraft
    said: _Fields
    known: Mapping[str, Authorizer]
    default: str | None
    needs_key: bool
    paths: list[tuple[str, str]] = field(default_factory=list)


def read(template: Template, top: _Fields) -> list[ApiDraft]:
    """`top` holds the template's sections."""
    defaults = {name: node.fields for name, node in template.fields(top.get("Globals")).items()}
    apis: dict[str, _Declared] = {}
    for name, resource, said in template.of_type(*RESOURCES):
        kind = RESOURCES[resource.fields["Type"].text]
        apis[name] = _api(template, name, kind, _over(defaults.get(GLOBALS[kind], {}), said))
        apis[name].draft.where = resource.key_where
        openapi.of_resource(template, apis[name].draft, apis[name].said)
    urls: list[ApiDraft] = []
    for name, resource, said in template.of_type(FUNCTION):
        function = template.functions.get(name)
        if function is None:
            continue
        for event in template.fields(said.get("Events")).values():
            _event(template, apis, defaults, function, event)
        url = _over(
            template.fields(defaults.get("Function", {}).get("FunctionUrlConfig")),
            template.fields(said.get("FunctionUrlConfig")),
        )
        if url:
            urls.append(function_url(template, function, url, resource.key_where))
    for declared in apis.values():
        _preflights(template, declared)
    return [*(declared.draft for declared in apis.values()), *urls]


def _over(defaults: _Fields, own: _Fields) -> dict[str, Node]:
    return {**defaults, **own}


def _api(template: Template, name: str, kind: ApiKind, said: _Fields) -> _Declared:
    auth = template.fields(said.get("Auth"))
    resource = template.resources.get(name)
    draft = ApiDraft(
        name=template.named(name, resource) if resource else name,
        kind=kind,
        where=Location(template.folder),
    )
    if kind is ApiKind.REST:
        draft.stage = template.text(said.get("StageName")) or "Prod"
        draft.variables = template.pairs(said.get("Variables"))
        draft.binary = tuple(
            text.replace("~1", "/") for text in template.texts(said.get("BinaryMediaTypes"))
        )
        known = authorizers.of_rest(template, auth)
    else:
        draft.stage = template.text(said.get("StageName")) or "$default"
        draft.variables = template.pairs(said.get("StageVariables"))
        draft.cors = http_cors(template, said.get("CorsConfiguration"))
        known = authorizers.of_http(template, auth)
    return _Declared(
        draft,
        said,
        known,
        template.text(auth.get("DefaultAuthorizer")),
        template.is_true(auth.get("ApiKeyRequired")),
    )


def _event(
    template: Template,
    apis: dict[str, _Declared],
    defaults: Mapping[str, _Fields],
    function: str,
    event: Node,
) -> None:
    form = event.fields.get("Type")
    kind = EVENTS.get(form.text) if form else None
    if kind is None:
        return
    said = template.properties(event)
    owner = template.logical_id(said.get(OWNERS[kind])) or IMPLICIT[kind]
    if owner not in apis:
        apis[owner] = _api(template, owner, kind, defaults.get(GLOBALS[kind], {}))
        apis[owner].draft.where = event.key_where
    declared = apis[owner]
    path = template.text(said.get("Path"))
    method = (template.text(said.get("Method")) or "ANY").upper()
    if path is None or method in EVERY:
        path, method = path or "$default", "ANY"
    payload = Payload.V1
    if kind is ApiKind.HTTP:
        version = template.text(said.get("PayloadFormatVersion")) or "2.0"
        payload = Payload.V1 if version.startswith("1") else Payload.V2
    auth = template.fields(said.get("Auth"))
    authorizer = authorizers.chosen(template, declared.known, auth, declared.default)
    if authorizer is None and declared.needs_key and "ApiKeyRequired" not in auth:
        authorizer = KEY
    limit = template.number(said.get("TimeoutInMillis"))
    streams = (template.text(said.get("ResponseTransferMode")) or "").upper() == "STREAM"
    declared.draft.routes.append(
        Route(
            method=method,
            path=path,
            target=function,
            payload=payload,
            authorizer=authorizer,
            timeout_s=limit / 1000 if limit else (29.0 if kind is ApiKind.REST else 30.0),
            streams=streams,
            where=event.key_where,
        )
    )


def function_url(template: Template, function: str, said: _Fields, where: Location) -> ApiDraft:
    """Of `FunctionUrlConfig`, and of the properties of AWS::Lambda::Url."""
    streams = template.text(said.get("InvokeMode")) == "RESPONSE_STREAM"
    iam = template.text(said.get("AuthType")) == "AWS_IAM"
    route = Route(
        method="ANY",
        path="$default",
        target=function,
        payload=Payload.V2,
        authorizer=IAM if iam else None,
        timeout_s=900.0,
        streams=streams,
        where=where,
    )
    cors = http_cors(template, said.get("Cors"))
    return ApiDraft(name=function, kind=ApiKind.URL, where=where, cors=cors, routes=[route])


def http_cors(template: Template, node: Node | None) -> Cors | None:
    """Of an HTTP API's `CorsConfiguration` and of a function URL's `Cors`."""
    found = template.value(node)
    if found is None or found.value is None or found.value is False:
        return None
    if not isinstance(found.value, dict):
        return Cors(origins=("*",)) if found.text.lower() == "true" else None
    said = found.fields
    return Cors(
        origins=template.texts(said.get("AllowOrigins")),
        methods=tuple(text.upper() for text in template.texts(said.get("AllowMethods"))),
        headers=template.texts(said.get("AllowHeaders")),
        expose=template.texts(said.get("ExposeHeaders")),
        credentials=template.is_true(said.get("AllowCredentials")),
        max_age_s=template.number(said.get("MaxAge")),
    )


# --- REST: preflights --------------------------------------------------------------------------


def _preflights(template: Template, declared: _Declared) -> None:
    """An OPTIONS method that answers by itself, on each path that has none, as SAM adds them."""
    found = template.value(declared.said.get("Cors"))
    draft = declared.draft
    if draft.kind is not ApiKind.REST or found is None or found.value is None:
        return
    said = found.fields
    origin = said.get("AllowOrigin") if said else found
    methods: dict[str, list[Route]] = {}
    for route in draft.routes:
        methods.setdefault(route.path, []).append(route)
    for path, routes in methods.items():
        taken = {route.method for route in routes}
        if taken & {"OPTIONS"}:
            continue
        headers = tuple(_headers(template, said, origin, taken))
        where = routes[0].where
        target = Fixed(status=200, headers=headers)
        draft.routes.append(Route(method="OPTIONS", path=path, target=target, where=where))


def _headers(
    template: Template, said: _Fields, origin: Node | None, taken: set[str]
) -> Iterator[tuple[str, str]]:
    every = METHODS if "ANY" in taken else tuple(sorted({*taken, "OPTIONS"}))
    if text := template.text(origin):
        yield "Access-Control-Allow-Origin", unquoted(text)
    if text := template.text(said.get("AllowHeaders")):
        yield "Access-Control-Allow-Headers", unquoted(text)
    yield (
        "Access-Control-Allow-Methods",
        unquoted(template.text(said.get("AllowMethods")) or ",".join(every)),
    )
    if text := template.text(said.get("MaxAge")):
        yield "Access-Control-Max-Age", unquoted(text)
    if template.is_true(said.get("AllowCredentials")):
        yield "Access-Control-Allow-Credentials", "true"


def unquoted(text: str) -> str:
    """A mapping's static value stands in quotes."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text
