"""What is installed, frozen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.model import Architecture, ProjectError
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import pylock, requirements
from lambdad.bundler.python.locks.lock import Lock
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.support.samples import function

TARGET = targets.of(function())
ARM = targets.of(function(architecture=Architecture.ARM64))
A, B = "a" * 64, "b" * 64
HEAD = 'lock-version = "1.0"\ncreated-by = "test"\n'


def wheel(filename: str, digest: str = A) -> str:
    return f'{{ url = "https://index.example/{filename}", hashes = {{ sha256 = "{digest}" }} }}'


def package(name: str, *wheels: str, more: str = "", version: str = "1.0") -> str:
    listed = f"wheels = [{', '.join(wheels)}]\n" if wheels else ""
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}{listed}'


def parse(*packages: str, head: str = HEAD, target: targets.Target = TARGET) -> Lock:
    return pylock.parse("\n".join([head, *packages]), "src/pylock.toml", "/project", target)


def codes(fault: pytest.ExceptionInfo[ProjectError]) -> list[str]:
    return [found.code for found in fault.value.diagnostics]


def test_wheels_are_selected_for_the_target() -> None:
    """Of a package's wheels the best that fits the target is pinned, by its one hash."""
    both = package(
        "fast",
        wheel("fast-1.0-cp312-cp312-manylinux2014_x86_64.whl", A),
        wheel("fast-1.0-cp312-cp312-manylinux2014_aarch64.whl", B),
        wheel("fast-1.0-py3-none-any.whl", "c" * 64),
    )
    assert parse(both).pins[0].hashes == (f"sha256:{A}",)
    assert parse(both, target=ARM).pins[0].hashes == (f"sha256:{B}",)


def test_highest_build_number() -> None:
    """Of wheels with the same tags the one with the highest build number is pinned."""
    found = parse(
        package("x", wheel("x-1.0-2-py3-none-any.whl", A), wheel("x-1.0-10-py3-none-any.whl", B))
    )
    assert found.pins[0].hashes == (f"sha256:{B}",)


def test_markers() -> None:
    """A package whose marker is false for the target is not installed."""
    more = "marker = \"sys_platform == 'win32'\"\n"
    assert parse(package("colorama", wheel("colorama-1.0-py3-none-any.whl"), more=more)).pins == ()


def test_no_wheel_fits() -> None:
    """A package with no file that fits is pinned as not fitting, for its diagnostic."""
    found = parse(package("fast", wheel("fast-1.0-cp312-cp312-macosx_11_0_arm64.whl")))
    assert [pin.fits for pin in found.pins] == [False]


def test_local_files_and_folders() -> None:
    """Paths in a lock are relative to it."""
    found = parse(
        '[[packages]]\nname = "shared"\ndirectory = { path = "../libs/shared", editable = true }\n',
        '[[packages]]\nname = "own"\nversion = "1.0"\n'
        f'archive = {{ path = "own/own-1.0-py3-none-any.whl", hashes = {{ sha256 = "{A}" }} }}\n',
    )
    assert [folder.path for folder in found.folders] == ["/project/libs/shared"]
    assert [pin.path for pin in found.pins] == ["/project/src/own/own-1.0-py3-none-any.whl"]


BAD = {
    "broken TOML": ("x = = 1", ["bad-lock"]),
    "no version": ('created-by = "x"\n', ["bad-lock"]),
    "another Python": (HEAD + 'requires-python = ">=3.13"\n', ["lock-target"]),
    "another platform": (HEAD + "environments = [\"sys_platform == 'win32'\"]\n", ["lock-target"]),
    "a newer format": (HEAD.replace("1.0", "2.0"), ["bad-lock"]),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case: str) -> None:
    """A lock that can't be read, or is for something else, is an error of the project."""
    head, expected = BAD[case]
    with pytest.raises(ProjectError) as caught:
        parse(package("x", wheel("x-1.0-py3-none-any.whl")), head=head)
    assert codes(caught) == expected


def test_faults_of_packages_come_together() -> None:
    """Each package's fault is reported, at the line that names it."""
    with pytest.raises(ProjectError) as caught:
        parse(
            package("one", wheel("one-1.0-py3-none-any.whl"), more='requires-python = ">=3.14"\n'),
            package("two", wheel("two-1.0-py3-none-any.whl")),
            package("two", wheel("two-2.0-py3-none-any.whl"), version="2.0"),
            '[[packages]]\nname = "three"\n'
            'vcs = { type = "git", url = "https://git.example/x", commit-id = "abc" }\n',
        )
    assert codes(caught) == ["lock-target", "bad-lock", "unsupported-requirement"]
    assert [found.where.line for found in caught.value.diagnostics if found.where] == [5, 11, 21]


PYLOCK = "\n".join([HEAD, package("x", wheel("x-1.0-py3-none-any.whl"))])


@given(cut=st.integers(0, len(PYLOCK)))
def test_torn_lock(cut: int) -> None:
    """A lock cut at any byte is refused, or pins no other file."""
    outcome: set[object]
    try:
        found = pylock.parse(PYLOCK[:cut], "pylock.toml", "/project", TARGET)
    except ProjectError as fault:
        outcome = {one.code for one in fault.diagnostics}
    else:
        outcome = {pin.hashes for pin in found.pins}
    assert outcome <= {"bad-lock", (f"sha256:{A}",)}


# --- requirements with hashes ----------------------------------------------------------------


def read(
    tmp_path: Path, text: str, name: str = "requirements.txt"
) -> requirements.RequirementsFile:
    (tmp_path / name).write_text(text)
    store = Store(tmp_path / "store")
    return requirements.read(
        name, Workshop(root=str(tmp_path), repository=str(tmp_path), store=store, environ={})
    )


H = f"--hash=sha256:{A}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"six==1.0 {H}\nidna==2\n", ["partly-hashed"]),
        (f"six==1.0 {H}\nidna==2\nattrs\n", ["partly-hashed", "partly-hashed"]),
        (f"six>=1.0 {H}\n", ["not-pinned"]),
        (f"six==1.* {H}\n", ["not-pinned"]),
        (f"six==1.0 {H}\nsix==2.0 {H}\n", ["double-requirement"]),
        ("--require-hashes\nsix==1.0\n", ["partly-hashed"]),
    ],
)
def test_refused_as_pip_would(tmp_path: Path, text: str, expected: list[str]) -> None:
    """One hash makes all of them required, and each needs one exact version."""
    with pytest.raises(ProjectError) as caught:
        locks.from_requirements(read(tmp_path, text), TARGET)
    assert codes(caught) == expected


def test_hashed(tmp_path: Path) -> None:
    """Lines whose marker is false for the target pin nothing; local packages need no hash."""
    (tmp_path / "lib").mkdir()
    text = (
        f"Six==1.0 {H}\nwin==1 ; sys_platform=='win32' {H}\nold==1 ; python_version<'3'\n-e lib\n"
    )
    found = locks.from_requirements(read(tmp_path, text), TARGET)
    assert [(pin.name, pin.version) for pin in found.pins] == [("six", "1.0")]
    assert [folder.path for folder in found.folders] == [os.path.join(tmp_path, "lib")]


@pytest.mark.parametrize(
    ("locked", "asked", "problem"),
    [
        ("six==1.0", "six", None),
        ("six==1.0", "SIX>=1,<2", None),
        ("six==2.0rc1", "six>=1", None),
        ("six==1.0", "six>=1.1", "pins six 1.0"),
        ("six==1.0", "idna", "idna is not in it"),
        ("six==1.0", "six\nidna ; sys_platform=='win32'", None),
        ("six==1.0", "six\nidna ; sys_platform=='linux'", "idna is not in it"),
        ("six==1.0", "six\n-c limits.txt", "pins six 1.0"),
        ("six==1.0", "six\n./lib", "./lib is not in it"),
        ("six==1.0", "six @ https://index.example/six-1.0.tar.gz", "is not from"),
    ],
)
def test_fit(tmp_path: Path, locked: str, asked: str, problem: str | None) -> None:
    """A lock fits its source if it meets each direct requirement; nothing else is compared."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "limits.txt").write_text("six<1\n")
    lock = locks.from_requirements(read(tmp_path, f"{locked} {H}\n"), TARGET)
    source = read(tmp_path, asked, "requirements.in")
    problems = locks.outdated(lock, source.wanted, source.constraints, TARGET)
    assert [problem in reason for reason, _ in problems if problem] == [True] * len(problems)
    assert bool(problems) is (problem is not None)


def test_older_python() -> None:
    """A Requires-Python is judged by the runtime's own version."""
    target = targets.of(function(runtime=RUNTIMES["python3.9"]))
    assert targets.accepts(target, ">=3.9.2")
    assert not targets.accepts(target, ">=3.10")
