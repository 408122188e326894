"""Real editors, without a screen, each with the configuration that docs/editors.md gives for it.

They are not needed: a test whose editor is not here is skipped, and says so. NEOVIM and EMACS in
the environment name others than those on PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.served import served

SNIPPETS = ROOT / "fixtures" / "editors"
DRIVERS = ROOT / "tests" / "editors"
BROKEN = "import os\n\n\ndef handler(event, context):\n    return os.name + missing\n"


def test_neovim(tmp_path: Path) -> None:
    """In Neovim a fault appears at its line when the file is saved, and goes when it is mended."""
    nvim = _editor("NEOVIM", "nvim")
    told = subprocess.run([nvim, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", told)[:2]))
    config = "neovim.lua" if version >= (0, 11) else "neovim-older.lua"
    command = [nvim, "--headless", "-u", str(SNIPPETS / config)]
    _see(tmp_path, [*command, "-c", f"luafile {DRIVERS / 'neovim.lua'}"], "5:22 F821")


def test_neovim_by_the_older_way(tmp_path: Path) -> None:
    """The configuration for older ones works with whichever Neovim is here."""
    nvim = _editor("NEOVIM", "nvim")
    command = [nvim, "--headless", "-u", str(SNIPPETS / "neovim-older.lua")]
    _see(tmp_path, [*command, "-c", f"luafile {DRIVERS / 'neovim.lua'}"], "5:22 F821")


def test_emacs(tmp_path: Path) -> None:
    """In Emacs a fault appears at its line when the file is saved, and goes when it is mended."""
    emacs = _editor("EMACS", "emacs")
    asked = [emacs, "--batch", "--eval", "(require 'eglot)"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("NOT CHECKED: this Emacs has no eglot; Debian's elpa-eglot has it")
    command = [emacs, "--batch", "-l", str(SNIPPETS / "emacs.el"), "-l", str(DRIVERS / "emacs.el")]
    _see(tmp_path, command, "5:22 ")


def _editor(variable: str, name: str) -> str:
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        pytest.skip(f"NOT CHECKED: {name} is not installed here; {variable} may name one")
    return found


def _see(folder: Path, command: Sequence[str], expected: str) -> None:
    """Runs the driver in the editor, and looks at what it reports."""
    report, broken = folder / "report", folder / "broken.py"
    broken.write_text(BROKEN)
    with served(folder, start=False) as app:
        environ = {
            **app.site.environ,
            "PATH": f"{_command(folder)}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "home"),
            "XDG_DATA_HOME": str(folder / "home"),
            "REPORT": str(report),
            "FILE": str(app.root / "one/app.py"),
            "BROKEN": str(broken),
        }
        (folder / "home").mkdir()
        done = subprocess.run(
            command,
            cwd=app.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        told = report.read_text() if report.exists() else ""
        said = f"{told}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        attached, *shown, mended = told.splitlines()
        assert attached == "attached lambdad", said
        assert mended == "mended", said
        assert len(shown) == 1, said
        assert shown[0].startswith(expected), said


def _command(folder: Path) -> Path:
    """A folder with a `lambdad` in it: this checkout's."""
    place = folder / "bin"
    place.mkdir()
    script = place / "lambdad"
    code = "from lambdad.daemon.entry import main; main()"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    script.chmod(0o755)
    return place
