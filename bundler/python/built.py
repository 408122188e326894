"""Wheels made here from source, where there are none that fit: of sdists and of local packages."""

from __future__ import annotations

import platform
import posixpath
import re
import sys
import textwrap
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lambdad.bundler import tool_faults, tools, trust
from lambdad.bundler.model import BundlerError
from lambdad.bundler.python import index_probe, interpreters, pip
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.target import Target
from lambdad.bundler.python.wheels import splice, wheel
from lambdad.bundler.python.wheels.wheel import Wheel
from lambdad.bundler.store import notes
from lambdad.bundler.store.sealed import name_of
from lambdad.bundler.tool_faults import Program, scrubbed
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.native import NativeFile, describe, is_native_name

EPOCH: Final = "315532800"
"""1980-01-01, the first day a zip can hold: SOURCE_DATE_EPOCH of every build."""


class NotBuiltError(Exception):
    """Why no wheel for the target came of it; `ended` is how pip ended, where it was run."""

    def __init__(self, reason: str, ended: Completed | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.ended = ended

    @property
    def output(self) -> str:
        """What the build printed."""
        return "" if self.ended is None else self.ended.stderr or self.ended.stdout


def build(
    source: Sequence[str],
    target: Target,
    workshop: Workshop,
    *,
    requirements: str | None = None,
    sources: Indexes | None = None,
) -> Wheel:
    """A wheel built by pip in isolation, normalised, proved and in the store.

    `source` are pip's arguments that name what to build; `requirements` is the text of a file
    that goes in front of them, and `sources` are the indexes that it names.
    Raises NotBuiltError: the build failed, or what came of it is native and this machine is not
    the target's kind. Raises BundlerError: `untrusted-build`, and the machine's faults.
    """
    if not workshop.trusted:
        raise trust.untrusted("a package must be built from source, which runs its code")
    python = interpreters.find(target.version, workshop.environ, workshop.programs)
    version = target.version if python else sys.version_info[:2]
    with workshop.store.workspace() as folder:
        environ = pip.environ(sources or Indexes(), workshop, folder)
        environ |= {"SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0"}
        environ |= {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
        arguments = list(source)
        if requirements is not None:
            (folder / "requirements.txt").write_text(requirements, "utf-8")
            arguments += ["--requirement", "requirements.txt"]
        answer = tools.run(
            [
                *interpreters.pip(python or sys.executable, version),
                *(
                    "wheel",
                    "--no-deps",
                    "--quiet",
                    "--progress-bar=off",
                    "--wheel-dir=out",
                ),
                # Older pips run a setup.py that has no pyproject.toml outside of isolation.
                *(("--use-pep517",) if version < interpreters.PIP_RUNS_SINCE else ()),
                *arguments,
            ],
            cwd=folder,
            environ=environ,
        )
        if answer.code:
            if fault := _machine_fault(answer, sources or Indexes(), workshop):
                raise fault
            raise NotBuiltError("its build failed", answer)
        made = sorted((folder / "out").glob("*.whl"))
        if len(made) != 1:
            raise NotBuiltError(f"its build made {len(made)} wheels", answer)
        _check_fit(made[0], target, interpreter_fits=python is not None)
        normal = folder / made[0].name
        splice.normalise(made[0], normal)
        return wheel.add(workshop.store, normal)


_SHOWN_LINES: Final = 12


_FRAMED: Final = re.compile(r"\[\d+ lines? of output\]\n(.*?)\n *\[end of output\]", re.DOTALL)
"""What pip quotes of a package's own build."""


def _machine_fault(ended: Completed, sources: Indexes, workshop: Workshop) -> BundlerError | None:
    """The words of a package's own build count only where they are the system's."""
    said = ended.stderr or ended.stdout
    own = Completed(ended.code, "", _FRAMED.sub("", said))
    quoted = Completed(1, "", "\n".join(_FRAMED.findall(said)))
    fault = tool_faults.machine_fault(Program.PIP, own)
    fault = fault or tool_faults.machine_fault(Program.PYTHON, quoted)
    if fault is None and "No matching distribution found" in said:
        # What the build needs is missing; the pip that looked for it does not say why.
        fault = index_probe.fault(sources, workshop)
    return fault


def essence(output: str) -> str:
    """The end of what the package's own build said, without the frame that pip puts around it."""
    output = scrubbed(output)
    framed = _FRAMED.search(output)
    lines = textwrap.dedent(framed[1] if framed else output).rstrip().splitlines()
    return "".join(f"\n  {line}" for line in lines[-_SHOWN_LINES:])


def _check_fit(path: Path, target: Target, *, interpreter_fits: bool) -> None:
    """Raises NotBuiltError unless it is pure Python, or as good as built on the target."""
    if targets.rank(target, path.name) is None:
        raise NotBuiltError(f"what this machine builds of it is {path.name}, which does not fit")
    natives = list(_natives(path))
    if not natives and path.name.endswith("-none-any.whl"):
        return
    if not interpreter_fits or not targets.is_host(target):
        here = f"python{sys.version_info[0]}.{sys.version_info[1]} on {platform.machine()}"
        raise NotBuiltError(f"it is native code, and this machine has {here}")
    needed = max((native.glibc or (0, 0) for native in natives), default=(0, 0))
    if needed > target.glibc:
        raise NotBuiltError(
            f"built here it needs glibc {_dotted(needed)}, and {target} has {_dotted(target.glibc)}"
        )


def _natives(path: Path) -> Iterator[NativeFile]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if native := describe(archive.read(name)):
                yield native


def foreign_libraries(one: Wheel) -> tuple[str, ...]:
    """What its native code loads that neither it nor a Lambda runtime brings, by soname."""
    names = {posixpath.basename(file.name) for file in one.files}
    natives = (describe(wheel.read(one, file)) for file in one.files if is_native_name(file.name))
    wanted = {library for native in natives if native for library in native.libraries}
    return tuple(sorted(wanted - names))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


# --- what was chosen or built before ---------------------------------------------------------


def key_of(*parts: object) -> str:
    """A name for what was decided from these parts alone."""
    return name_of(parts)


def recall(workshop: Workshop, key: str) -> Mapping[str, Any] | None:
    """What was remembered under the key; torn or foreign state is a miss."""
    document = notes.read(workshop.store, "locks", key)
    return document if isinstance(document, dict) else None


def remember(workshop: Workshop, key: str, document: Mapping[str, object]) -> None:
    notes.write(workshop.store, "locks", key, document)


def offline(what: str) -> BundlerError:
    return BundlerError("offline", f"{what}, and --offline is set", "run it once with a network")
