"""What the indexes answered, read out of what uv and pip write about their requests.

Both go on to the next index where one refuses, and then say that there is no such package, or take
another index's package of the same name. So the answers themselves are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from lambdad.bundler import tool_faults
from lambdad.bundler.model import BundlerError
from lambdad.bundler.tool_faults import Program

UV_TRACE: Final = {"RUST_LOG": "uv_client::cached_client=trace"}
"""What makes uv write of each request how it was answered, on stderr even with --quiet."""


@dataclass(frozen=True, slots=True)
class IndexAnswer:
    """To the request for the page of a package."""

    url: str
    status: int
    """0 where there was none."""
    words: str = ""
    """How the tool reports it."""
    from_cache: bool = False
    """The tool did not ask."""
    is_empty: bool = False
    """It was a page that names no file. Known of pip's answers only."""

    @property
    def index(self) -> str:
        return self.url.rstrip("/").rpartition("/")[0]

    @property
    def name(self) -> str:
        """Of the package."""
        return canonicalize_name(unquote(self.url.rstrip("/").rpartition("/")[2]))


# --- uv ------------------------------------------------------------------------------------------

_TRACE: Final = re.compile(r"^(?:TRACE|DEBUG|INFO|WARN|ERROR) .*\n?", re.MULTILINE)
_UV_ANSWER: Final = re.compile(
    r"^TRACE Received response for \w+ request with status (?P<status>\d+)(?P<words>.*?) for: "
    r"(?P<url>\S+/)$",
    re.MULTILINE,
)
_UV_CACHED: Final = re.compile(r"^DEBUG Found fresh response for: (?P<url>\S+/)$", re.MULTILINE)


def of_uv(stderr: str) -> list[IndexAnswer]:
    """From what uv writes with UV_TRACE. Of pages only: their URLs end with a slash."""
    asked = [
        IndexAnswer(found["url"], int(found["status"]), f"{found['status']}{found['words']}")
        for found in _UV_ANSWER.finditer(stderr)
    ]
    known = [
        IndexAnswer(found["url"], 200, from_cache=True) for found in _UV_CACHED.finditer(stderr)
    ]
    return asked + known


def without_trace(stderr: str) -> str:
    """What uv says to people."""
    return _TRACE.sub("", stderr)


# --- pip -----------------------------------------------------------------------------------------

_PIP_FETCHED: Final = re.compile(r"\bFetched page (?P<url>\S+) as ")
_PIP_UNFETCHED: Final = re.compile(
    r"\bCould not fetch URL (?P<url>\S+): (?P<why>.*?)(?: - skipping)?$", re.MULTILINE
)
_PIP_STATUS: Final = re.compile(r"\b(\d\d\d) (?:Client|Server) Error\b")


def of_pip(log: str) -> list[IndexAnswer]:
    """From what pip writes with --log."""
    pages = [found["url"] for found in _PIP_FETCHED.finditer(log)]
    answers = [IndexAnswer(url, 200, is_empty=f"(from {url})" not in log) for url in pages]
    for found in _PIP_UNFETCHED.finditer(log):
        status = _PIP_STATUS.search(found["why"])
        answers.append(IndexAnswer(found["url"], int(status[1]) if status else 0, found["why"]))
    return answers


# --- what they come to ---------------------------------------------------------------------------

_REFUSALS: Final = frozenset({401, 403, 407})
_ABSENT: Final = frozenset({404, 410})


def fault(answers: Sequence[IndexAnswer], tool: Program) -> BundlerError | None:
    """That an index refused or could not be asked, so that nothing follows of what it lacks.

    An index of plain storage may answer 401 or 403 for a package that it lacks: where it answered
    for another package in the same run, its refusal counts as absence.
    """
    open_ = {answer.index for answer in answers if 200 <= answer.status < 400}
    for answer in {answer.url: answer for answer in answers}.values():  # tools try again
        words = f"{answer.url}: {answer.words}"
        if answer.status in _REFUSALS and (answer.status == 407 or answer.index not in open_):
            return tool_faults.fault_of(tool_faults.DENIED, words, tool)
        if answer.status not in _REFUSALS | _ABSENT and not 200 <= answer.status < 400:
            return tool_faults.fault_of(tool_faults.NO_NETWORK, words, tool)
    return None


def is_from_cache(answers: Iterable[IndexAnswer]) -> bool:
    """Whether a page was not asked for anew, so that a new version may be missing from it."""
    return any(answer.from_cache for answer in answers)
