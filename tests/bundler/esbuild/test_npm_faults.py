"""What npm's registry answers where esbuild is to be fetched, and no answer at all: whose fault it
is, and that nothing remembers it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lambdad.bundler import build
from lambdad.bundler.esbuild import binary
from lambdad.bundler.esbuild.binary import VERSION, host_platform
from lambdad.bundler.model import Built, Failed, Handler, Method
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import workshop_at, write_tree
from tests.support import faulty_index
from tests.support.esbuild_cases import binary_path
from tests.support.faulty_index import IMPATIENT, Behaviour
from tests.support.samples import function

PACKAGE = f"@esbuild/{host_platform()}"
FILE = f"{host_platform()}-{VERSION}.tgz"
FUNCTION = function(
    runtime=RUNTIMES["nodejs22.x"],
    handler=Handler("app.handler", "app", "handler"),
    method=Method.ESBUILD,
)

PAGES = {
    "401": "index-denied",
    "403": "index-denied",
    "404": "esbuild-missing",
    "429": "no-network",
    "503": "no-network",
    "reset": "no-network",
    "half": "no-network",
    "portal": "no-network",
}
FILES = {
    "401": "index-denied",
    "404": "esbuild-missing",
    "503": "no-network",
    "reset": "no-network",
    "half": "no-network",
    "cut": "esbuild-corrupt",
    "portal": "esbuild-corrupt",
}
"""How the registry fails, and the diagnostic's code."""


@dataclass
class Lab:
    """A project with a store that lacks esbuild, and a registry that has it and may fail."""

    workshop: Workshop
    folder: Path
    behaviour: Behaviour
    url: str

    def lists(self, integrity: bytes | None = None) -> None:
        """The registry's page of the package; `integrity` is of what it promises."""
        content = (self.folder / FILE).read_bytes() if integrity is None else integrity
        version = {
            "name": PACKAGE,
            "version": VERSION,
            "dist": {
                "tarball": f"{self.url}/{PACKAGE}/-/{FILE}",
                "integrity": "sha512-"
                + base64.b64encode(hashlib.sha512(content).digest()).decode(),
            },
        }
        page = {
            "name": PACKAGE,
            "dist-tags": {"latest": VERSION},
            "versions": {VERSION: version},
        }
        name = os.path.basename(PACKAGE.replace("/", "%2f"))
        (self.folder / name).write_text(json.dumps(page))

    def set(self, **environ: str) -> None:
        self.workshop = replace(self.workshop, environ={**self.workshop.environ, **environ})

    def fails(self) -> Failed:
        (outcome,) = build.build([FUNCTION], self.workshop)
        assert isinstance(outcome, Failed), outcome
        assert outcome.machine_fault
        assert not [
            name
            for _folder, _folders, names in os.walk(self.workshop.store.root / "esbuild")
            for name in names
        ]
        return outcome

    def builds(self) -> None:
        (outcome,) = build.build([FUNCTION], self.workshop)
        assert isinstance(outcome, Built), outcome
        assert outcome.reasons == ("never built",)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """esbuild's package, as npm has it."""
    place = tmp_path_factory.mktemp("package") / FILE
    about = place.with_name("package.json")
    about.write_text(json.dumps({"name": PACKAGE, "version": VERSION}))
    with tarfile.open(place, "w:gz", compresslevel=1) as tar:
        tar.add(about, "package/package.json")
        tar.add(binary_path(), "package/bin/esbuild")
    return place


@pytest.fixture
def lab(tmp_path: Path, package: Path) -> Iterator[Lab]:
    folder = tmp_path / "registry"
    folder.mkdir()
    os.link(package, folder / FILE)
    workshop = workshop_at(tmp_path / "project", Store(tmp_path / "store"))
    write_tree(Path(workshop.root), {"src/app.ts": "export const handler = async () => 1\n"})
    with faulty_index.served(folder) as (url, behaviour):
        found = Lab(workshop, folder, behaviour, url)
        found.set(
            npm_config_registry=url,
            npm_config_cache=str(tmp_path / "cache"),
            HOME=str(tmp_path),
            **IMPATIENT,
        )
        found.lists()
        yield found


def code_and_words(failed: Failed) -> tuple[str, str]:
    (item,) = failed.diagnostics
    return item.code, f"{item.message} {item.hint}"


@pytest.mark.parametrize(
    ("stage", "way", "expected"),
    [
        *(("page", way, code) for way, code in PAGES.items()),
        *(("file", way, code) for way, code in FILES.items()),
    ],
)
def test_a_registry_that_fails(lab: Lab, stage: str, way: str, expected: str) -> None:
    """It is the machine's fault, in npm's words, and what npm adds each time is left out."""
    setattr(lab.behaviour, stage, way)
    code, words = code_and_words(lab.fails())
    assert code == expected
    assert "complete log" not in words
    if way in ("403", "429", "503"):
        assert f" {way} " in words
        assert lab.url in words


@pytest.mark.parametrize(("stage", "way"), [("page", "503"), ("file", "cut"), ("page", "portal")])
def test_a_registry_that_is_mended(lab: Lab, stage: str, way: str) -> None:
    """The next build works, though no file was touched."""
    setattr(lab.behaviour, stage, way)
    lab.fails()
    setattr(lab.behaviour, stage, "")
    lab.builds()


def test_another_file_than_was_promised(lab: Lab) -> None:
    """npm's own check of the integrity is believed."""
    lab.lists(integrity=b"another")
    assert code_and_words(lab.fails())[0] == "esbuild-corrupt"
    lab.lists()
    lab.builds()


@pytest.mark.parametrize("stage", ["page", "file"])
def test_an_answer_without_end(lab: Lab, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm waits for minutes, and is ended."""
    monkeypatch.setattr(binary, "NPM_TIMEOUT_S", 1.0)
    setattr(lab.behaviour, stage, "stall")
    code, words = code_and_words(lab.fails())
    assert code == "tool-timeout"
    assert "npm" in words


def test_no_registry_at_all(lab: Lab) -> None:
    for url in ("http://127.0.0.1:9", "https://no-such-host.invalid"):
        lab.set(npm_config_registry=url)
        assert code_and_words(lab.fails())[0] == "no-network"


def test_a_secret_stays_one(lab: Lab) -> None:
    """npm names the registry with the password that its settings hold."""
    host = lab.url.partition("://")[2]
    lab.set(npm_config_registry=f"http://user:s3cret-s3cret@{host}")
    lab.behaviour.page = "503"
    assert "s3cret" not in code_and_words(lab.fails())[1]


def test_a_cache_on_a_full_disk(lab: Lab, small_disk: Path) -> None:
    """What npm says of its own cache is reported, and another cache does."""
    lab.set(npm_config_cache=str(small_disk / "npm"))
    code, words = code_and_words(lab.fails())
    assert code == "disk-full"
    assert str(small_disk / "npm") in words
    lab.set(npm_config_cache=str(lab.folder.parent / "cache"))
    lab.builds()


def test_a_store_on_a_full_disk(lab: Lab, small_disk: Path) -> None:
    """The store's disk is named, whichever program met its end."""
    whole, lab.workshop = lab.workshop.store, replace(lab.workshop, store=Store(small_disk / "s"))
    code, words = code_and_words(lab.fails())
    assert code == "disk-full"
    assert str(small_disk / "s") in words
    lab.workshop = replace(lab.workshop, store=whole)
    lab.builds()


@pytest.mark.parametrize("folder", ["/proc/lambdad", "/dev/null/lambdad"])
def test_a_cache_that_cant_be_written(lab: Lab, folder: str) -> None:
    """A container's home can seldom be written: then npm's cache lies in the store."""
    lab.set(npm_config_cache=folder, HOME=folder)
    lab.builds()
    assert (lab.workshop.store.root / "caches/npm").is_dir()
