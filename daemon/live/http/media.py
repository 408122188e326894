"""Which bodies are text and which travel as base64.

Sources: API Gateway Developer Guide, "Binary media types for REST APIs" and "Working with AWS
Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from lambdad.bundler.config.routes import Api, ApiKind
from lambdad.daemon.live.http.request import HttpRequest

TEXT: Final = ("application/json", "application/javascript", "application/xml")
"""What HTTP APIs and function URLs send as text, beside text/*."""


def essence(value: str | None) -> str:
    """A media type without its parameters, in small letters; of a list the first one."""
    return (value or "").partition(",")[0].partition(";")[0].strip().lower()


def is_listed(media_type: str, listed: Iterable[str]) -> bool:
    """Whether the API counts it among its binary types."""
    return any(
        kind == "*/*" or (media_type and fnmatchcase(media_type, kind.lower())) for kind in listed
    )


def is_text(request: HttpRequest) -> bool:
    """As HTTP APIs and function URLs see it."""
    if request.header("content-encoding") not in (None, "", "identity"):
        return False
    kind = essence(request.header("content-type"))
    return kind.startswith("text/") or kind in TEXT or kind.endswith(("+json", "+xml"))


def event_body(api: Api, request: HttpRequest) -> tuple[str | None, bool]:
    """The body of an event, and whether it is base64; None: the request has none."""
    if not request.body:
        return None, False
    if api.kind is ApiKind.REST:
        binary = is_listed(essence(request.header("content-type")), api.binary)
    else:
        binary = not is_text(request)
    if binary:
        return base64.b64encode(request.body).decode("ascii"), True
    return request.body.decode("utf-8", "replace"), False


def answer_body(api: Api, request: HttpRequest, text: str, *, is_base64: bool) -> bytes:
    """The bytes to send. Raises ValueError if it should be base64 and is not.

    A REST API sends base64 as it is unless the first type that the client accepts is binary.
    """
    if not is_base64:
        return text.encode("utf-8", "replace")
    if api.kind is ApiKind.REST and not is_listed(essence(request.header("accept")), api.binary):
        return text.encode("utf-8", "replace")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as fault:
        raise ValueError(f"its body is not base64: {fault}") from fault
