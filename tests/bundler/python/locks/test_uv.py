"""Projects of uv: what their uv.lock says is what is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.bundler.inputs.snapshot import changes, observe
from lambdad.bundler.model import Architecture, ProjectError
from lambdad.bundler.python import locking
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.zips.member import Contents
from tests.bundler.python.test_package import no_tools
from tests.support import python_served
from tests.support.python_index import Project, installed, project, source_tree, warnings_of
from tests.support.samples import function

__all__ = ["project"]


@pytest.fixture
def index(project: Project) -> Iterator[str]:
    with python_served.served(project.index.folder) as url:
        yield url


def pyproject(
    index: str, *dependencies: str, name: str = "app", more: str = "", uv: str = ""
) -> str:
    return (
        f'[project]\nname = "{name}"\nversion = "0.1"\nrequires-python = ">=3.11"\n'
        f"dependencies = {list(dependencies)!r}\n{more}\n"
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{index}"\ndefault = true\n{uv}\n'
    )


def pack(project: Project, *, locked: bool = True, **changes: Any) -> Contents:
    return project.pack(python_served.networked(project), locked=locked, **changes)


def faults(project: Project, **changes: Any) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        pack(project, **changes)
    project.last = caught.value
    return [found.code for found in caught.value.diagnostics]


def test_locked(project: Project, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What uv locked is installed, its main dependencies alone, and no newer version comes in."""
    project.index.wheel("alpha", requires=["beta", "win ; sys_platform == 'win32'"])
    for name in ("win", "tests_only", "extra_only"):
        project.index.wheel(name)
    project.index.wheel("beta", "1.0")
    more = (
        '[project.optional-dependencies]\nx = ["extra-only"]\n'
        '[dependency-groups]\ndev = ["tests-only"]\n'
    )
    project.lay({"src/pyproject.toml": pyproject(index, "alpha", more=more)})
    python_served.uv_lock(project, "src")
    project.index.wheel("beta", "2.0")
    first = pack(project)
    assert installed(first) == ["alpha-1.0", "beta-1.0"]
    assert warnings_of(first) == []
    assert {"src/pyproject.toml", "src/uv.lock", "src/requirements.txt"} <= set(
        project.inputs.files
    )
    no_tools(monkeypatch)
    assert pack(project) == first


def test_extras_and_groups(project: Project, index: str) -> None:
    """Those that the configuration names are installed, too, with the extras that they name."""
    for name in ("one", "two", "three", "four"):
        project.index.wheel(name)
    more = (
        '[project.optional-dependencies]\nx = ["two"]\nall = ["app[x]", "three"]\n'
        '[dependency-groups]\nbase = ["four"]\nprod = [{ include-group = "base" }]\n'
    )
    project.lay({"src/pyproject.toml": pyproject(index, "one", more=more)})
    python_served.uv_lock(project, "src")
    assert installed(pack(project)) == ["one-1.0"]
    assert installed(pack(project, extras=("x",))) == ["one-1.0", "two-1.0"]
    assert installed(pack(project, extras=("all",))) == ["one-1.0", "three-1.0", "two-1.0"]
    assert installed(pack(project, groups=("prod",))) == ["four-1.0", "one-1.0"]
    assert faults(project, extras=("y",), groups=("z",)) == ["unknown-extra", "unknown-extra"]
    assert "it has all, x" in project.last.diagnostics[0].message


def test_markers_are_judged_for_the_target(project: Project, index: str) -> None:
    """Versions and packages are those of the function's Python, system and machine."""
    project.index.wheel("fork", "1.0")
    project.index.wheel("fork", "2.0", requires_python=">=3.12")
    for name in ("arm", "intel", "mac"):
        project.index.wheel(name)
    project.lay(
        {
            "src/pyproject.toml": pyproject(
                index,
                "fork<2 ; python_version < '3.12'",
                "fork>=2 ; python_version >= '3.12'",
                "arm ; platform_machine == 'aarch64'",
                "intel ; platform_machine == 'x86_64'",
                "mac ; sys_platform == 'darwin'",
            )
        }
    )
    python_served.uv_lock(project, "src")
    found = {
        (runtime, machine): installed(
            pack(project, runtime=RUNTIMES[runtime], architecture=machine)
        )
        for runtime in ("python3.11", "python3.13")
        for machine in Architecture
    }
    assert found == {
        ("python3.11", Architecture.X86_64): ["fork-1.0", "intel-1.0"],
        ("python3.11", Architecture.ARM64): ["arm-1.0", "fork-1.0"],
        ("python3.13", Architecture.X86_64): ["fork-2.0", "intel-1.0"],
        ("python3.13", Architecture.ARM64): ["arm-1.0", "fork-2.0"],
    }


def test_wheels_of_the_target(project: Project, index: str) -> None:
    """Of the wheels that the lock lists the one that fits the target best is taken."""
    for machine in ("x86_64", "aarch64"):
        project.index.wheel("fast", tag=f"cp312-cp312-manylinux2014_{machine}")
    project.index.wheel("fast", tag="cp312-cp312-macosx_11_0_arm64")
    project.lay({"src/pyproject.toml": pyproject(index, "fast")})
    python_served.uv_lock(project, "src")
    first, second = (pack(project, architecture=one).dependencies for one in Architecture)
    assert first is not None
    assert second is not None
    assert first.digest != second.digest


def test_conflicting_extras(project: Project, index: str) -> None:
    """Extras that exclude each other have a version each in one lock."""
    project.index.wheel("beta", "1.0")
    project.index.wheel("beta", "2.0")
    more = '[project.optional-dependencies]\nold = ["beta<2"]\nnew = ["beta>=2"]\n'
    uv = '[tool.uv]\nconflicts = [[{ extra = "old" }, { extra = "new" }]]\n'
    project.lay({"src/pyproject.toml": pyproject(index, more=more, uv=uv)})
    python_served.uv_lock(project, "src")
    assert installed(pack(project, extras=("old",))) == ["beta-1.0"]
    assert installed(pack(project, extras=("new",))) == ["beta-2.0"]
    assert faults(project, extras=("new", "old")) == ["bad-lock"]


# --- workspaces and paths --------------------------------------------------------------------

WORKSPACE = '[tool.uv.workspace]\nmembers = ["libs/*", "functions/*"]\n'


def lay_workspace(project: Project, index: str) -> None:
    project.index.wheel("alpha")
    project.index.wheel("beta")
    files = source_tree("shared", requires=["beta"])
    own = "[tool.uv.sources]\nshared = { workspace = true }\n"
    api = pyproject(index, "shared", name="api", uv=own)
    project.lay(
        {
            "pyproject.toml": pyproject(index, "alpha", name="root", uv=WORKSPACE),
            "functions/api/pyproject.toml": api,
            "functions/api/app.py": "import shared\ndef handler(event, context):\n    return 1\n",
            **{f"libs/shared/{name}": text for name, text in files.items()},
        }
    )
    python_served.uv_lock(project, ".")


def test_workspace_member(project: Project, index: str) -> None:
    """A member's folder gets what it asks for, other members built; the lock is the workspace's."""
    lay_workspace(project, index)
    first = pack(project, code="functions/api")
    assert installed(first) == ["beta-1.0", "shared-1.0"]
    decided = {"uv.lock", "pyproject.toml", "functions/api/pyproject.toml"}
    assert {*decided, "libs/shared/pyproject.toml"} <= set(project.inputs.files)
    project.lay({"libs/shared/shared/__init__.py": "value = 2\n"})
    assert pack(project, code="functions/api").dependencies != first.dependencies


def test_workspace_root_above_the_project(project: Project, index: str) -> None:
    """The workspace's root may lie above lambdad's project, inside of the repository."""
    lay_workspace(project, index)
    inner = replace(
        python_served.networked(project),
        root=f"{project.root}/functions",
        repository=str(project.root),
    )
    contents = project.pack(inner, locked=True, code="api")
    assert installed(contents) == ["beta-1.0", "shared-1.0"]
    assert {"../uv.lock", "../pyproject.toml"} <= set(project.inputs.files)


def test_a_member_that_the_lock_lacks(project: Project, index: str) -> None:
    """A new member is told with the command that locks it."""
    lay_workspace(project, index)
    project.lay(
        {
            "functions/new/pyproject.toml": pyproject(index, "alpha", name="new"),
            "functions/new/app.py": "def handler(event, context):\n    return 1\n",
        }
    )
    assert faults(project, code="functions/new") == ["lock-outdated"]
    assert "`uv lock`" in (project.last.diagnostics[0].hint or "")


def test_a_new_member_of_the_workspace(project: Project, index: str) -> None:
    """uv refuses a lock that lacks a member: a new folder makes a build stale, and so does its
    removal."""
    lay_workspace(project, index)
    pack(project, code="functions/api")
    before = observe(str(project.root), project.inputs)
    project.lay({"libs/new/pyproject.toml": pyproject(index, "alpha", name="new")})
    assert next(changes(str(project.root), before), None) is not None
    assert faults(project, code="functions/api") == ["bad-lock"]
    broken = observe(str(project.root), project.inputs)
    shutil.rmtree(project.root / "libs/new")
    assert next(changes(str(project.root), broken), None) is not None
    pack(project, code="functions/api")


def test_path_dependencies(project: Project, index: str) -> None:
    """Folders and archives by their path, editable or not."""
    digest = project.index.wheel("given")
    name = "given-1.0-py3-none-any.whl"
    (project.root / "wheels").mkdir()
    (project.index.folder / name).rename(project.root / "wheels" / name)
    for package in ("one", "two"):
        for file, text in source_tree(package).items():
            project.lay({f"libs/{package}/{file}": text})
    sources = (
        '[tool.uv.sources]\none = { path = "../libs/one", editable = true }\n'
        f'two = {{ path = "../libs/two" }}\ngiven = {{ path = "../wheels/{name}" }}\n'
    )
    project.lay({"src/pyproject.toml": pyproject(index, "one", "two", "given", uv=sources)})
    python_served.uv_lock(project, "src")
    contents = pack(project)
    assert installed(contents) == ["given-1.0", "one-1.0", "two-1.0"]
    assert f"wheels/{name}" in project.inputs.files
    lock = (project.root / "src/uv.lock").read_text()
    project.lay({"src/uv.lock": lock.replace(digest, "0" * 64)})
    assert faults(project) == ["hash-mismatch"]


def test_git(project: Project, index: str, tmp_path: Path) -> None:
    """What is locked to a commit is refused with the ways out."""
    project.index.wheel("alpha")
    for file, text in source_tree("forked").items():
        path = tmp_path / "forked" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environ = {**project.workshop.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b.example commit -m x"):
        python_served.run(["git", *command.split()], tmp_path / "forked", environ)
    uv = f'[tool.uv.sources]\nforked = {{ git = "{(tmp_path / "forked").as_uri()}" }}\n'
    project.lay({"src/pyproject.toml": pyproject(index, "alpha", "forked", uv=uv)})
    assert faults(project, locked=False) == ["unsupported-requirement"]
    python_served.uv_lock(project, "src")
    assert faults(project) == ["unsupported-requirement"]
    where = project.last.diagnostics[0].where
    assert where is not None
    assert where.file == "src/uv.lock"
    assert (
        'name = "forked"'
        in (project.root / "src/uv.lock").read_text().splitlines()[(where.line or 0) - 1]
    )


# --- locks that do not hold ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (("alpha", "beta>=2"), 5),
        (("alpha", "beta", "gamma"), 5),
        (("alpha",), None),
        (("alpha", "beta[x]"), 5),
        (("alpha", "beta", "win ; sys_platform == 'win32'"), 0),
        (("beta", "alpha>=0"), 5),
    ],
)
def test_outdated(project: Project, index: str, now: tuple[str, ...], line: int | None) -> None:
    """A dependency that was added, changed or removed since makes the lock outdated, at its place;
    what does not matter on the target does not."""
    for name in ("alpha", "beta"):
        project.index.wheel(name)
    project.lay({"src/pyproject.toml": pyproject(index, "alpha", "beta")})
    python_served.uv_lock(project, "src")
    project.lay({"src/pyproject.toml": pyproject(index, *now)})
    if line == 0:
        assert installed(pack(project)) == ["alpha-1.0", "beta-1.0"]
        return
    assert faults(project) == ["lock-outdated"]
    fault = project.last.diagnostics[0]
    assert fault.where is not None
    assert (fault.where.file, fault.where.line) == ("src/pyproject.toml", line)
    assert "`uv lock`" in (fault.hint or "")
    assert "src/uv.lock" in project.inputs.files


def test_hash_mismatch(project: Project, index: str) -> None:
    """A file that is not the one uv locked is refused."""
    project.index.wheel("beta")
    project.lay({"src/pyproject.toml": pyproject(index, "beta")})
    python_served.uv_lock(project, "src")
    project.index.wheel("beta", files={"beta/__init__.py": b"other = 1\n"})
    assert faults(project) == ["hash-mismatch"]
    project.lay({"src/app.py": "def handler(event, context):\n    return 2\n"})
    assert faults(project) == ["hash-mismatch"]


def test_another_python(project: Project, index: str) -> None:
    """A project that is not for the function's Python is told."""
    project.index.wheel("beta")
    project.lay({"src/pyproject.toml": pyproject(index, "beta")})
    python_served.uv_lock(project, "src")
    assert faults(project, runtime=RUNTIMES["python3.10"]) == ["lock-target"]


def test_lock_names_uv(project: Project, index: str) -> None:
    """`lambdad lock` writes no second lock: it says whose the first is, and whether it fits."""
    project.index.wheel("beta")
    project.lay({"src/pyproject.toml": pyproject(index, "beta")})
    workshop = python_served.networked(project)
    assert locking.groups([function()], workshop) == [[function()]]
    with pytest.raises(ProjectError) as caught:
        locking.write_lock([function()], current_toolchain(), workshop)
    assert [found.code for found in caught.value.diagnostics] == ["no-lock-source"]
    assert "`uv lock`" in (caught.value.diagnostics[0].hint or "")
    python_served.uv_lock(project, "src")
    written = locking.write_lock([function()], current_toolchain(), workshop)
    assert (written.path, written.changed, written.by) == ("src/uv.lock", False, "uv lock")
    assert not (project.root / "src/pylock.toml").exists()


# --- any file at all -------------------------------------------------------------------------

LOCK = """version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "app"
version = "0.1"
source = { virtual = "." }
dependencies = [
    { name = "beta" },
]

[package.metadata]
requires-dist = [{ name = "beta", specifier = ">=1", extras = [], marker = "sys_platform != 'x'" }]

[[package]]
name = "beta"
version = "1.0"
source = { registry = "https://index.example/simple" }
wheels = [
    { url = "https://index.example/beta-1.0-py3-none-any.whl", hash = "sha256:0" },
]
""".replace("sha256:0", f"sha256:{'0' * 64}")
EXPECTED = {
    "bad-lock", "broken-config", "lock-outdated", "lock-target", "unsupported-requirement",
    "bad-requirement", "missing-requirements", "no-wheel", "unknown-extra", "not-a-package",
}  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(LOCK)), gone=st.integers(0, 30), instead=st.text(max_size=8))
def test_any_lock(project: Project, at: int, gone: int, instead: str) -> None:
    """Whatever stands in uv.lock, the reader gives a lock or diagnostics."""
    text = LOCK[:at] + instead + LOCK[at + gone :]
    project.lay({"src/pyproject.toml": pyproject("https://index.example/simple", "beta>=1")})
    (project.root / "src/uv.lock").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert python_served.outcome("src", function(), project.workshop) <= EXPECTED


def test_the_sample_is_a_lock(project: Project) -> None:
    """What the fuzzing starts from is read, so it tries more than the first check."""
    project.lay({"src/pyproject.toml": pyproject("https://index.example/simple", "beta>=1")})
    project.lay({"src/uv.lock": LOCK})
    assert python_served.outcome("src", function(), project.workshop) == set()
