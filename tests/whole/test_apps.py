"""The sample apps, built by the command as a user types it, unpacked, and their handlers called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.model import Architecture
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips import native
from tests.support.loading import call_node, call_python, unpack
from tests.support.paths import ROOT

APPS = ROOT / "fixtures" / "apps"


@dataclass(frozen=True)
class App:
    """A built copy of a sample app."""

    root: Path
    answer: dict[str, Any]

    def zip(self, name: str) -> Path:
        (function,) = [item for item in self.answer["functions"] if item["name"] == name]
        assert function["status"] == "built", function
        path: str = function["artifact"]["path"]
        return self.root / path

    def status(self, name: str) -> tuple[str, list[str]]:
        (function,) = [item for item in self.answer["functions"] if item["name"] == name]
        return function["status"], [item["code"] for item in function["diagnostics"]]


def lambdad(root: Path, store: Store, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lambdad", *arguments],
        cwd=root,
        env={**os.environ, "LAMBDAD_CACHE_DIR": str(store.root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def built(name: str, folder: Path, store: Store, packages: str | None = None) -> App:
    root = folder / name
    shutil.copytree(APPS / name, root)
    if packages is not None:
        npm = ["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--silent"]
        subprocess.run(npm, cwd=root / packages, check=True)
    done = lambdad(root, store, "build", "--json")
    assert done.returncode in {0, 1}, done.stderr
    assert "Traceback" not in done.stderr
    return App(root, json.loads(done.stdout))


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory, shared_store: Store) -> App:
    return built("notes", tmp_path_factory.mktemp("apps"), shared_store, ".")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory, shared_store: Store) -> App:
    return built("users", tmp_path_factory.mktemp("apps"), shared_store, "src")


@pytest.fixture(scope="module")
def science(tmp_path_factory: pytest.TempPathFactory, shared_store: Store) -> App:
    return built("science", tmp_path_factory.mktemp("apps"), shared_store)


def check_native(path: Path, runtime: str, architecture: Architecture) -> int:
    """Every native file fits the runtime's machine and glibc; returns how many there are."""
    count = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            described = native.describe(archive.read(name))
            if described is not None:
                count += 1
                assert native.faults(name, described, RUNTIMES[runtime], architecture) == []
    return count


def test_notes_in_typescript(notes: App, tmp_path: Path) -> None:
    """Bundles load and answer: CommonJS, ESM, tsconfig paths, real packages."""
    listed = unpack(notes.zip("ListNotes"), tmp_path / "list")
    assert call_node(listed, "list.handler", {})["statusCode"] == 200
    created = unpack(notes.zip("CreateNote"), tmp_path / "create")
    assert (created / "create.mjs").exists()
    event = {"body": json.dumps({"text": "hello"})}
    assert call_node(created, "create.handler", event)["statusCode"] == 201
    deleted = unpack(notes.zip("DeleteNote"), tmp_path / "delete")
    event_delete = {"pathParameters": {"id": "x"}}
    assert call_node(deleted, "src/notes/delete.handler", event_delete)["statusCode"] == 404
    assert sorted(os.listdir(listed)) == ["list.js", "list.js.map"]


def test_notes_in_python(notes: App, tmp_path: Path) -> None:
    """Dependencies are those of Lambda's platform, not of this machine."""
    path = notes.zip("Summarise")
    assert check_native(path, "python3.12", Architecture.ARM64) >= 1
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert "notes_summary/app.py" in names
    assert any(name.startswith("pydantic-2.11.7.dist-info/METADATA") for name in names)
    assert not any(name.endswith(("/RECORD", "/INSTALLER")) for name in names)


def test_notes_inline_code_is_skipped(notes: App) -> None:
    """There is nothing to build, and that is no fault."""
    assert notes.status("Health")[0] == "skipped"
    assert notes.answer["ok"] is True


def test_users_plain_javascript(users: App, tmp_path: Path) -> None:
    """The shared folder is packaged as it is, with its production packages and no others."""
    root = unpack(users.zip("PutUser"), tmp_path / "put")
    answer = call_node(root, "handlers/users.put", {"body": json.dumps({"name": "Ada L"})})
    assert json.loads(answer["body"]) == {"id": "ada-l", "name": "Ada L"}
    answer = call_node(root, "handlers/users.get", {"pathParameters": {"id": "ada"}})
    assert json.loads(answer["body"])["greeting"] == "Welcome, ada!"
    assert os.listdir(root / "node_modules") == ["slugify"]
    assert users.zip("GetUser").read_bytes() == users.zip("PutUser").read_bytes()


def test_users_python_with_constraints(users: App, tmp_path: Path) -> None:
    """Included requirement files and constraints hold, and the handler loads."""
    root = unpack(users.zip("Report"), tmp_path / "report")
    event = {"users": [{"name": "Ada", "joined": "2024-02-03T00:00:00"}]}
    answer = call_python("3.11", root, "report.handler", event)
    assert answer == {"csv": "Ada,2024\r\n", "agent": "python-requests"}
    (urllib3,) = [path.name for path in root.glob("urllib3-*.dist-info")]
    assert tuple(map(int, urllib3.split("-")[1].split(".")[:2])) < (2, 6)
    assert users.status("Report") == ("built", ["unlocked"])


def test_users_single_file(users: App, tmp_path: Path) -> None:
    """A CodeUri that is one source file packages only that."""
    root = unpack(users.zip("Migrate"), tmp_path / "migrate")
    assert os.listdir(root) == ["migrate.py"]
    assert call_python("3.13", root, "migrate.handler", {"users": ["b", "a"]}) == {
        "migrated": ["a", "b"]
    }


def test_users_executable_wrapper(users: App, tmp_path: Path) -> None:
    """run.sh keeps its executable bit, and the dependencies are still vendored."""
    root = unpack(users.zip("Web"), tmp_path / "web")
    assert os.access(root / "run.sh", os.X_OK)
    assert (root / "itsdangerous" / "__init__.py").exists()


def test_users_image_is_refused(users: App) -> None:
    """A container image is not ours to build, and the answer is not ok."""
    assert users.status("Thumbnails")[0] == "refused"
    assert users.answer["ok"] is False


def test_science_for_both_architectures(science: App, tmp_path: Path) -> None:
    """Native files fit the machine; the handler of this machine's kind is called for real."""
    x86, arm = science.zip("ScienceX86"), science.zip("ScienceArm")
    assert check_native(x86, "python3.13", Architecture.X86_64) > 10
    assert check_native(arm, "python3.13", Architecture.ARM64) > 10
    root = unpack(x86, tmp_path / "x86")
    if os.uname().machine == "x86_64":
        answer = call_python("3.13", root, "science.handler", {"values": [1, 2, 6]})
        assert answer == {"mean": 3.0, "largest": 6.0}
    assert (root / "boto3").is_dir()


def test_science_without_boto3(science: App) -> None:
    """`without` leaves out what the runtime has, and what only that needs."""
    with zipfile.ZipFile(science.zip("ScienceSlim")) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert "numpy" in tops
    assert not tops & {"boto3", "botocore", "s3transfer", "jmespath"}


@pytest.mark.parametrize("name", ["notes", "users", "science"])
def test_nothing_is_built_twice(
    name: str, request: pytest.FixtureRequest, shared_store: Store
) -> None:
    """A second build of an unchanged app builds nothing, offline."""
    app: App = request.getfixturevalue(name)
    again = json.loads(lambdad(app.root, shared_store, "build", "--json", "--offline").stdout)
    for before, after in zip(app.answer["functions"], again["functions"], strict=True):
        assert after["name"] == before["name"]
        assert after["cached"] or after["status"] in {"skipped", "refused"}
        assert after.get("artifact") == before.get("artifact")
