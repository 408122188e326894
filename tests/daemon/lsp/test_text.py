"""Places in texts, as ours and as the protocol counts them; and messages that are none."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.model import Location
from lambdad.daemon.lsp.text import Span, TextLines
from lambdad.daemon.lsp.wire import MOST_BYTES, MessageStream

LINES = st.text(alphabet="ab\u00e4\u20ac\U0001f4a9 \t\x0c\u2028", max_size=12)
CODES = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
SIZES = {"utf-8": 1, "utf-16": 2, "utf-32": 4}


@given(line=LINES, data=st.data(), encoding=st.sampled_from(list(CODES)))
def test_columns(line: str, data: st.DataObject, encoding: str) -> None:
    """A column is counted in the units that were agreed on, there and back."""
    column = data.draw(st.integers(0, len(line)))
    text = TextLines(f"first\n{line}\r\nlast")
    units = len(line[:column].encode(CODES[encoding])) // SIZES[encoding]
    assert text.units(1, column, encoding) == units
    assert text.character(1, units, encoding) == column


@given(lines=st.lists(LINES, min_size=1), ends=st.sampled_from(["\n", "\r\n", "\r"]))
def test_lines(lines: list[str], ends: str) -> None:
    """Lines end as the protocol says, and nowhere else."""
    text = TextLines(ends.join(lines))
    assert text.lines == lines
    offset = 0
    for number, line in enumerate(lines):
        assert text.at(offset) == (number, 0)
        offset += len(line) + len(ends)


@given(text=st.text(max_size=30), line=st.integers(-3, 40), column=st.integers(-3, 40))
def test_any_place_has_a_span(text: str, line: int, column: int) -> None:
    """Places that a file does not have, since it was changed, are in it nevertheless."""
    held = TextLines(text)
    for where in (Location("a", line, column), Location("a", line), Location("a")):
        for whole in (False, True):
            span = held.span(where, whole=whole)
            assert 0 <= span.line < len(held.lines)
            assert 0 <= span.start <= span.end <= len(held.line(span.line)) + 1


def test_spans() -> None:
    """A word is marked in a source, a path in a configuration, the whole line without a column."""
    text = TextLines('  Handler: "src/app.handler"\n  return a.b\n')
    assert text.span(Location("a", 2, 10)) == Span(1, 9, 10)
    assert text.span(Location("a", 1, 12), whole=True) == Span(0, 12, 27)
    assert text.span(Location("a", 1, 12)) == Span(0, 11, 12)
    assert text.span(Location("a", 2)) == Span(1, 2, 12)


def message(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def read_all(stream: bytes) -> list[bytes]:
    """The bodies, as pygls reads them."""
    frames, bodies, length = MessageStream(io.BytesIO(stream)), [], 0
    while header := frames.readline():
        if header.startswith(b"Content-Length: "):
            length = int(header.split()[1])
        if length and not header.strip():
            bodies.append(frames.read(length))
            length = 0
    return bodies


NOISE = {
    "nothing": b"",
    "a line": b"hello\r\n",
    "no number": b"Content-Length: many\r\n\r\n{}",
    "a negative one": b"Content-Length: -5\r\n\r\n{}",
    "an absurd one": b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "none at all": b"\r\n\r\n{}\r\n",
    "bytes": bytes(range(256)) + b"\n",
    "a long line": b"x" * 200_000 + b"\n",
}


@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_passed_over(noise: str) -> None:
    """What is no message is passed over, up to the next that is one."""
    wanted = b'{"jsonrpc": "2.0"}'
    assert read_all(NOISE[noise] + message(wanted) + message(wanted))[-2:] == [wanted, wanted]


@pytest.mark.parametrize("header", [b"content-length:7\r\n", b"CONTENT-LENGTH:  7 \n"])
def test_headers_are_told_in_any_case(header: bytes) -> None:
    """The header's name is one however it is written."""
    type_ = b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n"
    assert read_all(type_ + header + b"\r\n1234567") == [b"1234567"]
    assert read_all(header + type_ + b"\r\n1234567") == [b"1234567"]


@given(noise=st.binary(max_size=200))
def test_any_noise_ends(noise: bytes) -> None:
    """Whatever comes, reading goes on to the end of it."""
    read_all(noise)


def test_a_message_too_long_is_passed_over() -> None:
    """A message that is too long is no message, and the next one is read."""
    size = MOST_BYTES + 1
    stream = b"Content-Length: %d\r\n\r\n%b" % (size, bytes(size))
    assert read_all(stream + message(b"{}")) == [b"null", b"{}"]


def test_only_the_protocol_writes_to_stdout() -> None:
    """What this process or one that it starts prints goes to stderr, and stdin is no one else's."""
    code = (
        "import subprocess, sys; from lambdad.daemon.lsp.wire import take_stdio\n"
        "reading, writing = take_stdio()\n"
        "print('noise', flush=True); subprocess.run(['sh', '-c', 'echo more; cat'])\n"
        "writing.write(reading.read()); writing.flush()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"mine", capture_output=True, check=True
    )
    assert done.stdout == b"mine"
    assert done.stderr == b"noise\nmore\n"
