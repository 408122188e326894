"""Python interpreters of this machine, found without trusting their names."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from lambdad.bundler import tools, trust
from lambdad.bundler.model import BundlerError
from lambdad.bundler.trust import EVERYWHERE, SearchPath
from lambdad.bundler.workshop import Workshop

PythonVersion = tuple[int, int]

PIP_RUNS_SINCE: Final[PythonVersion] = (3, 10)
"""Our pip can run under interpreters from here on; older ones have to bring their own."""


def find(
    version: PythonVersion, environ: Mapping[str, str], programs: SearchPath = EVERYWHERE
) -> str | None:
    """An interpreter of that version: ours, one on PATH, one of pyenv's, one of uv's; or None.

    Raises BundlerError `untrusted-build` if there is only one of an untrusted project's own.
    """
    if sys.version_info[:2] == version:
        return sys.executable
    path, pyenv, home = (environ.get(name, "") for name in ("PATH", "PYENV_ROOT", "HOME"))
    found = _known((version, path, pyenv, home))
    if found is None and (passed_over := programs.has_passed_over(_name(version))):
        raise _the_projects(passed_over)
    return found


def _name(version: PythonVersion) -> str:
    return f"python{version[0]}.{version[1]}"


def _the_projects(found: str) -> BundlerError:
    return trust.untrusted(f"{found} must be run, which lies in the project")


ABSENT_S: Final = 3.0
"""What was not there is looked for again after so long: it may have been installed."""

_Key = tuple[PythonVersion, str, str, str, *tuple[int, ...]]
_FOUND: Final[dict[_Key, tuple[str | None, float]]] = {}
"""What was found and when: looking for it runs programs."""


def _known(key: _Key) -> str | None:
    """As `_find`, which is called once for what is there."""
    found, looked_s = _FOUND.get(key, (None, -ABSENT_S))
    is_there = found is not None and os.access(found, os.X_OK)
    if not is_there and (found is not None or time.monotonic() >= looked_s + ABSENT_S):
        found = _find(*key[:4])
        _FOUND[key] = found, time.monotonic()
    return found


def for_worker(version: PythonVersion, workshop: Workshop) -> str | None:
    """The interpreter that runs functions of that version here: the user's before ours, since it
    has what the user installed in it. Whatever PATH has by its name is an input.

    Raises BundlerError `untrusted-build` if PATH has one of an untrusted project's own: another is
    not taken instead, since what was built with that would answer once the project is trusted.
    """
    environ, seen = workshop.environ, workshop.seen
    if passed_over := workshop.programs.has_passed_over(_name(version)):
        raise _the_projects(passed_over)
    path, pyenv, home = (environ.get(name, "") for name in ("PATH", "PYENV_ROOT", "HOME"))
    folders = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
    named = [os.path.join(folder, _name(version)) for folder in folders]
    seen.file(*named)
    found = _known((version, path, pyenv, home, *map(_changed, named)))
    if found is None and sys.version_info[:2] == version:
        found = sys.executable
    if found is not None:
        seen.file(found)
    return found


def _changed(path: str) -> int:
    """When the file was changed last, in nanoseconds; 0 if there is none."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return 0


def _find(version: PythonVersion, path: str, pyenv: str, home: str) -> str | None:
    environ = {"PATH": path, "HOME": home, "LC_ALL": "C.UTF-8"}
    for candidate in _candidates(version, path, pyenv, home, environ):
        if _probe(candidate, environ) == version:
            return candidate
    return None


def _candidates(
    version: PythonVersion, path: str, pyenv: str, home: str, environ: Mapping[str, str]
) -> Iterator[str]:
    # A relative folder would lead elsewhere from where the interpreter is run.
    for folder in filter(os.path.isabs, path.split(os.pathsep)):
        if found := shutil.which(_name(version), path=folder):
            yield found
    versions = os.path.join(pyenv or os.path.join(home, ".pyenv"), "versions")
    pattern = re.compile(rf"{version[0]}\.{version[1]}\.(\d+)")
    if os.path.isdir(versions):
        patches = [match for entry in os.listdir(versions) if (match := pattern.fullmatch(entry))]
        for patch in sorted(patches, key=lambda match: -int(match[1])):
            yield os.path.join(versions, patch[0], "bin", "python")
    import uv

    arguments = ["python", "find", "--managed-python", "--no-python-downloads", "--no-config"]
    answer = tools.run(
        [uv.find_uv_bin(), "--no-cache", *arguments, f"{version[0]}.{version[1]}"],
        cwd=tempfile.gettempdir(),
        environ=environ,
        timeout_s=30,
    )
    if answer.code == 0:
        yield answer.stdout.strip()


def _probe(python: str, environ: Mapping[str, str]) -> PythonVersion | None:
    """The version it says it is; None for a shim that leads nowhere."""
    script = "import sys; print(*sys.version_info[:2])"
    try:
        answer = tools.run(
            [python, "-I", "-c", script], cwd=tempfile.gettempdir(), environ=environ, timeout_s=30
        )
    except BundlerError:
        return None
    parts = answer.stdout.split()
    if answer.code or len(parts) != 2:
        return None
    return int(parts[0]), int(parts[1])


def pip(python: str, version: PythonVersion) -> list[str]:
    """The command line of pip under that interpreter."""
    if python == sys.executable:
        return [python, "-m", "pip"]
    if version >= PIP_RUNS_SINCE:
        return [sys.executable, "-m", "pip", "--python", python]
    return [python, "-m", "pip"]


def pip_environ(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """For pip: the user's settings, but nothing that asks questions or leads to other modules.

    Its temporary files lie in `folder`, which its caller removes: if pip is ended, pip does not.
    """
    chosen = {name: value for name, value in environ.items() if name not in _MISLEADING}
    chosen |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_NO_COLOR": "1"}
    chosen |= {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return chosen | {"TMPDIR": str(folder)}


_MISLEADING: Final = frozenset(
    {
        "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONDEVMODE",
        "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_LOG",
        "PIP_PLATFORM", "PIP_PYTHON", "PIP_PYTHON_VERSION", "PIP_ABI", "PIP_IMPLEMENTATION",
        "PIP_QUIET", "PIP_VERBOSE", "PIP_DEST", "PIP_REQUIREMENT", "PIP_CONSTRAINT",
        "PIP_DRY_RUN", "PIP_REPORT",
    }
)  # fmt: skip
"""PIP_CONSTRAINT, too: what a build installs is the project's alone to decide."""
