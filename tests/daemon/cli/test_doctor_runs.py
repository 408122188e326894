"""`lambdad doctor` looks at a project and runs none of its code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import write_tree


def test_no_program_of_the_projects(tmp_path: Path) -> None:
    """A folder is no place to look for pip, Node.js or npm because doctor was called in it."""
    root = tmp_path / "clone"
    ran = tmp_path / "ran"
    write_tree(root, {
        "pip/__init__.py": "",
        "pip/__main__.py": f"open({str(ran)!r}, 'w').close()\n",
        **dict.fromkeys(("node", "npm", "bin/node", "bin/npm"), f"#!/bin/sh\ntouch {ran}\n"),
    })  # fmt: skip
    for name in ("node", "npm", "bin/node", "bin/npm"):
        (root / name).chmod(0o755)
    environ = {**os.environ, "HOME": str(tmp_path), "LAMBDAD_CACHE_DIR": str(tmp_path / "store")}
    environ["PATH"] = os.pathsep.join(["", "bin", environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from lambdad.daemon.entry import main; main()", "doctor"],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip" in done.stdout
    assert not ran.exists(), done.stdout
