"""`make demo`: builds the sample app, edits a file, builds again, and shows what a user sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
APP = HERE / "fixtures" / "apps" / "notes"
COPY = HERE / ".demo" / "notes"


def main() -> int:
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(APP, COPY)
    tell("A copy of fixtures/apps/notes: TypeScript and Python functions with real dependencies.")
    show("npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit")
    tell("The first build fetches and proves the wheels, and esbuild if it is not here yet.")
    show("lambdad", "build")
    tell("Typed again, it does nothing, at once.")
    show("lambdad", "build")
    tell("One line changes in a module that the TypeScript functions share ...")
    replace("src/shared/answer.ts", '"application/json"', '"application/json; charset=utf-8"')
    show("lambdad", "build", "--verbose")
    tell("... and one in the Python function: its dependencies are not touched again.")
    replace("summary/notes_summary/words.py", "how_many=3", "how_many=5")
    show("lambdad", "build", "--verbose")
    tell("A mistake is reported with its place, and the last good zip stays.")
    replace("src/notes/list.ts", "function handler(", "function main(")
    show("lambdad", "build", "ListNotes", expect=1)
    replace("src/notes/list.ts", "function main(", "function handler(")
    show("lambdad", "build", "ListNotes")
    tell("What a build looked at, and what would make it stale:")
    show("lambdad", "why", "Summarise")
    tell("The zips are in .demo/notes/.lambdad/build, with a manifest.json for programs.")
    return 0


def tell(text: str) -> None:
    print(f"\n# {text}", flush=True)


def show(name: str, *arguments: str, expect: int = 0) -> None:
    print(f"$ {name} {' '.join(arguments)}", flush=True)
    folder = os.path.dirname(sys.executable)
    program = os.path.join(folder, name) if name == "lambdad" else name
    code = subprocess.run([program, *arguments], cwd=COPY, check=False).returncode
    if code != expect:
        sys.exit(f"the demo stops here: {name} ended with {code}, not {expect}")


def replace(path: str, before: str, after: str) -> None:
    file = COPY / path
    text = file.read_text()
    assert before in text, f"{path} does not hold {before}"
    file.write_text(text.replace(before, after))
    print(f"$ edit {path}: {before} -> {after}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
