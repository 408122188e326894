"""Real packages from the real index, for both architectures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.model import Architecture, BuildRequest, BundlerError
from lambdad.bundler.python import dependencies, package
from lambdad.bundler.python.wheels import wheel
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.zips.member import Contents
from lambdad.bundler.zips.native import describe, faults, is_native_name
from tests.conftest import workshop_at, write_tree
from tests.support.samples import function

TARGETS = [("python3.12", "arm64"), ("python3.12", "x86_64"), ("python3.11", "x86_64")]


@pytest.mark.parametrize(("runtime", "architecture"), TARGETS)
def test_numpy_boto3_pydantic(
    runtime: str, architecture: str, tmp_path: Path, shared_store: Store
) -> None:
    """Every native file of what is installed loads on the target: machine, ABI and glibc."""
    workshop = workshop_at(tmp_path / "project", shared_store)
    write_tree(
        Path(workshop.root),
        {
            "src/app.py": "def handler(event, context): ...\n",
            "src/requirements.txt": "numpy\nboto3\npydantic\n",
        },
    )
    target = function(runtime=RUNTIMES[runtime], architecture=Architecture(architecture))
    request = BuildRequest(function=target, toolchain=current_toolchain())
    try:
        found = dependencies.dependencies(request, workshop)
    except BundlerError as fault:
        pytest.skip(f"no index to be reached: {fault.message}")
    natives = 0
    for one in found.wheels:
        for file in one.files:
            if is_native_name(file.name):
                native = describe(wheel.read(one, file))
                assert native is not None
                assert faults(file.name, native, target.runtime, target.architecture) == []
                natives += 1
    assert natives > 10
    contents = package.pack(request, workshop)
    assert _names(contents) >= {"numpy/__init__.py", "boto3/__init__.py", "pydantic/__init__.py"}
    without = replace(request, function=replace(target, without=("boto3",)))
    assert package.pack(request, replace(workshop, offline=True)) == contents
    assert not any(name.startswith("boto") for name in _names(package.pack(without, workshop)))


def test_built_by_setuptools(tmp_path: Path, shared_store: Store) -> None:
    """A package beside the function is built by the real backend, which pip fetches for it."""
    workshop = workshop_at(tmp_path / "project", shared_store)
    write_tree(
        Path(workshop.root),
        {
            "src/app.py": "def handler(event, context): ...\n",
            "src/requirements.txt": "../local\n",
            "local/pyproject.toml": '[project]\nname = "local"\nversion = "1"\n[build-system]\n'
            'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
            "local/local/__init__.py": "",
        },
    )
    request = BuildRequest(
        function=function(runtime=RUNTIMES["python3.12"]), toolchain=current_toolchain()
    )
    try:
        contents = package.pack(request, workshop)
    except BundlerError as fault:
        pytest.skip(f"no index to be reached: {fault.message}")
    assert "local/__init__.py" in _names(contents)


def _names(contents: Contents) -> set[str]:
    assert contents.dependencies is not None
    return {member.name for member in contents.dependencies.members}
