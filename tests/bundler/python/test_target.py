"""What dependencies are chosen for."""

from __future__ import annotations

import re

import pytest
from packaging.markers import Marker

from lambdad.bundler.model import Architecture, Language
from lambdad.bundler.python import target as targets
from lambdad.bundler.runtimes import RUNTIMES
from tests.support.samples import function

PYTHONS = [name for name, runtime in RUNTIMES.items() if runtime.language is Language.PYTHON]


def target(runtime: str = "python3.12", architecture: str = "x86_64") -> targets.Target:
    return targets.of(function(runtime=RUNTIMES[runtime], architecture=Architecture(architecture)))


@pytest.mark.parametrize(
    ("runtime", "architecture", "tag", "fits"),
    [
        ("python3.12", "x86_64", "cp312-cp312-manylinux_2_34_x86_64", True),
        ("python3.12", "x86_64", "cp312-cp312-manylinux_2_35_x86_64", False),
        ("python3.11", "x86_64", "cp311-cp311-manylinux_2_26_x86_64", True),
        ("python3.11", "x86_64", "cp311-cp311-manylinux_2_27_x86_64", False),
        ("python3.11", "x86_64", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("python3.11", "x86_64", "cp311-cp311-manylinux1_x86_64", True),
        ("python3.11", "arm64", "cp311-cp311-manylinux2014_aarch64", True),
        ("python3.11", "arm64", "cp311-cp311-manylinux2010_aarch64", False),
        ("python3.12", "arm64", "cp312-cp312-manylinux2014_x86_64", False),
        ("python3.12", "x86_64", "cp38-abi3-manylinux2014_x86_64", True),
        ("python3.12", "x86_64", "cp313-abi3-manylinux2014_x86_64", False),
        ("python3.12", "x86_64", "cp311-cp311-manylinux2014_x86_64", False),
        ("python3.12", "x86_64", "py3-none-manylinux2014_x86_64", True),
        ("python3.12", "x86_64", "py2.py3-none-any", True),
        ("python3.12", "x86_64", "py2-none-any", False),
        ("python3.12", "x86_64", "cp312-cp312-musllinux_1_2_x86_64", False),
        ("python3.12", "x86_64", "cp312-cp312-macosx_11_0_arm64", False),
        ("python3.13", "x86_64", "cp313-cp313t-manylinux2014_x86_64", False),
    ],
)
def test_tags(runtime: str, architecture: str, tag: str, fits: bool) -> None:
    """A wheel fits by interpreter, ABI, machine and the glibc of the runtime's Amazon Linux."""
    rank = targets.rank(target(runtime, architecture), f"pkg-1.0-{tag}.whl")
    assert (rank is not None) is fits


def test_order() -> None:
    """The nearest tag wins: own ABI, then abi3, then pure; newer glibc before older."""
    tags = [
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp312-cp312-manylinux2014_x86_64",
        "cp312-abi3-manylinux2014_x86_64",
        "cp38-abi3-manylinux2014_x86_64",
        "py3-none-manylinux2014_x86_64",
        "py3-none-any",
    ]
    ranks = [targets.rank(target(), f"pkg-1.0-{tag}.whl") for tag in tags]
    assert None not in ranks
    assert ranks == sorted(ranks, key=lambda rank: rank or 0)
    assert len(set(ranks)) == len(ranks)


@pytest.mark.parametrize("runtime", PYTHONS)
@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_tools_are_told_no_more_than_the_glibc(runtime: str, architecture: str) -> None:
    """Neither pip nor uv may take a wheel that needs a newer glibc than the runtime has."""
    chosen = target(runtime, architecture)
    flags = " ".join([*targets.pip_flags(chosen), *targets.uv_flags(chosen)])
    minors = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)", flags)]
    assert max(minors) == chosen.glibc[1]
    assert chosen.machine in flags
    assert ("aarch64" if chosen.machine == "x86_64" else "x86_64") not in flags


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ('sys_platform == "linux"', True),
        ('sys_platform == "win32"', False),
        ('python_version < "3.13"', True),
        ('python_full_version >= "3.12.1"', True),
        ('platform_machine == "aarch64"', True),
        ('platform_machine == "x86_64"', False),
        ('implementation_name == "cpython" and os_name == "posix"', True),
        ('extra == "fast"', False),
    ],
)
def test_markers(marker: str, holds: bool) -> None:
    """Markers are judged for Lambda, whatever machine this is."""
    assert targets.holds(target("python3.12", "arm64"), Marker(marker)) is holds


def test_extras_switch_markers_on() -> None:
    """A marker on an extra holds for who asks for that extra."""
    marker = Marker('extra == "fast"')
    assert targets.holds(target(), marker, frozenset({"fast"}))
    assert not targets.holds(target(), marker, frozenset({"slow"}))
