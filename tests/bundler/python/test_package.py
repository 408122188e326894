"""A Python function's contents: from requirement files to a segment, on an index of our own."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import tools
from lambdad.bundler.inputs.snapshot import observe
from lambdad.bundler.model import Architecture, BundlerError, InputSet, ProjectError
from lambdad.bundler.python import built
from lambdad.bundler.python import target as targets
from lambdad.bundler.runtimes import RUNTIMES
from tests.support.python_index import APP, Project, installed, project, source_tree, warnings_of

__all__ = ["project"]


def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: Sequence[str], **_: object) -> tools.Completed:
        raise AssertionError(f"{arguments[0]} was run")

    monkeypatch.setattr(tools, "run", run)


def test_nothing_to_install(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without requirement files no tool runs, but the files that could declare some are inputs."""
    no_tools(monkeypatch)
    contents = project.pack()
    assert contents.dependencies is None
    assert [entry.name for entry in contents.own] == ["app.py"]
    assert {"src/requirements.txt", "src/requirements.in", "src/pylock.toml"} <= set(
        project.inputs.files
    )


def test_resolved_then_remembered(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is open is resolved for the target once; an edit of own code runs no tool again."""
    project.index.wheel("alpha", requires=["beta>=1", "win ; sys_platform == 'win32'"])
    project.index.wheel("beta", "1.0")
    project.index.wheel("beta", "2.0")
    project.lay({"src/requirements.txt": "alpha\n"})
    first = project.pack()
    assert installed(first) == ["alpha-1.0", "beta-2.0"]
    assert warnings_of(first) == ["unlocked"]
    project.lay({"src/app.py": APP + "# edited\n"})
    no_tools(monkeypatch)
    again = project.pack()
    assert again.dependencies == first.dependencies
    assert project.said == []


def test_only_a_fitting_version_is_taken(project: Project) -> None:
    """A newer version whose wheels need a newer glibc or another machine is passed over."""
    project.index.wheel("fast", "1.0", tag="cp311-cp311-manylinux2014_x86_64")
    project.index.wheel("fast", "2.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    project.index.wheel("fast", "3.0", tag="cp311-cp311-manylinux2014_aarch64")
    project.lay({"src/requirements.txt": "fast\n"})
    assert installed(project.pack(runtime=RUNTIMES["python3.11"])) == ["fast-1.0"]


def test_wheels_first_but_sdists_where_there_are_none(project: Project) -> None:
    """One package that has only an sdist does not make others come as source."""
    project.index.wheel("fast", "1.0")
    project.index.sdist("fast", "2.0", native="cp312-cp312-linux_x86_64")
    project.index.sdist("slow", "1.0")
    project.lay({"src/requirements.txt": "fast\nslow\n"})
    contents = project.pack()
    assert installed(contents) == ["fast-1.0", "slow-1.0"]
    assert warnings_of(contents) == ["unlocked", "built-from-source"]
    built = contents.dependencies
    assert project.pack().dependencies == built
    assert project.said == []


def test_constraints_and_includes_decide(project: Project) -> None:
    """A change in a file included by -r or -c changes what is installed."""
    project.index.wheel("beta", "1.0")
    project.index.wheel("beta", "2.0")
    project.lay(
        {
            "src/requirements.txt": "-r ../deps/base.txt\n-c ../deps/limits.txt\n",
            "deps/base.txt": "beta\n",
            "deps/limits.txt": "beta<2\n",
        }
    )
    first = project.pack()
    assert installed(first) == ["beta-1.0"]
    assert {"deps/base.txt", "deps/limits.txt"} <= set(project.inputs.files)
    project.lay({"deps/limits.txt": "beta<3\n"})
    assert installed(project.pack()) == ["beta-2.0"]


def test_an_index_folder_that_grows(project: Project, tmp_path: Path) -> None:
    """A new wheel in a --find-links folder is a new question."""
    project.index.wheel("beta", "1.0")
    project.lay({"src/requirements.txt": "beta\n"})
    assert installed(project.pack()) == ["beta-1.0"]
    project.index.wheel("beta", "2.0")
    assert installed(project.pack()) == ["beta-2.0"]


# --- locks -----------------------------------------------------------------------------------


def test_hashed_requirements(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock is taken as it is, without a warning, and is enough for --locked."""
    digest = project.index.wheel("beta", "1.0")
    project.index.wheel("beta", "2.0")
    other = project.index.wheel("only-here".replace("-", "_"), "1.0")
    project.lay(
        {
            "src/requirements.txt": f"beta==1.0 --hash=sha256:{'0' * 64} --hash=sha256:{digest}\n"
            f"only-here==1.0 --hash=sha256:{other}\n"
        }
    )
    contents = project.pack(locked=True)
    assert installed(contents) == ["beta-1.0", "only_here-1.0"]
    assert warnings_of(contents) == []
    assert project.said == ["fetching 2 wheels for python3.12 on x86_64"]
    no_tools(monkeypatch)
    assert project.pack(locked=True) == contents


def test_every_wrong_hash_is_reported(project: Project) -> None:
    """A file that is not the locked one is refused, with what was expected and what came."""
    alpha, beta = project.index.wheel("alpha"), project.index.wheel("beta")
    wrong = "0" * 64
    lock = f"alpha==1.0 --hash=sha256:{wrong}\nbeta==1.0 --hash=sha256:{wrong}\n"
    project.lay({"src/requirements.txt": lock})
    assert project.faults() == ["hash-mismatch", "hash-mismatch"]
    messages = " ".join(found.message for found in project.last.diagnostics)
    assert alpha in messages
    assert beta in messages
    assert wrong in messages
    assert "src/requirements.txt" in project.inputs.files


def test_unlocked_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """--locked refuses what no lock pins, before anything is resolved."""
    no_tools(monkeypatch)
    project.lay({"src/requirements.txt": "beta==1.0\n"})
    with pytest.raises(ProjectError) as caught:
        project.pack(locked=True)
    assert [found.code for found in caught.value.diagnostics] == ["unlocked"]


def test_outdated_lock(project: Project) -> None:
    """A lock that does not meet its source is an error at the requirement's line."""
    digest = project.index.wheel("beta", "1.0")
    project.lay(
        {
            "src/requirements.txt": f"beta==1.0 --hash=sha256:{digest}\n",
            "src/requirements.in": "# direct\nbeta>=2\n",
        }
    )
    assert project.faults() == ["lock-outdated"]
    where = project.last.diagnostics[0].where
    assert where is not None
    assert (where.file, where.line) == ("src/requirements.in", 2)


def test_a_lock_that_lacks_something(project: Project) -> None:
    """A dependency that the lock does not hold is told, unless it is left out on purpose."""
    digest = project.index.wheel("alpha", requires=["beta", "gamma ; extra == 'x'"])
    project.lay({"src/requirements.txt": f"alpha==1.0 --hash=sha256:{digest}\n"})
    assert warnings_of(project.pack()) == ["lock-incomplete"]
    assert warnings_of(project.pack(without=("beta",))) == []


# --- what can't be had -----------------------------------------------------------------------


def test_no_fitting_wheel(project: Project) -> None:
    """The diagnostic names package, target and three ways out."""
    digest = project.index.wheel("fast", tag="cp312-cp312-manylinux2014_aarch64")
    project.lay({"src/requirements.txt": f"fast==1.0 --hash=sha256:{digest}\n"})
    assert project.faults() == ["no-wheel"]
    fault = project.last.diagnostics[0]
    assert "fast 1.0" in fault.message
    assert "python3.12 on x86_64" in fault.message
    assert (fault.hint or "").count("; or ") == 2
    assert "has one for (python3.12 on arm64)" in (fault.hint or "")
    project.lay({"src/requirements.txt": "fast\n"})
    assert project.faults() == ["no-wheel"]


@pytest.mark.parametrize("requirement", ["nothing", "beta==9", "beta>=9"])
def test_not_found(project: Project, requirement: str) -> None:
    """A package or version that no index has is named, at its line."""
    project.index.wheel("beta")
    project.lay({"src/requirements.txt": f"beta\n{requirement}\n"})
    assert project.faults() == ["package-not-found"]
    where = project.last.diagnostics[0].where
    assert where is not None
    assert where.file == "src/requirements.txt"


def test_locked_not_found(project: Project) -> None:
    """So is a locked one, even one that could only come as source."""
    project.lay({"src/requirements.txt": f"nothing==1.0 --hash=sha256:{'0' * 64}\n"})
    assert project.faults() == ["package-not-found"]


def test_conflict(project: Project) -> None:
    """Requirements that exclude each other are told with the resolver's reasons."""
    project.index.wheel("alpha", requires=["beta<2"])
    project.index.wheel("beta", "1.0")
    project.index.wheel("beta", "2.0")
    project.lay({"src/requirements.txt": "alpha\nbeta>=2\n"})
    assert project.faults() == ["dependency-conflict"]
    assert "alpha" in project.last.diagnostics[0].message
    assert "╰" not in project.last.diagnostics[0].message


def test_offline(project: Project) -> None:
    """Offline, what is not in the store is an error; what is there still builds."""
    project.index.wheel("beta")
    project.lay({"src/requirements.txt": "beta\n"})
    offline = replace(project.workshop, offline=True)
    with pytest.raises(BundlerError) as caught:
        project.pack(offline)
    assert caught.value.code == "offline"
    contents = project.pack()
    assert project.pack(offline) == contents


def test_no_network(project: Project) -> None:
    """An index that can't be reached is the machine's fault, and is told as such."""
    closed = "http://127.0.0.1:9/simple"
    environ = {**project.workshop.environ, "PIP_INDEX_URL": closed, "PIP_RETRIES": "0"}
    del environ["PIP_NO_INDEX"]
    workshop = replace(project.workshop, environ={**environ, "PIP_TIMEOUT": "1"})
    for text in ("beta\n", f"beta==1 --hash=sha256:{'0' * 64}\n"):
        project.lay({"src/requirements.txt": text})
        with pytest.raises(BundlerError) as caught:
            project.pack(workshop)
        assert caught.value.code == "no-network"


def test_a_corrupt_wheel(project: Project) -> None:
    """A wheel that is damaged never enters the store."""
    project.index.wheel("beta")
    path = project.index.folder / "beta-1.0-py3-none-any.whl"
    path.write_bytes(path.read_bytes()[:-30])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    project.lay({"src/requirements.txt": f"beta==1.0 --hash=sha256:{digest}\n"})
    assert set(project.faults()) <= {"wheel-corrupt", "wheel-hostile"}


# --- from source -----------------------------------------------------------------------------


def test_sdist_with_a_wrong_hash_is_never_run(project: Project) -> None:
    """The hash is checked before anything of an sdist is executed."""
    project.index.sdist("slow")
    project.lay({"src/requirements.txt": f"slow==1.0 --hash=sha256:{'0' * 64}\n"})
    assert project.faults() == ["no-wheel"]
    assert "not one the lock allows" in project.last.diagnostics[0].message


def test_native_sdist_for_another_machine(project: Project) -> None:
    """What is built here is for here: a native result is refused for another machine."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}-abi3-linux_{platform.machine()}"
    digest = project.index.sdist("slow", native=tag)
    project.lay({"src/requirements.txt": f"slow==1.0 --hash=sha256:{digest}\n"})
    other = "arm64" if platform.machine() == "x86_64" else "x86_64"
    assert project.faults(architecture=Architecture(other)) == ["no-wheel"]


HOST_PYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"
HOST = platform.machine()


def fast_from_source(project: Project, tags: Sequence[str], *, locked: bool) -> None:
    """A package that builds here, with wheels of these tags beside its sdist."""
    native = f"{HOST_PYTHON}-abi3-linux_{HOST}"
    digests = [project.index.wheel("fast", tag=tag) for tag in tags]
    digests.append(project.index.sdist("fast", native="" if tags else native))
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in digests)
    project.lay({"src/requirements.txt": f"fast==1.0 {hashes if locked else ''}\n"})


def here() -> dict[str, Any]:
    """This machine's kind as a function's settings."""
    return {
        "runtime": RUNTIMES[f"python{sys.version_info[0]}.{sys.version_info[1]}"],
        "architecture": Architecture("arm64" if HOST == "aarch64" else HOST),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="needs a host that could compile for Lambda")
@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(
    ("platforms", "reason"),
    [
        (["manylinux_2_39", "manylinux_2_38"], "its wheels need glibc 2.38, and python"),
        (["musllinux_1_2"], "its wheels need musl (Alpine Linux), and python"),
    ],
)
def test_no_build_in_vain(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    platforms: Sequence[str],
    reason: str,
    locked: bool,
) -> None:
    """Where native wheels need more than the target has, what a newer host builds would, too."""
    monkeypatch.setattr(targets, "host_glibc", lambda: (2, 99))
    tags = [f"{HOST_PYTHON}-{HOST_PYTHON}-{name}_{HOST}" for name in platforms]
    fast_from_source(project, tags, locked=locked)
    assert project.faults(**here()) == ["no-wheel"]
    assert reason in project.last.diagnostics[-1].message
    assert not [text for text in project.said if text.startswith("building")]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a host that could compile for Lambda")
@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(
    ("tags", "glibc"),
    [
        ([], (2, 99)),
        (["cp39-cp39-win_amd64", "cp39-cp39-manylinux_2_39_x86_64"], (2, 99)),
        ([f"{HOST_PYTHON}-{HOST_PYTHON}-manylinux_2_39_{HOST}"], (2, 17)),
    ],
    ids=["none published", "none of this kind", "built where it fits"],
)
def test_a_build_that_may_succeed(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    tags: Sequence[str],
    glibc: tuple[int, int],
    locked: bool,
) -> None:
    """A package without native wheels of the target's kind is built, and so is any on a host that
    is like the target; progress says that it may take long."""
    monkeypatch.setattr(targets, "host_glibc", lambda: glibc)
    fast_from_source(project, tags, locked=locked)
    assert installed(project.pack(**here())) == ["fast-1.0"]
    assert "building fast 1.0 from source, which may take minutes" in project.said


@pytest.mark.skipif(sys.platform != "linux", reason="needs a host that could compile for Lambda")
def test_built_against_a_library_of_this_machine(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a module imports here and not on Lambda, as psycopg2 without libpq: that is told."""
    fast_from_source(project, [], locked=False)
    monkeypatch.setattr(built, "foreign_libraries", lambda _wheel: ("libpq.so.5",))
    contents = project.pack(**here())
    assert warnings_of(contents) == ["unlocked", "missing-library", "built-from-source"]
    assert "fast was built against libpq.so.5" in contents.diagnostics[1].message


# --- local packages --------------------------------------------------------------------------


def contents_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_local_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local package is built by content, with its own dependencies, and its folder untouched."""
    project.index.wheel("beta")
    for name, text in source_tree("shared", requires=["beta"]).items():
        project.lay({f"libs/shared/{name}": text})
    project.lay({"src/requirements.txt": "-e ../libs/shared\n"})
    before = contents_of(project.root)
    first = project.pack()
    assert installed(first) == ["beta-1.0", "shared-1.0"]
    assert contents_of(project.root) == before
    assert {"libs/shared/shared/__init__.py", "libs/shared/backend.py"} <= set(project.inputs.files)
    assert "libs/shared/shared" in project.inputs.listings
    os.utime(project.root / "libs/shared/shared/__init__.py")
    with monkeypatch.context() as patch:
        no_tools(patch)
        assert project.pack() == first
    project.lay({"libs/shared/shared/__init__.py": "value = 2\n"})
    second = project.pack()
    assert project.said == ["building libs/shared"]
    assert second.dependencies != first.dependencies


def test_only_local_packages_need_no_lock(project: Project) -> None:
    """Local packages without dependencies are pinned by their content alone."""
    for name, text in source_tree("shared").items():
        project.lay({f"libs/shared/{name}": text})
    project.lay({"src/requirements.txt": "../libs/shared\n"})
    contents = project.pack(locked=True)
    assert installed(contents) == ["shared-1.0"]
    assert warnings_of(contents) == []


def test_local_package_outgrows_the_lock(project: Project) -> None:
    """A lock that lacks what a local package asks for by now is outdated."""
    for name, text in source_tree("shared", requires=["beta>=2"]).items():
        project.lay({f"libs/shared/{name}": text})
    digest = project.index.wheel("beta", "1.0")
    lock = f"-e ../libs/shared\nbeta==1.0 --hash=sha256:{digest}\n"
    project.lay({"src/requirements.txt": lock})
    assert project.faults() == ["lock-outdated"]
    assert "libs/shared/shared/__init__.py" in project.inputs.files


@pytest.mark.parametrize(
    ("path", "code"),
    [("../empty", "not-a-package"), ("../../outside", "outside-repository")],
)
def test_not_a_local_package(project: Project, tmp_path: Path, path: str, code: str) -> None:
    """A folder that is no package, or not in the repository, is told at its line."""
    (project.root / "empty").mkdir()
    (tmp_path / "outside").mkdir()
    project.lay({"src/requirements.txt": f"\n-e {path}\n"})
    assert project.faults() == [code]
    where = project.last.diagnostics[0].where
    assert where is not None
    assert where.line == 2


def test_local_build_fails(project: Project) -> None:
    """A failing build is shown with its own words."""
    files = source_tree("shared")
    files["backend.py"] = 'raise RuntimeError("on purpose")\n'
    for name, text in files.items():
        project.lay({f"libs/shared/{name}": text})
    project.lay({"src/requirements.txt": "../libs/shared\n"})
    assert project.faults() == ["local-build-failed"]
    assert "on purpose" in project.last.diagnostics[0].message


# --- without, own code -----------------------------------------------------------------------

TREE = {"sdk": ["core", "shared"], "core": ["json", "core"], "json": [], "app": ["shared"]}


@pytest.mark.parametrize(
    ("without", "direct", "kept"),
    [
        ((), "sdk\napp\n", ["app-1.0", "core-1.0", "json-1.0", "sdk-1.0", "shared-1.0"]),
        (("sdk",), "sdk\napp\n", ["app-1.0", "shared-1.0"]),
        (("sdk",), "sdk\napp\njson\n", ["app-1.0", "json-1.0", "shared-1.0"]),
        (("core",), "sdk\napp\n", ["app-1.0", "sdk-1.0", "shared-1.0"]),
        (("unknown",), "app\n", ["app-1.0", "shared-1.0"]),
    ],
)
def test_without(project: Project, without: tuple[str, ...], direct: str, kept: list[str]) -> None:
    """What is left out takes along what only it needs, never what was asked for or others need."""
    for name, requires in {**TREE, "shared": []}.items():
        project.index.wheel(name, requires=requires)
    project.lay({"src/requirements.txt": direct})
    assert installed(project.pack(without=without)) == kept


def test_own_code_wins(project: Project) -> None:
    """A dependency's file that own code has, too, is not in the segment, with a warning."""
    digest = project.index.wheel("beta")
    project.lay(
        {
            "src/requirements.txt": f"beta==1.0 --hash=sha256:{digest}\n",
            "src/beta/__init__.py": "mine = 1\n",
        }
    )
    contents = project.pack()
    assert contents.dependencies is not None
    assert "beta/__init__.py" not in {member.name for member in contents.dependencies.members}
    assert warnings_of(contents) == ["own-over-dependency"]


def test_a_single_file(project: Project) -> None:
    """A function that is one file is that file alone: what lies beside it is not its."""
    project.lay({"src/requirements.txt": "nothing\n", "src/other.py": ""})
    contents = project.pack(code="src/app.py")
    assert [entry.name for entry in contents.own] == ["app.py"]
    assert contents.dependencies is None
    assert project.inputs == InputSet(files=frozenset(("src/app.py",)))


def test_faults_of_code_and_dependencies_come_together(project: Project) -> None:
    """A syntax error and a broken requirements file are one answer, and its inputs are whole."""
    project.lay({"src/app.py": "def handler(:\n", "src/requirements.txt": "a b\n"})
    runtime = RUNTIMES[f"python3.{min(sys.version_info[1], 14)}"]
    assert project.faults(runtime=runtime) == ["bad-requirement", "syntax-error"]
    assert {"src/app.py", "src/requirements.txt", "src/pylock.toml"} <= set(project.inputs.files)


def test_named_requirements_absent(project: Project) -> None:
    """A requirements file that the configuration names must be there; creating it is noticed."""
    assert project.faults(requirements="deps/prod.txt") == ["missing-requirements"]
    before = observe(str(project.root), project.inputs)
    project.index.wheel("beta")
    project.lay({"deps/prod.txt": "beta\n"})
    assert observe(str(project.root), project.inputs) != before
    assert installed(project.pack(requirements="deps/prod.txt")) == ["beta-1.0"]


def test_torn_memory_is_a_miss(project: Project) -> None:
    """What the store remembers of picks and answers may be torn: it is found again, the same."""
    project.index.wheel("beta")
    project.lay({"src/requirements.txt": "beta\n"})
    first = project.pack()
    for path in (project.workshop.store.root / "locks").iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    assert project.pack() == first
    shutil.rmtree(project.workshop.store.root / "wheels")
    assert project.pack() == first


def test_order_of_requirements_decides_nothing(project: Project) -> None:
    """The same wheels give the same segment, however they are written down."""
    lines = [f"{name}==1.0 --hash=sha256:{project.index.wheel(name)}\n" for name in ("a", "b", "c")]
    segments = set()
    for order in (lines, lines[::-1]):
        project.lay({"src/requirements.txt": "".join(order)})
        contents = project.pack()
        assert contents.dependencies is not None
        segments.add(contents.dependencies.digest)
    assert len(segments) == 1


@pytest.mark.parametrize(
    ("tag", "requires_python"),
    [("cp312-cp312-macosx_11_0_arm64", ""), ("py3-none-any", ">=3.13")],
)
def test_local_wheels_are_judged(project: Project, tag: str, requires_python: str) -> None:
    """A wheel that lies in the project must fit the target, too: no pip looks at it."""
    digest = project.index.wheel("fast", tag=tag, requires_python=requires_python)
    name = f"fast-1.0-{tag}.whl"
    (project.index.folder / name).rename(project.root / name)
    project.lay({"src/requirements.txt": f"./{name} --hash=sha256:{digest}\n"})
    assert project.faults() == ["no-wheel"]
