"""What pip says when it brings nothing: which package it stopped at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from lambdad.bundler import tool_faults
from lambdad.bundler.model import BundlerError
from lambdad.bundler.python import index_answers
from lambdad.bundler.tool_faults import Program, scrubbed
from lambdad.bundler.tools import Completed


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
    on_empty_page: bool = False
    """An index has a page for it that names no file at all."""


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
_CORRUPT: Final = re.compile(r"Wheel '(?P<what>[^']+)' located at .* is invalid")
_PASSED_OVER: Final = re.compile(
    r"Skipping link: none of the wheel's tags .*?: \S*?(?P<file>[^/\s#?]+\.whl)(?=[\s#?]|$)", re.M
)


def diagnose(ended: Completed, log: str = "") -> Miss:
    """Which package pip stopped at. `log` is what it wrote with --log.

    Raises BundlerError where it was not a package's fault (tool_faults).
    """
    stderr = ended.stderr
    if found := _MISMATCH.search(stderr):
        name = re.split(r"[\s=<>!~@;\[]", found["what"])[0]
        expected = tuple(re.findall(r"([0-9a-f]{32,})", found["expected"]))
        return Miss(canonicalize_name(name), "hash", stderr, log, expected, found["got"])
    if found := _CORRUPT.search(stderr):
        return Miss(canonicalize_name(found["what"]), "corrupt", stderr)
    answers = index_answers.of_pip(log)
    fault = index_answers.fault(answers, Program.PIP) or tool_faults.machine_fault(
        Program.PIP, ended
    )
    if fault is not None:
        raise fault
    for pattern in (_ABSENT, _ABSENT_URL, _MISFIT_URL):
        if found := pattern.search(stderr):
            name = canonicalize_name(found["what"])
            is_empty = any(one.is_empty and one.name == name for one in answers)
            return Miss(name, "absent", stderr, log, on_empty_page=is_empty)
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


def pip_failed(text: str) -> BundlerError:
    return BundlerError("pip-failed", f"pip failed: {_last_error(text)}")


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return scrubbed((errors or lines or ["it gave no reason"])[-1].removeprefix("ERROR: "))[:500]
