"""The messages of the daemon's interface, its faults, and the OpenAPI document that describes
both."""

from __future__ import annotations

import http
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from lambdad.bundler.toolchain import LAMBDAD

MOST_BYTES: Final = 1 << 20
"""Of a request's body."""

Name = Annotated[str, msgspec.Meta(min_length=1, description="A function's name.")]
Path = Annotated[
    str, msgspec.Meta(min_length=1, description="Absolute, or relative to the project.")
]
Seconds = Annotated[
    float,
    msgspec.Meta(
        ge=0,
        description="Answer after this time, even if builds are still running. Without it: wait "
        "for the builds, each of whose tools has a time-out of its own.",
    ),
]
Machine = Annotated[
    bool,
    msgspec.Meta(
        description="It failed because this machine lacks something, or by a fault of lambdad: "
        "that says nothing about the project."
    ),
]
Trusted = Annotated[
    bool,
    msgspec.Meta(
        description="The caller trusts the project: linters that are installed in it, and build "
        "backends of its packages, may run. Otherwise they run once a person has run lambdad in a "
        "terminal there."
    ),
]
Typed = Annotated[
    bool,
    msgspec.Meta(
        description="A person in a terminal sent this: from now on the project's own tools may run "
        "on every save."
    ),
]
Interpreter = Annotated[
    str | None,
    msgspec.Meta(
        description="Of Python functions: the absolute path of a Python of the runtime's version, "
        "which the dependencies are for; null if this machine has none: a diagnostic says so."
    ),
]
StaleCount = Annotated[
    int,
    msgspec.Meta(ge=0, description="How many more functions use the saved files, and are stale."),
]


class FreshRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which functions are wanted fresh, and as what."""

    functions: Annotated[list[Name], msgspec.Meta(min_length=1)] | Literal["all"]
    want: Literal["live", "zip"] = "live"
    locked: bool = False
    typed: Typed = False
    timeout_s: Seconds | None = None


class SaveRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which files an editor has just saved, removed or renamed."""

    files: Annotated[list[Path], msgspec.Meta(min_length=1)]
    trusted: Trusted = False
    timeout_s: Seconds | None = None


class Where(msgspec.Struct, omit_defaults=True):
    file: str
    line: int | None = None
    column: int | None = None


class DiagnosticMessage(msgspec.Struct, omit_defaults=True):
    code: str
    severity: Literal["error", "warning", "info"]
    message: str
    where: Where | None = None
    hint: str | None = None


class ArtifactMessage(msgspec.Struct):
    path: str
    immutable_path: str
    sha256: str
    code_sha256: str
    size: int
    unzipped_size: int


class LiveMessage(msgspec.Struct):
    entry: str
    path: list[str]
    digest: str
    interpreter: Interpreter | msgspec.UnsetType = msgspec.UNSET


class FunctionMessage(msgspec.Struct, omit_defaults=True):
    name: str
    status: Literal["built", "failed", "refused", "skipped"]
    cached: bool
    reasons: list[str]
    duration_ms: float
    diagnostics: list[DiagnosticMessage]
    machine_fault: Machine = False
    runtime: str | None = None
    architecture: str | None = None
    handler: str | None = None
    artifact: ArtifactMessage | None = None
    live: LiveMessage | None = None


class Answer(msgspec.Struct, omit_defaults=True):
    """Of `fresh` and `save`; `building` names what was not done when the time was up.

    Of `save` alone: `findings` are lint's, beside the functions' own diagnostics;
    `machine_fault` says that something on this machine kept a linter from its work; `linting`
    names the linters whose findings are still to come, as `linted` events and with the next `save`
    of the same files.
    """

    schema: Literal[1]
    ok: bool
    diagnostics: list[DiagnosticMessage]
    functions: list[FunctionMessage]
    building: list[str] = []
    stale: StaleCount = 0
    findings: list[DiagnosticMessage] = []
    linting: list[str] = []
    machine_fault: Machine = False


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457, with a stable `code`."""

    title: str
    status: int
    code: str
    detail: str
    unknown: list[str] | None = None
    known: list[str] | None = None


class RequestError(Exception):
    """A request that can't be answered as asked; becomes a Problem."""

    def __init__(self, status: int, code: str, detail: str, **more: list[str]) -> None:
        super().__init__(detail)
        self.problem = Problem(
            title=http.HTTPStatus(status).phrase, status=status, code=code, detail=detail, **more
        )


Message = TypeVar("Message", FreshRequest, SaveRequest)


def decode(kind: type[Message], body: bytes) -> Message:
    """The message. Raises RequestError: 400 `bad-json` or 422 `bad-request`, saying which field."""
    try:
        message = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as fault:
        raise RequestError(422, "bad-request", str(fault)) from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise RequestError(400, "bad-json", f"the body is not JSON: {fault}") from fault
    if message.timeout_s is not None and not math.isfinite(message.timeout_s):
        raise RequestError(422, "bad-request", "timeout_s must be a finite number")
    return message


# --- the OpenAPI document ----------------------------------------------------------------------

_FAULTS: Final[Mapping[int, str]] = {
    400: "The body is not JSON, or no request can be read.",
    403: "The caller is another user.",
    404: "There is no such path, or no such function: `unknown` and `known` name them.",
    405: "The path has no such method.",
    408: "The body did not come in time.",
    413: "The body is larger than 1 MB.",
    422: "A field is missing, of another type, or out of its range.",
    500: "A fault of the machine, or of lambdad; `detail` describes it.",
    503: "The daemon is leaving: ask again, and the next one answers.",
}

_EVENTS: Final = (
    "`building` {functions}, `progress` {functions, text}, and `built` {function, want, status, "
    "reasons, duration_ms}; `linted` {tool, files, diagnostics, running}: of each file its path, "
    "the sha256 of the content that was linted (null of one that is gone) and its diagnostics; "
    "`diagnostics` say why a tool could not run, `running` which tools still run. "
    "A client that reads too slowly misses some."
)
_PROGRESS: Final = (
    "As requested. A client that also accepts text/event-stream gets the progress of a long build: "
    "`asked` {functions, building}, `progress` {text}, `function` as each is done, and at the end "
    "`answer` with what the JSON would have held, or `problem`."
)

_OPERATIONS: Final[Mapping[tuple[str, str], tuple[str, type | None, str]]] = {
    ("post", "/v1/fresh"): ("Rebuild if needed; answer once fresh.", FreshRequest, "Answer"),
    ("post", "/v1/save"): ("Rebuild and lint what the files touch.", SaveRequest, "Answer"),
    ("get", "/v1/status"): ("Health of the daemon, its watcher and functions.", None, "object"),
    ("get", "/v1/why"): ("Why the function's last build ran, on what.", None, "object"),
    ("get", "/v1/events"): ("Progress as it happens, as server-sent events.", None, "events"),
    ("post", "/v1/stop"): ("Answer what can be within 3 s, then leave.", None, "object"),
    ("get", "/openapi.json"): ("This document.", None, "object"),
}
"""(method, path) -> (what it does, the body's type, what a 200 holds)."""


def openapi() -> dict[str, Any]:
    """The document that /openapi.json serves."""
    kinds: Sequence[type] = (FreshRequest, SaveRequest, Answer, Problem)
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    references = {kind.__name__: schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for (method, path), (summary, body, answer) in _OPERATIONS.items():
        operation: dict[str, Any] = {
            "summary": summary,
            "operationId": path.rsplit("/", 1)[-1].removesuffix(".json"),
            "responses": {"200": _answer(answer, references)}
            | {str(status): _fault(status, references) for status in _FAULTS},
        }
        if body is not None:
            content = {"application/json": {"schema": references[body.__name__]}}
            operation["requestBody"] = {"required": True, "content": content}
        if path == "/v1/why":
            operation["parameters"] = [
                {
                    "name": "function",
                    "in": "query",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                }
            ]
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lambdad",
            "version": LAMBDAD,
            "description": "Rebuild and block until fresh, over a Unix socket.",
        },
        "servers": [{"url": "http://localhost"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _answer(kind: str, references: Mapping[str, Any]) -> dict[str, Any]:
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    if kind == "events":
        return {"description": _EVENTS, "content": stream}
    schema = references.get(kind, {"type": "object"})
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if kind == "Answer":
        return {"description": _PROGRESS, "content": content | stream}
    return {"description": "As asked.", "content": content}


def _fault(status: int, references: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": references["Problem"]}}
    return {"description": _FAULTS[status], "content": content}
