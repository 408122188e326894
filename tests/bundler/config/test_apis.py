"""HTTP APIs as each format of configuration declares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.config.find import read_project, read_with_apis
from lambdad.bundler.config.routes import Api, Apis, AuthorizerKind, Fixed, Payload, Route


def apis(root: Path, files: dict[str, str], **more: Any) -> Apis:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return read_with_apis(str(root), {}, **more)[1]


def lines(found: Apis) -> list[str]:
    """An API and its routes, a line each: what a reader of the configuration would expect."""
    shown = []
    for api in found.apis:
        shown.append(f"{api.name} {api.kind.name} {api.stage}")
        for route in api.routes:
            target = route.target if isinstance(route.target, str) else "fixed"
            guard = "" if route.authorizer is None else f" by {route.authorizer.name}"
            version = "" if isinstance(route.target, Fixed) else f" {route.payload.value}"
            shown.append(f"  {route.key} -> {target}{version}{guard}")
    return shown


def route(found: Apis, key: str) -> Route:
    return next(one for api in found.apis for one in api.routes if one.key == key)


def api(found: Apis, name: str) -> Api:
    return next(one for one in found.apis if one.name == name)


# --- AWS SAM -------------------------------------------------------------------------------------

SAM = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Stage: {Type: String, Default: beta}}
Globals:
  Function: {Runtime: python3.12, CodeUri: src, Handler: app.handler}
  Api:
    Cors: {AllowOrigin: "'https://a.example'", AllowHeaders: "'X-A'", MaxAge: "'60'"}
    BinaryMediaTypes: [image~1png]
  HttpApi: {CorsConfiguration: true, StageVariables: {A: b}}
Resources:
  Rest:
    Type: AWS::Serverless::Api
    Properties:
      StageName: !Ref Stage
      Variables: {Color: blue}
      Auth:
        DefaultAuthorizer: Token
        Authorizers:
          Token: {FunctionArn: !GetAtt Auth.Arn, Identity: {ReauthorizeEvery: 0}}
          Asked:
            FunctionPayloadType: REQUEST
            FunctionArn: !GetAtt Auth.Arn
            Identity: {Headers: [X-Who], QueryStrings: [q], StageVariables: [Color]}
          Pool: {UserPoolArn: arn:aws:cognito-idp:us-east-1:1:userpool/x}
  Http:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        Authorizers:
          Jwt:
            JwtConfiguration: {issuer: https://i.example, audience: [me]}
            IdentitySource: $request.header.Authorization
          Simple:
            FunctionArn: !GetAtt Auth.Arn
            AuthorizerPayloadFormatVersion: "2.0"
            EnableSimpleResponses: true
            Identity: {Headers: [X-Who], ReauthorizeEvery: 30}
  Auth: {Type: AWS::Serverless::Function}
  Hooked:
    Type: AWS::Serverless::Function
    Properties: {FunctionUrlConfig: {AuthType: AWS_IAM, InvokeMode: RESPONSE_STREAM}}
  Pets:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        A: {Type: Api, Properties: {Path: "/pets/{id}", Method: get}}
        B: {Type: Api, Properties: {Path: "/{proxy+}", Method: ANY}}
        C: {Type: Api, Properties: {Path: /own, Method: post, RestApiId: !Ref Rest}}
        D:
          Type: Api
          Properties: {Path: /own, Method: get, RestApiId: !Ref Rest, Auth: {Authorizer: NONE}}
        E:
          Type: Api
          Properties: {Path: /who, Method: get, RestApiId: !Ref Rest, Auth: {Authorizer: Asked}}
        F: {Type: HttpApi}
        G:
          Type: HttpApi
          Properties:
            ApiId: !Ref Http
            Path: /v1
            Method: GET
            PayloadFormatVersion: "1.0"
            TimeoutInMillis: 500
        H:
          Type: HttpApi
          Properties: {ApiId: !Ref Http, Path: /j, Method: GET, Auth: {Authorizer: Jwt}}
        I:
          Type: HttpApi
          Properties: {ApiId: !Ref Http, Path: /s, Method: GET, Auth: {Authorizer: Simple}}
        J: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
"""


def test_a_sam_template(tmp_path: Path) -> None:
    """Events, their APIs, the implicit APIs, and URLs; SAM's `Cors` answers preflights."""
    found = apis(tmp_path, {"template.yaml": SAM, "src/app.py": ""})
    assert lines(found) == [
        "Rest REST beta",
        "  POST /own -> Pets 1.0 by Token",
        "  GET /own -> Pets 1.0",
        "  GET /who -> Pets 1.0 by Asked",
        "  OPTIONS /own -> fixed",
        "  OPTIONS /who -> fixed",
        "Http HTTP $default",
        "  GET /v1 -> Pets 1.0",
        "  GET /j -> Pets 2.0 by Jwt",
        "  GET /s -> Pets 2.0 by Simple",
        "ServerlessRestApi REST Prod",
        "  GET /pets/{id} -> Pets 1.0",
        "  ANY /{proxy+} -> Pets 1.0",
        "  OPTIONS /pets/{id} -> fixed",
        "  OPTIONS /{proxy+} -> fixed",
        "ServerlessHttpApi HTTP $default",
        "  $default -> Pets 2.0",
        "Hooked URL $default",
        "  $default -> Hooked 2.0 by AWS_IAM",
    ]
    assert [one.code for one in found.diagnostics] == ["unchecked-authorizer"] * 2
    rest = api(found, "Rest")
    assert (rest.variables, rest.binary) == ((("Color", "blue"),), ("image/png",))
    assert api(found, "Http").variables == (("A", "b"),)
    assert route(found, "GET /v1").timeout_s == 0.5
    assert api(found, "Hooked").routes[0].streams
    preflight = route(found, "OPTIONS /own").target
    assert isinstance(preflight, Fixed)
    assert dict(preflight.headers) == {
        "Access-Control-Allow-Origin": "https://a.example",
        "Access-Control-Allow-Headers": "X-A",
        "Access-Control-Allow-Methods": "GET,OPTIONS,POST",
        "Access-Control-Max-Age": "60",
    }
    token, asked = route(found, "POST /own").authorizer, route(found, "GET /who").authorizer
    assert token is not None
    assert asked is not None
    assert (token.check, token.function, token.ttl_s) == (AuthorizerKind.TOKEN, "Auth", 0)
    assert token.sources == ("method.request.header.Authorization",)
    assert asked.sources == (
        "method.request.header.X-Who",
        "method.request.querystring.q",
        "stageVariables.Color",
    )
    jwt, simple = route(found, "GET /j").authorizer, route(found, "GET /s").authorizer
    assert jwt is not None
    assert simple is not None
    assert (jwt.check, jwt.issuer, jwt.audience) == (
        AuthorizerKind.JWT,
        "https://i.example",
        ("me",),
    )
    assert (simple.payload, simple.simple, simple.ttl_s) == (Payload.V2, True, 30)
    assert simple.sources == ("$request.header.X-Who",)


OPENAPI = """
openapi: 3.0.1
x-amazon-apigateway-binary-media-types: [image/png]
paths:
  /a/{id}:
    get:
      security: [{mine: []}]
      x-amazon-apigateway-integration:
        type: aws_proxy
        uri: {Fn::Sub: "arn:aws:apigateway:x:lambda:path/2015-03-31/functions/${F.Arn}/invocations"}
    options:
      x-amazon-apigateway-integration:
        type: mock
        responses:
          default:
            statusCode: "204"
            responseParameters: {method.response.header.X-A: "'b'"}
  /other:
    x-amazon-apigateway-any-method:
      x-amazon-apigateway-integration: {type: http_proxy, uri: https://example.com}
components:
  securitySchemes:
    mine:
      type: apiKey
      name: X-Token
      in: header
      x-amazon-apigateway-authorizer:
        type: token
        authorizerUri: {Fn::Sub: "arn:aws:apigateway:x:lambda:path/functions/${F.Arn}/invocations"}
"""
INCLUDING = """
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.12, Handler: app.handler, CodeUri: src}
  A:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v1
      DefinitionBody: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: api.yaml}}}
"""


def test_an_openapi_document_is_an_input(tmp_path: Path) -> None:
    """Its routes are served, what leads elsewhere is reported, and an edit of it is seen."""
    files = {"template.yaml": INCLUDING, "api.yaml": OPENAPI, "src/app.py": ""}
    found = apis(tmp_path, files)
    assert lines(found) == [
        "A REST v1",
        "  GET /a/{id} -> F 1.0 by mine",
        "  OPTIONS /a/{id} -> fixed",
    ]
    assert route(found, "OPTIONS /a/{id}").target == Fixed(status=204, headers=(("X-A", "b"),))
    guard = route(found, "GET /a/{id}").authorizer
    assert guard is not None
    assert (guard.function, guard.sources) == ("F", ("method.request.header.X-Token",))
    assert api(found, "A").binary == ("image/png",)
    assert [one.code for one in found.diagnostics] == ["route-without-function"]
    assert "api.yaml" in read_with_apis(str(tmp_path), {})[0].inputs.files
    assert "api.yaml" not in read_project(str(tmp_path), {}).inputs.files


def test_two_apis_with_one_route(tmp_path: Path) -> None:
    """The first one answers, and a warning says how to reach the other."""
    template = """
Resources:
  A: {Type: AWS::Serverless::HttpApi}
  B: {Type: AWS::Serverless::HttpApi}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src
      Events:
        One: {Type: HttpApi, Properties: {ApiId: !Ref A, Path: /x, Method: GET}}
        Two: {Type: HttpApi, Properties: {ApiId: !Ref B, Path: /x, Method: GET}}
"""
    found = apis(tmp_path, {"template.yaml": template, "src/app.py": ""})
    assert [(one.code, one.hint) for one in found.diagnostics] == [
        ("same-route", "each API has a host of its own: b.localhost")
    ]


def test_a_stage_that_only_the_deploy_knows(tmp_path: Path) -> None:
    """The routes are served all the same; the build has no fault."""
    template = """
Parameters: {Stage: {Type: String}}
Resources:
  A: {Type: AWS::Serverless::Api, Properties: {StageName: !Ref Stage}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src
      Events: {One: {Type: Api, Properties: {RestApiId: !Ref A, Path: /x, Method: GET}}}
"""
    found = apis(tmp_path, {"template.yaml": template, "src/app.py": ""})
    assert lines(found) == ["A REST Prod", "  GET /x -> F 1.0"]
    assert [(one.code, one.severity.value) for one in found.diagnostics] == [
        ("unresolved-value", "warning")
    ]
    assert not read_project(str(tmp_path), {}).diagnostics


# --- the Serverless Framework --------------------------------------------------------------------

SERVERLESS = """
service: notes
frameworkVersion: "3"
provider:
  name: aws
  runtime: nodejs20.x
  stage: beta
  apiGateway: {binaryMediaTypes: ["*/*"]}
  httpApi:
    cors: true
    authorizers:
      ask: {type: request, functionName: auth, resultTtlInSeconds: 5, enableSimpleResponses: true,
        identitySource: [$request.header.X-Who]}
      jwt: {identitySource: $request.header.Authorization, issuerUrl: https://i.example,
        audience: [a]}
functions:
  auth: {handler: src/a.auth}
  notes:
    handler: src/a.notes
    url: {invokeMode: RESPONSE_STREAM, cors: true}
    events:
      - http: GET notes/{id}
      - http: {method: post, path: /notes, cors: true, authorizer: auth, private: true}
      - http: {method: any, path: "{proxy+}", authorizer: {name: auth, type: request,
          identitySource: "method.request.header.X-A, method.request.querystring.b"}}
      - http: {method: get, path: key, private: true}
      - httpApi: "*"
      - httpApi: PUT /notes/{id}
      - httpApi: {method: get, path: /asked, authorizer: {name: ask}}
      - httpApi: {method: get, path: /jwt, authorizer: {name: jwt, scopes: [s]}}
      - schedule: rate(1 day)
"""


def test_a_service_of_the_serverless_framework(tmp_path: Path) -> None:
    """Both kinds of events, in their short and long form, and URLs."""
    code = "exports.auth = exports.notes = () => {}"
    found = apis(tmp_path, {"serverless.yml": SERVERLESS, "src/a.js": code})
    assert lines(found) == [
        "ServerlessRestApi REST beta",
        "  GET /notes/{id} -> notes 1.0",
        "  POST /notes -> notes 1.0 by auth",
        "  ANY /{proxy+} -> notes 1.0 by auth",
        "  GET /key -> notes 1.0 by API key",
        "  OPTIONS /notes -> fixed",
        "ServerlessHttpApi HTTP $default",
        "  $default -> notes 2.0",
        "  PUT /notes/{id} -> notes 2.0",
        "  GET /asked -> notes 2.0 by ask",
        "  GET /jwt -> notes 2.0 by jwt",
        "notes URL $default",
        "  $default -> notes 2.0",
    ]
    asked = route(found, "ANY /{proxy+}").authorizer
    assert asked is not None
    assert asked.sources == ("method.request.header.X-A", "method.request.querystring.b")
    simple, jwt = route(found, "GET /asked").authorizer, route(found, "GET /jwt").authorizer
    assert simple is not None
    assert jwt is not None
    assert (simple.function, simple.simple, simple.ttl_s) == ("auth", True, 5)
    assert (jwt.issuer, jwt.audience, jwt.scopes) == ("https://i.example", ("a",), ("s",))
    cors = api(found, "ServerlessHttpApi").cors
    assert cors is not None
    assert cors.origins == ("*",)
    assert api(found, "notes").routes[0].streams


# --- CloudFormation and the AWS CDK --------------------------------------------------------------


def _resource(form: str, **properties: Any) -> dict[str, Any]:
    return {"Type": form, "Properties": properties}


def _uri(function: object) -> dict[str, Any]:
    top = ["arn:", {"Ref": "AWS::Partition"}, ":apigateway:x:lambda:path/2015-03-31/functions/"]
    return {"Fn::Join": ["", [*top, function, "/invocations"]]}


def _handler() -> dict[str, Any]:
    return {
        **_resource("AWS::Lambda::Function", Runtime="python3.12", Handler="app.handler"),
        "Metadata": {"aws:cdk:path": "Main/Handler/Resource", "aws:asset:path": "../src"},
    }


ARN = {"Fn::GetAtt": ["Handler", "Arn"]}
REST_API: dict[str, Any] = {
    "Api": _resource("AWS::ApiGateway::RestApi", Name="api"),
    "Deployed": _resource("AWS::ApiGateway::Stage", RestApiId={"Ref": "Api"}, StageName="prod2"),
    "Notes": _resource(
        "AWS::ApiGateway::Resource",
        RestApiId={"Ref": "Api"},
        ParentId={"Fn::GetAtt": ["Api", "RootResourceId"]},
        PathPart="notes",
    ),
    "Note": _resource(
        "AWS::ApiGateway::Resource",
        RestApiId={"Ref": "Api"},
        ParentId={"Ref": "Notes"},
        PathPart="{id}",
    ),
    "Guard": _resource(
        "AWS::ApiGateway::Authorizer",
        Type="TOKEN",
        Name="guard",
        AuthorizerUri=_uri(ARN),
        IdentitySource="method.request.header.X-Token",
    ),
    "Get": _resource(
        "AWS::ApiGateway::Method",
        RestApiId={"Ref": "Api"},
        ResourceId={"Ref": "Note"},
        HttpMethod="GET",
        AuthorizationType="CUSTOM",
        AuthorizerId={"Ref": "Guard"},
        Integration={"Type": "AWS_PROXY", "Uri": _uri(ARN)},
    ),
    "Root": _resource(
        "AWS::ApiGateway::Method",
        RestApiId={"Ref": "Api"},
        ResourceId={"Fn::GetAtt": ["Api", "RootResourceId"]},
        HttpMethod="ANY",
        AuthorizationType="NONE",
        Integration={"Type": "AWS_PROXY", "Uri": _uri(ARN)},
    ),
    "Options": _resource(
        "AWS::ApiGateway::Method",
        RestApiId={"Ref": "Api"},
        ResourceId={"Ref": "Note"},
        HttpMethod="OPTIONS",
        Integration={
            "Type": "MOCK",
            "IntegrationResponses": [
                {
                    "StatusCode": "204",
                    "ResponseParameters": {
                        "method.response.header.Access-Control-Allow-Origin": "'*'"
                    },
                }
            ],
        },
    ),
}
HTTP_API: dict[str, Any] = {
    "V2": _resource(
        "AWS::ApiGatewayV2::Api",
        ProtocolType="HTTP",
        Name="v2",
        CorsConfiguration={"AllowOrigins": ["*"]},
    ),
    "Socket": _resource("AWS::ApiGatewayV2::Api", ProtocolType="WEBSOCKET", Name="s"),
    "Stage": _resource("AWS::ApiGatewayV2::Stage", ApiId={"Ref": "V2"}, StageName="$default"),
    "Integrated": _resource(
        "AWS::ApiGatewayV2::Integration",
        ApiId={"Ref": "V2"},
        IntegrationType="AWS_PROXY",
        IntegrationUri=ARN,
        PayloadFormatVersion="2.0",
    ),
    "Route": _resource(
        "AWS::ApiGatewayV2::Route",
        ApiId={"Ref": "V2"},
        RouteKey="GET /v2/{id}",
        Target={"Fn::Join": ["", ["integrations/", {"Ref": "Integrated"}]]},
    ),
    "Default": _resource(
        "AWS::ApiGatewayV2::Route",
        ApiId={"Ref": "V2"},
        RouteKey="$default",
        Target={"Fn::Sub": "integrations/${Integrated}"},
    ),
    "Url": _resource("AWS::Lambda::Url", AuthType="NONE", TargetFunctionArn=ARN),
}


@pytest.mark.parametrize("form", ["template", "assembly"])
def test_resources_of_api_gateway(tmp_path: Path, form: str) -> None:
    """As CloudFormation and as the CDK write them: paths, references of each kind."""
    resources = {"Handler": _handler(), **REST_API, **HTTP_API}
    name = "Main/Handler"
    if form == "template":
        name = "Handler"
        resources["Handler"]["Properties"]["Code"] = "src"
        files = {"template.json": json.dumps({"Resources": resources})}
    else:
        resources["Handler"]["Properties"]["Code"] = {"S3Bucket": "b", "S3Key": "k"}
        for key, each in {**REST_API, **HTTP_API}.items():
            path = f"Main/{key}/Resource"
            resources[key] = {**each, "Metadata": {"aws:cdk:path": path}}
        artifact = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}
        files = {
            "cdk.out/manifest.json": json.dumps({"artifacts": {"Main": artifact}}),
            "cdk.out/t.json": json.dumps({"Resources": resources}),
        }
    found = apis(tmp_path, {**files, "src/app.py": ""})
    prefix = "" if form == "template" else "Main/"
    assert lines(found) == [
        f"{prefix}Api REST prod2",
        f"  GET /notes/{{id}} -> {name} 1.0 by guard",
        f"  ANY / -> {name} 1.0",
        "  OPTIONS /notes/{id} -> fixed",
        f"{prefix}V2 HTTP $default",
        f"  GET /v2/{{id}} -> {name} 2.0",
        f"  $default -> {name} 2.0",
        f"{name} URL $default",
        f"  $default -> {name} 2.0",
    ]
    assert not found.diagnostics


def test_an_api_in_a_stack_of_its_own(tmp_path: Path) -> None:
    """The CDK refers to functions of another stack by the name of an export."""
    exported = "Code:ExportsOutputFnGetAttHandlerArn1"
    code = {
        "Resources": {"Handler": _handler()},
        "Outputs": {"X": {"Value": ARN, "Export": {"Name": exported}}},
    }
    code["Resources"]["Handler"]["Properties"]["Code"] = {"S3Bucket": "b", "S3Key": "k"}
    imported = {"Fn::ImportValue": exported}
    served = {
        "Api": _resource("AWS::ApiGateway::RestApi"),
        "Root": _resource(
            "AWS::ApiGateway::Method",
            RestApiId={"Ref": "Api"},
            ResourceId={"Fn::GetAtt": ["Api", "RootResourceId"]},
            HttpMethod="GET",
            Integration={"Type": "AWS_PROXY", "Uri": _uri(imported)},
        ),
    }
    stack = "aws:cloudformation:stack"
    manifest = {
        "artifacts": {
            "Served": {"type": stack, "properties": {"templateFile": "served.json"}},
            "Code": {"type": stack, "properties": {"templateFile": "code.json"}},
        }
    }
    files = {
        "cdk.out/manifest.json": json.dumps(manifest),
        "cdk.out/code.json": json.dumps(code),
        "cdk.out/served.json": json.dumps({"Resources": served}),
        "src/app.py": "",
    }
    assert lines(apis(tmp_path, files)) == ["Served/Api REST prod", "  GET / -> Main/Handler 1.0"]
