"""`lambdad lock`: the lock that a build then takes as it is."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace

import pytest

from lambdad.bundler.model import Architecture, BundlerError, Function, ProjectError
from lambdad.bundler.python import interpreters, locking
from lambdad.bundler.python.locking import Written
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.toolchain import current_toolchain
from tests.conftest import write_tree
from tests.support.python_index import Project, installed, project, source_tree, warnings_of
from tests.support.samples import function

__all__ = ["project"]


def lock(project: Project, *functions: Function) -> Written:
    return locking.write_lock(functions or (function(),), current_toolchain(), project.workshop)


def text_of(project: Project, path: str) -> str:
    return (project.root / path).read_text()


def test_lock_then_build(project: Project) -> None:
    """What `lock` writes is all that a locked build needs, and gives what the open one gave."""
    project.index.wheel("alpha", requires=["beta"])
    project.index.wheel("beta", "1.0")
    project.lay({"src/requirements.txt": "alpha\n"})
    before = project.pack()
    assert lock(project) == Written(path="src/pylock.toml", changed=True)
    project.index.wheel("beta", "2.0")
    after = project.pack(locked=True)
    assert after.dependencies == before.dependencies
    assert warnings_of(after) == []


def test_unchanged(project: Project) -> None:
    """A lock that still fits is left alone: newer versions do not come in by themselves."""
    project.index.wheel("beta", "1.0")
    project.lay({"src/requirements.txt": "beta\n"})
    lock(project)
    status = (project.root / "src/pylock.toml").stat()
    project.index.wheel("beta", "2.0")
    assert lock(project) == Written(path="src/pylock.toml", changed=False)
    assert (project.root / "src/pylock.toml").stat() == status
    project.lay({"src/requirements.txt": "beta>=2\n"})
    assert project.faults() == ["lock-outdated"]
    assert lock(project).changed
    assert installed(project.pack(locked=True)) == ["beta-2.0"]


def test_one_lock_for_several_targets(project: Project) -> None:
    """Functions that share requirements share a lock with every platform's wheels."""
    for machine in ("x86_64", "aarch64"):
        project.index.wheel("fast", tag=f"cp312-cp312-manylinux2014_{machine}")
    project.index.wheel("fast", tag="cp312-cp312-macosx_11_0_arm64")
    project.lay({"src/requirements.txt": "fast\n"})
    both = [
        function("A"),
        function("B", architecture=Architecture.ARM64),
    ]
    assert locking.groups(both, project.workshop) == [both]
    lock(project, *both)
    document = tomllib.loads(text_of(project, "src/pylock.toml"))
    assert len(document["packages"][0]["wheels"]) == 3
    for one in both:
        contents = project.pack(locked=True, architecture=one.architecture)
        assert installed(contents) == ["fast-1.0"]


def test_local_packages_stay_as_named(project: Project) -> None:
    """A local package is in the lock by its relative path, and nothing of this machine is."""
    project.index.wheel("beta")
    for name, content in source_tree("shared", requires=["beta"]).items():
        project.lay({f"libs/shared/{name}": content})
    project.lay({"src/requirements.txt": "-e ../libs/shared\n"})
    lock(project)
    document = tomllib.loads(text_of(project, "src/pylock.toml"))
    shared = next(one for one in document["packages"] if one["name"] == "shared")
    assert shared["directory"] == {"path": "../libs/shared", "editable": True}
    assert str(project.workshop.store.root) not in text_of(project, "src/pylock.toml")
    assert not (project.root / "libs/shared/build").exists()
    project.lay({"libs/shared/shared/__init__.py": "value = 3\n"})
    assert installed(project.pack(locked=True)) == ["beta-1.0", "shared-1.0"]
    assert not lock(project).changed


def test_wheels_in_the_project_are_relative(project: Project) -> None:
    """What --find-links finds inside the project is in the lock by its relative path."""
    digest = project.index.wheel("beta")
    (project.root / "vendor").mkdir()
    name = "beta-1.0-py3-none-any.whl"
    (project.index.folder / name).rename(project.root / "vendor" / name)
    project.lay({"src/requirements.txt": "--find-links ../vendor\nbeta\n"})
    lock(project)
    document = tomllib.loads(text_of(project, "src/pylock.toml"))
    assert document["packages"][0]["wheels"] == [
        {"path": f"../vendor/{name}", "hashes": {"sha256": digest}}
    ]
    assert installed(project.pack(locked=True)) == ["beta-1.0"]


@pytest.mark.parametrize(
    ("files", "changes"),
    [
        ({"src/pylock.toml": ""}, {}),
        ({"src/requirements.txt": f"beta==1.0 --hash=sha256:{'0' * 64}\n"}, {}),
        ({"src/requirements.txt": "beta\n"}, {"resolver": "pip-tools"}),
        ({}, {"code": "src/app.py"}),
    ],
)
def test_nothing_to_lock_from(
    project: Project, files: dict[str, str], changes: dict[str, str]
) -> None:
    """A lock is never made from a lock, and pip-tools needs a source beside what it writes."""
    write_tree(project.root, files)
    with pytest.raises(ProjectError) as caught:
        lock(project, function(**changes))
    assert [found.code for found in caught.value.diagnostics] == ["no-lock-source"]


def test_pip_tools_and_two_pythons(project: Project) -> None:
    """What pip-tools writes holds for one Python: sharing it between two is refused."""
    project.lay({"src/requirements.in": "beta\n"})
    two = [function("A"), function("B", runtime=RUNTIMES["python3.13"])]
    with pytest.raises(ProjectError) as caught:
        lock(project, *two)
    assert [found.code for found in caught.value.diagnostics] == ["lock-targets"]


def test_no_interpreter(project: Project) -> None:
    """pip-tools without a Python of the target's version is a diagnostic with ways out."""
    project.lay({"src/requirements.in": "beta\n"})
    environ = {**project.workshop.environ, "PATH": "", "HOME": "/nowhere"}
    environ.pop("PYENV_ROOT", None)
    project.workshop = replace(project.workshop, environ=environ)
    missing = next(name for name in ("python3.14", "python3.8") if not _is_here(name))
    assert project.faults(runtime=RUNTIMES[missing]) == ["no-interpreter"]
    assert 'resolver = "uv"' in (project.last.diagnostics[0].hint or "")


def _is_here(runtime: str) -> bool:
    major, minor = RUNTIMES[runtime].version
    return interpreters.find((major, minor), {"PATH": "", "HOME": "/nowhere"}) is not None


def test_pip_tools(project: Project) -> None:
    """requirements.in is locked by pip-compile under the target's Python, in pip-tools' format."""
    if interpreters.find((3, 12), os.environ) is None:
        pytest.skip("needs Python 3.12")
    project.index.wheel("alpha", requires=["beta ; python_version < '3.13'"])
    project.index.wheel("beta", "1.0")
    for name, content in source_tree("shared").items():
        project.lay({f"libs/shared/{name}": content})
    source = "alpha\n-e ../libs/shared\nwin ; sys_platform == 'win32'\n"
    project.lay({"src/requirements.in": source})
    offline = project.workshop
    # pip-tools itself comes from the user's index; what it resolves, from ours.
    project.workshop = replace(offline, environ=dict(os.environ))
    try:
        _install_pip_tools(project)
    except BundlerError as fault:
        pytest.skip(f"can't install pip-tools: {fault.message}")
    project.workshop = offline
    assert list(offline.store.root.glob("tools/*pip-tools*/lib/*/site-packages/piptools/**/*.pyc"))
    assert lock(project) == Written(path="src/requirements.txt", changed=True)
    text = text_of(project, "src/requirements.txt")
    assert "beta==1.0" in text
    assert "-e ../libs/shared" in text
    assert "# via -r requirements.in" in text
    assert str(offline.store.root) not in text
    contents = project.pack(locked=True)
    assert installed(contents) == ["alpha-1.0", "beta-1.0", "shared-1.0"]
    project.index.wheel("beta", "2.0")
    assert not lock(project).changed


def _install_pip_tools(project: Project) -> None:
    """Puts the environment of pip-tools into the store: an empty source needs nothing else."""
    project.lay({"empty/requirements.in": "", "empty/app.py": ""})
    lock(project, function(code="empty"))
