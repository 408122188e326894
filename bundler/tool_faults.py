"""Whose fault it is that a tool failed: the project's, the machine's, or an interruption.

This is the only place that decides it. A fault of the machine (a network, an index, a disk, memory,
a signal) says nothing about the project: it is a BundlerError, nothing records it, and the next
build tries again. What no signature here knows is the project's fault, reported in the tool's
words.
"""

from __future__ import annotations

import enum
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import BundlerError
from lambdad.bundler.tools import Completed

LONGEST: Final = 500
"""Characters of a tool's words in a message."""


class Program(enum.Enum):
    """The tools whose ends are distinguished; the value is the name that messages give."""

    UV = "uv"
    PIP = "pip"
    PIP_TOOLS = "pip-tools"
    NPM = "npm"
    ESBUILD = "esbuild"
    RUFF = "ruff"
    PYTHON = "Python"


@dataclass(frozen=True, slots=True)
class MachineFault:
    """A fault of the machine: its code, what a message says of it, and what to do."""

    code: str
    message: str
    hint: str


NO_NETWORK: Final = MachineFault(
    "no-network",
    "can't reach a package index",
    "check the network and pip's settings (index-url, proxy, cert), then build again",
)
DENIED: Final = MachineFault(
    "index-denied",
    "a package index refused",
    "give pip its credentials: in the index URL, in netrc or by keyring",
)
_NO_REGISTRY: Final = MachineFault(
    "no-network",
    "npm can't reach its registry",
    "check the network and npm's settings (registry, proxy, cafile), then build again",
)
_REGISTRY_DENIED: Final = MachineFault(
    "index-denied",
    "npm's registry refused",
    "give npm its credentials: `npm login`, or a token in the user's .npmrc",
)
_DISK_FULL: Final = MachineFault(
    "disk-full",
    "{tool} found a disk full",
    "free some room; `lambdad cache prune` empties the store",
)
_NO_MEMORY: Final = MachineFault(
    "out-of-memory",
    "{tool} had too little memory",
    "give it more memory, or build fewer things at a time",
)
_NO_ROOM: Final = MachineFault(
    "system-limit",
    "{tool} reached a limit of the system",
    "raise the limit of open files or of processes (`ulimit -n`, `ulimit -u`)",
)
_NOT_WRITABLE: Final = MachineFault(
    "not-writable",
    "{tool} can't write its files",
    "see who owns the folder that it names, and how the disk is mounted",
)
_KILLED: Final = MachineFault(
    "tool-killed",
    "{tool} was ended by {signal} before it was done",
    "build again; the system ends programs where memory runs short",
)
_INTERRUPTED: Final = MachineFault("interrupted", "{tool} was interrupted", "build again")


@dataclass(frozen=True, slots=True)
class _Signature:
    """Words by which a tool shows that it failed for want of something on the machine."""

    kind: MachineFault
    words: re.Pattern[str]


def _signature(kind: MachineFault, *words: str) -> _Signature:
    return _Signature(kind, re.compile("|".join(words)))


_SYSTEM: Final = (
    _signature(
        _DISK_FULL,
        r"[Nn]o space left on device|\(os error 28\)|\bENOSPC\b",
        r"[Dd]isk quota exceeded|\bEDQUOT\b",
    ),
    _signature(
        _NO_MEMORY,
        r"\bMemoryError\b|[Cc]annot allocate memory|\bENOMEM\b",
        r"memory allocation of \d+ bytes failed|JavaScript heap out of memory",
        r"fatal error: (?:runtime: )?(?:out of memory|cannot allocate memory)",
    ),
    _signature(
        _NO_ROOM,
        r"[Tt]oo many open files|\bE[MN]FILE\b",
        r"failed to (?:spawn|create new OS) thread|can't start new thread",
        r"Resource temporarily unavailable|\bEAGAIN\b",
    ),
    _signature(_NOT_WRITABLE, r"[Rr]ead-only file system|\bEROFS\b"),
)
"""Errors of the system as tools write them: in the system's words, or by their names as Node.js."""

_PIP: Final = (
    _signature(
        DENIED,
        r"\b40[137](?: Client)? Error",
        r"HTTP error 40[137]\b",
    ),
    _signature(
        NO_NETWORK,
        r"Retrying \(Retry|NewConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded",
        r"ProxyError|[Nn]ame resolution|CERTIFICATE_VERIFY_FAILED|SSLError|connection error:",
        r"[Cc]onnection (?:refused|reset|broken|aborted)|IncompleteRead|[Rr]ead timed out",
        r"HTTP error (?:429|5\d\d)\b|\b(?:429 Client|5\d\d Server) Error|too many 5\d\d error",
        r"(?:ConnectionFailed|ConnectionTimeout|SSLMissing|SSLVerification|ProxyConnection)Error",
        r"IncompleteDownloadError|connection-failed|connection-timeout|incomplete-download",
        r"ssl-verification-failed|proxy-connection-failed",
    ),
)
"""pip-tools runs pip's own code."""

_SIGNATURES: Final[Mapping[Program, tuple[_Signature, ...]]] = {
    Program.UV: (
        _signature(_NOT_WRITABLE, r"Failed to initialize cache", r"[Pp]ermission denied"),
        _signature(
            DENIED,
            r"lack of valid authentication credentials|returned a 40[13] ",
            r"HTTP status client error \(40[137]|Missing credentials for",
        ),
        _signature(
            NO_NETWORK,
            r"error sending request|Request failed after|dns error|[Cc]onnection (?:refused|reset)",
            r"HTTP status (?:server error|client error \(4(?:08|25|29))",
            r"error decoding response body|error reading a body|operation timed out",
            r"invalid peer certificate|has an invalid package format",
        ),
    ),
    Program.PIP: _PIP,
    Program.PIP_TOOLS: _PIP,
    Program.NPM: (
        _signature(_REGISTRY_DENIED, r"code E40[137]\b"),
        _signature(
            _NO_REGISTRY,
            r"code (?:E429|E5\d\d|ECONN\w+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ERR_SOCKET_TIMEOUT)\b",
            r"code (?:FETCH_ERROR|EPROTO|CERT_\w+|\w*SELF_SIGNED\w*|UNABLE_TO_\w+)",
        ),
        _signature(_NOT_WRITABLE, r"code (?:EACCES|EPERM)\b"),
    ),
    Program.ESBUILD: (
        _signature(_NOT_WRITABLE, r"[Ii]nput/output error|[Ss]tale (?:NFS )?file handle"),
    ),
    Program.RUFF: (),
    Program.PYTHON: (),
}


def machine_fault(tool: Program, ended: Completed, log: str = "") -> BundlerError | None:
    """The machine's fault that a tool's end shows, in the tool's words; None if it shows none, so
    that the project is at fault. `log` is what the tool wrote beside its output."""
    if (number := _signal_number(ended.code)) is not None:
        return _ended_by(tool.value, number)
    for text in (ended.stderr or ended.stdout, log):
        for signature in (*_SYSTEM, *_SIGNATURES[tool]):
            if found := signature.words.search(text):
                words = _all_of(text) if tool is Program.NPM else _around(text, found)
                return fault_of(signature.kind, words, tool)
    if found := _CHILD_ENDED.search(ended.stderr or ended.stdout):
        return _ended_by(tool.value, int(found[1]))
    return None


def fault_of_other(name: str, ended: Completed) -> BundlerError | None:
    """As `machine_fault`, of a program that is the project's choice: by a signal, or by what the
    system is called in its stderr. What it prints to stdout may quote the project."""
    if (number := _signal_number(ended.code)) is not None:
        return _ended_by(name, number)
    for signature in _SYSTEM if ended.code else ():
        if found := signature.words.search(ended.stderr):
            return _fault(signature.kind, _around(ended.stderr, found), name)
    return None


_CHILD_ENDED: Final = re.compile(r"\bexit code: -(\d+)$", re.MULTILINE)
"""What pip prints of a package's build that a signal ended."""


def fault_of(kind: MachineFault, words: str, tool: Program) -> BundlerError:
    """The fault of that kind, in the tool's `words`."""
    return _fault(kind, words, tool.value)


def _fault(kind: MachineFault, words: str, name: str) -> BundlerError:
    message = kind.message.format(tool=name)
    return BundlerError(kind.code, f"{message}: {scrubbed(words)[:LONGEST]}", kind.hint)


def _signal_number(code: int) -> int | None:
    """The signal that ended a tool, as Popen reports it or as a shell in between does."""
    if code < 0:
        return -code
    return code - 128 if 128 < code < 160 else None


def _ended_by(tool: str, number: int) -> BundlerError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    kind = _INTERRUPTED if number == signal.SIGINT else _KILLED
    return BundlerError(kind.code, kind.message.format(tool=tool, signal=name), kind.hint)


_DECORATION: Final = re.compile(
    r"^[\s╰├│─▶·]*(?:npm (?:error|ERR!) ?)?(?:(?:ERROR|error|cause|WARNING):\s*)*"
)


def _around(text: str, found: re.Match[str]) -> str:
    """The line with the signature, after the line that says what failed if it is another."""
    lines = text.splitlines()
    at = text.count("\n", 0, found.start())
    first = next((line for line in lines[:at] if line.lower().startswith("error:")), "")
    last = lines[at] if at < len(lines) else found[0]
    plain = [_DECORATION.sub("", line).strip() for line in (first, last)]
    return "; ".join(dict.fromkeys(line for line in plain if line))


def npm_words(ended: Completed) -> str:
    """What npm says of its failure, in a line and without credentials."""
    return scrubbed(_all_of(ended.stderr or ended.stdout))[:LONGEST]


_BESIDE: Final = re.compile(
    r"A complete log of this run|^(?:errno|syscall|code) |This is a problem related to network"
    r"|If you are behind a proxy|'proxy' config is set|In most cases you"
)
"""Lines of npm's that say nothing more: it names the fault in a sentence, too."""


_NPM_TOPIC: Final = re.compile(r"^(?:(?:network|nospc)(?: |$)|(?P<status>\d{3}) (?=(?P=status)))")
"""npm begins each line of a fault with what it is about."""


def _all_of(text: str) -> str:
    """npm's words, which it spreads over lines: all but its decoration and what it adds always."""
    plain = [_NPM_TOPIC.sub("", _DECORATION.sub("", line)).strip() for line in text.splitlines()]
    told = [line for line in plain if line and not _BESIDE.search(line)]
    return " ".join(dict.fromkeys(told or filter(None, plain)))


# --- credentials in what tools say ---------------------------------------------------------------

_SECRETS: Final = (
    re.compile(r"(\b[a-z][a-z+]*://)[^\s/@'\"<>]+(@)", re.IGNORECASE),
    re.compile(r"((?:_authToken|_auth|_password)\s*[=:]\s*)[^\s'\"&]+()", re.IGNORECASE),
    re.compile(r"((?:Bearer|Basic)\s+)[A-Za-z0-9+/=._~-]{8,}()"),
    re.compile(r"([?&][\w-]*(?:token|password|secret|key|signature)=)[^&\s'\"]+()", re.IGNORECASE),
)


def scrubbed(text: str) -> str:
    """The text without credentials: those of URLs, of npm's settings and of headers."""
    for secret in _SECRETS:
        text = secret.sub(r"\1****\2", text)
    return text
