"""Python loaded where it lies, with dependencies for this machine."""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.tags import mac_platforms

from lambdad.bundler import build
from lambdad.bundler.model import Architecture, BuildRequest, BuildResult, Failed, Live, Want
from lambdad.bundler.python import dependencies, host
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.target import Host, Target
from lambdad.bundler.report.render import status
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store import prune
from lambdad.bundler.store.store import Store
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.bundler.test_build import project as project_of
from tests.conftest import workshop_at, write_tree
from tests.support.killed import dies_at
from tests.support.loading import python_of
from tests.support.python_index import Project, source_tree
from tests.support.samples import function

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
RUNTIME = RUNTIMES[f"python{OURS}"] if f"python{OURS}" in RUNTIMES else RUNTIMES["python3.12"]
CP = f"cp{RUNTIME.version[0]}{RUNTIME.version[1]}"

LOAD = """
import importlib, json, sys
entry, module, name, *path = sys.argv[1:]
sys.path[:0] = path
loaded = importlib.import_module(module)
assert loaded.__file__ == entry, loaded.__file__
print(json.dumps(getattr(loaded, name)({}, None)))
"""


@pytest.fixture
def app(tmp_path: Path) -> Project:
    """An app on an index of its own."""
    return Project(tmp_path)


def run(workshop: Workshop, want: Want = Want.LIVE, **changes: Any) -> BuildResult:
    wait_for_tick(workshop.root)
    one = function(**{"runtime": RUNTIME, **changes})
    return build.build([one], workshop, Upkeep(project_of(workshop, one)), want=want)[0]


def made(workshop: Workshop, **changes: Any) -> Live:
    outcome = run(workshop, **changes)
    assert outcome.live is not None, outcome.diagnostics
    return outcome.live


def call(workshop: Workshop, tree: Live, module: str = "app", python: str = "") -> Any:
    """What the handler answers in an interpreter that sees only the tree's path."""
    root = workshop.root
    places = [os.path.join(root, place) for place in tree.path]
    python = python or python_of(".".join(map(str, RUNTIME.version)))
    # -B: Python tells bytecode that is out of date by size and whole seconds (python/live.py).
    command = [
        python,
        "-I",
        "-S",
        "-B",
        "-c",
        LOAD,
        os.path.join(root, tree.entry),
        module,
        "handler",
    ]
    done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def site(tree: Live) -> Path:
    """The unpacked dependencies."""
    return Path(tree.path[1])


def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    from lambdad.bundler import tools

    def refuse(arguments: Sequence[str], **_: object) -> tools.Completed:
        raise AssertionError(f"{arguments[0]} was run")

    monkeypatch.setattr(tools, "run", refuse)


USES = "import {name}\ndef handler(event, context):\n    return [{name}.version, {name}.__file__]\n"


# --- own code ----------------------------------------------------------------------------------


def test_loaded_where_it_lies(app: Project) -> None:
    """The entry is the user's own file; without dependencies its folder is all of the path."""
    app.lay({"src/pkg/mod.py": "def handler(e, c): return __file__\n"})
    tree = made(app.workshop, handler=replace(function().handler, module="pkg/mod"))
    assert (tree.entry, tree.path) == ("src/pkg/mod.py", ("src",))
    assert call(app.workshop, tree, "pkg.mod") == f"{app.root}/src/pkg/mod.py"
    assert run(app.workshop, handler=replace(function().handler, module="pkg/mod")).cached


def test_digest_follows_content(app: Project) -> None:
    """Every own file counts by its content, data too; a time alone does not."""
    first = made(app.workshop)
    app.lay({"src/data.json": "{}"})
    second = made(app.workshop)
    assert second.digest != first.digest
    os.utime(app.root / "src/app.py")
    assert made(app.workshop) == second
    (app.root / "src/data.json").unlink()
    assert made(app.workshop) == first


def test_a_single_file(app: Project) -> None:
    """A function that is one file is imported from the folder around it."""
    tree = made(app.workshop, code="src/app.py")
    assert (tree.entry, tree.path) == ("src/app.py", ("src",))


def test_faults_are_told_and_mended(app: Project) -> None:
    """A syntax error fails here too, keeps the last good tree, and is retried when mended."""
    good = made(app.workshop)
    app.lay({"src/app.py": "def handler(:\n"})
    first, second = run(app.workshop), run(app.workshop)
    assert [item.code for item in first.diagnostics] == ["syntax-error"]
    assert (status(second), second.cached, second.live) == ("failed", True, good)
    app.lay({"src/app.py": "def handler(e, c): return 1\n"})
    assert status(run(app.workshop)) == "built"


def test_a_handler_in_a_layer(app: Project) -> None:
    """There are no layers on this machine, and that is said."""
    outcome = run(app.workshop, handler=replace(function().handler, module="gone"), layers=True)
    assert [item.code for item in outcome.diagnostics] == ["handler-not-here"]


# --- dependencies ------------------------------------------------------------------------------


def test_dependencies_of_this_machine(app: Project) -> None:
    """Whatever architecture the function has, it gets this machine's wheels; its zip not."""
    here = targets.here(function(runtime=RUNTIME))
    mine, other = platform.machine(), "aarch64" if platform.machine() == "x86_64" else "x86_64"
    digests = [
        app.index.wheel("fast", tag=tag, files={"fast.py": f"version = {tag!r}\n".encode()})
        for place in (targets.platforms(here)[1], f"manylinux2014_{other}")
        for tag in [f"{CP}-{CP}-{place}"]
    ]
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in digests)
    app.lay(
        {"src/requirements.txt": f"fast==1.0 {hashes}\n", "src/app.py": USES.format(name="fast")}
    )
    foreign = Architecture.ARM64 if mine == "x86_64" else Architecture.X86_64
    tree = made(app.workshop, architecture=foreign)
    version, file = call(app.workshop, tree)
    assert mine in version
    assert file == f"{site(tree)}/fast.py"
    zipped = run(app.workshop, Want.ZIP, architecture=foreign)
    assert (status(zipped), zipped.live) == ("built", None)


def test_versions_are_lambdas(app: Project) -> None:
    """Unlocked requirements come to the versions that the zip gets, where this machine has them."""
    here = targets.here(function(runtime=RUNTIME))
    newest = next(tag for tag in targets.platforms(here) if "linux_" in tag and "_2_" in tag)
    if newest in targets.platforms(targets.of(function(runtime=RUNTIME))):
        pytest.skip("this machine has nothing that Lambda lacks")
    app.index.wheel("fast", "1.0")
    app.index.wheel("fast", "2.0", tag=f"{CP}-{CP}-{newest}")
    app.lay({"src/requirements.txt": "fast\n", "src/app.py": USES.format(name="fast")})
    assert call(app.workshop, made(app.workshop))[0] == "1.0"
    app.lay({"src/requirements.txt": "fast>=2\n"})
    (app.index.folder / f"fast-2.0-{CP}-{CP}-{newest}.whl").unlink()
    app.index.wheel("fast", "2.0", tag=f"{CP}-{CP}-{newest}", files={"fast.py": b"version = 2\n"})
    assert call(app.workshop, made(app.workshop))[0] == 2


def test_unpacked_once(app: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions with the same wheels share a folder, whole projects do, and no tool runs again."""
    app.lay({"src/requirements.txt": f"beta==1.0 --hash=sha256:{app.index.wheel('beta')}\n"})
    first = made(app.workshop)
    app.lay({"src/app.py": "def handler(e, c): return 2\n"})
    no_tools(monkeypatch)
    app.said.clear()
    edited = made(app.workshop)
    assert edited.path == first.path
    assert edited.digest != first.digest
    assert made(app.workshop, name="Second").path == first.path
    assert app.said == []


def test_what_an_installer_would_do(app: Project) -> None:
    """purelib and platlib are merged, modes kept, metadata there; scripts and RECORD are not."""
    files = {
        "beta/__init__.py": b"",
        "beta-1.0.data/purelib/pure.py": b"",
        "beta-1.0.data/platlib/plat.py": b"",
        "beta-1.0.data/scripts/beta": b"#!python\n",
    }
    digest = app.index.wheel("beta", files=files)
    app.lay({"src/requirements.txt": f"beta==1.0 --hash=sha256:{digest}\n"})
    folder = site(made(app.workshop))
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "beta/__init__.py", "pure.py", "plat.py",
        "beta-1.0.dist-info/METADATA", "beta-1.0.dist-info/WHEEL",
    }  # fmt: skip


def test_what_the_runtime_has_is_installed_here(app: Project) -> None:
    """`without` is for the zip: no runtime provides anything on this machine."""
    app.index.wheel("sdk", requires=["core"])
    app.index.wheel("core")
    app.lay({"src/requirements.txt": "sdk\n"})
    folder = site(made(app.workshop, without=("sdk",)))
    assert {"sdk", "core"} <= set(os.listdir(folder))


def test_a_changed_requirement_reloads(app: Project) -> None:
    """Another set of wheels is another folder and another digest; the same again is the same."""
    app.index.wheel("beta")
    app.index.wheel("gamma")
    app.lay({"src/requirements.txt": "beta\n"})
    first = made(app.workshop)
    app.lay({"src/requirements.txt": "beta\ngamma\n"})
    second = made(app.workshop)
    assert (second.path != first.path, second.digest != first.digest) == (True, True)
    app.lay({"src/requirements.txt": "beta\n"})
    assert made(app.workshop).path == first.path


def test_a_handler_of_a_dependency(app: Project) -> None:
    """A vendor's handler is loaded from where it is unpacked."""
    files = {"vendor/__init__.py": b"", "vendor/run.py": b"def handler(e, c): return 'vendor'\n"}
    digest = app.index.wheel("vendor", files=files)
    app.lay({"src/requirements.txt": f"vendor==1.0 --hash=sha256:{digest}\n"})
    tree = made(app.workshop, handler=replace(function().handler, module="vendor/run"))
    assert tree.entry == f"{site(tree)}/vendor/run.py"
    assert call(app.workshop, tree, "vendor.run") == "vendor"


@pytest.mark.parametrize("how", ["pruned", "removed"])
def test_a_folder_that_is_gone_is_made_again(app: Project, how: str) -> None:
    """The store is a cache: what was pruned makes the function stale, not broken."""
    app.lay({"src/requirements.txt": f"beta==1.0 --hash=sha256:{app.index.wheel('beta')}\n"})
    tree = made(app.workshop)
    if how == "pruned":
        prune.prune(app.workshop.store, unused_days=0)
    else:
        shutil.rmtree(site(tree))
    outcome = run(app.workshop)
    assert not outcome.cached
    assert outcome.live == tree
    assert (site(tree) / "beta/__init__.py").exists()


def test_killed_while_it_unpacks(app: Project) -> None:
    """A folder in the store is whole or absent, wherever the process is killed."""
    files = {f"beta/m{number}.py": b"x = 1\n" for number in range(3)}
    digest = app.index.wheel("beta", files={"beta/__init__.py": b"", **files})
    app.lay({"src/requirements.txt": f"beta==1.0 --hash=sha256:{digest}\n"})
    one = function(runtime=RUNTIME)
    request = BuildRequest(function=one, toolchain=current_toolchain(), want=Want.LIVE)
    known = dependencies.dependencies(request, app.workshop)
    folder = Path(host.install(known, app.workshop).folders[0])
    whole = sorted(os.listdir(folder / "beta"))
    for count in itertools.count():
        shutil.rmtree(folder)
        killed = dies_at(count, lambda: host.install(known, app.workshop))
        assert not folder.exists() or sorted(os.listdir(folder / "beta")) == whole
        host.install(known, app.workshop)
        if not killed:
            break
    assert count > len(whole)


def test_killed_while_it_prunes(tmp_path: Path) -> None:
    """Pruning takes a folder out of the store whole, too."""
    store = Store(tmp_path)
    for count in itertools.count():
        write_tree(tmp_path / "trees/key", dict.fromkeys("abc", ""))
        killed = dies_at(count, lambda: prune.prune(store, unused_days=0))
        there = tmp_path / "trees/key"
        assert not there.exists() or sorted(os.listdir(there)) == ["a", "b", "c"]
        if not killed:
            break
    assert count > 3
    prune.prune(store, unused_days=0, now_s=time.time() + 7200)
    assert not list(tmp_path.glob(".tmp-*"))


def test_real_native_wheels(tmp_path: Path, shared_store: Store) -> None:
    """A native package from the real index is loaded by the runtime's own Python, for a function
    of another architecture and from a folder that this machine shares."""
    workshop = workshop_at(tmp_path / "project", shared_store)
    text = "from markupsafe import _speedups\ndef handler(e, c): return _speedups.__file__\n"
    write_tree(Path(workshop.root), {"src/app.py": text, "src/requirements.txt": "markupsafe\n"})
    python = python_of("3.12")
    foreign = Architecture.ARM64 if platform.machine() == "x86_64" else Architecture.X86_64
    outcome = run(workshop, runtime=RUNTIMES["python3.12"], architecture=foreign)
    if isinstance(outcome, Failed) and outcome.machine_fault:
        pytest.skip(f"no index to be reached: {outcome.diagnostics[0].message}")
    assert outcome.live is not None, outcome.diagnostics
    assert "cpython-312" in call(workshop, outcome.live, python=python)


# --- the user's own packages -------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["", "src/"])
@pytest.mark.parametrize("editable", ["", "-e "])
def test_local_package_in_place(
    app: Project, monkeypatch: pytest.MonkeyPatch, layout: str, editable: str
) -> None:
    """A pure package is imported from its source, with its metadata; an edit runs no tool."""
    app.lay(local_package("shared", layout))
    text = "import shared\nfrom importlib.metadata import version\n"
    text += "def handler(e, c): return [shared.value, shared.__file__, version('shared')]\n"
    app.lay({"src/requirements.txt": f"{editable}../libs/shared\n", "src/app.py": text})
    first = made(app.workshop)
    file = f"libs/shared/{layout}shared/__init__.py"
    assert call(app.workshop, first) == [1, f"{app.root}/{file}", "1.0"]
    assert first.path[2] == f"libs/shared/{layout}".rstrip("/")
    app.lay({file: "value = 2\n"})
    with monkeypatch.context() as patch:
        no_tools(patch)
        outcome = run(app.workshop)
    assert outcome.reasons == (f"{file} changed",)
    assert outcome.live is not None
    assert outcome.live.path == first.path
    assert outcome.live.digest != first.digest
    assert call(app.workshop, outcome.live)[0] == 2
    app.lay({file: "value = 1\n"})
    assert made(app.workshop) == first


def local_package(name: str, layout: str = "", **changes: Any) -> dict[str, str]:
    """A package that builds itself, its modules below `layout`."""
    files = source_tree(name, **changes)
    backend = files["backend.py"]
    if layout:
        files["backend.py"] = backend.replace("    tag = ", f"    os.chdir({layout!r})\n    tag = ")
    heads = {path: layout if path.startswith(f"{name}/") else "" for path in files}
    return {f"libs/{name}/{heads[path]}{path}": text for path, text in files.items()}


def test_a_local_packages_needs(app: Project) -> None:
    """What it asks for is installed; when it asks for more, that is resolved anew."""
    app.index.wheel("beta")
    app.index.wheel("gamma")
    app.lay(local_package("shared", requires=["beta"]))
    app.lay({"src/requirements.txt": "../libs/shared\n"})
    first = made(app.workshop)
    assert "beta" in os.listdir(site(first))
    app.lay(local_package("shared", requires=["beta", "gamma"]))
    second = made(app.workshop)
    assert {"beta", "gamma"} <= set(os.listdir(site(second)))


def test_a_package_that_its_build_changes(app: Project) -> None:
    """Where the wheel is not just the source, the wheel is installed, and rebuilt by an edit."""
    app.lay(local_package("shared"))
    backend = app.root / "libs/shared/backend.py"
    made_up = backend.read_text().replace(
        'record = ""', 'files[NAME + "/made.py"] = b"made = 1"\n    record = ""'
    )
    backend.write_text(made_up)
    text = "import shared.made\ndef handler(e, c): return [shared.value, shared.made.made]\n"
    app.lay({"src/requirements.txt": "../libs/shared\n", "src/app.py": text})
    first = made(app.workshop)
    assert len(first.path) == 2
    assert call(app.workshop, first) == [1, 1]
    app.lay({"libs/shared/shared/__init__.py": "value = 2\n"})
    second = made(app.workshop)
    assert second.digest != first.digest
    assert call(app.workshop, second) == [2, 1]


# --- targets -----------------------------------------------------------------------------------

MAC = Target(
    (3, 12), (0, 0), "arm64", Host("Darwin", tuple(mac_platforms(version=(14, 0), arch="arm64")))
)


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("cp312-cp312-macosx_11_0_arm64", True),
        ("cp312-cp312-macosx_10_13_universal2", True),
        ("cp38-abi3-macosx_11_0_arm64", True),
        ("py3-none-any", True),
        ("cp312-cp312-macosx_15_0_arm64", False),
        ("cp312-cp312-macosx_11_0_x86_64", False),
        ("cp312-cp312-manylinux2014_aarch64", False),
        ("cp311-cp311-macosx_11_0_arm64", False),
    ],
)
def test_tags_of_a_mac(tag: str, fits: bool) -> None:
    """A developer's Mac gets wheels for its system, machine and release, with Lambda's Python."""
    assert (targets.rank(MAC, f"pkg-1.0-{tag}.whl") is not None) is fits


def test_a_mac_for_the_tools() -> None:
    """Markers see macOS, pip is told of it, and nothing of Linux is left."""
    assert targets.environment(MAC)["sys_platform"] == "darwin"
    assert targets.environment(MAC)["platform_system"] == "Darwin"
    flags = " ".join([*targets.pip_flags(MAC), *targets.uv_flags(MAC)])
    assert "macosx_14_0_arm64" in flags
    assert "linux" not in flags
    assert targets.is_host(MAC)
    assert targets.lacking(MAC, ["pkg-1.0-cp312-cp312-musllinux_1_2_arm64.whl"]) is None


def test_this_machine() -> None:
    """The tags are those that this machine's installers take, and no key is shared with Lambda."""
    here = targets.here(function(runtime=RUNTIME))
    assert here.host
    assert here.host.system == platform.system()
    assert here.key != targets.of(function(runtime=RUNTIME)).key
    assert here.version == RUNTIME.version


# --- the interpreter ---------------------------------------------------------------------------


def a_python(folder: Path, version: tuple[int, ...]) -> Path:
    """A program that says it is Python of that version, as far as it is asked here."""
    path = folder / f"python{version[0]}.{version[1]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version[0]} {version[1]}\n")
    path.chmod(0o755)
    return path


def test_interpreter_of_path_goes_before_ours(app: Project) -> None:
    """What the user has on PATH runs the function: it has what the user installed there."""
    near, far = app.root / "near", app.root / "far"
    there = a_python(far, RUNTIME.version)
    environ = {"PATH": f"{near}{os.pathsep}{far}", "HOME": str(app.root), "PYENV_ROOT": ""}
    workshop = replace(app.workshop, environ={**app.workshop.environ, **environ})
    assert made(workshop).interpreter == str(there)
    first = a_python(near, RUNTIME.version)
    assert made(workshop).interpreter == str(first), "one that comes first later is seen"
    first.unlink()
    assert made(workshop).interpreter == str(there), "one that goes is not named any more"


def test_function_without_an_interpreter_says_so(app: Project) -> None:
    """A runtime that this machine has no Python of is built, and its answer has null."""
    missing = next(one for one in RUNTIMES.values() if one.name == "python3.14")
    home = str(app.root / "home")
    environ = {"PATH": str(app.root / "bin"), "HOME": home, "PYENV_ROOT": ""}
    workshop = replace(app.workshop, environ={**app.workshop.environ, **environ})
    outcome = run(workshop, runtime=missing)
    assert outcome.live is not None
    assert outcome.live.interpreter is None
    assert [one.code for one in outcome.diagnostics] == ["python-not-here"]
    a_python(app.root / "bin", missing.version)
    outcome = run(workshop, runtime=missing)
    assert outcome.live is not None
    assert outcome.live.interpreter is not None
    assert outcome.diagnostics == ()
