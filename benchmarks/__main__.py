"""`make bench`: every promise of speed, measured against its yardstick in the same run.

`make bench ARGS=bundle` runs those whose name holds the word. SAM is measured where it can be
installed from PyPI into .bench; the rest needs what `make test` needs.
"""

from __future__ import annotations

import compileall
import sys
import tempfile
from pathlib import Path

from benchmarks import bundles, closures, daemon, live, memory, rebuilds, save, vendoring, watching
from benchmarks.measure import report

BENCHMARKS = {
    "bundle": bundles.claims,
    "closure": closures.claims,
    "vendor": vendoring.claims,
    "rebuild": rebuilds.claims,
    "daemon": daemon.claims,
    "save": save.claims,
    "watch": watching.claims,
    "live": live.claims,
    "memory": memory.claims,
}


def main() -> int:
    words = sys.argv[1:]
    for package in ("bundler", "daemon"):  # as pip does when it installs them
        compileall.compile_dir(Path(__file__).parent.parent / package, quiet=1)
    chosen = [name for name in BENCHMARKS if not words or any(word in name for word in words)]
    holds = True
    for name in chosen:
        print(f"# {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as folder:
            holds &= report(BENCHMARKS[name](Path(folder)))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
