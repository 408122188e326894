"""Whose fault a tool's end is: told by how it ended and by words that the tools really say."""

from __future__ import annotations

import signal

import pytest

from lambdad.bundler import tool_faults
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.tools import Completed

UV = "error: Failed to fetch: `{url}`\n  cause: {cause}"
URL = "http://index.example/simple/beta/"
PIP = "ERROR: Could not install requirement beta from {url} because of {cause}"

CASES = [
    ("uv", "disk-full", "error: Failed to initialize cache at `/c`\n  cause: failed to write "
     "to file `/c/CACHEDIR.TAG`: No space left on device (os error 28)"),
    ("uv", "not-writable", "error: Failed to initialize cache at `/c`\n  cause: failed to "
     "create directory `/c`: Permission denied (os error 13)"),
    ("uv", "not-writable", "error: failed to open file `/c/x`: Permission denied (os error 13)"),
    ("uv", "not-writable", "error: failed to create directory `/c`: Read-only file system "
     "(os error 30)"),
    ("uv", "out-of-memory", "memory allocation of 4096 bytes failed"),
    ("uv", "out-of-memory", "error: failed to map `/c/x`: Cannot allocate memory (os error 12)"),
    ("uv", "system-limit", "error: failed to open file `/c`: Too many open files (os error 24)"),
    ("uv", "system-limit", "thread 'main' panicked: failed to spawn thread"),
    ("uv", "index-denied", UV.format(url=URL, cause="HTTP status client error (401 Unauth)")),
    ("uv", "index-denied", "  cause: Because beta was not found in the package registry and you "
     "require beta\n\nhint: An index URL (http://index.example/simple) could not be queried due to "
     "a lack of valid authentication credentials (401 Unauthorized)"),
    ("uv", "no-network", UV.format(url=URL, cause="HTTP status client error (429 Too Many)")),
    ("uv", "no-network", UV.format(url=URL, cause="invalid peer certificate: UnknownIssuer")),
    ("uv", "no-network", UV.format(url=URL, cause="dns error")),
    ("uv", None, UV.format(url=URL, cause="HTTP status client error (404 Not Found)")),
    ("uv", None, "  cause: Because beta was not found in the package registry and you require "
     "beta, we can conclude that your requirements are unsatisfiable."),
    ("uv", None, "error: Couldn't parse requirement in `requirements.in` at position 0"),
    ("pip", "disk-full", "OSError: [Errno 28] No space left on device"),
    ("pip", "out-of-memory", "Traceback (most recent call last):\nMemoryError"),
    ("pip", "index-denied", PIP.format(url=URL, cause="HTTP error 403 Client Error: Forbidden")),
    ("pip", "no-network", PIP.format(url=URL, cause="HTTP error 429 Client Error: Too Many")),
    ("pip", "no-network", "ERROR: Could not fetch: HTTPConnectionPool(host='h', port=1): Max "
     "retries exceeded with url: /x (Caused by ResponseError('too many 503 error responses'))"),
    ("pip", "tool-killed", "error: subprocess-exited-with-error\n  x Building wheel for beta "
     "did not run successfully.\n  │ exit code: -9\n  ╰─> See above for output."),
    ("pip", None, "ERROR: No matching distribution found for beta==401"),
    ("pip", None, PIP.format(url=URL, cause="HTTP error 404 Client Error: Not Found")),
    ("pip-tools", "no-network", "pip._internal.exceptions.network.ConnectionFailedError: "
     "<ConnectionFailedError: connection-failed>"),
    ("pip-tools", "no-network", "pip._internal.exceptions.network.IncompleteDownloadError: "
     "<IncompleteDownloadError: incomplete-download>"),
    ("npm", "index-denied", "npm error code E401\nnpm error Incorrect or missing password."),
    ("npm", "no-network", "npm error code ENOTFOUND\nnpm error syscall getaddrinfo"),
    ("npm", "no-network", "npm error code DEPTH_ZERO_SELF_SIGNED_CERT"),
    ("npm", "disk-full", "npm error code ENOSPC\nnpm error syscall write"),
    ("npm", "not-writable", "npm error code EACCES\nnpm error syscall mkdir"),
    ("npm", None, "npm error code E404\nnpm error 404 Not Found"),
    ("esbuild", "out-of-memory", "fatal error: runtime: out of memory\n\nruntime stack:"),
    ("esbuild", "system-limit", "✘ [ERROR] Cannot read directory \"x\": too many open files"),
    ("esbuild", None, '✘ [ERROR] Could not resolve "./x"'),
    ("ruff", "disk-full", "ruff failed\n  Cause: No space left on device (os error 28)"),
    ("ruff", None, "ruff failed\n  Cause: Failed to parse /p/ruff.toml"),
]  # fmt: skip
"""(tool, the diagnostic's code or None for the project's fault, what it says)."""


@pytest.mark.parametrize(("tool", "code", "words"), CASES)
def test_by_words(tool: str, code: str | None, words: str) -> None:
    """A fault of the machine is known by the words for it; all else is the project's."""
    fault = tool_faults.machine_fault(Program(tool), Completed(1, "", words))
    assert (fault.code if fault else None) == code


@pytest.mark.parametrize("tool", Program)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV])
def test_ended_by_a_signal(tool: Program, number: int) -> None:
    """Whatever it said before, and through a shell as well."""
    said = "error: No solution found when resolving dependencies"
    for code in (-number, 128 + number):
        fault = tool_faults.machine_fault(tool, Completed(code, "", said))
        assert fault is not None
        assert fault.code == "tool-killed"
        assert signal.Signals(number).name in fault.message


def test_interrupted() -> None:
    """SIGINT is a person's."""
    fault = tool_faults.machine_fault(Program.UV, Completed(-signal.SIGINT, "", ""))
    assert fault is not None
    assert fault.code == "interrupted"


def test_the_tools_own_words() -> None:
    """What failed and why are both told, without decoration."""
    words = "error: Failed to fetch: `http://x/`\n  cause: client error\n  cause: dns error\n"
    fault = tool_faults.machine_fault(Program.UV, Completed(2, "", words))
    assert fault is not None
    assert fault.message.endswith(": Failed to fetch: `http://x/`; dns error")


@pytest.mark.parametrize(
    "text",
    [
        "GET https://user:s3cret@index.example/simple/",
        "GET https://s3cret@index.example/simple/",
        "//registry.example/:_authToken=s3cret",
        "//registry.example/:_password = s3cret",
        "Authorization: Bearer s3cret-s3cret",
        "GET https://index.example/x.whl?access_token=s3cret&v=1",
    ],
)
def test_credentials_are_not_told(text: str) -> None:
    """They are taken out of what a tool says, and the place stays."""
    told = tool_faults.scrubbed(text)
    assert "s3cret" not in told
    assert "****" in told
