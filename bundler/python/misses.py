"""What pip says when it brings nothing: which package it stopped at, or what ails the machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from packaging.utils import canonicalize_name

from bundler.model import BundlerError


@dataclass(frozen=True, slots=True)
class Miss:
    """Why pip did not bring a package."""

    name: str
    kind: str
    """absent, hash or other."""
    text: str
    expected: tuple[str, ...] = ()
    got: str = ""


_MISMATCH: Final = re.compile(
    r"^ {4}(?P<what>\S.*?) ?(?:from |\(from ).*\n"
    r"(?P<expected>(?: {8}Expected .*\n| +Expected +or .*\n)+)"
    r" +Got +(?P<got>[0-9a-f]+)",
    re.MULTILINE,
)
_ABSENT: Final = re.compile(
    r"(?:No matching distribution found for|Could not find a version that satisfies the "
    r"requirement) (?P<what>[^\s=<>!~@;\[]+)"
)
_ABSENT_URL: Final = re.compile(
    r"Could not install requirement (?P<what>[^\s=<>!~@;\[]+).*(?:HTTP error 404|404 Client Error)"
)
_MISFIT_URL: Final = re.compile(r"ERROR: (?P<what>[^\s-]+)-\S+\.whl is not a supported wheel")
_NETWORK: Final = re.compile(
    r"Retrying \(Retry|NewConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded"
    r"|ProxyError|Temporary failure in name resolution|CERTIFICATE_VERIFY_FAILED|SSLError"
    r"|Connection (?:refused|reset|broken)|HTTP error 5\d\d|\b5\d\d Server Error"
    r"|Could not fetch URL",
)
_DENIED: Final = re.compile(r"\b(?:401|403)(?: Client)? Error|HTTP error 40[13]")


def diagnose(stderr: str) -> Miss:
    """Which package pip stopped at. Raises BundlerError where it was not a package's fault."""
    if found := _MISMATCH.search(stderr):
        name = re.split(r"[\s=<>!~@;\[]", found["what"])[0]
        expected = tuple(re.findall(r"([0-9a-f]{32,})", found["expected"]))
        return Miss(canonicalize_name(name), "hash", stderr, expected, found["got"])
    if found := _DENIED.search(stderr):
        raise BundlerError(
            "index-denied",
            f"a package index refused: {_last_error(stderr)}",
            "give pip its credentials: in the index URL, in netrc or by keyring",
        )
    if _NETWORK.search(stderr):
        raise no_network(_last_error(stderr))
    for pattern in (_ABSENT, _ABSENT_URL, _MISFIT_URL):
        if found := pattern.search(stderr):
            return Miss(canonicalize_name(found["what"]), "absent", stderr)
    return Miss("", "other", stderr)


def no_network(detail: str) -> BundlerError:
    return BundlerError(
        "no-network",
        f"can't reach a package index: {detail}",
        "check the network and pip's settings (index-url, proxy, cert), then build again",
    )


def pip_failed(text: str) -> BundlerError:
    return BundlerError("pip-failed", f"pip failed: {_last_error(text)}")


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it gave no reason"])[-1].removeprefix("ERROR: ")[:500]
