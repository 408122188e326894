"""The one reader of what is not ours."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from lambdad.bundler.inputs.reading import open_regular, read_regular, reason, special

NOTHING_TO_READ = {
    "fifo": "it is a FIFO",
    "zero": "it is a device",
    "folder": "it is a folder",
    "socket": "it is a socket",
    "sparse": "it is larger than 1 MiB",
    "nul\0": "no such file or directory",
}


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    here = os.open(tmp_path, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made, (tmp_path / "sparse").open("wb") as sparse:
        made.bind(f"/proc/self/fd/{here}/socket")  # its own path may be too long for a socket
        sparse.truncate(1 << 30)
    os.close(here)
    (tmp_path / "text").write_bytes(b"text")
    return tmp_path


@pytest.mark.parametrize("name", NOTHING_TO_READ)
def test_only_regular_files_are_read(name: str, place: Path) -> None:
    """All else is refused at once, with what it is."""
    with pytest.raises(OSError) as caught:
        read_regular(f"{place}/{name}", 1 << 20)
    assert reason(caught.value) == NOTHING_TO_READ[name]


def test_a_file_of_just_the_size(place: Path) -> None:
    """`most` bytes are read, one more is too many; an empty file is one, too."""
    assert read_regular(f"{place}/text", 4) == b"text"
    with pytest.raises(OSError, match="larger than 3 bytes") as caught:
        read_regular(f"{place}/text", 3)
    assert caught.value.errno == errno.EFBIG
    with open_regular(f"{place}/text") as file:
        assert file.read() == b"text"
    (place / "text").write_bytes(b"")
    assert read_regular(f"{place}/text", 4) == b""


def test_a_file_that_says_it_is_empty() -> None:
    """Those of /proc have no size and still have content."""
    assert read_regular("/proc/self/status", 1 << 20).startswith(b"Name:")
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular("/proc/self/status", 10)


def test_what_is_special(place: Path) -> None:
    """Files, folders and nothing are not."""
    found = {name: special(f"{place}/{name}") for name in (*NOTHING_TO_READ, "text", "absent")}
    assert found == {
        "fifo": "a FIFO", "zero": "a device", "socket": "a socket", "folder": None,
        "sparse": None, "text": None, "absent": None, "nul\0": None,
    }  # fmt: skip
