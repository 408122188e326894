"""Wheels made here from source, where there are none that fit: of sdists and of local packages."""

from __future__ import annotations

import contextlib
import hashlib
import io
import platform
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bundler import tools
from bundler.model import BundlerError
from bundler.python import interpreters, splice, wheel
from bundler.python import target as targets
from bundler.python.target import Target
from bundler.python.wheel import Wheel
from bundler.sealed import seal, unseal
from bundler.workshop import Workshop

EPOCH: Final = "315532800"
"""1980-01-01, the first day a zip can hold: SOURCE_DATE_EPOCH of every build."""


class NotBuildable(Exception):
    """Why no wheel for the target came of it; `output` is the build's own."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.output = output


def build(
    source: Sequence[str], target: Target, workshop: Workshop, *, requirements: str | None = None
) -> Wheel:
    """A wheel built by pip in isolation, normalised, proved and in the store.

    `source` are pip's arguments that name what to build; `requirements` is the text of a file
    that goes in front of them. Raises NotBuildable: the build failed, or what came of it is
    native and this machine is not the target's kind.
    """
    python = interpreters.find(target.version, workshop.environ)
    version = target.version if python else sys.version_info[:2]
    environ = interpreters.pip_environ(workshop.environ)
    environ |= {"SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    with workshop.store.workspace() as folder:
        arguments = list(source)
        if requirements is not None:
            (folder / "requirements.txt").write_text(requirements, "utf-8")
            arguments += ["--requirement", "requirements.txt"]
        answer = tools.run(
            [
                *interpreters.pip(python or sys.executable, version),
                *("wheel", "--no-deps", "--quiet", "--progress-bar=off", "--wheel-dir=out"),
                *arguments,
            ],
            cwd=folder,
            environ=environ,
        )
        if answer.code:
            raise NotBuildable("its build failed", answer.stderr or answer.stdout)
        made = sorted((folder / "out").glob("*.whl"))
        if len(made) != 1:
            raise NotBuildable(f"its build made {len(made)} wheels", answer.stderr)
        _check_fit(made[0], target, interpreter_fits=python is not None)
        normal = folder / made[0].name
        splice.normalise(made[0], normal)
        return wheel.add(workshop.store, normal)


def _check_fit(path: Path, target: Target, *, interpreter_fits: bool) -> None:
    """Raises NotBuildable unless it is pure Python, or as good as built on the target."""
    if targets.rank(target, path.name) is None:
        raise NotBuildable(f"what this machine builds of it is {path.name}, which does not fit")
    if path.name.endswith("-none-any.whl"):
        return
    if not interpreter_fits or not targets.is_host(target):
        here = f"python{sys.version_info[0]}.{sys.version_info[1]} on {platform.machine()}"
        raise NotBuildable(f"it is native code, and this machine is {here}")
    needed = needed_glibc(path)
    if needed > target.glibc:
        raise NotBuildable(
            f"built here it needs glibc {_dotted(needed)}, and {target} has {_dotted(target.glibc)}"
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def needed_glibc(path: Path) -> tuple[int, ...]:
    """The newest glibc that a wheel's ELF files ask for; (0,) if none does."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    newest: tuple[int, ...] = (0,)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if not content.startswith(b"\x7fELF"):
                continue
            with contextlib.suppress(ELFError):
                for section in ELFFile(io.BytesIO(content)).iter_sections():
                    if isinstance(section, GNUVerNeedSection):
                        for _, needs in section.iter_versions():
                            newest = max(newest, *(_glibc(need.name) for need in needs), (0,))
    return newest


def _glibc(symbol_version: str) -> tuple[int, ...]:
    number = symbol_version.removeprefix("GLIBC_")
    parts = number.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else (0,)


# --- what was chosen or built before ---------------------------------------------------------


def key_of(*parts: object) -> str:
    """A name for what was decided from these parts alone."""
    return hashlib.sha256(seal(parts)).hexdigest()


def recall(workshop: Workshop, key: str) -> Mapping[str, Any] | None:
    """What was remembered under the key; torn or foreign state is a miss."""
    if (path := workshop.store.find("locks", f"{key}.json")) is None:
        return None
    try:
        document = unseal(path.read_bytes())
    except OSError:
        return None
    return document if isinstance(document, dict) else None


def remember(workshop: Workshop, key: str, document: Mapping[str, object]) -> None:
    workshop.store.put("locks", f"{key}.json", seal(document))


def offline(what: str) -> BundlerError:
    return BundlerError(
        "offline", f"{what}, and lambdad was told to stay offline", "run it once with a network"
    )
