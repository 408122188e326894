"""Projects of Poetry: what their poetry.lock says is what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.version import Version

from lambdad.bundler.model import Architecture, ProjectError
from lambdad.bundler.python import locking
from lambdad.bundler.python.locks import poetry
from lambdad.bundler.python.locks.poetry import BadDependencyError
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.zips.member import Contents
from tests.bundler.python.test_package import no_tools
from tests.support import python_served
from tests.support.python_index import Project, installed, project, source_tree, warnings_of
from tests.support.python_served import poetry_bin
from tests.support.samples import function

__all__ = ["poetry_bin", "project"]


@pytest.fixture
def index(project: Project) -> Iterator[str]:
    with python_served.served(project.index.folder) as url:
        yield url


def pyproject(index: str, dependencies: str, more: str = "") -> str:
    return (
        '[tool.poetry]\nname = "app"\nversion = "0.1"\npackage-mode = false\n'
        f'[tool.poetry.dependencies]\npython = ">=3.10"\n{dependencies}\n{more}\n'
        f'[[tool.poetry.source]]\nname = "ours"\nurl = "{index}"\npriority = "primary"\n'
    )


def pep621(index: str, *dependencies: str, more: str = "") -> str:
    return (
        '[project]\nname = "app"\nversion = "0.1"\nrequires-python = ">=3.10"\n'
        f"dependencies = {list(dependencies)!r}\n{more}\n[tool.poetry]\npackage-mode = false\n"
        f'[[tool.poetry.source]]\nname = "ours"\nurl = "{index}"\npriority = "primary"\n'
    )


def pack(project: Project, *, locked: bool = True, **changes: Any) -> Contents:
    return project.pack(python_served.networked(project), locked=locked, **changes)


def faults(project: Project, **changes: Any) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        pack(project, **changes)
    project.last = caught.value
    return [found.code for found in caught.value.diagnostics]


def test_locked(
    project: Project, index: str, poetry_bin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Poetry locked is installed, its main dependencies alone, and Poetry is not needed."""
    project.index.wheel("alpha", requires=["beta", "win ; sys_platform == 'win32'"])
    for name in ("win", "tests_only", "other_only"):
        project.index.wheel(name)
    project.index.wheel("beta", "1.0")
    groups = (
        '[tool.poetry.group.dev.dependencies]\ntests-only = "*"\n'
        "[tool.poetry.group.other]\noptional = true\n"
        '[tool.poetry.group.other.dependencies]\nother-only = "^1.0"\n'
    )
    project.lay({"src/pyproject.toml": pyproject(index, 'alpha = "^1.0"', groups)})
    python_served.poetry_lock(project, poetry_bin, "src")
    project.index.wheel("beta", "2.0")
    first = pack(project)
    assert installed(first) == ["alpha-1.0", "beta-1.0"]
    assert warnings_of(first) == []
    assert {"src/pyproject.toml", "src/poetry.lock", "src/uv.lock"} <= set(project.inputs.files)
    assert installed(pack(project, groups=("other",))) == [
        "alpha-1.0",
        "beta-1.0",
        "other_only-1.0",
    ]
    no_tools(monkeypatch)
    assert pack(project) == first


def test_extras(project: Project, index: str, poetry_bin: str) -> None:
    """Optional dependencies come with the extras that the configuration names, and so do those
    that packages ask of each other."""
    project.index.wheel("alpha", requires=["beta ; extra == 'more'", "gamma ; extra == 'other'"])
    for name in ("beta", "gamma", "delta"):
        project.index.wheel(name)
    dependencies = (
        'alpha = { version = "*", extras = ["more"] }\ndelta = { version = "*", optional = true }'
    )
    extras = '[tool.poetry.extras]\nx = ["delta"]\n'
    project.lay({"src/pyproject.toml": pyproject(index, dependencies, extras)})
    python_served.poetry_lock(project, poetry_bin, "src")
    assert installed(pack(project)) == ["alpha-1.0", "beta-1.0"]
    assert installed(pack(project, extras=("x",))) == ["alpha-1.0", "beta-1.0", "delta-1.0"]
    assert faults(project, extras=("y",)) == ["unknown-extra"]


def test_pep_621(project: Project, index: str, poetry_bin: str) -> None:
    """Poetry 2's projects: [project], its extras, and groups of PEP 735."""
    for name in ("one", "two", "three"):
        project.index.wheel(name)
    more = '[project.optional-dependencies]\nx = ["two"]\n[dependency-groups]\nprod = ["three"]\n'
    project.lay({"src/pyproject.toml": pep621(index, "one>=1", more=more)})
    python_served.poetry_lock(project, poetry_bin, "src")
    assert installed(pack(project)) == ["one-1.0"]
    found = pack(project, extras=("x",), groups=("prod",))
    assert installed(found) == ["one-1.0", "three-1.0", "two-1.0"]


def lay_fork(project: Project, index: str) -> None:
    """A package in two versions: one for older Pythons, and both below a third package."""
    project.index.wheel("fork", "1.0")
    project.index.wheel("fork", "2.0", requires_python=">=3.12")
    project.index.wheel("user", requires=["fork", "kind"])
    for name in ("arm", "mac"):
        project.index.wheel(name)
    for version in ("1.0", "2.0"):
        project.index.wheel("kind", version)
    dependencies = (
        'user = "*"\n'
        'fork = [{ version = "^1", python = "<3.12" }, { version = "^2", python = ">=3.12" }]\n'
        'arm = { version = "*", markers = "platform_machine == \'aarch64\'" }\n'
        'mac = { version = "*", platform = "darwin" }\n'
        'kind = [{ version = "^1", markers = "platform_machine == \'aarch64\'" }, '
        '{ version = "^2", markers = "platform_machine != \'aarch64\'" }]\n'
    )
    project.lay({"src/pyproject.toml": pyproject(index, dependencies)})


def test_markers_are_judged_for_the_target(project: Project, index: str, poetry_bin: str) -> None:
    """Versions and packages are those of the function's Python, system and machine."""
    lay_fork(project, index)
    python_served.poetry_lock(project, poetry_bin, "src")
    x86 = pack(project, runtime=RUNTIMES["python3.11"])
    assert installed(x86) == ["fork-1.0", "kind-2.0", "user-1.0"]
    arm = pack(project, runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)
    assert installed(arm) == ["arm-1.0", "fork-2.0", "kind-1.0", "user-1.0"]


@pytest.mark.parametrize("version", ["2.0", "1.1"])
def test_older_formats(project: Project, index: str, poetry_bin: str, version: str) -> None:
    """Locks of Poetry 1, which say neither groups nor markers of a package, give the same; 1.1
    has its files apart."""
    lay_fork(project, index)
    python_served.poetry_lock(project, poetry_bin, "src")
    targets = [
        (RUNTIMES["python3.11"], Architecture.ARM64),
        (RUNTIMES["python3.13"], Architecture.X86_64),
    ]
    before = [pack(project, runtime=one, architecture=other) for one, other in targets]
    path = project.root / "src/poetry.lock"
    path.write_text(python_served.as_older_lock(path.read_text(), version))
    for (one, other), contents in zip(targets, before, strict=True):
        found = pack(project, runtime=one, architecture=other)
        assert found.dependencies == contents.dependencies


def test_path_dependencies(project: Project, index: str, poetry_bin: str) -> None:
    """Folders by their path, develop or not, with their own dependencies; archives, too."""
    project.index.wheel("beta")
    project.index.wheel("given")
    name = "given-1.0-py3-none-any.whl"
    (project.root / "wheels").mkdir()
    (project.index.folder / name).rename(project.root / "wheels" / name)
    for package, requires in (("one", ["beta"]), ("two", [])):
        for file, text in source_tree(package, requires=requires).items():
            project.lay({f"libs/{package}/{file}": text})
    dependencies = (
        'one = { path = "../libs/one", develop = true }\ntwo = { path = "../libs/two" }\n'
        f'given = {{ path = "../wheels/{name}" }}\n'
    )
    project.lay({"src/pyproject.toml": pyproject(index, dependencies)})
    python_served.poetry_lock(project, poetry_bin, "src")
    contents = pack(project)
    assert installed(contents) == ["beta-1.0", "given-1.0", "one-1.0", "two-1.0"]
    assert {f"wheels/{name}", "libs/one/one/__init__.py"} <= set(project.inputs.files)


@pytest.mark.parametrize(
    "now",
    ['alpha = "^1.0"\nbeta = "^2.0"', 'alpha = "^1.0"', 'alpha = "*"\nbeta = "*"\ngamma = "*"'],
)
def test_outdated(project: Project, index: str, poetry_bin: str, now: str) -> None:
    """A dependency that was added, changed or removed since makes the lock outdated."""
    for name in ("alpha", "beta"):
        project.index.wheel(name)
    project.lay({"src/pyproject.toml": pyproject(index, 'alpha = "^1.0"\nbeta = "*"')})
    python_served.poetry_lock(project, poetry_bin, "src")
    assert installed(pack(project)) == ["alpha-1.0", "beta-1.0"]
    project.lay({"src/pyproject.toml": pyproject(index, now)})
    assert faults(project) == ["lock-outdated"]
    fault = project.last.diagnostics[0]
    assert fault.where is not None
    assert fault.where.file == "src/pyproject.toml"
    assert "`poetry lock`" in (fault.hint or "")
    assert {"src/pyproject.toml", "src/poetry.lock"} <= set(project.inputs.files)


def test_hash_mismatch(project: Project, index: str, poetry_bin: str) -> None:
    """A file that is not the one Poetry locked is refused."""
    project.index.wheel("beta")
    project.lay({"src/pyproject.toml": pyproject(index, 'beta = "*"')})
    python_served.poetry_lock(project, poetry_bin, "src")
    project.index.wheel("beta", files={"beta/__init__.py": b"other = 1\n"})
    assert faults(project) == ["hash-mismatch"]


def test_lock_names_poetry(project: Project) -> None:
    """`lambdad lock` leaves it to Poetry."""
    project.lay({"src/pyproject.toml": pyproject("https://index.example", 'beta = "*"')})
    with pytest.raises(ProjectError) as caught:
        locking.write_lock([function()], current_toolchain(), project.workshop)
    assert "`poetry lock`" in (caught.value.diagnostics[0].hint or "")


# --- Poetry's own syntax ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "yes", "no"),
    [
        ("^1.2", "1.9", "2.0"),
        ("^0.2.3", "0.2.9", "0.3.0"),
        ("~1.2", "1.2.9", "1.3"),
        ("1.*", "1.9", "2.0"),
        ("1.2", "1.2.0", "1.2.1"),
        ("<1 || >=3", "3.1", "2.0"),
        (">=1,<2", "1.5", "2"),
        ("*", "7", None),
    ],
)
def test_versions(versions: str, yes: str, no: str | None) -> None:
    """Constraints mean what Poetry's documentation says."""
    assert poetry.allows(versions, yes)
    assert no is None or not poetry.allows(versions, no)
    specifier = poetry.specifier(versions)
    assert (specifier is None) == ("||" in versions)
    if specifier is not None:
        assert specifier.contains(Version(yes))
        assert no is None or not specifier.contains(Version(no))


@pytest.mark.parametrize(
    ("table", "holds"),
    [
        ({"python": "^3.8"}, ["3.8", "3.9", "3.12"]),
        ({"python": "3.9"}, ["3.9"]),
        ({"python": "<3.9 || >=3.12"}, ["3.8", "3.12"]),
        ({"platform": "linux"}, ["3.8", "3.9", "3.12"]),
        ({"platform": "win32"}, []),
        ({"platform": "!=win32", "python": "~3.9"}, ["3.9"]),
        ({"markers": "python_version > '3.8'", "python": "<3.12"}, ["3.9"]),
    ],
)
def test_conditions(table: dict[str, str], holds: list[str]) -> None:
    """`python`, `platform` and `markers` hold together."""
    (one,) = poetry.dependencies("x", {"version": "*", **table})
    assert isinstance(one.marker, Marker)
    pythons = {
        short: {"python_version": short, "python_full_version": f"{short}.4"}
        for short in ("3.8", "3.9", "3.12")
    }
    found = [
        short
        for short, names in pythons.items()
        if one.marker.evaluate({**names, "sys_platform": "linux"})
    ]
    assert found == holds


@settings(max_examples=300, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=12)
        | st.sampled_from(["^1", "<1 || >2", "1.*", "linux", "python_version > '3'", "../x"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "python", "platform", "markers", "extras", "path", "git",
                             "url", "optional", "subdirectory", "file", "source"]),
            inner, max_size=5),
        max_leaves=8,
    )
)  # fmt: skip
def test_any_entry(value: Any) -> None:
    """Whatever an entry is, it is a dependency or a fault that says so."""
    try:
        found = poetry.dependencies("x", value)
        for one in found:
            poetry.specifier(one.versions)
            poetry.allows(one.versions, "1.0")
    except BadDependencyError as fault:
        assert str(fault)  # noqa: PT017 - both endings are right


# --- any file at all -------------------------------------------------------------------------

LOCK = """# This file is automatically @generated by Poetry 2.5.1 and should not be changed by hand.

[[package]]
name = "beta"
version = "1.0"
description = ""
optional = false
python-versions = ">=3.8"
groups = ["main"]
markers = "python_version >= '3.10' and extra == 'x'"
files = [
    {file = "beta-1.0-py3-none-any.whl", hash = "sha256:0"},
]

[package.dependencies]
gamma = {version = "^1", optional = true, markers = "extra == 'y'"}

[package.extras]
y = ["gamma (>=1)"]

[[package]]
name = "local"
version = "1.0"
optional = false
python-versions = "*"
files = []
develop = false

[package.source]
type = "directory"
url = "../local"

[metadata]
lock-version = "2.1"
python-versions = ">=3.10"
content-hash = ""
""".replace("sha256:0", f"sha256:{'0' * 64}")
EXPECTED = {
    "bad-lock", "broken-config", "lock-outdated", "lock-target", "unsupported-requirement",
    "partly-hashed", "not-a-package", "missing-requirements",
}  # fmt: skip
SAMPLE = pyproject("https://index.example", 'beta = "*"\nlocal = { path = "../local" }')


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(LOCK)), gone=st.integers(0, 30), instead=st.text(max_size=8))
def test_any_lock(project: Project, at: int, gone: int, instead: str) -> None:
    """Whatever stands in poetry.lock, the reader gives a lock or diagnostics."""
    text = LOCK[:at] + instead + LOCK[at + gone :]
    project.lay({"src/pyproject.toml": SAMPLE})
    (project.root / "src/poetry.lock").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert python_served.outcome("src", function(), project.workshop) <= EXPECTED


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(SAMPLE)), gone=st.integers(0, 30), instead=st.text(max_size=8))
def test_any_pyproject(project: Project, at: int, gone: int, instead: str) -> None:
    """Nor does it matter what stands in the pyproject.toml beside."""
    text = SAMPLE[:at] + instead + SAMPLE[at + gone :]
    (project.root / "src/pyproject.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    project.lay({"src/poetry.lock": LOCK})
    expected = {*EXPECTED, "bad-requirement", "unknown-extra", "needs-lock"}
    assert python_served.outcome("src", function(), project.workshop) <= expected


def test_the_sample_is_a_lock(project: Project) -> None:
    """What the fuzzing starts from is read, so it tries more than the first check."""
    project.lay({"src/pyproject.toml": SAMPLE, "src/poetry.lock": LOCK})
    assert python_served.outcome("src", function(), project.workshop) == set()
