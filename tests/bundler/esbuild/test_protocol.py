from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.esbuild.protocol import (
    FrameReader,
    Packet,
    ProtocolError,
    Value,
    decode,
    encode,
)

VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**32 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
PACKETS = st.builds(Packet, st.integers(0, 2**31 - 1), st.booleans(), VALUES)


@given(PACKETS)
def test_packets_survive(packet: Packet) -> None:
    """What is encoded is decoded as it was."""
    (frame,) = FrameReader().feed(encode(packet))
    assert decode(frame) == packet


@given(st.lists(PACKETS, max_size=5), st.lists(st.integers(0, 400), max_size=8))
def test_frames_survive_any_split(packets: list[Packet], cuts: list[int]) -> None:
    """The stream may be cut anywhere: the same frames come out, in order."""
    stream = b"".join(map(encode, packets))
    at = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    frames = FrameReader()
    found = [
        frame for start, end in itertools.pairwise(at) for frame in frames.feed(stream[start:end])
    ]
    assert [decode(frame) for frame in found] == packets


@given(PACKETS)
def test_torn_packets_are_refused(packet: Packet) -> None:
    """A packet cut at any byte, or with a byte too many, is a ProtocolError and nothing else."""
    frame = encode(packet)[4:]
    for end in range(len(frame)):
        with pytest.raises(ProtocolError):
            decode(frame[:end])
    with pytest.raises(ProtocolError):
        decode(frame + b"\0")


@given(st.binary(max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    """Any bytes are a packet or a ProtocolError."""
    try:
        decode(noise)
    except ProtocolError:
        return


def test_known_bytes() -> None:
    """The encoding is the one esbuild reads: tags, lengths and the response bit."""
    packet = Packet(3, True, {"a": [None, True, 7, "ü", b"\xff"]})
    body = (
        struct.pack("<I", 3 << 1)
        + b"\x06\x01\0\0\0"
        + b"\x01\0\0\0a"
        + b"\x05\x05\0\0\0"
        + b"\0"
        + b"\x01\x01"
        + b"\x02\x07\0\0\0"
        + b"\x03\x02\0\0\0\xc3\xbc"
        + b"\x04\x01\0\0\0\xff"
    )
    assert encode(packet) == struct.pack("<I", len(body)) + body
    response = encode(Packet(3, False, None))
    assert response == b"\x05\0\0\0\x07\0\0\0\0"


def test_names_that_are_not_utf8_survive() -> None:
    """A file name that is not UTF-8 goes through as os.fsdecode has it."""
    name = b"caf\xe9.ts".decode("utf-8", "surrogateescape")
    (frame,) = FrameReader().feed(encode(Packet(0, True, {"path": name})))
    assert b"caf\xe9.ts" in frame
    assert decode(frame).value == {"path": name}


def test_other_types_are_refused() -> None:
    """A value without a tag is our mistake, told at once."""
    with pytest.raises(TypeError):
        encode(Packet(0, True, 1.5))  # type: ignore[arg-type]


def test_minus_one_is_its_u32() -> None:
    """-1, which esbuild uses for "none", arrives as 4294967295."""
    assert decode(encode(Packet(0, True, -1))[4:]).value == 4294967295
