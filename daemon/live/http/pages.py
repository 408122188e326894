"""What people and programs read in place of a function's answer: why there is none."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from lambdad.bundler.model import Diagnostic, Severity
from lambdad.bundler.report.render import diagnostic_json, diagnostic_text
from lambdad.daemon.live.http.answers import HttpAnswer
from lambdad.daemon.live.http.request import HttpRequest

STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
color:#222;background:#fff}
h1{font-size:1.3rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.8rem;
border-left:4px solid #c33;font:14px/1.5 ui-monospace,monospace}
pre.warning{border-color:#c90}
li{overflow-wrap:anywhere;font-family:ui-monospace,monospace}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}pre{background:#292929}}
"""


def wants_html(request: HttpRequest) -> bool:
    """Whether a browser asks for a page."""
    return "text/html" in (request.header("accept") or "")


def build_failed(
    request: HttpRequest, what: str, diagnostics: Collection[Diagnostic], root: str | None
) -> HttpAnswer:
    """A function has no code that could run now, or the configuration can't be read."""
    texts = [diagnostic_text(one, root=root) for one in diagnostics]
    if not wants_html(request):
        return _json(
            500,
            {
                "message": f"{what} can't be built",
                "errorType": "Lambdad.BuildFailed",
                "errorMessage": "\n".join(texts),
                "diagnostics": [diagnostic_json(one) for one in diagnostics],
            },
        )
    shown = "".join(
        f'<pre class="{one.severity.value}">{html.escape(text)}</pre>'
        for one, text in sorted(
            zip(diagnostics, texts, strict=True),
            key=lambda pair: pair[0].severity is not Severity.ERROR,
        )
    )
    return _page(500, f"{what} can't be built", shown + "<p>Save a correction and reload.</p>")


def not_found(request: HttpRequest, routes: Sequence[str]) -> HttpAnswer:
    """No route takes the request; the nearest one is the first of these."""
    asked = f"{request.method} {request.path}"
    if not wants_html(request):
        return _json(404, {"message": "Not Found", "asked": asked, "routes": list(routes)})
    if not routes:
        return _page(404, "No routes", "<p>The configuration declares no HTTP route.</p>")
    items = "".join(f"<li>{html.escape(one)}</li>" for one in routes)
    title = f"No route takes {asked}"
    return _page(404, title, f"<p>The routes, the nearest first:</p><ul>{items}</ul>")


def refused(request: HttpRequest, reason: str) -> HttpAnswer:
    """The guard lets it not through. A person who came by a link may go on from the page."""
    if not wants_html(request):
        return _json(403, {"message": "Forbidden", "reason": reason})
    text = f"<p>{html.escape(reason)}</p>"
    if request.method == "GET" and request.header("sec-fetch-mode") == "navigate":
        # Behind two slashes a browser reads another host's name; "/." stands for none of the path.
        before = "/." if request.path[1:2] in ("/", "\\") else ""
        query = f"?{request.query}" if request.query else ""
        target = html.escape(f"{before}{request.path}{query}")
        text += f'<p><a rel="noreferrer" href="{target}">Open it all the same</a></p>'
    return _page(403, "Not answered", text)


def failed(request: HttpRequest, status: int, message: str, hint: str | None = None) -> HttpAnswer:
    """This machine or the configuration is at fault."""
    if not wants_html(request):
        return _json(status, {"message": message, **({"hint": hint} if hint else {})})
    more = f"<p>{html.escape(hint)}</p>" if hint else ""
    return _page(status, message, more)


def _json(status: int, value: object) -> HttpAnswer:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return HttpAnswer(status=status, headers=(("Content-Type", "application/json"),), body=body)


def readable(request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
    """The answer for a page of an allowed origin, whose script is to read why it got no other."""
    origin = request.header("origin")
    if origin is None:
        return answer
    own = (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))
    return replace(answer, headers=(*answer.headers, *own))


def _page(status: int, title: str, inner: str) -> HttpAnswer:
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1>{inner}"
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ("X-Frame-Options", "DENY"),
    )
    return HttpAnswer(status=status, headers=headers, body=text.encode("utf-8", "replace"))
