"""What development and CI install: the lock of `requirements/dev.txt`."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.paths import ROOT

LOCK = ROOT / "requirements" / "dev.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

ENTRY = re.compile(r"(?P<pin>[^\\]+?)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
PLATFORMS = [
    {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"},
    {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin"},
]


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of the lock."""

    requirement: Requirement

    @property
    def name(self) -> str:
        """The package's normalised name."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        """The one version that the entry allows."""
        (only,) = self.requirement.specifier
        assert only.operator == "=="
        return Version(only.version)


def entries(text: str) -> Iterator[Pin]:
    """The entries of a lock, which holds nothing else but comments."""
    lines = text.splitlines(keepends=True)
    body = "".join(line for line in lines if not line.startswith("#"))
    at = 0
    while at < len(body):
        found = ENTRY.match(body, at)
        assert found is not None, f"no entry with hashes: {body[at : at + 80]!r}"
        yield Pin(Requirement(found["pin"].strip()))
        at = found.end()


def declared() -> list[Requirement]:
    """Everything that pyproject.toml asks for, whatever for."""
    project = PROJECT["project"]
    texts = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    return [Requirement(text) for text in texts]


def here() -> dict[str, str]:
    """The values that markers have for the Python that runs the tests."""
    return {str(name): str(value) for name, value in default_environment().items()}


def holding(pins: list[Pin], environment: dict[str, str]) -> dict[str, Version]:
    """The versions that an install in this environment takes."""
    return {
        pin.name: pin.version
        for pin in pins
        if pin.requirement.marker is None or pin.requirement.marker.evaluate(environment)
    }


def unmet(wanted: list[Requirement], environment: dict[str, str]) -> list[str]:
    """The requirements of this environment that no pin of the lock meets."""
    versions = holding(list(entries(LOCK.read_text())), environment)
    return [
        str(one)
        for one in wanted
        if (one.marker is None or one.marker.evaluate(environment))
        and (
            (version := versions.get(canonicalize_name(one.name))) is None
            or not one.specifier.contains(version, prereleases=True)
        )
    ]


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda one: one["sys_platform"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_covers_what_the_project_asks_for(python: str, platform: dict[str, str]) -> None:
    """Each requirement has a pin that meets it, for every Python that the project supports."""
    versions = {"python_version": python, "python_full_version": f"{python}.0"}
    environment = here() | platform | versions
    assert unmet(declared(), environment) == [], "run `make lock`"


def test_the_lock_covers_what_the_build_backend_asks_for() -> None:
    """The project is installed without isolation, so the backend finds all it needs in the lock."""
    ask = (
        "import hatchling.build as b, json; print(json.dumps(b.get_requires_for_build_editable()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True
    )
    asked = [Requirement(text) for text in json.loads(done.stdout)]
    assert unmet(asked, here()) == []


def test_the_lock_names_no_host_and_no_folder() -> None:
    """It holds on every machine: pins, hashes and markers, and nothing about where to fetch."""
    pins = list(entries(LOCK.read_text()))
    assert pins
    assert [pin.name for pin in pins if pin.requirement.url] == []
    assert "://" not in LOCK.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://127.0.0.1/simple\n",
        "--find-links /somewhere\n",
        "six==1.17.0\n",
        "six @ file:///somewhere/six.whl\n",
        "./somewhere\n",
    ],
)
def test_a_lock_with_anything_else_is_refused(text: str) -> None:
    """The reader of these tests passes over nothing but comments."""
    good = f"six==1.17.0 \\\n    --hash=sha256:{'0' * 64}\n"
    assert len(list(entries("# a comment\n" + good))) == 1
    with pytest.raises(AssertionError, match="no entry with hashes"):
        list(entries(good + text))
