"""What pip says when it brings nothing: which package it stopped at, or what ails the machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from lambdad.bundler.model import BundlerError
from lambdad.bundler.python.indexes import scrubbed


@dataclass(frozen=True, slots=True)
class Miss:
    """Why pip did not bring a package."""

    name: str
    kind: str
    """absent, hash, corrupt or other."""
    text: str
    log: str = ""
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
)
_UNFETCHED: Final = re.compile(
    r"Could not fetch URL (?P<url>\S+): (?P<why>.*?)(?: - skipping)?$", re.M
)
"""In pip's log only: it goes on with the other indexes."""
_CORRUPT: Final = re.compile(r"Wheel '(?P<what>[^']+)' located at .* is invalid")
_PASSED_OVER: Final = re.compile(
    r"Skipping link: none of the wheel's tags .*?: \S*?(?P<file>[^/\s#?]+\.whl)(?=[\s#?]|$)", re.M
)
_DENIED: Final = re.compile(r"\b(?:401|403)(?: Client)? Error|HTTP error 40[13]")


def diagnose(stderr: str, log: str = "") -> Miss:
    """Which package pip stopped at. `log` is what it wrote with --log.

    Raises BundlerError where it was not a package's fault: `no-network`, `index-denied`.
    """
    if found := _MISMATCH.search(stderr):
        name = re.split(r"[\s=<>!~@;\[]", found["what"])[0]
        expected = tuple(re.findall(r"([0-9a-f]{32,})", found["expected"]))
        return Miss(canonicalize_name(name), "hash", stderr, log, expected, found["got"])
    if found := _CORRUPT.search(stderr):
        return Miss(canonicalize_name(found["what"]), "corrupt", stderr)
    for unfetched in _UNFETCHED.finditer(log):
        if _DENIED.search(unfetched["why"]):
            raise _denied(f"{unfetched['url']}: {unfetched['why']}")
        if "404" not in unfetched["why"]:
            raise no_network(f"{unfetched['url']}: {unfetched['why']}")
    if _DENIED.search(stderr):
        raise _denied(_last_error(stderr))
    if _NETWORK.search(stderr):
        raise no_network(_last_error(stderr))
    for pattern in (_ABSENT, _ABSENT_URL, _MISFIT_URL):
        if found := pattern.search(stderr):
            return Miss(canonicalize_name(found["what"]), "absent", stderr, log)
    return Miss("", "other", stderr)


def passed_over(log: str, name: str, version: str | None) -> list[str]:
    """File names of that version's wheels that pip's log says do not fit what it was asked for."""
    found = []
    for match in _PASSED_OVER.finditer(log):
        filename = unquote(match["file"])
        try:
            its_name, its_version, _build, _tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        if its_name == name and version is not None and its_version == _version(version):
            found.append(filename)
    return sorted(set(found))


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _denied(detail: str) -> BundlerError:
    hint = "give pip its credentials: in the index URL, in netrc or by keyring"
    return BundlerError("index-denied", f"a package index refused: {scrubbed(detail)[:500]}", hint)


def no_network(detail: str) -> BundlerError:
    return BundlerError(
        "no-network",
        f"can't reach a package index: {scrubbed(detail)[:500]}",
        "check the network and pip's settings (index-url, proxy, cert), then build again",
    )


def pip_failed(text: str) -> BundlerError:
    return BundlerError("pip-failed", f"pip failed: {_last_error(text)}")


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return scrubbed((errors or lines or ["it gave no reason"])[-1].removeprefix("ERROR: "))[:500]
