"""Files of variables: what they say, and what is no such file."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from lambdad.bundler.inputs import reading
from lambdad.bundler.model import BundlerError
from lambdad.daemon.live.env_files import dotenv, read_env_file
from lambdad.daemon.live.workers.process import WorkerProcess


def test_dotenv_lines() -> None:
    """Quoted values span lines; comments, `export` and lines without a value are known."""
    text = 'A=1 # one\nexport B="x\\ny"\r\nC=\'a # b\'\nnothing\nD="two\nlines"\nE=\n'
    assert dotenv(text) == {"A": "1", "B": "x\ny", "C": "a # b", "D": "two\nlines", "E": ""}


def test_sams_json_is_by_function(tmp_path: Path) -> None:
    """`Parameters` are for all; what is no text is given as JSON."""
    file = tmp_path / "env.json"
    file.write_text('\ufeff{"Parameters": {"A": "x"}, "F": {"B": 1}}')
    assert read_env_file(str(file)) == {"": {"A": "x"}, "F": {"B": "1"}}


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    """Nor is what has no end read: a project's .env can be either."""
    os.mkfifo(tmp_path / "fifo")
    for path, said in ((str(tmp_path / "fifo"), "it is a FIFO"), ("/dev/zero", "it is a device")):
        with pytest.raises(BundlerError, match=said) as caught:
            read_env_file(path, required=False)
        assert caught.value.code == "env-file"


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b'"text"', b'{"F": 1}'])
def test_other_content_is_told(tmp_path: Path, content: bytes) -> None:
    """With the file's name."""
    file = tmp_path / "env.json"
    file.write_bytes(content)
    with pytest.raises(BundlerError, match=r"env\.json") as caught:
        read_env_file(str(file))
    assert caught.value.code == "env-file"


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    """As all files that people write."""
    file = tmp_path / ".env"
    with file.open("wb") as made:
        made.truncate(reading.SETTINGS + 1)
    with pytest.raises(BundlerError, match="larger than 4 MiB"):
        read_env_file(str(file))


@pytest.mark.parametrize(("name", "value"), [("A", "a\0b"), ("A", "\ud800"), ("A=B", "x")])
def test_a_variable_that_no_process_can_have(tmp_path: Path, name: str, value: str) -> None:
    """It is told at once; the request waited for a worker that had not been started."""

    async def start() -> None:
        WorkerProcess(
            [sys.executable], cwd=str(tmp_path), environ={name: value}, heard=lambda _piece: None
        )

    with pytest.raises(BundlerError) as caught:
        asyncio.run(start())
    assert caught.value.code == "bad-environment"
