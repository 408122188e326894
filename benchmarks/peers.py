"""The tools we are measured against, installed from PyPI into .bench, apart from our own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LAMBDAD = BIN / "lambdad"
FOLDER = HERE / ".bench"


def sam() -> Path | None:
    """AWS SAM's command; None, said aloud, where it can't be installed."""
    program = FOLDER / "sam" / "bin" / "sam"
    if not program.exists():
        print("installing aws-sam-cli into .bench ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "sam"], check=True)
        done = subprocess.run(
            [FOLDER / "sam" / "bin" / "pip", "install", "--quiet", "aws-sam-cli"], check=False
        )
        if done.returncode != 0:
            print("aws-sam-cli can't be installed: its comparisons are left out", flush=True)
            return None
    return program


SAM_ENVIRON = {"SAM_CLI_TELEMETRY": "0", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def zip_folder(folder: Path, target: Path) -> None:
    """As packaging tools do it: the interpreter's own zipfile, deflated."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder))


ZIP_SCRIPT = (
    "import sys; from pathlib import Path; from benchmarks.peers import zip_folder; "
    "zip_folder(Path(sys.argv[1]), Path(sys.argv[2]))"
)
