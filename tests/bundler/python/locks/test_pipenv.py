"""Projects of pipenv: what their Pipfile.lock says is what is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.bundler.model import ProjectError
from lambdad.bundler.python import locking
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.zips.member import Contents
from tests.bundler.python.test_package import no_tools
from tests.support import python_served
from tests.support.python_index import Project, installed, project, source_tree, warnings_of
from tests.support.python_served import pipenv_bin
from tests.support.samples import function

__all__ = ["pipenv_bin", "project"]

OURS = RUNTIMES.get(f"python3.{sys.version_info[1]}", RUNTIMES["python3.12"])
"""pipenv locks for the Python that it runs under."""


@pytest.fixture
def index(project: Project) -> Iterator[str]:
    with python_served.served(project.index.folder) as url:
        yield url


def pipfile(index: str, packages: str, more: str = "") -> str:
    source = f'[[source]]\nname = "ours"\nurl = "{index}"\nverify_ssl = false\n'
    return f"{source}[packages]\n{packages}\n{more}\n"


def pack(project: Project, *, locked: bool = True, **changes: Any) -> Contents:
    workshop = python_served.networked(project)
    return project.pack(workshop, locked=locked, **{"runtime": OURS, **changes})


def faults(project: Project, **changes: Any) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        pack(project, **changes)
    project.last = caught.value
    return [found.code for found in caught.value.diagnostics]


def test_locked(
    project: Project, index: str, pipenv_bin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[packages] is installed as pipenv locked it, a category if it is chosen, and pipenv is not
    needed."""
    project.index.wheel("alpha", requires=["beta", "gamma ; extra == 'more'"])
    for name in ("gamma", "win", "tests_only", "docs_only"):
        project.index.wheel(name)
    project.index.wheel("beta", "1.0")
    packages = (
        'alpha = { version = "*", extras = ["more"] }\n'
        'win = { version = "*", sys_platform = "== \'win32\'" }\n'
    )
    more = '[dev-packages]\ntests-only = "*"\n[docs]\ndocs-only = "*"\n'
    project.lay({"src/Pipfile": pipfile(index, packages, more)})
    python_served.pipenv_lock(project, pipenv_bin, "src")
    project.index.wheel("beta", "2.0")
    first = pack(project)
    assert installed(first) == ["alpha-1.0", "beta-1.0", "gamma-1.0"]
    assert warnings_of(first) == []
    assert {"src/Pipfile", "src/Pipfile.lock"} <= set(project.inputs.files)
    found = pack(project, groups=("docs",))
    assert installed(found) == ["alpha-1.0", "beta-1.0", "docs_only-1.0", "gamma-1.0"]
    assert faults(project, extras=("x",), groups=("y",)) == ["unknown-extra", "unknown-extra"]
    no_tools(monkeypatch)
    assert pack(project) == first


def test_outdated_and_mismatch(project: Project, index: str, pipenv_bin: str) -> None:
    """A Pipfile edited since, or another file than the locked one, is an error."""
    project.index.wheel("beta")
    for file, text in source_tree("shared").items():
        project.lay({f"libs/shared/{file}": text})
    packages = 'beta = "*"\nshared = { path = "../libs/shared" }'
    project.lay({"src/Pipfile": pipfile(index, packages)})
    python_served.pipenv_lock(project, pipenv_bin, "src")
    assert installed(pack(project)) == ["beta-1.0", "shared-1.0"]
    project.lay({"src/Pipfile": pipfile(index, packages.replace("*", ">=0"))})
    assert faults(project) == ["lock-outdated"]
    assert "`pipenv lock`" in (project.last.diagnostics[0].hint or "")
    with pytest.raises(ProjectError):
        locking.write_lock([function()], current_toolchain(), python_served.networked(project))
    (project.root / "src/Pipfile").unlink()
    assert installed(pack(project)) == ["beta-1.0", "shared-1.0"]
    path = project.root / "src/Pipfile.lock"
    document = json.loads(path.read_text())
    document["default"]["beta"]["hashes"] = [f"sha256:{'0' * 64}"]
    path.write_text(json.dumps(document, indent=4))
    assert faults(project) == ["hash-mismatch"]
    where = project.last.diagnostics[0].where
    assert where is not None
    assert '"beta": {' in path.read_text().splitlines()[(where.line or 0) - 1]


LOCK = json.dumps(
    {
        "_meta": {
            "hash": {},
            "pipfile-spec": 6,
            "requires": {"python_version": "3.12"},
            "sources": [{"name": "ours", "url": "https://${U}@index.example", "verify_ssl": True}],
        },
        "default": {
            "beta": {
                "extras": ["x"],
                "hashes": [f"sha256:{'0' * 64}"],
                "markers": "python_version >= '3.8'",
                "version": "==1.0",
            },
            "local": {"editable": True, "path": "../local"},
            "other": {"file": "https://index.example/other-1.0.tar.gz", "hashes": ["sha256:11"]},
            "forked": {"git": "https://git.example/x", "ref": "abc", "markers": "os_name == 'nt'"},
        },
        "develop": {},
    },
    indent=4,
)
EXPECTED = {
    "bad-lock", "lock-outdated", "unsupported-requirement", "partly-hashed", "not-pinned",
    "broken-config", "bad-requirement", "missing-requirements", "unknown-extra", "needs-lock",
}  # fmt: skip
SAMPLE = pipfile(
    "https://$U@index.example",
    'beta = "*"\nother = { file = "https://index.example/other-1.0.tar.gz" }\n'
    'local = { path = "../local", editable = true, os_name = "!= \'nt\'" }\n',
    "[dev-packages]\ngamma = '*'\n[requires]\npython_version = '3.12'\n",
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(LOCK)), gone=st.integers(0, 30), instead=st.text(max_size=8))
def test_any_lock(project: Project, at: int, gone: int, instead: str) -> None:
    """Whatever stands in Pipfile.lock, the reader gives a lock or diagnostics."""
    text = LOCK[:at] + instead + LOCK[at + gone :]
    (project.root / "src/Pipfile.lock").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert python_served.outcome("src", function(), project.workshop) <= EXPECTED


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(SAMPLE)), gone=st.integers(0, 30), instead=st.text(max_size=8))
def test_any_pipfile(project: Project, at: int, gone: int, instead: str) -> None:
    """Nor does it matter what stands in the Pipfile, beside a lock or alone."""
    text = SAMPLE[:at] + instead + SAMPLE[at + gone :]
    (project.root / "src/Pipfile").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert python_served.outcome("src", function(), project.workshop) <= EXPECTED


def test_the_samples_are_read(project: Project) -> None:
    """What the fuzzing starts from is sound, so it tries more than the first check."""
    project.lay({"src/Pipfile.lock": LOCK, "local/setup.py": ""})
    assert python_served.outcome("src", function(), project.workshop) == set()
    (project.root / "src/Pipfile.lock").unlink()
    project.lay({"src/Pipfile": SAMPLE})
    assert python_served.outcome("src", function(), project.workshop) == set()
