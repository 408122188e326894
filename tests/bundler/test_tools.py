"""Running other programs."""

from __future__ import annotations

import os
import select
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambdad.bundler import tools
from lambdad.bundler.model import BundlerError

GRANDCHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
os.replace(sys.argv[1], sys.argv[2])
child.wait()
"""


def test_output_and_code(tmp_path: Path) -> None:
    """Both outputs and the exit code come back, bytes that are not UTF-8 included."""
    script = (
        "import sys; sys.stdout.buffer.write(b'\\xffout'); sys.stderr.write('err'); sys.exit(3)"
    )
    answer = tools.run([sys.executable, "-c", script], cwd=tmp_path)
    assert answer == tools.Completed(3, "\ufffdout", "err")


def test_a_missing_program(tmp_path: Path) -> None:
    """A program that can't be started is the machine's fault, named."""
    with pytest.raises(BundlerError) as fault:
        tools.run(["no-such-program"], cwd=tmp_path)
    assert fault.value.code == "tool-missing"


def ends(pid: int) -> bool:
    """Whether the process ends; a signal that was sent takes its moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 30)[0])
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process by pidfd_open")
def test_a_time_out_ends_the_whole_group(tmp_path: Path) -> None:
    """A tool's own children go with it."""
    with pytest.raises(BundlerError) as fault:
        tools.run(
            [sys.executable, "-c", GRANDCHILD, str(tmp_path / "a"), str(tmp_path / "pid")],
            cwd=tmp_path,
            timeout_s=2,
        )
    assert fault.value.code == "tool-timeout"
    assert ends(int((tmp_path / "pid").read_text()))


def test_output_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that prints for ever is ended, whichever way it prints, and nothing of it is kept."""
    monkeypatch.setattr(tools, "MOST_OUTPUT", 1 << 20)
    for stream in ("stdout", "stderr"):
        script = f"import sys\nwhile True: sys.{stream}.write('x' * 4096)"
        with pytest.raises(BundlerError) as fault:
            tools.run([sys.executable, "-c", script], cwd=tmp_path)
        assert fault.value.code == "tool-output"


def test_long_input_and_output_at_a_time(tmp_path: Path) -> None:
    """Neither side waits for the other, however much they have to say."""
    text = "é\n" * 500_000
    copy = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer, 999)"
    answer = tools.run([sys.executable, "-c", copy], cwd=tmp_path, input_text=text)
    assert answer.stdout == text


def test_a_tool_that_reads_nothing(tmp_path: Path) -> None:
    """What it is sent is lost, and no fault."""
    answer = tools.run([sys.executable, "-c", ""], cwd=tmp_path, input_text="x" * 1_000_000)
    assert answer == tools.Completed(0, "", "")


def test_end_all_ends_what_runs(tmp_path: Path) -> None:
    """An interrupted build leaves no tool behind, and its caller is told of no answer."""
    os.mkfifo(tmp_path / "ready")
    script = "import time; open('ready', 'w').write('up'); time.sleep(600)"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(tools.run, [sys.executable, "-c", script], cwd=tmp_path)
        assert (tmp_path / "ready").read_text() == "up"
        tools.end_all()
        with pytest.raises(BundlerError) as caught:
            running.result(timeout=30)
    assert caught.value.code == "interrupted"


def test_end_all_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process is about to exit, whoever still starts a tool gets one that has ended."""
    monkeypatch.setattr(tools, "_no_more", threading.Event())
    tools.end_all(for_good=True)
    script = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(BundlerError) as caught:
        tools.run(script, cwd=tmp_path, timeout_s=30)
    assert caught.value.code == "interrupted"
